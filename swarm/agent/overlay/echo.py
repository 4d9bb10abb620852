"""Asks routers of networks on other nodes whether they are there, over what carries the networks.

By ARP, as a host asks whether an address is taken: the kernel of the other node answers, without a route to
us; nothing has to run there, and nodes of any version do.
"""

import asyncio
import contextlib
import socket
import struct
from collections.abc import Iterable, Mapping, Sequence
from ipaddress import IPv4Address

from swarm.agent.network import namespaces
from swarm.agent.overlay.layout import VXLAN_LINK, OverlayLayout
from swarm.agent.overlay.silence import FarRouter

ANSWER_S = 2.0
_ARP = 0x0806
_ETHERNET_IPV4 = struct.pack("!HHBB", 1, 0x0800, 6, 4)
_REQUEST, _ANSWER = 1, 2
_BODY = struct.Struct("!6sH6s4s6s4s")  # the line above, operation, who asks, who is asked
_ANY = bytes(4)
_MESSAGE_MAX = 2048


async def ask(layout: OverlayLayout, routers: Iterable[FarRouter]) -> frozenset[FarRouter]:
    """Return those that answer in time; a network that has no router here has nobody who answers."""
    groups: dict[str, list[FarRouter]] = {}
    for one in routers:
        groups.setdefault(one.network_id, []).append(one)
    answered: set[FarRouter] = set()
    async with asyncio.TaskGroup() as group:
        for network_id, some in groups.items():
            group.create_task(_ask(layout, network_id, some, answered))
    return frozenset(answered)


async def _ask(
    layout: OverlayLayout, network_id: str, routers: Sequence[FarRouter], answered: set[FarRouter]
) -> None:
    try:
        asking = await asyncio.to_thread(_open, layout, network_id)
    except OSError:  # the router has gone, or is being made
        return
    with asking:
        own = asking.getsockname()[4]
        for one in routers:
            where = (VXLAN_LINK, _ARP, 0, 0, bytes.fromhex(one.mac.replace(":", "")))
            with contextlib.suppress(OSError):  # no way there
                asking.sendto(request(own, one.router), where)
        with contextlib.suppress(TimeoutError, OSError):
            async with asyncio.timeout(ANSWER_S):
                await _collect(asking, {one.router: one for one in routers}, answered)


async def _collect(
    asking: socket.socket, waiting: Mapping[IPv4Address, FarRouter], answered: set[FarRouter]
) -> None:
    loop, left = asyncio.get_running_loop(), dict(waiting)
    while left:
        address = answerer(await loop.sock_recv(asking, _MESSAGE_MAX))
        if address in left:
            answered.add(left.pop(address))


def _open(layout: OverlayLayout, network_id: str) -> socket.socket:
    with namespaces.entered(layout.router(network_id)):
        made = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_ARP))
        try:
            made.bind((VXLAN_LINK, _ARP))
        except OSError:
            made.close()
            raise
    made.setblocking(False)
    return made


def request(own: bytes, asked: IPv4Address) -> bytes:
    """Return the question whether somebody has an address, of one with this hardware address."""
    return _BODY.pack(_ETHERNET_IPV4, _REQUEST, own, _ANY, bytes(6), asked.packed)


def answerer(data: bytes) -> IPv4Address | None:
    """Return who has answered; None for any other message."""
    if len(data) < _BODY.size:
        return None
    kind, operation, _, address, _, _ = _BODY.unpack_from(data)
    return IPv4Address(address) if (kind, operation) == (_ETHERNET_IPV4, _ANSWER) else None
