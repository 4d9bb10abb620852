"""From the raft thread to the event loop: committed entries, and what must keep its place among them."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import structlog

from swarm.api.v1.raft_pb2 import RaftMember
from swarm.errors import SwarmError
from swarm.manager.raft.entries import FIRST_INDEX, data_of
from swarm.manager.raft.host import Committed, Proposal, ReadRequest
from swarm.manager.raft.longest import Longest
from swarm.manager.raft.membership import Membership
from swarm.manager.raft.snapshots import Snapshot
from swarm.manager.store.proposer import FrozenState, StateMachine

log = structlog.get_logger(__name__)

T = TypeVar("T")

WAITING_MAX = 2000  # entries between the two threads; then the raft thread stops applying
SLICE_S = 0.005  # the event loop goes on with other things after so long


class Handover:
    """The host of the core: staged on the raft thread, released after the disk, done on the event loop."""

    def __init__(
        self,
        state_machine: StateMachine,
        *,
        on_leadership: Callable[[int | None], None],
        on_membership: Callable[[Membership, Sequence[RaftMember], bool], None],
        on_removed: Callable[[], None],
        on_fatal: Callable[[str], None],
    ) -> None:
        """Create it on the event loop, where all callbacks are called, too."""
        self._state_machine = state_machine
        self._on_leadership = on_leadership
        self._on_membership = on_membership
        self._on_removed = on_removed
        self._on_fatal = on_fatal
        self._loop = asyncio.get_running_loop()
        self._put: Callable[..., None] = lambda *_: None
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="raft-snapshot")
        self._staged: list[tuple[Callable[..., None], tuple[Any, ...]]] = []
        self._queue: deque[tuple[Callable[..., None], tuple[Any, ...]]] = deque()
        self._scheduled = False
        self._scheduled_s = 0.0  # when that was
        self.delay = Longest()  # of the event loop: how long what was handed over had to wait for its turn
        self._closed = False
        self._starving = False  # the raft thread waits for room
        self._handed = 0  # entries, ever; only the raft thread writes it
        self._applied = 0  # entries, ever; only the event loop writes it
        self.processed_index = FIRST_INDEX
        self.data_index = 0  # last entry that was for the state machine

    def attach(self, put: Callable[..., None]) -> None:
        """Bring answers to the raft thread with `put(function, *arguments)`."""
        self._put = put

    def start_at(self, snapshot: Snapshot) -> None:
        """Restore the state machine before the core starts."""
        self._restore(snapshot)

    def close(self) -> None:
        """Do nothing more."""
        self._closed = True
        self._queue.clear()

    def stop_worker(self) -> None:
        """Wait until no snapshot is being written. Blocks."""
        self._worker.shutdown(wait=True, cancel_futures=True)

    # Raft thread: the core's host.

    def room(self) -> int:
        """Return how many more entries may be handed over now."""
        room = max(0, WAITING_MAX - (self._handed - self._applied))
        self._starving = self._starving or not room
        return room

    def apply(self, entries: Sequence[Committed]) -> None:
        """Apply these entries next."""
        self._handed += len(entries)
        self._staged.extend((self._apply, (entry,)) for entry in entries)

    def restore(self, snapshot: Snapshot) -> None:
        """Replace the state by a snapshot before applying anything further."""
        self._staged.append((self._restore, (snapshot,)))

    def lead(self, term: int | None) -> None:
        """Announce leadership once all before is applied."""
        self._staged.append((self._on_leadership, (term,)))

    def answer(self, read: ReadRequest) -> None:
        """Tell the reader once all before is applied."""
        self._staged.append((self._answer, (read,)))

    def refuse(self, request: Proposal | ReadRequest, error: SwarmError) -> None:
        """Tell whoever asked that it will not happen, or is not known to."""
        self._staged.append((_fail, (request, error)))

    def freeze(self, then: Callable[[int, FrozenState], None]) -> None:
        """Take a picture of the state once all before is applied."""
        self._staged.append((self._freeze, (then,)))

    def work(self, job: Callable[[], T], then: Callable[[T | Exception], None]) -> None:
        """Run `job` in a worker thread and `then` on the raft thread."""

        def run() -> None:
            result: T | Exception
            try:
                result = job()
            except Exception as error:  # noqa: BLE001  # whatever it is, the core decides
                result = error
            self._put(then, result)

        self._worker.submit(run)

    def membership_changed(
        self, membership: Membership, contacts: Sequence[RaftMember], *, committed: bool
    ) -> None:
        """Connect to these members and contacts, and to no others."""
        self._staged.append((self._on_membership, (membership, contacts, committed)))

    def removed(self) -> None:
        """Say that this member was removed from the group."""
        self._staged.append((self._on_removed, ()))

    def hand_over(self) -> None:
        """Let the event loop have what was staged; called when the disk has everything it rests on."""
        if not self._staged:
            return
        self._queue.extend(self._staged)
        self._staged.clear()
        if not self._scheduled:
            self._scheduled, self._scheduled_s = True, time.monotonic()
            self._loop.call_soon_threadsafe(self._drain)

    # Event loop.

    def _drain(self) -> None:
        self._scheduled = False  # before looking: what comes later schedules again
        now_s = time.monotonic()
        self.delay.note(now_s - self._scheduled_s, now_s)
        until = now_s + SLICE_S
        while self._queue and not self._closed:
            function, arguments = self._queue.popleft()
            try:
                function(*arguments)
            except Exception as error:
                # The state may be half changed: nothing may be applied on top of it.
                log.exception("raft.apply_failed", raft_index=self.processed_index)
                self._closed = True
                self._on_fatal(f"applying the log failed after entry {self.processed_index}: {error}")
                return
            if time.monotonic() > until and self._queue:
                self._scheduled, self._scheduled_s = True, time.monotonic()
                self._loop.call_soon(self._drain)
                break
        if self._starving:
            self._starving = False
            self._put(lambda: None)  # wakes the raft thread

    def _apply(self, entry: Committed) -> None:
        data = data_of(entry.command)
        if data is not None:
            self._state_machine.apply(entry.index, data)
            self.data_index = entry.index
        self.processed_index = entry.index
        self._applied += 1
        if entry.proposal is not None:
            _resolve(entry.proposal, entry.index)

    def _restore(self, snapshot: Snapshot) -> None:
        self._state_machine.restore(snapshot.index, snapshot.records())
        self.processed_index = self.data_index = snapshot.index

    def _answer(self, read: ReadRequest) -> None:
        _resolve(read, self.data_index)

    def _freeze(self, then: Callable[[int, FrozenState], None]) -> None:
        self._put(then, self.processed_index, self._state_machine.freeze())


def _resolve(request: Proposal | ReadRequest, index: int) -> None:
    if not request.ticket.done():
        request.ticket.set_result(index)


def _fail(request: Proposal | ReadRequest, error: SwarmError) -> None:
    if not request.ticket.done():
        request.ticket.set_exception(error)
