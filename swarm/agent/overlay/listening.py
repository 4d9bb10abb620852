"""Asks other nodes for an echo now and then, and says when networks do not get through to them."""

import asyncio
import contextlib
import subprocess
from collections.abc import Callable, Sequence

import structlog

from swarm.agent.network.base import NodeNetwork
from swarm.agent.overlay.silence import Heard, Trouble, after, due, targets_of, troubles, warning
from swarm.agent.overlay.state import OverlayState
from swarm.api.v1.types_pb2 import NodeCondition
from swarm.clock import Clock
from swarm.firewalls.closed import Closed, closed, read_signs, script

log = structlog.get_logger(__name__)

PERIOD_S = 5.0
FIREWALL_S = 20.0  # for an answer of the firewalls of this node


class Listening:
    """What other nodes are heard of over the ports that carry networks."""

    def __init__(
        self, network: NodeNetwork, state: OverlayState, clock: Clock, on_change: Callable[[], None]
    ) -> None:
        """`on_change` hears that the warnings differ."""
        self.warnings: Sequence[NodeCondition] = ()
        self._network = network
        self._state = state
        self._clock = clock
        self._on_change = on_change
        self._heard = Heard()
        self._troubles: tuple[Trouble, ...] = ()

    async def run(self) -> None:
        """Ask until cancelled."""
        while True:
            await asyncio.sleep(PERIOD_S)
            await self.ask()

    async def ask(self) -> None:
        """Ask some nodes, and say what differs."""
        targets = targets_of(self._state)
        asked = due(targets, self._heard)
        answered = await self._network.echoes(asked)
        now_s = self._clock.monotonic_s()
        self._heard = after(self._heard, frozenset(targets), asked, answered, now_s)
        found = troubles(self._heard, now_s)
        if found != self._troubles:
            self._troubles = found
            await self._say(found)

    async def _say(self, found: Sequence[Trouble]) -> None:
        here = await asyncio.to_thread(_closed_here, [f"{one.port}/udp" for one in found]) if found else {}
        before = self.warnings
        self.warnings = [warning(one, str(here.get(f"{one.port}/udp", ""))) for one in found]
        if self.warnings == before:
            return
        for one in self.warnings:
            log.warning("overlay.nodes_silent", type=one.type, reason=one.reason)
        if not self.warnings:
            log.info("overlay.nodes_heard_again")
        self._on_change()


def _closed_here(ports: Sequence[str]) -> dict[str, Closed]:
    """Return what closes these ports on this node; nothing where that cannot be found out. Blocks."""
    asked = ["sh", "-c", script(ports)]
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(asked, capture_output=True, text=True, check=False, timeout=FIREWALL_S)
        return {one.port: one for one in closed(read_signs(done.stdout), ports)}
    return {}
