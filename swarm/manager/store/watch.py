"""How readers hear of changes: a bounded queue per watcher, one item per commit."""

import asyncio
from collections import deque
from dataclasses import dataclass
from enum import Enum
from types import TracebackType
from typing import Self

from swarm.errors import TransientError
from swarm.manager.store.tables import Kind, Object

# A watcher this far behind reads the state anew sooner than it works off its queue.
QUEUE_LIMIT = 20_000  # events


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


class WatchOverflow(TransientError):
    """The watcher missed commits: read the whole state from the view, then go on watching."""


class Watch:
    """A subscription: `with store.watch(Task) as watch: …read the view…; async for commit in watch: …`.

    Entering subscribes, so a view read before the next await misses nothing. An `async for` ends with
    WatchOverflow when it falls behind; a new one on the same watch goes on with the commits that follow.
    """

    def __init__(self, hub: "WatchHub", kinds: frozenset[Kind], limit: int = QUEUE_LIMIT) -> None:
        self._hub = hub
        self._kinds = kinds
        self._limit = limit
        self._commits: deque[Commit] = deque()
        self._waiting_events = 0
        self._overflowed = False
        self._wake = asyncio.Event()

    def __enter__(self) -> Self:
        """Subscribe."""
        self._hub.add(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Unsubscribe."""
        self._hub.discard(self)

    def __aiter__(self) -> Self:
        """Iterate over commits, for ever."""
        return self

    async def __anext__(self) -> Commit:
        """Wait for the next commit; raises WatchOverflow after falling behind."""
        while not (self._commits or self._overflowed):
            self._wake.clear()
            await self._wake.wait()
        self._raise_overflow()
        commit = self._commits.popleft()
        self._waiting_events -= len(commit.events)
        return commit

    def drain(self) -> list[Commit]:
        """Return the commits that wait now, without waiting; raises WatchOverflow like the iteration."""
        self._raise_overflow()
        waiting = list(self._commits)
        self._commits.clear()
        self._waiting_events = 0
        return waiting

    def offer(self, commit: Commit) -> None:
        """Take a commit from the store."""
        events = commit.events
        if self._kinds:
            events = tuple(event for event in events if type(event.object) in self._kinds)
        if not events or self._overflowed:
            return
        if self._commits and self._waiting_events + len(events) > self._limit:
            self.overflow()
            return
        self._commits.append(Commit(commit.index, events))
        self._waiting_events += len(events)
        self._wake.set()

    def overflow(self) -> None:
        """Drop everything and make the reader resync."""
        self._commits.clear()
        self._waiting_events = 0
        self._overflowed = True
        self._wake.set()

    def _raise_overflow(self) -> None:
        if self._overflowed:
            self._overflowed = False
            raise WatchOverflow("the watcher missed commits and must read the whole state again")


class WatchHub:
    """All watchers of one store."""

    def __init__(self) -> None:
        self._watches: dict[Watch, None] = {}

    def add(self, watch: Watch) -> None:
        """Start to offer commits to `watch`."""
        self._watches[watch] = None

    def discard(self, watch: Watch) -> None:
        """Stop offering commits to `watch`."""
        self._watches.pop(watch, None)

    def publish(self, commit: Commit) -> None:
        """Offer a commit to every watcher."""
        for watch in self._watches:
            watch.offer(commit)

    def overflow(self) -> None:
        """Make every watcher resync: the state was replaced as a whole."""
        for watch in self._watches:
            watch.overflow()
