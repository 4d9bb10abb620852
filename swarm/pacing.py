"""How long may a decision keep the event loop? One slice; then heartbeats and Raft have their turn."""

import asyncio
from typing import TypeVar

from swarm.clock import Clock
from swarm.steps import Steps

# A heartbeat or a Raft message waits no longer than this for a decision that is being made.
SLICE_S = 0.003

# Looking at everything costs no more than a tenth of a processor, but is never put off for long.
REST = 10.0
REST_MAX_S = 0.5

R = TypeVar("R")


def rest_s(worked_s: float) -> float:
    """Return for how long to leave the loop to others after a look in one piece that took so long."""
    return min(REST * worked_s, REST_MAX_S)


class Pacer:
    """Shares the event loop: whoever works long calls `breathe` between steps."""

    def __init__(self, clock: Clock, slice_s: float = SLICE_S) -> None:
        self._clock = clock
        self._slice_s = slice_s
        self._since_s = clock.monotonic_s()
        self.worked_s = 0.0  # spent in steps so far, without the time that others took in between

    async def breathe(self) -> None:
        """Let the others on when this slice is used up."""
        if self._clock.monotonic_s() - self._since_s >= self._slice_s:
            await asyncio.sleep(0)
            self._since_s = self._clock.monotonic_s()

    async def run(self, steps: Steps[R]) -> R:
        """Run all steps, breathing between them, and return the result."""
        while True:
            began_s = self._clock.monotonic_s()
            try:
                next(steps)
            except StopIteration as stop:
                result: R = stop.value
                return result
            finally:
                self.worked_s += self._clock.monotonic_s() - began_s
            await self.breathe()
