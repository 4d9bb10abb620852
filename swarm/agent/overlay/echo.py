"""Asks routers of networks on other nodes whether they are there, over what carries the networks.

By ARP, as a host asks whether an address is taken; in networks of IPv6 alone by neighbour discovery. The
kernel of the other node answers without a route to us; nothing has to run there, nodes of any version do.
"""

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

from swarm.agent.network import links, namespaces
from swarm.agent.network.plumbing import netlink_in
from swarm.agent.overlay.layout import VXLAN_INDEX, VXLAN_LINK, OverlayLayout
from swarm.agent.overlay.plan import Address
from swarm.agent.overlay.silence import FarRouter

ANSWER_S = 2.0
_ARP, _IPV6 = 0x0806, 0x86DD
_ETHERNET_IPV4 = struct.pack("!HHBB", 1, 0x0800, 6, 4)
_REQUEST, _ANSWER = 1, 2
_BODY = struct.Struct("!6sH6s4s6s4s")  # the line above, operation, who asks, who is asked
_ANY = bytes(4)
_SOLICITATION, _ADVERTISEMENT = 135, 136
_HEADER6 = struct.Struct("!IHBB16s16s")  # version 6, size, what follows, hops, from, to
_VERSION6, _HOPS = 6 << 28, 255  # fewer hops: it came from another network, and is not answered
_SUM6 = struct.Struct("!16s16sII")  # what the checksum covers of the header
_NEIGHBOUR = struct.Struct("!BBHI16s")  # type, code, checksum, flags, who is asked
_OWN_MAC = struct.Struct("!BB6s")  # an option: so an answer finds its way without a question of its own
_FILTER_SIZE = 32
_ICMP6_FILTER = 1
_MESSAGE_MAX = 2048


@dataclass(frozen=True, slots=True)
class _Line:
    """The sockets of one family in the router of a network, and how to speak there."""

    asking: socket.socket
    hearing: socket.socket
    kind: int  # of frames
    question: Callable[[FarRouter], bytes]
    answerer: Callable[[bytes], Address | None]

    def close(self) -> None:
        """Hear no more."""
        self.asking.close()
        self.hearing.close()


async def ask(layout: OverlayLayout, routers: Iterable[FarRouter]) -> frozenset[FarRouter]:
    """Return those that answer in time; a network that has no router here has nobody who answers."""
    groups: dict[tuple[str, int], list[FarRouter]] = {}
    for one in routers:
        groups.setdefault((one.network_id, one.router.version), []).append(one)
    answered: set[FarRouter] = set()
    async with asyncio.TaskGroup() as group:
        for (network_id, version), some in groups.items():
            open_ = _open6 if version == 6 else _open4
            group.create_task(_ask(open_, layout.router(network_id), some, answered))
    return frozenset(answered)


async def _ask(
    open_: Callable[[Path], _Line], path: Path, routers: Sequence[FarRouter], answered: set[FarRouter]
) -> None:
    try:
        line = await asyncio.to_thread(open_, path)
    except OSError:  # the router has gone, or is being made
        return
    with contextlib.closing(line):
        for one in routers:
            where = (VXLAN_LINK, line.kind, 0, 0, bytes.fromhex(one.mac.replace(":", "")))
            with contextlib.suppress(OSError):  # no way there
                line.asking.sendto(line.question(one), where)
        with contextlib.suppress(TimeoutError, OSError):
            async with asyncio.timeout(ANSWER_S):
                await _collect(line, {one.router: one for one in routers}, answered)


async def _collect(line: _Line, waiting: Mapping[Address, FarRouter], answered: set[FarRouter]) -> None:
    loop, left = asyncio.get_running_loop(), dict(waiting)
    while left:
        address = line.answerer(await loop.sock_recv(line.hearing, _MESSAGE_MAX))
        if address in left:
            answered.add(left.pop(address))


def _open4(path: Path) -> _Line:
    with namespaces.entered(path), _closed_on_error() as opened:
        asking = opened(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_ARP))
        asking.bind((VXLAN_LINK, _ARP))
        own = asking.getsockname()[4]
        return _Line(asking, asking, _ARP, lambda one: request(own, one.router), answerer)


def _open6(path: Path) -> _Line:
    with netlink_in(path) as router:
        found = links.list_addresses(router, VXLAN_INDEX)
    address = next((one for one in found if isinstance(one, IPv6Address)), None)
    if address is None:
        raise OSError(f"the router {path.name} has no IPv6 address")
    with namespaces.entered(path), _closed_on_error() as opened:
        asking = opened(socket.AF_PACKET, socket.SOCK_DGRAM, 0)
        asking.bind((VXLAN_LINK, 0))
        own = asking.getsockname()[4]
        hearing = opened(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
        hearing.setsockopt(socket.IPPROTO_ICMPV6, _ICMP6_FILTER, _only(_ADVERTISEMENT))
        hearing.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, VXLAN_LINK.encode())
        return _Line(asking, hearing, _IPV6, lambda one: solicitation(own, address, one.router), advertiser)


@contextlib.contextmanager
def _closed_on_error() -> Iterator[Callable[[int, int, int], socket.socket]]:
    with contextlib.ExitStack() as stack:

        def opened(family: int, kind: int, protocol: int) -> socket.socket:
            made = stack.enter_context(socket.socket(family, kind, protocol))
            made.setblocking(False)
            return made

        yield opened
        stack.pop_all()


def _only(kind: int) -> bytes:
    blocked = bytearray(b"\xff" * _FILTER_SIZE)
    struct.pack_into("=I", blocked, kind // 32 * 4, ~(1 << kind % 32) & 0xFFFFFFFF)
    return bytes(blocked)


def request(own: bytes, asked: Address) -> bytes:
    """Return the question whether somebody has an address, of one with this hardware address."""
    return _BODY.pack(_ETHERNET_IPV4, _REQUEST, own, _ANY, bytes(6), asked.packed)


def answerer(data: bytes) -> IPv4Address | None:
    """Return who has answered; None for any other message."""
    if len(data) < _BODY.size:
        return None
    kind, operation, _, address, _, _ = _BODY.unpack_from(data)
    return IPv4Address(address) if (kind, operation) == (_ETHERNET_IPV4, _ANSWER) else None


def solicitation(own: bytes, address: IPv6Address, asked: Address) -> bytes:
    """Return the same question in IPv6, of one with these addresses: a whole packet."""
    option = _OWN_MAC.pack(1, 1, own)
    size = _NEIGHBOUR.size + len(option)
    covered = _SUM6.pack(address.packed, asked.packed, size, socket.IPPROTO_ICMPV6)
    checksum = _checksum(covered + _NEIGHBOUR.pack(_SOLICITATION, 0, 0, 0, asked.packed) + option)
    header = _HEADER6.pack(_VERSION6, size, socket.IPPROTO_ICMPV6, _HOPS, address.packed, asked.packed)
    return header + _NEIGHBOUR.pack(_SOLICITATION, 0, checksum, 0, asked.packed) + option


def advertiser(data: bytes) -> IPv6Address | None:
    """Return who has answered; None for any other message of ICMPv6."""
    if len(data) < _NEIGHBOUR.size:
        return None
    kind, _, _, _, address = _NEIGHBOUR.unpack_from(data)
    return IPv6Address(address) if kind == _ADVERTISEMENT else None


def _checksum(data: bytes) -> int:
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
