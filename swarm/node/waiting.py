"""Waiting for something that announces itself to nobody."""

import asyncio
from collections.abc import Callable

from swarm.clock import Clock

POLL_S = 0.05


async def until(condition: Callable[[], bool]) -> None:
    """Return once `condition` holds; look every 50 ms. Callers set the time limit."""
    while True:
        if condition():
            return
        await asyncio.sleep(POLL_S)


class Patience:
    """Tells trouble that lasts from trouble that passes."""

    def __init__(self, clock: Clock, limit_s: float) -> None:
        """Bear trouble for up to `limit_s` without a break."""
        self._clock = clock
        self._limit_s = limit_s
        self._since_s: float | None = None

    def exhausted(self, troubled: bool) -> bool:
        """Note whether there is trouble now; returns whether it lasted too long."""
        if not troubled:
            self._since_s = None
            return False
        now_s = self._clock.monotonic_s()
        self._since_s = now_s if self._since_s is None else self._since_s
        return now_s - self._since_s >= self._limit_s
