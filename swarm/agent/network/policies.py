"""Requests about policy routing: which packets follow another routing table than the main one."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address
from socket import AF_INET

from swarm.agent.network.netlink import CREATE, EXCL, REPLACE, Netlink, Reply, Request, attributes, u32

_NEW_RULE, _DELETE_RULE, _GET_RULE = 32, 33, 34
_NEW_ROUTE = 24
_RULE = struct.Struct("=BBBBBBBBI")
_ROUTE = struct.Struct("=BBBBBBBBI")
_TO_TABLE, _UNICAST, _STATIC, _ONLINK = 1, 1, 4, 4
_SOURCE, _PRIORITY, _MARK, _TABLE = 2, 6, 10, 15
_RTA_OIF, _RTA_GATEWAY, _RTA_TABLE = 4, 5, 15
_UNSPECIFIED = 0
PRIORITY = 1000  # of our rules: before the main table (32766), behind the local one (0)


@dataclass(frozen=True, slots=True)
class Policy:
    """Packets of this source, or with this mark, follow `table`."""

    table: int
    source: IPv4Address | None = None
    mark: int = 0


def policy(what: Policy) -> Request:
    """Let packets follow a table; EEXIST when they do."""
    return Request(_NEW_RULE, CREATE | EXCL, _body(what), f"let packets follow table {what.table}")


def delete_policy(what: Policy) -> Request:
    """Let packets follow the main table again; ENOENT when they do."""
    return Request(_DELETE_RULE, 0, _body(what), f"let packets follow table {what.table} no more")


def default_route(table: int, interface: int, gateway: IPv4Address) -> Request:
    """Send everything that follows `table` to `gateway`, which is at `interface`."""
    body = _ROUTE.pack(AF_INET, 0, 0, 0, _UNSPECIFIED, _STATIC, 0, _UNICAST, _ONLINK)
    body += attributes({_RTA_TABLE: u32(table), _RTA_OIF: u32(interface), _RTA_GATEWAY: gateway.packed})
    return Request(_NEW_ROUTE, CREATE | REPLACE, body, f"set the route of table {table}")


def list_policies(netlink: Netlink) -> Sequence[Policy]:
    """Return our policies in the socket's namespace."""
    body = _RULE.pack(AF_INET, 0, 0, 0, 0, 0, 0, 0, 0)
    replies = netlink.dump(Request(_GET_RULE, 0, body, "list policies"))
    found = (_parse(reply) for reply in replies if reply.kind == _NEW_RULE)
    return [one for one in found if one is not None]


def _body(what: Policy) -> bytes:
    length = 32 if what.source is not None else 0
    head = _RULE.pack(AF_INET, 0, length, 0, _UNSPECIFIED, 0, 0, _TO_TABLE, 0)
    return head + attributes(
        {
            _PRIORITY: u32(PRIORITY),
            _TABLE: u32(what.table),
            _SOURCE: what.source.packed if what.source is not None else None,
            _MARK: u32(what.mark) if what.mark else None,
        }
    )


def _parse(reply: Reply) -> Policy | None:
    found = reply.attributes(_RULE.size)
    if _number(found.get(_PRIORITY)) != PRIORITY:
        return None
    source = found.get(_SOURCE)
    return Policy(
        _number(found.get(_TABLE)), IPv4Address(source) if source else None, _number(found.get(_MARK))
    )


def _number(value: bytes | None) -> int:
    return struct.unpack("=I", value)[0] if value else 0
