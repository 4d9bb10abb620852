"""Requests about policy routing: which packets follow another routing table than the main one."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from socket import AF_INET, AF_INET6

from swarm.agent.network.netlink import CREATE, EXCL, REPLACE, Netlink, Reply, Request, attributes, u32

_NEW_RULE, _DELETE_RULE, _GET_RULE = 32, 33, 34
_NEW_ROUTE = 24
_RULE = struct.Struct("=BBBBBBBBI")
_ROUTE = struct.Struct("=BBBBBBBBI")
_TO_TABLE, _UNICAST, _STATIC, _ONLINK = 1, 1, 4, 4
_SOURCE, _PRIORITY, _MARK, _TABLE = 2, 6, 10, 15
_RTA_OIF, _RTA_GATEWAY, _RTA_TABLE = 4, 5, 15
_UNSPECIFIED = 0
_FAMILY = {4: AF_INET, 6: AF_INET6}

Address = IPv4Address | IPv6Address
PRIORITY = 1000  # of our rules: before the main table (32766), behind the local one (0)


@dataclass(frozen=True, slots=True)
class Policy:
    """Packets of this source, or with this mark, follow `table`."""

    table: int
    source: Address | None = None
    mark: int = 0
    version: int = 4  # 4 or 6: the family of the packets


def policy(what: Policy) -> Request:
    """Let packets follow a table; EEXIST when they do."""
    return Request(_NEW_RULE, CREATE | EXCL, _body(what), f"let packets follow table {what.table}")


def delete_policy(what: Policy) -> Request:
    """Let packets follow the main table again; ENOENT when they do."""
    return Request(_DELETE_RULE, 0, _body(what), f"let packets follow table {what.table} no more")


def default_route(table: int, interface: int, gateway: Address) -> Request:
    """Send everything that follows `table` to `gateway`, which is at `interface`."""
    body = _ROUTE.pack(_FAMILY[gateway.version], 0, 0, 0, _UNSPECIFIED, _STATIC, 0, _UNICAST, _ONLINK)
    body += attributes({_RTA_TABLE: u32(table), _RTA_OIF: u32(interface), _RTA_GATEWAY: gateway.packed})
    return Request(_NEW_ROUTE, CREATE | REPLACE, body, f"set the route of table {table}")


def list_policies(netlink: Netlink) -> Sequence[Policy]:
    """Return our policies in the socket's namespace."""
    found: list[Policy | None] = []
    for version, family in _FAMILY.items():
        body = _RULE.pack(family, 0, 0, 0, 0, 0, 0, 0, 0)
        replies = netlink.dump(Request(_GET_RULE, 0, body, "list policies"))
        mine = (one for one in replies if _RULE.unpack_from(one.payload)[0] == family)
        found += [_parse(reply, version) for reply in mine if reply.kind == _NEW_RULE]
    return [one for one in found if one is not None]


def _body(what: Policy) -> bytes:
    length = what.source.max_prefixlen if what.source is not None else 0
    head = _RULE.pack(_FAMILY[what.version], 0, length, 0, _UNSPECIFIED, 0, 0, _TO_TABLE, 0)
    return head + attributes(
        {
            _PRIORITY: u32(PRIORITY),
            _TABLE: u32(what.table),
            _SOURCE: what.source.packed if what.source is not None else None,
            _MARK: u32(what.mark) if what.mark else None,
        }
    )


def _parse(reply: Reply, version: int) -> Policy | None:
    found = reply.attributes(_RULE.size)
    if _number(found.get(_PRIORITY)) != PRIORITY:
        return None
    source = found.get(_SOURCE)
    return Policy(
        _number(found.get(_TABLE)),
        ip_address(source) if source else None,
        _number(found.get(_MARK)),
        version,
    )


def _number(value: bytes | None) -> int:
    return struct.unpack("=I", value)[0] if value else 0
