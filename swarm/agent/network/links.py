"""Requests about network interfaces, addresses, routes and neighbours, and what the kernel answers."""

import struct
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from socket import AF_INET, AF_INET6

from swarm.agent.network.netlink import (
    CREATE,
    EXCL,
    REPLACE,
    Netlink,
    Reply,
    Request,
    attributes,
    nested,
    text,
    u32,
)

_NEW_LINK, _DELETE_LINK, _GET_LINK = 16, 17, 18
_NEW_ADDRESS, _DELETE_ADDRESS, _GET_ADDRESS = 20, 21, 22
_NEW_ROUTE, _DELETE_ROUTE, _GET_ROUTE = 24, 25, 26
_NEW_NEIGHBOUR = 28

_LINK = struct.Struct("=BxHiII")
_ADDRESS = struct.Struct("=BBBBI")
_ROUTE = struct.Struct("=BBBBBBBBI")
_NEIGHBOUR = struct.Struct("=BxxxiHBB")
_UP = 1
_PERMANENT = 0x80
_MAIN_TABLE, _STATIC = 254, 4
_UNICAST, _UNREACHABLE = 1, 7
_GLOBAL, _LINK_SCOPE, _NOWHERE = 0, 253, 255
_ONLINK = 4
_IFLA_ADDRESS, _IFLA_NAME, _IFLA_MTU, _IFLA_MASTER, _IFLA_INFO, _IFLA_NS_FD = 1, 3, 4, 10, 18, 28
_IFLA_QDISC, _DROPS_ALL = 6, b"noop\0"
_IFA_ADDRESS, _IFA_LOCAL = 1, 2  # they differ at the ends of a cable between two
_INFO_KIND, _INFO_DATA, _VETH_PEER = 1, 2, 1
_RTA_DST, _RTA_OIF, _RTA_GATEWAY, _RTA_SOURCE, _RTA_TABLE = 1, 4, 5, 7, 15


@dataclass(frozen=True, slots=True)
class End:
    """One end of a virtual cable; `index` 0 lets the kernel choose, `namespace` is an open file."""

    name: str
    index: int = 0
    mac: str = ""
    mtu: int = 0
    up: bool = False
    namespace: int | None = None
    master: int = 0


@dataclass(frozen=True, slots=True)
class Link:
    """An interface that exists."""

    index: int
    name: str
    mtu: int
    up: bool
    master: int
    carries: bool  # packets are sent, not dropped: false for a moment after the other end was switched on


@dataclass(frozen=True, slots=True)
class Route:
    """A route that exists, of any table; `interface` is 0 for routes that lead nowhere."""

    destination: IPv4Network | IPv6Network
    gateway: IPv4Address | IPv6Address | None
    interface: int
    table: int

    @property
    def is_main(self) -> bool:
        """Return whether the route is in the main table, that is, neither local nor a policy's."""
        return self.table == _MAIN_TABLE


def veth(end: End, peer: End) -> Request:
    """Make a virtual cable between two interfaces; `peer` cannot be made up at once."""
    data = nested(_INFO_DATA, nested(_VETH_PEER, _end(peer)))
    info = nested(_IFLA_INFO, attributes({_INFO_KIND: b"veth"}), data)
    return Request(_NEW_LINK, CREATE | EXCL, _end(end) + info, f"make the interface {end.name}")


def bridge(name: str, index: int) -> Request:
    """Make a bridge that is up."""
    info = nested(_IFLA_INFO, attributes({_INFO_KIND: b"bridge"}))
    head = _end(End(name, index, up=True))
    return Request(_NEW_LINK, CREATE | EXCL, head + info, f"make the bridge {name}")


def set_up(index: int) -> Request:
    """Switch an interface on."""
    return Request(_NEW_LINK, 0, _LINK.pack(0, 0, index, _UP, _UP), f"switch interface {index} on")


def set_master(index: int, master: int) -> Request:
    """Plug an interface into a bridge."""
    body = _LINK.pack(0, 0, index, 0, 0) + attributes({_IFLA_MASTER: u32(master)})
    return Request(_NEW_LINK, 0, body, f"plug interface {index} into a bridge")


def delete_link(index: int) -> Request:
    """Remove an interface and, of a cable, its other end."""
    return Request(_DELETE_LINK, 0, _LINK.pack(0, 0, index, 0, 0), f"remove interface {index}")


def address(index: int, value: IPv4Address | IPv6Address, prefix: int, *, as_source: bool = True) -> Request:
    """Give an interface an address; without `as_source`, only its own answers are sent from it."""
    body = _ADDRESS.pack(_family(value), prefix, 0, _GLOBAL if as_source else _LINK_SCOPE, index)
    body += attributes({1: value.packed, 2: value.packed})
    return Request(_NEW_ADDRESS, CREATE | REPLACE, body, f"set the address {value}/{prefix}")


def route(
    destination: IPv4Network | IPv6Network,
    interface: int,
    gateway: IPv4Address | IPv6Address | None = None,
    source: IPv4Address | IPv6Address | None = None,
) -> Request:
    """Send packets for `destination` out of `interface`, to `gateway` when there is one."""
    scope = _GLOBAL if gateway else _LINK_SCOPE
    body = _route_head(destination, scope, _UNICAST, _ONLINK if gateway else 0)
    body += attributes(
        {
            _RTA_OIF: u32(interface),
            _RTA_GATEWAY: gateway.packed if gateway else None,
            _RTA_SOURCE: source.packed if source else None,
        }
    )
    return Request(_NEW_ROUTE, CREATE | REPLACE, body, f"set the route to {destination}")


def delete_route(destination: IPv4Network | IPv6Network, interface: int) -> Request:
    """Stop sending packets for `destination` out of `interface`, whoever made it so."""
    body = _route_head(destination, _NOWHERE, 0, 0, origin=0) + attributes({_RTA_OIF: u32(interface)})
    return Request(_DELETE_ROUTE, 0, body, f"remove the route to {destination}")


def unreachable(destination: IPv4Network | IPv6Network) -> Request:
    """Answer packets for `destination` with an error, unless a narrower route leads somewhere."""
    body = _route_head(destination, _GLOBAL, _UNREACHABLE, 0)
    return Request(_NEW_ROUTE, CREATE | REPLACE, body, f"close the route to {destination}")


def neighbour(interface: int, value: IPv4Address | IPv6Address, mac: str) -> Request:
    """Fix the hardware address of a neighbour, so that nobody has to ask for it."""
    body = _NEIGHBOUR.pack(_family(value), interface, _PERMANENT, 0, 0)
    body += attributes({1: value.packed, 2: _mac(mac)})
    return Request(_NEW_NEIGHBOUR, CREATE | REPLACE, body, f"set the neighbour {value}")


def list_links(netlink: Netlink) -> Sequence[Link]:
    """Return the interfaces of the socket's namespace."""
    replies = netlink.dump(Request(_GET_LINK, 0, _LINK.pack(0, 0, 0, 0, 0), "list interfaces"))
    return [_parse_link(reply) for reply in replies if reply.kind == _NEW_LINK]


def get_link(netlink: Netlink, index: int) -> Link:
    """Return the interface with that number; raises NetlinkError when there is none."""
    body = _LINK.pack(0, 0, index, 0, 0)
    return _parse_link(netlink.ask(Request(_GET_LINK, 0, body, f"look at interface {index}")))


def list_routes(netlink: Netlink, family: int = AF_INET) -> Sequence[Route]:
    """Return the routes of one family in the socket's namespace, local ones included."""
    body = _ROUTE.pack(family, 0, 0, 0, 0, 0, 0, 0, 0)
    replies = netlink.dump(Request(_GET_ROUTE, 0, body, "list routes"))
    return [_parse_route(reply) for reply in replies if reply.kind == _NEW_ROUTE]


def interface_to(netlink: Netlink, value: IPv4Address | IPv6Address) -> int:
    """Return the number of the interface towards an address; raises NetlinkError when there is no way."""
    body = _ROUTE.pack(_family(value), value.max_prefixlen, 0, 0, 0, 0, 0, 0, 0)
    body += attributes({_RTA_DST: value.packed})
    return _parse_route(netlink.ask(Request(_GET_ROUTE, 0, body, f"find the way to {value}"))).interface


def source_to(netlink: Netlink, value: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address | None:
    """Return the address that is sent from towards another; raises NetlinkError when there is no way."""
    body = _ROUTE.pack(_family(value), value.max_prefixlen, 0, 0, 0, 0, 0, 0, 0)
    body += attributes({_RTA_DST: value.packed})
    reply = netlink.ask(Request(_GET_ROUTE, 0, body, f"find the way to {value}"))
    source = reply.attributes(_ROUTE.size).get(_RTA_SOURCE)
    return ip_address(source) if source else None


def list_addresses(netlink: Netlink, index: int) -> Sequence[IPv4Address | IPv6Address]:
    """Return the addresses of an interface, but for those of the link only."""
    replies = netlink.dump(Request(_GET_ADDRESS, 0, _ADDRESS.pack(0, 0, 0, 0, 0), "list addresses"))
    return [
        ip_address(reply.attributes(_ADDRESS.size)[1])
        for reply in replies
        if reply.kind == _NEW_ADDRESS and _ADDRESS.unpack_from(reply.payload)[3:] == (_GLOBAL, index)
    ]


def list_own_addresses(netlink: Netlink) -> Sequence[IPv4Address | IPv6Address]:
    """Return the addresses of all interfaces, but for those of a link only."""
    replies = netlink.dump(Request(_GET_ADDRESS, 0, _ADDRESS.pack(0, 0, 0, 0, 0), "list addresses"))
    return [
        ip_address(found.get(_IFA_LOCAL, found[_IFA_ADDRESS]))
        for reply in replies
        if reply.kind == _NEW_ADDRESS
        and _ADDRESS.unpack_from(reply.payload)[3] != _LINK_SCOPE
        and (found := reply.attributes(_ADDRESS.size))
    ]


def delete_address(index: int, value: IPv4Address | IPv6Address) -> Request:
    """Take an address of its own, without others around it, from an interface."""
    body = _ADDRESS.pack(_family(value), value.max_prefixlen, 0, _GLOBAL, index)
    body += attributes({1: value.packed, 2: value.packed})
    return Request(_DELETE_ADDRESS, 0, body, f"remove the address {value}")


def find_link(netlink: Netlink, name: str) -> Link | None:
    """Return the interface of that name."""
    return next((link for link in list_links(netlink) if link.name == name), None)


def _end(end: End) -> bytes:
    flags = _UP if end.up else 0
    return _LINK.pack(0, 0, end.index, flags, flags) + attributes(
        {
            _IFLA_NAME: text(end.name),
            _IFLA_ADDRESS: _mac(end.mac) if end.mac else None,
            _IFLA_MTU: u32(end.mtu) if end.mtu else None,
            _IFLA_MASTER: u32(end.master) if end.master else None,
            _IFLA_NS_FD: u32(end.namespace) if end.namespace is not None else None,
        }
    )


def _route_head(
    destination: IPv4Network | IPv6Network, scope: int, kind: int, flags: int, origin: int = _STATIC
) -> bytes:
    start, prefix = destination.network_address, destination.prefixlen
    head = _ROUTE.pack(_family(start), prefix, 0, 0, _MAIN_TABLE, origin, scope, kind, flags)
    return head + attributes({_RTA_DST: start.packed if prefix else None})


def _parse_link(reply: Reply) -> Link:
    _, _, index, flags, _ = _LINK.unpack_from(reply.payload)
    found = reply.attributes(_LINK.size)
    return Link(
        index=index,
        name=found[_IFLA_NAME].rstrip(b"\0").decode(),
        mtu=_number(found.get(_IFLA_MTU)),
        up=bool(flags & _UP),
        master=_number(found.get(_IFLA_MASTER)),
        carries=found.get(_IFLA_QDISC) != _DROPS_ALL,
    )


def _parse_route(reply: Reply) -> Route:
    family, prefix, _, _, table, _, _, _, _ = _ROUTE.unpack_from(reply.payload)
    found = reply.attributes(_ROUTE.size)
    start = found.get(_RTA_DST, bytes(16 if family == AF_INET6 else 4))
    gateway = found.get(_RTA_GATEWAY)
    return Route(
        destination=ip_network((start, prefix)),
        gateway=ip_address(gateway) if gateway else None,
        interface=_number(found.get(_RTA_OIF)),
        table=_number(found[_RTA_TABLE]) if _RTA_TABLE in found else table,
    )


def _number(value: bytes | None) -> int:
    return int.from_bytes(value, sys.byteorder) if value else 0


def _family(value: IPv4Address | IPv6Address) -> int:
    return AF_INET6 if value.version == 6 else AF_INET


def _mac(value: str) -> bytes:
    return bytes.fromhex(value.replace(":", ""))
