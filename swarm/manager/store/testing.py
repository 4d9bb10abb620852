"""A store without Raft, for tests and simulations of what stands on the store."""

import asyncio
from collections import deque
from dataclasses import dataclass

from swarm.api.v1.store_pb2 import StoreEntry
from swarm.clock import SECOND, Clock, timestamp
from swarm.errors import NoQuorum
from swarm.manager.store.proposer import StateMachine
from swarm.manager.store.store import Store
from swarm.manager.store.tables import Object, Tables
from swarm.manager.store.transaction import Transaction, encode


class ManualClock:
    """A clock that moves only when told."""

    def __init__(self, now_ns: int = 1_700_000_000 * SECOND) -> None:
        self._now_ns = now_ns

    def now_ns(self) -> int:
        """Return nanoseconds since the epoch."""
        return self._now_ns

    def monotonic_s(self) -> float:
        """Return the same clock in seconds."""
        return self._now_ns / SECOND

    def advance(self, seconds: float) -> None:
        """Move both clocks forward."""
        self._now_ns += int(seconds * SECOND)


@dataclass(frozen=True, slots=True)
class _Fault:
    error: Exception
    fate: str


class LocalProposer:
    """A Proposer of one manager: commits at once and applies to its state machines.

    `fail_next(error)` scripts the next proposal; `pause` and `resume` hold proposals back, so that
    writers pile up behind one in flight. `entries` is the log.
    """

    def __init__(self, *state_machines: StateMachine) -> None:
        self.entries: list[tuple[int, bytes]] = []
        self._state_machines = state_machines
        self._faults: deque[_Fault] = deque()
        self._late: list[bytes] = []
        self._open = asyncio.Event()
        self._open.set()

    def fail_next(self, error: Exception, fate: str = "lost") -> None:
        """Make the next proposal raise `error`.

        `fate` of its entry: `lost` (never in the log), `committed` (before the error is raised), or `late`
        (committed just before the proposal that follows).
        """
        self._faults.append(_Fault(error, fate))

    def pause(self) -> None:
        """Hold proposals back."""
        self._open.clear()

    def resume(self) -> None:
        """Let proposals go on."""
        self._open.set()

    async def propose(self, entry: bytes, timeout_s: float) -> int:
        """Commit and apply `entry`, or do what was scripted."""
        try:
            await asyncio.wait_for(self._open.wait(), timeout_s)
        except TimeoutError as error:
            self._late.append(entry)
            raise NoQuorum(f"no majority within {timeout_s:g} s") from error
        await asyncio.sleep(0)
        self.commit_late()
        if self._faults:
            fault = self._faults.popleft()
            if fault.fate == "committed":
                self.commit(entry)
            elif fault.fate == "late":
                self._late.append(entry)
            raise fault.error
        return self.commit(entry)

    def commit_late(self) -> None:
        """Commit the entries whose proposals failed with fate `late`."""
        late, self._late = self._late, []
        for entry in late:
            self.commit(entry)

    def commit(self, entry: bytes) -> int:
        """Append `entry` to the log and apply it everywhere; return its index."""
        index = self.entries[-1][0] + 1 if self.entries else max(1, _applied(self._state_machines) + 1)
        self.entries.append((index, entry))
        for state_machine in self._state_machines:
            state_machine.apply(index, entry)
        return index


def _applied(state_machines: tuple[StateMachine, ...]) -> int:
    return max((machine.freeze().applied_index for machine in state_machines), default=0)


def store_with(*objects: Object, clock: Clock | None = None, proposer_id: str = "test") -> Store:
    """Return a store that holds `objects` (version 1) and writes through a LocalProposer of its own.

    Attach another LocalProposer to script faults.
    """
    clock = clock or ManualClock()
    store = Store(clock, proposer_id)
    if objects:
        transaction = Transaction(Tables(), timestamp(clock.now_ns()))
        for obj in objects:
            transaction.create(obj)
        entry = StoreEntry(proposer="seed", sequence=1, transactions=[encode(transaction, Tables())])
        store.apply(1, entry.SerializeToString())
    store.attach(LocalProposer(store))
    return store
