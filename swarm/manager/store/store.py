"""What is true in the cluster: the replicated tables, writing to them, and hearing of changes.

Everything runs on the event loop, so reading needs no lock: `view` is consistent until the next await.
Writers queue. One batch of them is in flight at a time; every function runs against the newest state plus
what those before it in its batch changed. Hence an entry conflicts only after an earlier one had an
unknown outcome and was committed after all; then the functions of the batch run again.
"""

import asyncio
import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

import structlog
from google.protobuf.message import DecodeError

from swarm.api.v1.store_pb2 import SnapshotFormat, SnapshotRecord, StoreEntry, StoreTransaction
from swarm.clock import Clock, nanoseconds, timestamp
from swarm.errors import (
    InvalidArgument,
    InvariantBroken,
    NoQuorum,
    NotLeader,
    OutcomeUnknown,
    StaleVersion,
    SwarmError,
)
from swarm.manager.store.apply import Outcome, State, apply_entry, parse_entry
from swarm.manager.store.proposer import FrozenState, Proposer, StateMachine
from swarm.manager.store.tables import KINDS, Kind, Object, ReadView, unwrap, wrap
from swarm.manager.store.transaction import PENDING_VERSION, Overlay, Transaction, encode
from swarm.manager.store.watch import QUEUE_BYTES, QUEUE_LIMIT, Commit, Watch, WatchHub
from swarm.model.compatibility import swarm_version, unknown_level
from swarm.model.limits import TRANSACTION_BYTES

log = structlog.get_logger(__name__)

R = TypeVar("R")

# A batch never waits for company. It takes no more writers once it has reached one of these: they bound the
# pauses of the event loop here, where the functions run, and on every manager, where the entry is applied.
BATCH_ACTIONS = 200
BATCH_WRITERS = 200
BATCH_BYTES = 512 * 1024
BATCH_MS = 10.0  # of running their functions
TRANSACTION_BYTES_MAX = TRANSACTION_BYTES.value
ATTEMPTS_MAX = 5  # runs of one function; each needs another entry of unknown outcome to come true


@dataclass(slots=True, eq=False)
class _Writer:
    """One call of update() and what came of it."""

    fn: Callable[[Transaction], Any]
    deadline_s: float
    done: asyncio.Future[Any]
    attempts: int = 0
    result: Any = None
    error: Exception | None = None  # raised by `fn`


@dataclass(slots=True)
class _Batch:
    """Writers whose transactions go into one entry; times in seconds, of the monotonic clock."""

    now_ns: int = 0
    until_s: float = math.inf
    writers: list[_Writer] = field(default_factory=list)
    transactions: list[StoreTransaction] = field(default_factory=list)
    actions: int = 0
    size: int = 0  # bytes

    def is_full(self, now_s: float) -> bool:
        """Whether further writers must wait for the next batch."""
        return bool(self.writers) and (
            self.actions >= BATCH_ACTIONS
            or len(self.writers) >= BATCH_WRITERS
            or self.size >= BATCH_BYTES
            or now_s >= self.until_s
        )

    def refuse(self, writer: _Writer, error: Exception) -> None:
        """Tell a writer that its function raised, as soon as it is sure that it saw committed state."""
        if not self.actions:
            writer.done.set_exception(error)
            return
        writer.error = error
        self.writers.append(writer)
        self.transactions.append(StoreTransaction())

    def fail(self, error: Exception) -> None:
        """Tell everybody who still waits."""
        for writer in self.writers:
            if not writer.done.done():
                writer.done.set_exception(error)


class Store(StateMachine):
    """The replicated state of the cluster on this manager."""

    def __init__(self, clock: Clock, proposer_id: str) -> None:
        """`proposer_id` must differ at every start of every manager."""
        self._clock = clock
        self._proposer_id = proposer_id
        self._proposer: Proposer | None = None
        self._state = State()
        self._hub = WatchHub()
        self._queue: deque[_Writer] = deque()
        self._flusher: asyncio.Task[None] | None = None
        self._sequence = 0
        self._pending_version = PENDING_VERSION
        self._outcome: Outcome | None = None  # of the entry in flight, once applied
        self._in_flight_ns: int | None = None  # when the batch was made whose fate is open
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []

    def attach(self, proposer: Proposer) -> None:
        """Write through `proposer` from now on."""
        self._proposer = proposer

    @property
    def view(self) -> ReadView:
        """The live state: consistent until the next await."""
        return self._state.tables

    @property
    def version(self) -> int:
        """Index of the newest entry applied: the same at the same state on every manager."""
        return self._hub.history.version

    @property
    def settled_ns(self) -> int:
        """The time up to which no change that is made here is still on its way."""
        return self._clock.now_ns() if self._in_flight_ns is None else self._in_flight_ns - 1

    def since(self, at_ns: int) -> tuple[int, int | None]:
        """Return the version to watch after for changes of `at_ns` or later, and since when they are kept.

        The latter is None when all of them are. When none is kept, it is now.
        """
        history = self._hub.history
        version, complete = history.since(at_ns)
        if complete:
            return version, None
        return version, self._clock.now_ns() if history.oldest_ns is None else history.oldest_ns

    def watch(
        self,
        *kinds: Kind,
        limit: int = QUEUE_LIMIT,
        limit_bytes: int = QUEUE_BYTES,
        after: int | None = None,
    ) -> Watch:
        """Return a subscription to commits that touch these kinds, without any: all of them.

        It begins now, or with the first commit after a version. The watcher is told to resync when more than
        `limit` events wait, or more than `limit_bytes`.
        """
        return Watch(self._hub, frozenset(kinds), limit, limit_bytes, after)

    async def wait_applied(self, index: int) -> None:
        """Wait until the entry at `index` is applied here."""
        if self._state.tables.index < index:
            reached = asyncio.get_running_loop().create_future()
            self._waiting.append((index, reached))
            await reached

    # Writing.

    async def update(self, fn: Callable[[Transaction], R], timeout_s: float = 5.0) -> R:
        """Run `fn` against the newest state, commit what it changed, and return what it returned.

        `fn` must be pure and may run again. What it raises comes out here, and then nothing was changed.
        Objects it returns are not committed yet: their version is no good for a later update.
        Raises NotLeader (nothing done), NoQuorum and OutcomeUnknown (it may be done, now or later),
        StaleVersion (nothing done), InvalidArgument (larger than 4 MiB; nothing done).
        """
        done = asyncio.get_running_loop().create_future()
        writer = _Writer(fn, self._clock.monotonic_s() + timeout_s, done)
        self._queue.append(writer)
        if self._flusher is None or self._flusher.done():
            self._flusher = asyncio.create_task(self._flush(), name="store-flusher")
        try:
            await asyncio.wait((writer.done,), timeout=timeout_s)
            if not writer.done.done():
                raise NoQuorum(_unconfirmed(timeout_s, proposed=writer not in self._queue))
            result: R = writer.done.result()
            return result
        finally:
            if not writer.done.cancel() and not writer.done.cancelled():
                writer.done.exception()  # seen, also when the caller was cancelled at this very moment

    async def _flush(self) -> None:
        batch = _Batch()
        try:
            while self._queue:
                batch = self._next_batch()
                if batch.writers:
                    await self._flush_batch(batch)
        finally:  # cancelled: the manager stops; otherwise nobody waits any more
            batch.fail(OutcomeUnknown("the manager stopped before the change was confirmed"))
            while self._queue:
                _Batch(writers=[self._queue.popleft()]).fail(NotLeader())

    async def _flush_batch(self, batch: _Batch) -> None:
        self._in_flight_ns = batch.now_ns
        try:
            self._settle(batch, await self._commit(batch))
        except SwarmError as error:
            batch.fail(error)
        except Exception as error:
            log.exception("store.batch_failed", writers=len(batch.writers))
            batch.fail(error)
        finally:
            self._in_flight_ns = None

    def _next_batch(self) -> _Batch:
        batch = _Batch(self._clock.now_ns(), self._clock.monotonic_s() + BATCH_MS / 1e3)
        live, overlay = self._state.tables, Overlay(self._state.tables)
        ran: Transaction | None = None  # before, and the overlay does not have it yet
        now = timestamp(batch.now_ns)
        while self._queue and not batch.is_full(self._clock.monotonic_s()):
            writer = self._queue[0]
            if writer.done.done():  # its caller gave up
                self._queue.popleft()
                continue
            self._pending_version += 1
            writer.error = None
            if ran is not None:
                overlay.absorb(ran)
                ran = None
            transaction = Transaction(overlay if batch.writers else live, now, self._pending_version)
            try:
                writer.result = writer.fn(transaction)
                encoded, size = self._encode(transaction)
            except Exception as error:  # noqa: BLE001  # whatever it is, it is the caller's
                self._queue.popleft()
                batch.refuse(writer, error)
                continue
            if batch.writers and batch.size + size > TRANSACTION_BYTES_MAX:
                break  # it runs again, at the head of the next batch
            self._queue.popleft()
            if not encoded.actions and not batch.actions:
                writer.done.set_result(writer.result)  # it read committed state and changed nothing
                continue
            ran = transaction
            batch.writers.append(writer)
            batch.transactions.append(encoded)
            batch.actions += len(encoded.actions)
            batch.size += size
        return batch

    def _encode(self, transaction: Transaction) -> tuple[StoreTransaction, int]:
        """Return what the log carries of a transaction, and its size in bytes."""
        encoded = encode(transaction, self._state.tables)
        size = encoded.ByteSize()  # costs as much as writing it out
        for problem in TRANSACTION_BYTES.exceeded("the whole change", size):
            raise InvalidArgument(f"the change is too large: {problem}")
        return encoded, size

    async def _commit(self, batch: _Batch) -> Outcome:
        if self._proposer is None:
            raise NotLeader
        self._sequence += 1
        entry = StoreEntry(
            proposer=self._proposer_id,
            sequence=self._sequence,
            transactions=batch.transactions,
            base_index=self._state.last_entry_index,
            at=timestamp(batch.now_ns),
            level=_level_of(self._state.tables),
        )
        remaining_s = max(writer.deadline_s for writer in batch.writers) - self._clock.monotonic_s()
        self._outcome = None
        await self._proposer.propose(entry.SerializeToString(), max(remaining_s, 0.001))
        # Set by apply(), which another task called while propose() waited.
        outcome: Outcome | None = self._outcome
        if outcome is None or len(outcome.refusals) != len(batch.writers):
            raise InvariantBroken(
                f"entry {self._sequence} of {self._proposer_id} was confirmed, not applied"
            )
        return outcome

    def _settle(self, batch: _Batch, outcome: Outcome) -> None:
        again: list[_Writer] = []
        for writer, refusal in zip(batch.writers, outcome.refusals, strict=True):
            if writer.done.done():
                continue
            writer.attempts += 1
            if not refusal and writer.error is not None:
                writer.done.set_exception(writer.error)
            elif not refusal:
                writer.done.set_result(writer.result)
            elif writer.attempts < ATTEMPTS_MAX:
                again.append(writer)
            else:
                writer.done.set_exception(
                    StaleVersion(f"the change came too late {writer.attempts} times: {refusal}")
                )
        if again:
            log.info("store.batch_refused", writers=len(again), reason=next(filter(None, outcome.refusals)))
            self._queue.extendleft(reversed(again))

    # The state machine under Raft.

    def apply(self, index: int, entry: bytes) -> None:
        """Apply one committed entry; raises InvariantBroken, with nothing changed, for an unknown one."""
        parsed = parse_entry(entry)
        outcome = apply_entry(self._state, index, parsed)
        if (
            parsed.proposer == self._proposer_id
            and parsed.sequence == self._sequence
            and not outcome.repeated
        ):
            self._outcome = outcome
        if not outcome.repeated:
            self._hub.publish(Commit(index, outcome.events, nanoseconds(parsed.at), len(entry)))
        self._wake_waiting()

    def freeze(self) -> FrozenState:
        """Return the state as of the last applied entry; its records may be read in another thread."""
        tables = self._state.tables
        objects: list[Object] = [obj for kind in KINDS for obj in tables.of(kind)]
        proposers = list(self._state.proposers.values())
        level = _level_of(tables)

        def records() -> Iterator[bytes]:
            if level > 1:
                written = SnapshotFormat(level=level, version=swarm_version())
                yield SnapshotRecord(format=written).SerializeToString(deterministic=True)
            for obj in objects:
                yield SnapshotRecord(object=wrap(obj)).SerializeToString(deterministic=True)
            for record in proposers:
                yield SnapshotRecord(proposer=record).SerializeToString(deterministic=True)

        return FrozenState(tables.index, records)

    def restore(self, applied_index: int, records: Iterable[bytes]) -> None:
        """Replace the whole state by a snapshot's records; watchers must resync.

        Raises InvariantBroken for a record that cannot be read, and then keeps the state as it was.
        """
        state = State()
        for record in records:
            _restore_record(state, record)
        state.proposers = dict(sorted(state.proposers.items(), key=lambda item: item[1].index))
        state.tables.index = applied_index
        self._state.tables.take_over(state.tables)
        self._state.proposers = state.proposers
        # Other managers never saw the index of a snapshot as a version: it may be that of an empty entry.
        self._hub.restart(self._state.last_entry_index or applied_index)
        self._wake_waiting()

    def _wake_waiting(self) -> None:
        if not self._waiting:
            return
        reached = self._state.tables.index
        for index, future in self._waiting:
            if index <= reached and not future.done():
                future.set_result(None)
        self._waiting = [(index, future) for index, future in self._waiting if not future.done()]


def _restore_record(state: State, record: bytes) -> None:
    try:
        parsed = SnapshotRecord.FromString(record)
    except DecodeError as error:
        raise InvariantBroken(f"a record of the snapshot cannot be read: {error}") from error
    if parsed.WhichOneof("record") == "proposer":
        state.proposers[parsed.proposer.proposer] = parsed.proposer
        return
    if parsed.WhichOneof("record") == "format":
        if refusal := unknown_level(parsed.format.level, "the snapshot"):
            raise InvariantBroken(refusal)
        return
    obj = unwrap(parsed.object)
    if obj is None:
        raise InvariantBroken("the snapshot holds an object of a kind that this version does not know")
    state.tables.of(type(obj)).put(obj)


def _level_of(view: ReadView) -> int:
    """Return what an entry or snapshot says of its level; 0 for the first, as ever."""
    return view.cluster.level if view.cluster is not None else 0


def _unconfirmed(timeout_s: float, *, proposed: bool) -> str:
    if proposed:
        return (
            f"no majority of managers confirmed the change within {timeout_s:g} s; it may still take effect"
        )
    return f"earlier changes took all of {timeout_s:g} s without a majority of managers; nothing was changed"
