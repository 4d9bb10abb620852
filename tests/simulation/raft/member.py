"""A running process with the real core in it: its disk, network, host and turns are the simulator's."""

import random
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from swarm.api.v1.raft_pb2 import RaftMember, RaftMessage
from swarm.manager.raft.config import Timing
from swarm.manager.raft.core import Core
from swarm.manager.raft.entries import data_of
from swarm.manager.raft.host import Committed, Proposal, ReadRequest
from swarm.manager.raft.journal import DurableJournal
from swarm.manager.raft.membership import Membership, refusal
from swarm.manager.raft.outbox import Outbox
from swarm.manager.raft.snapshots import Snapshot, SnapshotStore
from swarm.manager.raft.turn import Turn
from swarm.manager.store.proposer import FrozenState
from tests.simulation.raft.disk import KEYS, SimDisk
from tests.simulation.raft.network import Network

CLUSTER = "cluster"
ROOM = 64  # entries that may wait for the event loop
ENTRIES_PER_RECORD = 32  # of a snapshot

Step = Callable[[], None]
Reorder = Callable[[Sequence[Step], Step], Sequence[Step]]  # steps of a turn, the one that syncs → steps


class VirtualClock:
    """What `pysyncobj` believes the time is."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Record:
    """What an observer outside the cluster knows."""

    acknowledged: dict[bytes, int] = field(default_factory=dict)  # command → index
    order: list[bytes] = field(default_factory=list)  # acknowledged commands, in time
    applied: dict[int, tuple[bytes, str]] = field(
        default_factory=dict
    )  # index → command, who applied it first
    leaders: dict[int, str] = field(default_factory=dict)  # term → member
    violations: list[str] = field(default_factory=list)
    snapshots_installed: int = 0
    reads: int = 0


class SimOutbox(Outbox):
    """Sends through the virtual network, in the real wire format."""

    def __init__(self, network: Network, raft_id: str) -> None:
        super().__init__(CLUSTER, raft_id)
        self._network = network
        self.promised = False  # something left in this turn that others or clients rely on

    def deliver(self, recipient: str, messages: Sequence[RaftMessage]) -> None:
        for message in messages:
            self.promised = self.promised or not message.HasField("append")
            self._network.send(self._raft_id, recipient, message.SerializeToString())


class SimHost:
    """The event loop's side of a member: a list of commands, and what the core told since the last turn."""

    def __init__(self, raft_id: str, clock: VirtualClock, record: Record, rng: random.Random) -> None:
        self._raft_id = raft_id
        self._clock = clock
        self._record = record
        self._rng = rng
        self._staged: list[Callable[[], None]] = []
        self._later: list[tuple[float, Callable[[], None]]] = []
        self._processed = 0
        self.state: list[tuple[int, bytes]] = []
        self.state_set: set[bytes] = set()
        self.leading: int | None = None
        self.membership = Membership()
        self.contacts: frozenset[str] = frozenset()
        self.committed_membership = Membership()
        self.was_removed = False
        self.promised = False  # a client was told in this turn
        self.put: Callable[..., None] = lambda *_: None

    # Called by the core.

    def room(self) -> int:
        return ROOM

    def apply(self, entries: Sequence[Committed]) -> None:
        self._staged.append(lambda: self._apply(entries))

    def restore(self, snapshot: Snapshot) -> None:
        self._record.snapshots_installed += 1
        self._staged.append(lambda: self.load(snapshot))

    def lead(self, term: int | None) -> None:
        self._staged.append(lambda: setattr(self, "leading", term))

    def answer(self, read: ReadRequest) -> None:
        self._staged.append(lambda: self._answer(read))

    def refuse(self, request: Proposal | ReadRequest, error: Exception) -> None:
        pass  # an observer counts only what was promised

    def freeze(self, then: Callable[[int, FrozenState], None]) -> None:
        def frozen() -> None:
            picture = list(self.state)
            state = FrozenState(self._processed, lambda: _pack(picture))
            self.put(then, self._processed, state)

        self._staged.append(frozen)

    def work(self, job: Callable[[], Any], then: Callable[[Any], None]) -> None:
        def finish() -> None:
            self.put(then, job())

        self._later.append((self._clock.now + self._rng.uniform(0.0, 0.1), finish))

    def membership_changed(
        self, membership: Membership, contacts: Iterable[RaftMember], *, committed: bool
    ) -> None:
        self.membership = membership
        self.contacts = frozenset(contact.raft_id for contact in contacts)
        if committed:
            self.committed_membership = membership

    def removed(self) -> None:
        self.was_removed = True

    # Called by the member.

    def hand_over(self) -> None:
        staged, self._staged = self._staged, []
        for step in staged:
            step()

    def work_off(self) -> None:
        if not self._later:
            return
        due = [finish for at, finish in self._later if at <= self._clock.now]
        self._later = [entry for entry in self._later if entry[0] > self._clock.now]
        for finish in due:
            finish()

    def load(self, snapshot: Snapshot) -> None:
        self.state = [entry for record in snapshot.records() for entry in _unpack(record)]
        self.state_set = {command for _, command in self.state}
        self._processed = snapshot.index

    def _apply(self, entries: Sequence[Committed]) -> None:
        for entry in entries:
            if entry.index != self._processed + 1:
                self._violate(f"{self._raft_id} applies {entry.index} after {self._processed}")
            self._processed = entry.index
            command = data_of(entry.command)
            if command is not None:
                self._apply_command(entry.index, command)
            if entry.proposal is not None:
                entry.proposal.ticket(entry.index)
                self.promised = True

    def _apply_command(self, index: int, command: bytes) -> None:
        first, by = self._record.applied.setdefault(index, (command, self._raft_id))
        if first != command:
            self._violate(f"at {index} {by} applied {first!r} and {self._raft_id} {command!r}")
        if command in self.state_set:
            self._violate(f"{self._raft_id} applied {command!r} twice")
        self.state.append((index, command))
        self.state_set.add(command)

    def _answer(self, read: ReadRequest) -> None:
        self._record.reads += 1
        missing = [command for command in self._record.order[: read.ticket] if command not in self.state_set]
        if missing:
            self._violate(
                f"a read on {self._raft_id} misses {len(missing)} acknowledged, e.g. {missing[0]!r}"
            )

    def _violate(self, text: str) -> None:
        self._record.violations.append(text)


_ENTRY = struct.Struct("<Q6s")


def _pack(entries: Sequence[tuple[int, bytes]]) -> Iterator[bytes]:
    for at in range(0, len(entries), ENTRIES_PER_RECORD):
        yield b"".join(_ENTRY.pack(*entry) for entry in entries[at : at + ENTRIES_PER_RECORD])


def _unpack(record: bytes) -> list[tuple[int, bytes]]:
    return list(_ENTRY.iter_unpack(record))


class Member:
    """A running process with the real core in it."""

    def __init__(
        self, raft_id: str, disk: SimDisk, network: Network, clock: VirtualClock, record: Record,
        rng: random.Random, timing: Timing, reorder: Reorder | None = None,
    ) -> None:  # fmt: skip
        self.raft_id = raft_id
        self._clock = clock
        journal = DurableJournal(disk, KEYS)
        snapshots = SnapshotStore(disk, KEYS)
        self.host = SimHost(raft_id, clock, record, rng)
        if snapshots.latest is not None:
            self.host.load(snapshots.latest)
        else:
            self.host._processed = journal[0][1]
        self._guests: set[str] = set()  # connected to us, known or not
        self._outbox = SimOutbox(network, raft_id)
        self._due = 0.0
        self.core = Core(journal, snapshots, self._outbox, self.host, timing)
        self.turn = Turn(self.core, journal, self._outbox, self.host.hand_over)
        self.host.put = self.turn.put
        self.steps = self.turn.steps if reorder is None else reorder(self.turn.steps, journal.sync)
        self._release, self._hand_over = self._outbox.release, self.host.hand_over

    def wakes(self) -> bool:
        """Tell whether it is time for a turn; the thread sleeps exactly as long."""
        self.host.work_off()
        return self._clock.now >= self._due or self.turn.has_work

    def turn_over(self) -> None:
        """Go to sleep."""
        self._due = self._clock.now + self.turn.pause_s()
        self._outbox.promised = self.host.promised = False

    def has_promised(self, step: Step) -> bool:
        """Tell whether others rely on something that this member said in this step."""
        if step == self._release:
            return self._outbox.promised
        return step == self._hand_over and self.host.promised

    # The network's view.

    def wants(self, other: str) -> bool:
        known = other in self.host.membership.members or other in self.host.contacts
        return (known or other in self._guests) and self.admits(other)

    def admits(self, other: str) -> bool:
        return not refusal(self.host.committed_membership, self.host.membership.members, other, "")

    def visited(self, other: str, *, here: bool) -> None:
        if here:
            self._guests.add(other)
        else:
            self._guests.discard(other)

    def receive(self, sender: str, frame: bytes) -> None:
        if self.admits(sender):
            self.turn.put(self._outbox.received, sender, [RaftMessage.FromString(frame)])

    def link_up(self, other: str) -> None:
        self.turn.put(self._outbox.connected, other)

    def link_down(self, other: str) -> None:
        self.turn.put(self._outbox.disconnected, other)
