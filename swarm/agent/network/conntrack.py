"""Forget the connections to a task that is gone, so that its clients do not go on talking to nobody.

Without this a client that keeps sending datagrams from one port would be led to the old address for ever,
and a TCP client would wait for its time-out instead of connecting again.

A connection is named by its client's address and port. One that was closed is left alone: the client may
use that port for its next connection between our look and our word, and would lose that one. The kernel
takes the remains of a closed one away by itself when the port is used again.
"""

import errno
import struct
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from ipaddress import IPv4Address, IPv4Network, IPv6Address, ip_address
from socket import AF_INET, AF_INET6

from swarm.agent.network.netlink import (
    NETFILTER,
    Netlink,
    Reply,
    Request,
    attribute,
    attributes,
    nested,
    parse_attributes,
    u32,
)

_GET, _DELETE = 0x101, 0x102  # subsystem conntrack, message get or delete
_HEADS = {4: struct.pack("=BBH", AF_INET, 0, 0), 6: struct.pack("=BBH", AF_INET6, 0, 0)}
_ORIGINAL, _REPLY, _PROTOCOL, _ID, _ZONE, _FILTER = 1, 2, 4, 12, 18, 25
_PROTOCOL_TCP, _TCP_STATE = 1, 1
_CLOSED = (7, 8)  # TIME_WAIT; CLOSE: after a reset
_TUPLE_IP = 1
_IP_SOURCE = {4: 1, 6: 3}
_FILTER_REPLY_FLAGS, _BY_SOURCE = 2, 1

Address = IPv4Address | IPv6Address


def forget(netlink: Netlink, address: Address) -> int:
    """Delete every open connection that `address` answers; return how many there were.

    `netlink` must be a socket of the NETFILTER family in the namespace that translates the addresses.
    """
    return _forget(netlink, address.version, _filter(address), lambda answers: answers == address)


def forget_others(netlink: Netlink, version: int, known: Collection[Address]) -> int:
    """Delete every open connection of one family (4 or 6) that none of `known` answers; return how many."""
    return _forget(netlink, version, b"", lambda answers: answers not in known)


def forget_network(network: IPv4Network) -> None:
    """Delete every connection that an address of `network` began or answers, also closed ones."""
    with suppress(OSError), open_netfilter() as netfilter:
        _delete(
            netfilter, 4, b"", lambda began, answers: began in network or answers in network, closed=True
        )


def open_netfilter() -> Netlink:
    """Return a socket for `forget`, in the namespace of the calling thread."""
    return Netlink(NETFILTER)


def _forget(netlink: Netlink, version: int, only: bytes, is_over: Callable[[Address], bool]) -> int:
    return _delete(netlink, version, only, lambda _, answers: is_over(answers))


def _delete(
    netlink: Netlink,
    version: int,
    only: bytes,
    is_over: Callable[[Address, Address], bool],
    *,
    closed: bool = False,
) -> int:
    replies = netlink.dump(Request(_GET, 0, _HEADS[version] + only, "list connections"))
    doomed = [
        request
        for reply in replies
        if (request := _deletion(reply, version, is_over, closed=closed)) is not None
    ]
    for request in doomed:
        netlink.run(request, ignore={errno.ENOENT})  # it may have ended meanwhile
    return len(doomed)


def _filter(address: Address) -> bytes:
    # Kernels before 5.8 do not know the filter and list everything; `_deletion` looks again for their sake.
    if address.version == 6:  # kernels list all but those that are asked for: they compare the wrong way
        return b""
    ip = nested(_TUPLE_IP, attributes({_IP_SOURCE[address.version]: address.packed}))
    return nested(_REPLY, ip) + nested(_FILTER, attributes({_FILTER_REPLY_FLAGS: u32(_BY_SOURCE)}))


def _deletion(
    reply: Reply, version: int, is_over: Callable[[Address, Address], bool], *, closed: bool
) -> Request | None:
    head = _HEADS[version]
    found = reply.attributes(len(head))
    began, answers = (_source(found.get(way, b""), version) for way in (_ORIGINAL, _REPLY))
    if began is None or answers is None or not is_over(began, answers):
        return None
    if not closed and _is_closed(found):
        return None
    body = head + nested(_ORIGINAL, found[_ORIGINAL])
    if _ID in found:  # nor shall it be another one of the same name
        body += attribute(_ID, found[_ID])
    if _ZONE in found:
        body += attribute(_ZONE, found[_ZONE])
    return Request(_DELETE, 0, body, f"forget a connection to {answers}")


def _is_closed(found: Mapping[int, bytes]) -> bool:
    tcp = dict(parse_attributes(found.get(_PROTOCOL, b""))).get(_PROTOCOL_TCP, b"")
    state = dict(parse_attributes(tcp)).get(_TCP_STATE, b"")
    return state[:1] != b"" and state[0] in _CLOSED


def _source(way: bytes, version: int) -> Address | None:
    ip = dict(parse_attributes(dict(parse_attributes(way)).get(_TUPLE_IP, b"")))
    source = ip.get(_IP_SOURCE[version])
    return ip_address(source) if source is not None else None
