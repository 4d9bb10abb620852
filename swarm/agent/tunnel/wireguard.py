"""Requests to the kernel's WireGuard over generic netlink, and what it answers."""

import errno
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address, ip_address
from socket import AF_INET, AF_INET6

from swarm.agent.network.netlink import (
    CREATE,
    EXCL,
    Netlink,
    NetlinkError,
    Reply,
    Request,
    attribute,
    attributes,
    nested,
    parse_attributes,
    text,
    u32,
)
from swarm.agent.tunnel.plan import KEEPALIVE_S, Device, KnownPeer, PeerChange

GENERIC = 16  # family of the socket
FAMILY = "wireguard"
PEERS_PER_MESSAGE = 100
_CONTROL, _GET_FAMILY, _FAMILY_ID, _FAMILY_NAME = 16, 3, 1, 2
_HEAD = struct.Struct("=BBxx")
_GET_DEVICE, _SET_DEVICE, _VERSION = 0, 1, 1
_NAME, _PRIVATE, _PORT, _PEERS = 2, 3, 6, 8
_KEY, _SHARED, _FLAGS, _ENDPOINT, _KEEPALIVE, _HANDSHAKE, _RX, _TX, _ALLOWED = 1, 2, 3, 4, 5, 6, 7, 8, 9
_ADDRESS_FAMILY, _ADDRESS, _PREFIX = 1, 2, 3
_REMOVE, _REPLACE_ALLOWED = 1, 2
_NO_KEY = bytes(32)
_NEW_LINK = 16
_LINK = struct.Struct("=BxHiII")
_IFLA_NAME, _IFLA_MTU, _IFLA_INFO, _IFLA_NS_FD, _INFO_KIND = 3, 4, 18, 28, 1


def link(name: str, index: int, mtu: int, namespace: int) -> Request:
    """Make a tunnel in the open namespace whose packets leave through the namespace of the socket."""
    head = _LINK.pack(0, 0, index, 0, 0) + attributes(
        {_IFLA_NAME: text(name), _IFLA_MTU: u32(mtu), _IFLA_NS_FD: u32(namespace)}
    )
    info = nested(_IFLA_INFO, attributes({_INFO_KIND: FAMILY.encode()}))
    return Request(_NEW_LINK, CREATE | EXCL, head + info, "make a WireGuard link")


def family_of(netlink: Netlink) -> int:
    """Return the number under which the kernel takes requests; raises NetlinkError without one."""
    body = _HEAD.pack(_GET_FAMILY, 1) + attribute(_FAMILY_NAME, text(FAMILY))
    reply = netlink.ask(Request(_CONTROL, 0, body, "find the kernel's WireGuard"))
    found = reply.attributes(_HEAD.size)
    if _FAMILY_ID not in found:
        raise NetlinkError(errno.ENOENT, "the kernel does not say where its WireGuard is")
    return int(struct.unpack("=H", found[_FAMILY_ID])[0])


def set_own(family: int, name: str, private: bytes, port: int) -> Request:
    """Give a tunnel its private key and UDP port."""
    body = attributes({_NAME: text(name), _PRIVATE: private, _PORT: struct.pack("=H", port)})
    return _set(family, body, f"listen at UDP port {port}")


def set_peers(family: int, name: str, changes: Sequence[PeerChange]) -> Iterator[Request]:
    """Yield requests that change peers."""
    for start in range(0, len(changes), PEERS_PER_MESSAGE):
        peers = (nested(0, _peer(change)) for change in changes[start : start + PEERS_PER_MESSAGE])
        body = attribute(_NAME, text(name)) + nested(_PEERS, *peers)
        yield _set(family, body, "change the other ends of the tunnel")


def read(netlink: Netlink, family: int, name: str) -> Device:
    """Return what a tunnel is; raises NetlinkError when there is none of that name."""
    body = _HEAD.pack(_GET_DEVICE, _VERSION) + attribute(_NAME, text(name))
    return parse(netlink.dump(Request(family, 0, body, f"read the tunnel {name}")))


def parse(replies: Iterable[Reply]) -> Device:
    """Return what the messages say together: one may go on with the peer that the one before ended with."""
    device, peers = Device(), dict[bytes, KnownPeer]()
    for reply in replies:
        found = reply.attributes(_HEAD.size)
        if _PRIVATE in found:
            device = replace(device, private=_key(found[_PRIVATE]))
        if _PORT in found:
            device = replace(device, port=struct.unpack("=H", found[_PORT])[0])
        for _, item in parse_attributes(found.get(_PEERS, b"")):
            told = dict(parse_attributes(item))
            allowed = frozenset(_addresses(told.get(_ALLOWED, b"")))
            before = peers.get(told[_KEY])
            if before is not None:
                peers[told[_KEY]] = replace(before, allowed=before.allowed | allowed)
            else:
                peers[told[_KEY]] = _known(told, allowed)
    return replace(device, peers=peers)


def _set(family: int, body: bytes, purpose: str) -> Request:
    return Request(family, 0, _HEAD.pack(_SET_DEVICE, _VERSION) + body, purpose)


def _peer(change: PeerChange) -> bytes:
    peer = change.peer
    if peer is None:
        return attributes({_KEY: change.key, _FLAGS: u32(_REMOVE)})
    head = attributes(
        {
            _KEY: change.key,
            _SHARED: peer.shared or None,
            _FLAGS: u32(_REPLACE_ALLOWED),
            _ENDPOINT: _endpoint(peer.address, peer.port) if change.redirect else None,
            _KEEPALIVE: struct.pack("=H", KEEPALIVE_S),
        }
    )
    allowed = attributes(
        {
            _ADDRESS_FAMILY: struct.pack("=H", AF_INET if peer.address.version == 4 else AF_INET6),
            _ADDRESS: peer.address.packed,
            _PREFIX: bytes([peer.address.max_prefixlen]),
        }
    )
    return head + nested(_ALLOWED, nested(0, allowed))


def _endpoint(address: IPv4Address | IPv6Address, port: int) -> bytes:
    """Return a sockaddr: the family in the machine's order, the port in the network's."""
    if address.version == 4:
        return struct.pack("=H", AF_INET) + struct.pack("!H4s8x", port, address.packed)
    return struct.pack("=H", AF_INET6) + struct.pack("!HI16sI", port, 0, address.packed, 0)


def _known(told: Mapping[int, bytes], allowed: frozenset[IPv4Address | IPv6Address]) -> KnownPeer:
    seconds, nanoseconds = struct.unpack("=qq", told.get(_HANDSHAKE, bytes(16)))
    return KnownPeer(
        endpoint=_parse_endpoint(told.get(_ENDPOINT, b"")),
        shared=_key(told.get(_SHARED, _NO_KEY)),
        allowed=allowed,
        keepalive_s=struct.unpack("=H", told.get(_KEEPALIVE, bytes(2)))[0],
        handshake_s=seconds + nanoseconds / 1e9,
        received_bytes=struct.unpack("=Q", told.get(_RX, bytes(8)))[0],
        sent_bytes=struct.unpack("=Q", told.get(_TX, bytes(8)))[0],
    )


def _key(value: bytes) -> bytes:
    return b"" if value == _NO_KEY else value


def _parse_endpoint(value: bytes) -> tuple[IPv4Address | IPv6Address, int] | None:
    if len(value) < 16:
        return None
    (port,) = struct.unpack_from("!H", value, 2)
    is_ipv6 = struct.unpack_from("=H", value)[0] == AF_INET6
    return ip_address(value[8:24] if is_ipv6 else value[4:8]), port


def _addresses(value: bytes) -> Iterator[IPv4Address | IPv6Address]:
    for _, item in parse_attributes(value):
        yield ip_address(dict(parse_attributes(item))[_ADDRESS])
