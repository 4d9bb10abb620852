"""Looks at the disks of this node from time to time, and makes room before they are full."""

import asyncio
import errno
from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path

import structlog

from swarm.agent.system.pressure import Level, Limits, Pressure, describe, next_pressure
from swarm.clock import Clock
from swarm.errors import SwarmError
from swarm.runtime.base import ContainerState, RuntimeDriver
from swarm.runtime.disk import DiskSpace, read_space
from swarm.runtime.images.collected import Collected

log = structlog.get_logger(__name__)

PERIOD_S = 5.0
ROOM_AGAIN_S = 60.0  # between two attempts to make room
FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


class DiskWatch:
    """Says how full the fullest of some disks is."""

    def __init__(
        self,
        paths: Sequence[Path],
        limits: Limits,
        collect_unused: Callable[[], Awaitable[Collected]],
        clock: Clock,
        free_ended: Callable[[], Awaitable[int]],
        on_change: Callable[[], None],
    ) -> None:
        """`collect_unused` deletes images that nothing here needs.

        `free_ended` removes the containers of tasks that have ended; `on_change` hears of a new level.
        """
        self._paths = paths
        self._limits = limits
        self._collect_unused = collect_unused
        self._clock = clock
        self._free_ended = free_ended
        self._on_change = on_change
        self._made_room_s = float("-inf")
        self.pressure = Pressure()

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(PERIOD_S)

    async def look(self) -> None:
        """Look once, and do what follows from it."""
        spaces = await asyncio.to_thread(self.spaces)
        before, self.pressure = self.pressure, next_pressure(self.pressure, spaces, self._limits)
        if self.pressure.level is not before.level:
            level = self.pressure.level.name.lower()
            log.warning("agent.disk_pressure_changed", level=level, reason=self.pressure.reason)
            self._on_change()
        if self.pressure.level is Level.NONE:
            return
        now_s = self._clock.monotonic_s()
        if self.pressure.level > before.level or now_s - self._made_room_s >= ROOM_AGAIN_S:
            self._made_room_s = now_s
            await self._make_room()

    def spaces(self) -> list[DiskSpace]:
        """Return the file systems that are watched, each once; blocks."""
        found: dict[int, DiskSpace] = {}
        for path in self._paths:
            try:
                found.setdefault(path.stat().st_dev, read_space(path))
            except OSError:
                continue  # not made yet
        return list(found.values())

    def explain(self, error: Exception) -> str:
        """Return an error with how full the disk is, if that is what it is about."""
        text = str(error)
        if not is_about_space(error):
            return text
        fullest = max(self.spaces(), key=lambda space: space.used_share, default=None)
        return f"{text}; {describe(fullest)}" if fullest is not None else text

    async def _make_room(self) -> None:
        try:
            if self.pressure.level is Level.HARD:
                removed = await self._free_ended()
                log.info("agent.ended_containers_removed_early", count=removed)
            await self._collect_unused()  # says what it deletes
        except (SwarmError, OSError) as error:
            log.warning("agent.room_not_made", reason=str(error))


async def remove_ended(driver: RuntimeDriver, container_ids: Iterable[str]) -> int:
    """Remove those containers that have ended, with their output; return how many."""
    count = 0
    for container_id in tuple(container_ids):
        info = await driver.inspect(container_id)
        if info is not None and info.state is ContainerState.EXITED:
            await driver.remove(container_id)
            count += 1
    return count


def is_about_space(error: BaseException | None) -> bool:
    """Whether an error came of a disk that is full."""
    while error is not None:
        if getattr(error, "errno", None) in FULL or "No space left on device" in str(error):
            return True
        error = error.__cause__
    return False
