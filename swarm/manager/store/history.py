"""The latest commits, kept so that a watcher may go on where it stopped, here or at another manager."""

from collections import deque
from dataclasses import dataclass
from enum import Enum

from swarm.errors import Compacted
from swarm.manager.store.tables import Object

# Enough for a minute of a busy cluster, or for days of a quiet one.
HISTORY_EVENTS = 8192
HISTORY_BYTES = (
    8 * 1024 * 1024
)  # of entries as they were committed; in memory they take about three times that


class Action(Enum):
    """What happened to an object."""

    CREATE = "create"
    UPDATE = "update"
    REMOVE = "remove"


@dataclass(frozen=True, slots=True)
class Event:
    """One object changed. `object` is the new value, for REMOVE the last one; `previous` the one before."""

    action: Action
    object: Object
    previous: Object | None


@dataclass(frozen=True, slots=True)
class Commit:
    """Everything one entry of the log changed, of the kinds watched."""

    index: int
    events: tuple[Event, ...]
    at_ns: int = 0  # the clock of the manager that proposed it, nanoseconds since the epoch
    size_bytes: int = 0  # its share of the entry


class History:
    """A bounded number of commits, the oldest forgotten first. Versions are indexes of entries."""

    def __init__(self, events_max: int = HISTORY_EVENTS, bytes_max: int = HISTORY_BYTES) -> None:
        self.version = 0  # of the newest entry, whether it changed anything or not
        self.floor = 0  # the oldest version to go on from: every commit after it is here
        self._floor_ns: int | None = -1  # when the newest forgotten commit was made; None: nobody knows
        self._commits: deque[Commit] = deque()
        self._events = 0
        self._bytes = 0
        self._events_max = events_max
        self._bytes_max = bytes_max

    def append(self, commit: Commit) -> None:
        """Add the newest commit."""
        self.version = commit.index
        if not commit.events:
            return
        self._commits.append(commit)
        self._events += len(commit.events)
        self._bytes += commit.size_bytes
        while self._events > self._events_max or self._bytes > self._bytes_max:
            oldest = self._commits.popleft()
            self._events -= len(oldest.events)
            self._bytes -= oldest.size_bytes
            self.floor, self._floor_ns = oldest.index, oldest.at_ns

    def restart(self, version: int) -> None:
        """Forget everything: the state is now that of `version`, and how it came about is not known."""
        self._commits.clear()
        self._events = self._bytes = 0
        self.version = self.floor = version
        self._floor_ns = None

    def since(self, at_ns: int) -> tuple[int, bool]:
        """Return the version before the first kept commit of `at_ns` or later; whether all such are kept.

        Clocks of managers differ: later commits may have earlier times.
        """
        before = self.floor
        for commit in self._commits:
            if commit.at_ns >= at_ns:
                break
            before = commit.index
        else:
            before = self.version
        forgotten = self._floor_ns is None or self._floor_ns >= at_ns
        complete = not forgotten or bool(self._commits and self._commits[0].at_ns < at_ns)
        return before, complete

    @property
    def oldest_ns(self) -> int | None:
        """When the oldest commit that is kept was made; None while none is."""
        return self._commits[0].at_ns if self._commits else None

    def after(self, version: int) -> list[Commit]:
        """Return the commits after `version`; raises Compacted when some of them are gone."""
        if version < self.floor:
            raise Compacted(
                f"the changes after version {version} are no longer kept: the oldest version to go on from "
                f"is {self.floor}, the newest {self.version}. List the objects again, and watch from the "
                "version of that list"
            )
        return [commit for commit in self._commits if commit.index > version]
