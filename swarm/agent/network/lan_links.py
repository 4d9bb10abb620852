"""Requests about interfaces on top of others: hosts of a LAN (macvlan) and VLANs."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from swarm.agent.network.netlink import (
    CREATE,
    EXCL,
    Netlink,
    Request,
    attributes,
    nested,
    text,
    u32,
)

_NEW_LINK, _GET_LINK = 16, 18
_LINK = struct.Struct("=BxHiII")
_UP = 1
_ADDRESS, _NAME, _PARENT, _INFO, _ALIAS, _NS_FD = 1, 3, 5, 18, 20, 28
_KIND, _DATA = 1, 2
_MODE, _VLAN_ID = 1, 1
MODES = {"private": 1, "vepa": 2, "bridge": 4, "passthru": 8}


@dataclass(frozen=True, slots=True)
class Macvlan:
    """One host of a LAN."""

    name: str
    index: int
    mac: str  # empty: the kernel chooses
    parent: int  # number of the interface that leads to the LAN
    mode: str  # of MODES


def macvlan(link: Macvlan, namespace: int) -> Request:
    """Make a host in the open namespace, on top of an interface of the socket's."""
    data = nested(_DATA, attributes({_MODE: u32(MODES[link.mode])}))
    info = nested(_INFO, attributes({_KIND: b"macvlan"}), data)
    head = _LINK.pack(0, 0, link.index, 0, 0) + attributes(
        {
            _NAME: text(link.name),
            _ADDRESS: bytes.fromhex(link.mac.replace(":", "")) if link.mac else None,
            _PARENT: u32(link.parent),
            _NS_FD: u32(namespace),
        }
    )
    return Request(_NEW_LINK, CREATE | EXCL, head + info, f"make the macvlan interface {link.name}")


def vlan(name: str, parent: int, number: int) -> Request:
    """Make the interface of a VLAN on top of another."""
    data = nested(_DATA, attributes({_VLAN_ID: struct.pack("=H", number)}))
    info = nested(_INFO, attributes({_KIND: b"vlan"}), data)
    head = _LINK.pack(0, 0, 0, _UP, _UP)
    head += attributes({_NAME: text(name), _PARENT: u32(parent)})
    return Request(_NEW_LINK, CREATE | EXCL, head + info, f"make the VLAN interface {name}")


def mark(index: int, words: str) -> Request:
    """Write words at an interface by which `list_marked` finds it again."""
    body = _LINK.pack(0, 0, index, 0, 0) + attributes({_ALIAS: words.encode()})
    return Request(_NEW_LINK, 0, body, f"mark interface {index}")


def list_marked(netlink: Netlink, words: str) -> Iterator[tuple[int, str]]:
    """Yield number and name of the interfaces with a mark."""
    for reply in netlink.dump(Request(_GET_LINK, 0, _LINK.pack(0, 0, 0, 0, 0), "list interfaces")):
        found = reply.attributes(_LINK.size)
        if found.get(_ALIAS, b"").rstrip(b"\0") == words.encode():
            yield _LINK.unpack_from(reply.payload)[2], found[_NAME].rstrip(b"\0").decode()
