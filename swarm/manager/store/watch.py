"""How readers hear of changes: a bounded queue per watcher, one item per commit."""

import asyncio
from collections import deque
from dataclasses import replace
from types import TracebackType
from typing import Self

from swarm.errors import TransientError
from swarm.manager.store.history import Action, Commit, Event, History
from swarm.manager.store.tables import Kind

__all__ = ["Action", "Commit", "Event", "Watch", "WatchHub", "WatchOverflow"]

# A watcher this far behind reads the state anew sooner than it works off its queue.
QUEUE_LIMIT = 20_000  # events
QUEUE_BYTES = 64 * 1024 * 1024  # of entries as they were committed


class WatchOverflow(TransientError):
    """The watcher missed commits: read the whole state from the view, then go on watching."""


class Watch:
    """A subscription: `with store.watch(Task) as watch: …read the view…; async for commit in watch: …`.

    Entering subscribes, so a view read before the next await misses nothing. An `async for` ends with
    WatchOverflow when it falls behind; a new one on the same watch goes on with the commits that follow.
    With `after`, the first commit is the one that follows this version; none comes twice.
    """

    def __init__(
        self,
        hub: "WatchHub",
        kinds: frozenset[Kind],
        limit: int = QUEUE_LIMIT,
        limit_bytes: int = QUEUE_BYTES,
        after: int | None = None,
    ) -> None:
        self._hub = hub
        self._kinds = kinds
        self._limit = limit
        self._limit_bytes = limit_bytes
        self._after = after
        self._seen = 0  # version of the newest commit offered
        self._commits: deque[Commit] = deque()
        self._waiting_events = 0
        self._waiting_bytes = 0
        self.overflow_reason = ""  # why commits were missed, when they last were
        self._overflowed = asyncio.Event()
        self._wake = asyncio.Event()

    def __enter__(self) -> Self:
        """Subscribe; raises Compacted when the commits after the given version are not kept any more."""
        self._seen = self._hub.history.version if self._after is None else self._after
        if self._after is not None:
            for commit in self._hub.history.after(self._after):
                self._take(commit)
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
        while not (self._commits or self._overflowed.is_set()):
            self._wake.clear()
            await self._wake.wait()
        self._raise_overflow()
        commit = self._commits.popleft()
        self._waiting_events -= len(commit.events)
        self._waiting_bytes -= commit.size_bytes
        return commit

    def drain(self) -> list[Commit]:
        """Return the commits that wait now, without waiting; raises WatchOverflow like the iteration."""
        self._raise_overflow()
        waiting = list(self._commits)
        self._commits.clear()
        self._waiting_events = self._waiting_bytes = 0
        return waiting

    @property
    def caught_up(self) -> int | None:
        """The version up to which everything was taken from the queue; None while commits wait in it."""
        return (
            None
            if self._commits or self._overflowed.is_set()
            else max(self._seen, self._hub.history.version)
        )

    async def wait_overflow(self) -> None:
        """Wait until the watcher falls behind."""
        await self._overflowed.wait()

    def offer(self, commit: Commit) -> None:
        """Take a commit from the store."""
        if commit.index <= self._seen or self._overflowed.is_set():
            return
        waited = bool(self._commits)  # a reader that keeps up gets a commit of any size
        self._take(commit)
        if waited and self._waiting_events > self._limit:
            self.overflow(f"more than {self._limit} changes waited to be read")
        elif waited and self._waiting_bytes > self._limit_bytes:
            self.overflow(f"changes of more than {self._limit_bytes} bytes waited to be read")

    def _take(self, commit: Commit) -> None:
        self._seen = commit.index
        if self._kinds:
            commit = _part_of(commit, self._kinds)
        if not commit.events:
            return
        self._commits.append(commit)
        self._waiting_events += len(commit.events)
        self._waiting_bytes += commit.size_bytes
        self._wake.set()

    def overflow(self, reason: str) -> None:
        """Drop everything and make the reader resync."""
        self._commits.clear()
        self._waiting_events = 0
        self._waiting_bytes = 0
        self.overflow_reason = reason
        self._overflowed.set()
        self._wake.set()

    def _raise_overflow(self) -> None:
        if self._overflowed.is_set():
            self._overflowed.clear()
            raise WatchOverflow(
                f"the watcher missed commits ({self.overflow_reason}) and must read the whole state again"
            )


def _part_of(commit: Commit, kinds: frozenset[Kind]) -> Commit:
    """Return a commit with only the events of some kinds, and the size that is theirs."""
    events = tuple([event for event in commit.events if type(event.object) in kinds])
    if len(events) == len(commit.events):
        return commit
    return replace(commit, events=events, size_bytes=commit.size_bytes * len(events) // len(commit.events))


class WatchHub:
    """All watchers of one store, and the commits that they may go on from."""

    def __init__(self) -> None:
        self.history = History()
        self._watches: dict[Watch, None] = {}

    def add(self, watch: Watch) -> None:
        """Start to offer commits to `watch`."""
        self._watches[watch] = None

    def discard(self, watch: Watch) -> None:
        """Stop offering commits to `watch`."""
        self._watches.pop(watch, None)

    def publish(self, commit: Commit) -> None:
        """Keep a commit and offer it to every watcher."""
        self.history.append(commit)
        if commit.events:
            for watch in self._watches:
                watch.offer(commit)

    def restart(self, version: int) -> None:
        """Make every watcher resync: the state was replaced as a whole by that of `version`."""
        self.history.restart(version)
        for watch in self._watches:
            watch.overflow("the state was replaced by a snapshot")
