"""Forget the connections to a task that is gone, so that its clients do not go on talking to nobody.

Without this a client that keeps sending datagrams from one port would be led to the old address for ever,
and a TCP client would wait for its time-out instead of connecting again.
"""

import errno
import struct
from collections.abc import Callable, Collection
from ipaddress import IPv4Address, IPv6Address, ip_address
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
_ORIGINAL, _REPLY, _ZONE, _FILTER = 1, 2, 18, 25
_TUPLE_IP = 1
_IP_SOURCE = {4: 1, 6: 3}
_FILTER_REPLY_FLAGS, _BY_SOURCE = 2, 1

Address = IPv4Address | IPv6Address


def forget(netlink: Netlink, address: Address) -> int:
    """Delete every connection that `address` answers; return how many there were.

    `netlink` must be a socket of the NETFILTER family in the namespace that translates the addresses.
    """
    return _forget(netlink, address.version, _filter(address), lambda answers: answers == address)


def forget_others(netlink: Netlink, version: int, known: Collection[Address]) -> int:
    """Delete every connection of one family (4 or 6) that none of `known` answers; return how many."""
    return _forget(netlink, version, b"", lambda answers: answers not in known)


def open_netfilter() -> Netlink:
    """Return a socket for `forget`, in the namespace of the calling thread."""
    return Netlink(NETFILTER)


def _forget(netlink: Netlink, version: int, only: bytes, is_over: Callable[[Address], bool]) -> int:
    replies = netlink.dump(Request(_GET, 0, _HEADS[version] + only, "list connections"))
    doomed = [request for reply in replies if (request := _deletion(reply, version, is_over)) is not None]
    for request in doomed:
        netlink.run(request, ignore={errno.ENOENT})  # it may have ended meanwhile
    return len(doomed)


def _filter(address: Address) -> bytes:
    # Kernels before 5.8 do not know the filter and list everything; `_deletion` looks again for their sake.
    if address.version == 6:  # kernels list all but those that are asked for: they compare the wrong way
        return b""
    ip = nested(_TUPLE_IP, attributes({_IP_SOURCE[address.version]: address.packed}))
    return nested(_REPLY, ip) + nested(_FILTER, attributes({_FILTER_REPLY_FLAGS: u32(_BY_SOURCE)}))


def _deletion(reply: Reply, version: int, is_over: Callable[[Address], bool]) -> Request | None:
    head = _HEADS[version]
    found = reply.attributes(len(head))
    ip = dict(parse_attributes(found.get(_REPLY, b""))).get(_TUPLE_IP, b"")
    source = dict(parse_attributes(ip)).get(_IP_SOURCE[version])
    if source is None or not is_over(ip_address(source)):
        return None
    body = head + nested(_ORIGINAL, found[_ORIGINAL])
    if _ZONE in found:
        body += attribute(_ZONE, found[_ZONE])
    return Request(_DELETE, 0, body, f"forget a connection to {ip_address(source)}")
