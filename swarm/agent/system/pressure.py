"""Is a disk of this node so full that something has to be done? Pure.

Above the soft limit images that nothing uses go early; above the hard one the managers place nothing new
here. A limit is left only when the disk is well below it again: else a node on the edge would come and go.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

from swarm.api.v1.types_pb2 import NodeCondition
from swarm.model.units import format_size
from swarm.runtime.disk import DiskSpace

DISK_PRESSURE = "DISK_PRESSURE"
MARGIN = 0.05  # of the disk, that it has to be below a limit to have left it


class Level(IntEnum):
    """How full the fullest disk is."""

    NONE = 0
    SOFT = 1
    HARD = 2


@dataclass(frozen=True, slots=True)
class Limits:
    """Shares of a disk, 0 to 1."""

    soft: float = 0.85
    hard: float = 0.95


@dataclass(frozen=True, slots=True)
class Pressure:
    """What holds now; the reason is of when it began, so that it does not change with every byte."""

    level: Level = Level.NONE
    reason: str = ""

    def conditions(self) -> list[NodeCondition]:
        """Return what the managers are to know."""
        if self.level is not Level.HARD:
            return []
        return [NodeCondition(type=DISK_PRESSURE, reason=self.reason)]


def next_pressure(before: Pressure, spaces: Iterable[DiskSpace], limits: Limits) -> Pressure:
    """Return what holds with the disks as they are now."""
    fullest = max(spaces, key=lambda space: space.used_share, default=None)
    if fullest is None:
        return before
    level = _level(before.level, fullest.used_share, limits)
    if level is before.level:
        return before
    return Pressure(level, describe(fullest) if level is not Level.NONE else "")


def describe(space: DiskSpace) -> str:
    """Return how full a disk is, and what to do about it."""
    free = f"{format_size(space.free_bytes)} of {format_size(space.total_bytes)}"
    if space.lacks_inodes:
        free = f"{space.free_inodes} of {space.total_inodes} inodes"
    return f"the file system of {space.path} has {free} free: make room, e.g. with `swarmctl system prune`"


def _level(before: Level, used: float, limits: Limits) -> Level:
    for level, limit in ((Level.HARD, limits.hard), (Level.SOFT, limits.soft)):
        if used >= (limit - MARGIN if before >= level else limit):
            return level
    return Level.NONE
