"""Forget the connections to a task that is gone, so that its clients do not go on talking to nobody.

Without this a client that keeps sending datagrams from one port would be led to the old address for ever,
and a TCP client would wait for its time-out instead of connecting again.
"""

import errno
import struct
from ipaddress import IPv4Address
from socket import AF_INET

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
_HEAD = struct.pack("=BBH", AF_INET, 0, 0)
_ORIGINAL, _REPLY, _ZONE, _FILTER = 1, 2, 18, 25
_TUPLE_IP, _IP_SOURCE = 1, 1
_FILTER_REPLY_FLAGS, _BY_SOURCE = 2, 1


def forget(netlink: Netlink, address: IPv4Address) -> int:
    """Delete every connection that `address` answers; return how many there were.

    `netlink` must be a socket of the NETFILTER family in the namespace that translates the addresses.
    """
    replies = netlink.dump(Request(_GET, 0, _HEAD + _filter(address), "list connections"))
    doomed = [request for reply in replies if (request := _deletion(reply, address)) is not None]
    for request in doomed:
        netlink.run(request, ignore={errno.ENOENT})  # it may have ended meanwhile
    return len(doomed)


def open_netfilter() -> Netlink:
    """Return a socket for `forget`, in the namespace of the calling thread."""
    return Netlink(NETFILTER)


def _filter(address: IPv4Address) -> bytes:
    # Kernels before 5.8 do not know the filter and list everything; `_deletion` looks again for their sake.
    ip = nested(_TUPLE_IP, attributes({_IP_SOURCE: address.packed}))
    return nested(_REPLY, ip) + nested(_FILTER, attributes({_FILTER_REPLY_FLAGS: u32(_BY_SOURCE)}))


def _deletion(reply: Reply, address: IPv4Address) -> Request | None:
    found = reply.attributes(len(_HEAD))
    ip = dict(parse_attributes(found.get(_REPLY, b""))).get(_TUPLE_IP, b"")
    if dict(parse_attributes(ip)).get(_IP_SOURCE) != address.packed:
        return None
    body = _HEAD + nested(_ORIGINAL, found[_ORIGINAL])
    if _ZONE in found:
        body += attribute(_ZONE, found[_ZONE])
    return Request(_DELETE, 0, body, f"forget a connection to {address}")
