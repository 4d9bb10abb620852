"""Requests about VXLAN links and the entries that lead through them, and what the kernel answers."""

import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from socket import AF_INET, AF_INET6

from swarm.agent.network.netlink import (
    CREATE,
    EXCL,
    REPLACE,
    Netlink,
    Request,
    attributes,
    nested,
    parse_attributes,
    text,
    u32,
)

_NEW_LINK, _GET_LINK = 16, 18
_NEW_ADDRESS = 20
_NEW_NEIGHBOUR, _DELETE_NEIGHBOUR, _GET_NEIGHBOUR = 28, 29, 30
_LINK = struct.Struct("=BxHiII")
_ADDRESS = struct.Struct("=BBBBI")
_NEIGHBOUR = struct.Struct("=BxxxiHBB")
_PERMANENT, _NO_ARP, _SELF = 0x80, 0x40, 0x02
_BRIDGE = 7  # the family of forwarding entries
_NO_DAD = 0x02
_IFLA_ADDRESS, _IFLA_NAME, _IFLA_MTU, _IFLA_INFO, _IFLA_NS_FD = 1, 3, 4, 18, 28
_INFO_KIND, _INFO_DATA = 1, 2
_ID, _LEARNING, _PORT, _LOCAL6 = 1, 7, 15, 17
_DESTINATION, _MAC = 1, 2

Address = IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True)
class Vxlan:
    """A VXLAN link that learns nothing: every entry is set."""

    name: str
    index: int
    vxlan_id: int
    port: int
    family: int  # 4 or 6: of the addresses that it leads to
    mac: str
    mtu: int


def vxlan(link: Vxlan, namespace: int) -> Request:
    """Make a link in the open namespace whose packets leave through the namespace of the socket."""
    data = attributes(
        {
            _ID: u32(link.vxlan_id),
            _LEARNING: b"\0",
            _PORT: struct.pack("!H", link.port),
            _LOCAL6: bytes(16) if link.family == 6 else None,
        }
    )
    info = nested(_IFLA_INFO, attributes({_INFO_KIND: b"vxlan"}), nested(_INFO_DATA, data))
    head = _LINK.pack(0, 0, link.index, 0, 0) + attributes(
        {
            _IFLA_NAME: text(link.name),
            _IFLA_ADDRESS: _packed(link.mac),
            _IFLA_MTU: u32(link.mtu),
            _IFLA_NS_FD: u32(namespace),
        }
    )
    return Request(_NEW_LINK, CREATE | EXCL, head + info, f"make the VXLAN link {link.vxlan_id}")


def find_vxlan(netlink: Netlink, name: str) -> Vxlan | None:
    """Return the VXLAN link of that name."""
    for reply in netlink.dump(Request(_GET_LINK, 0, _LINK.pack(0, 0, 0, 0, 0), "list interfaces")):
        found = reply.attributes(_LINK.size)
        info = dict(parse_attributes(found.get(_IFLA_INFO, b"")))
        if found[_IFLA_NAME].rstrip(b"\0").decode() != name or info.get(_INFO_KIND, b"")[:5] != b"vxlan":
            continue
        data = dict(parse_attributes(info.get(_INFO_DATA, b"")))
        return Vxlan(
            name=name,
            index=_LINK.unpack_from(reply.payload)[2],
            vxlan_id=int.from_bytes(data[_ID], sys.byteorder),
            port=int.from_bytes(data[_PORT]),
            family=6 if _LOCAL6 in data else 4,
            mac=found[_IFLA_ADDRESS].hex(":"),
            mtu=int.from_bytes(found[_IFLA_MTU], sys.byteorder),
        )
    return None


def set_mtu(index: int, mtu: int) -> Request:
    """Set the size of packets that an interface takes."""
    body = _LINK.pack(0, 0, index, 0, 0) + attributes({_IFLA_MTU: u32(mtu)})
    return Request(_NEW_LINK, 0, body, f"set the MTU of interface {index} to {mtu}")


def address6(index: int, value: IPv6Address) -> Request:
    """Give an interface an IPv6 address that is used at once: nobody else can have it."""
    body = _ADDRESS.pack(AF_INET6, 128, _NO_DAD, 0, index) + attributes({1: value.packed, 2: value.packed})
    return Request(_NEW_ADDRESS, CREATE | REPLACE, body, f"set the address {value}/128")


def forwarding(index: int, mac: str, node: Address) -> Request:
    """Send frames for `mac` to a node."""
    body = _NEIGHBOUR.pack(_BRIDGE, index, _PERMANENT | _NO_ARP, _SELF, 0)
    body += attributes({_DESTINATION: node.packed, _MAC: _packed(mac)})
    return Request(_NEW_NEIGHBOUR, CREATE | REPLACE, body, f"send {mac} to {node}")


def delete_forwarding(index: int, mac: str) -> Request:
    """Send frames for `mac` nowhere."""
    body = _NEIGHBOUR.pack(_BRIDGE, index, _PERMANENT | _NO_ARP, _SELF, 0)
    body += attributes({_MAC: _packed(mac)})
    return Request(_DELETE_NEIGHBOUR, 0, body, f"forget where {mac} is")


def delete_neighbour(index: int, value: Address) -> Request:
    """Forget the hardware address of a neighbour."""
    body = _NEIGHBOUR.pack(_family(value), index, _PERMANENT, 0, 0) + attributes({1: value.packed})
    return Request(_DELETE_NEIGHBOUR, 0, body, f"forget the neighbour {value}")


def list_forwarding(netlink: Netlink, index: int) -> Iterator[tuple[str, Address]]:
    """Yield the forwarding entries of an interface that lead to a node."""
    for found in _entries(netlink, _BRIDGE, index, _PERMANENT):
        if _DESTINATION in found and _MAC in found:
            yield found[_MAC].hex(":"), ip_address(found[_DESTINATION])


def list_neighbours(netlink: Netlink, index: int) -> Iterator[tuple[Address, str]]:
    """Yield the fixed neighbours of an interface."""
    for family in (AF_INET, AF_INET6):
        for found in _entries(netlink, family, index, _PERMANENT):
            if _MAC in found:
                yield ip_address(found[_DESTINATION]), found[_MAC].hex(":")


def _entries(netlink: Netlink, family: int, index: int, state: int) -> Iterator[dict[int, bytes]]:
    body = _NEIGHBOUR.pack(family, 0, 0, 0, 0)
    for reply in netlink.dump(Request(_GET_NEIGHBOUR, 0, body, "list neighbours")):
        _, interface, states, _, _ = _NEIGHBOUR.unpack_from(reply.payload)
        if reply.kind == _NEW_NEIGHBOUR and interface == index and states & state:
            yield reply.attributes(_NEIGHBOUR.size)


def _family(value: Address) -> int:
    return AF_INET6 if value.version == 6 else AF_INET


def _packed(mac: str) -> bytes:
    return bytes.fromhex(mac.replace(":", ""))
