"""An event loop whose time passes only when nobody has anything to do: hours of waiting cost nothing."""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

from swarm.clock import SECOND

R = TypeVar("R")

SPINS_MAX = 50_000  # rounds of the loop in one moment: what has so much to do never ends

EPOCH_NS = 1_700_000_000 * SECOND


class _JumpingSelector(selectors.SelectSelector):
    """Instead of waiting for `timeout` it moves the loop's time by as much; nothing comes from outside."""

    now_s = 0.0
    _spins = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("nobody will ever do anything again")
        self._spins = 0 if timeout else self._spins + 1
        if self._spins > SPINS_MAX:
            self._spins = 0
            raise RuntimeError("somebody spins: no time passes")
        self.now_s += timeout
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop in virtual time."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now_s


class VirtualClock:
    """The clock of a virtual loop; its monotonic time also creeps on with every look at it.

    So code that measures its own work sees it take time, and lets others on in between.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, creep_s: float = 0.0) -> None:
        self._loop = loop
        self._creep_s = creep_s
        self._crept_s = 0.0

    def now_ns(self) -> int:
        return EPOCH_NS + int(self._loop.time() * SECOND)

    def monotonic_s(self) -> float:
        self._crept_s += self._creep_s
        return self._loop.time() + self._crept_s


def run_virtually(main: Coroutine[Any, Any, R], loop: VirtualLoop) -> R:
    """Run `main` on `loop` to its end, and close the loop."""
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        return runner.run(main)
