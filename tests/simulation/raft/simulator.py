"""The real core under a virtual clock, a virtual network and a virtual disk: deterministic per seed."""

import random
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from pysyncobj import syncobj

from swarm.api.v1.raft_pb2 import MembershipChange, RaftMember, RaftMessage
from swarm.manager.raft.config import Timing
from swarm.manager.raft.core import Core
from swarm.manager.raft.entries import change_command, data_command, data_of
from swarm.manager.raft.host import Committed, Proposal, ReadRequest
from swarm.manager.raft.journal import DurableJournal
from swarm.manager.raft.membership import Membership, membership_of, refusal
from swarm.manager.raft.outbox import Outbox
from swarm.manager.raft.snapshots import Snapshot, SnapshotStore
from swarm.manager.raft.turn import Turn
from swarm.manager.store.proposer import FrozenState
from tests.simulation.raft.disk import PowerCut, SimDisk
from tests.simulation.raft.network import Network

CLUSTER = "cluster"
STEP_S = 0.01
ROOM = 64  # entries that may wait for the event loop

TIMING = Timing(
    election_min_s=0.3, election_max_s=0.6, heartbeat_s=0.05, snapshot_entries=50, trailing_entries=10
)


class VirtualClock:
    """What `pysyncobj` believes the time is."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@contextmanager
def virtual_time(seed: int) -> Iterator[VirtualClock]:
    """Let the library read a virtual clock and draw its timeouts from the seed."""
    clock, original, state = VirtualClock(), syncobj.monotonicTime, random.getstate()
    syncobj.monotonicTime = clock
    random.seed(seed)
    try:
        yield clock
    finally:
        syncobj.monotonicTime = original
        random.setstate(state)


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

    def deliver(self, recipient: str, messages: Sequence[RaftMessage]) -> None:
        for message in messages:
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
            state = FrozenState(self._processed, lambda: (_pack(*entry) for entry in picture))
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
        due = [finish for at, finish in self._later if at <= self._clock.now]
        self._later = [entry for entry in self._later if entry[0] > self._clock.now]
        for finish in due:
            finish()

    def load(self, snapshot: Snapshot) -> None:
        self.state = [_unpack(record) for record in snapshot.records()]
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


def _pack(index: int, command: bytes) -> bytes:
    return struct.pack("<Q", index) + command


def _unpack(record: bytes) -> tuple[int, bytes]:
    return struct.unpack_from("<Q", record)[0], record[8:]


class Member:
    """A running process with the real core in it."""

    def __init__(
        self, raft_id: str, disk: SimDisk, network: Network, clock: VirtualClock, record: Record,
        rng: random.Random, timing: Timing, *, answer_first: bool = False,
    ) -> None:  # fmt: skip
        self.raft_id = raft_id
        self._network = network
        journal = DurableJournal(disk)
        snapshots = SnapshotStore(disk)
        self.host = SimHost(raft_id, clock, record, rng)
        if snapshots.latest is not None:
            self.host.load(snapshots.latest)
        else:
            self.host._processed = journal[0][1]
        self._guests: set[str] = set()  # connected to us, known or not
        self._outbox = SimOutbox(network, raft_id)
        self.core = Core(journal, snapshots, self._outbox, self.host, timing)
        self.turn = Turn(self.core, journal, self._outbox, self.host.hand_over)
        self.host.put = self.turn.put
        self.steps = self.turn.steps
        self.send = self._outbox.release
        if answer_first:  # what must not work: promise at once, write afterwards, some time

            def sync_some_time() -> None:
                if rng.random() < 0.1:
                    journal.sync()

            self.steps = (*(step for step in self.steps if step != journal.sync), sync_some_time)

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


class Cluster:
    """Members, their disks, and a client; faults are injected from outside."""

    def __init__(
        self,
        seed: int,
        clock: VirtualClock,
        size: int = 3,
        timing: Timing = TIMING,
        *,
        answer_first: bool = False,
    ) -> None:
        self.rng = random.Random(seed)
        self.clock = clock
        self.timing = timing
        self.record = Record()
        self.network = Network(seed, lambda: clock.now)
        self.disks: dict[str, SimDisk] = {}
        self.members: dict[str, Member] = {}
        self.stalled: dict[str, float] = {}  # member → until when it does not run
        self.crash_chance = 0.0  # between two steps of a turn
        self.outage_chance = 0.0  # of losing power right after messages went out
        self.disk_chance = 0.0  # of losing power before an operation of a disk
        self.crashed: list[str] = []
        self._answer_first = answer_first
        self._commands = 0
        ids = [f"m{number}" for number in range(size)]
        self.created = size
        for raft_id in ids:
            self.create(raft_id, membership_of(*(RaftMember(raft_id=other) for other in ids)))
        self.heal()

    def create(self, raft_id: str, membership: Membership) -> None:
        """Start a new member on an empty disk."""
        disk = SimDisk()
        DurableJournal.create(disk, CLUSTER, raft_id, membership)
        disk.cut_now = lambda: bool(self.disk_chance) and self.rng.random() < self.disk_chance
        self.disks[raft_id] = disk
        self.start(raft_id)

    def start(self, raft_id: str) -> None:
        """Start a member from its disk."""
        try:
            self.members[raft_id] = self.network.members[raft_id] = Member(
                raft_id, self.disks[raft_id], self.network, self.clock, self.record, self.rng, self.timing,
                answer_first=self._answer_first,
            )  # fmt: skip
        except PowerCut:
            self.disks[raft_id].cut_power(self.rng)
            self.crashed.append(raft_id)

    def kill(self, raft_id: str, *, power: bool = True) -> None:
        """End a member at this very moment; with `power`, what it had not synced is lost."""
        self.members.pop(raft_id)
        self.stalled.pop(raft_id, None)
        self.network.leave(raft_id)
        if power:
            self.disks[raft_id].cut_power(self.rng)

    def heal(self) -> None:
        """End all faults."""
        self.crash_chance = self.outage_chance = self.disk_chance = 0.0
        self.network.cut.clear()
        self.stalled.clear()
        for raft_id in sorted(self.disks.keys() - self.members.keys()):
            self.start(raft_id)
        self.connect(1.0)

    def connect(self, chance: float) -> None:
        """Let streams that are down come up, each with some chance."""
        for sender in sorted(self.members):
            for recipient in sorted(self.members):
                if sender != recipient and (chance >= 1 or self.rng.random() < chance):
                    self.network.connect(sender, recipient)

    def leaders(self) -> list[Member]:
        """Return everybody who believes to lead."""
        return [member for _, member in sorted(self.members.items()) if member.core.is_leader]

    def submit(self, member: Member) -> None:
        """Propose the next command to a member."""
        self._commands += 1
        command = b"%06d" % self._commands

        def acknowledge(index: int) -> None:
            self.record.acknowledged[command] = index
            self.record.order.append(command)

        member.core.commands.propose(Proposal(data_command(command), acknowledge))

    def read(self, member: Member) -> None:
        """Ask a member for a consistent read."""
        member.core.commands.read(ReadRequest(len(self.record.order)))

    def change(self, member: Member, kind: "MembershipChange.Kind", target: RaftMember, then: Any) -> None:
        """Propose a membership change; `then` is called when it is committed."""
        change = MembershipChange(kind=kind, member=target)
        member.core.commands.propose(Proposal(change_command(change), then))

    def step(self) -> None:
        """Let a hundredth of a second pass."""
        self.clock.now += STEP_S
        self.network.deliver(self.rng)
        ids = sorted(self.members)
        self.rng.shuffle(ids)
        for raft_id in ids:
            if self.stalled.get(raft_id, 0.0) <= self.clock.now:
                self._run(raft_id)
        self.network.prune()
        self._stop_removed()
        if self.rng.random() < 0.3:
            self.connect(0.2)

    def _run(self, raft_id: str) -> None:
        member = self.members[raft_id]
        try:
            alive = self._take_turn(member)
        except PowerCut:
            alive = False
            self._crash(raft_id, power=True)
        if not alive:
            return
        if member.core.is_leader:
            first = self.record.leaders.setdefault(member.core.term, raft_id)
            if first != raft_id:
                self.record.violations.append(f"{first} and {raft_id} both lead term {member.core.term}")

    def _take_turn(self, member: Member) -> bool:
        member.host.work_off()
        for step in member.steps:
            if self.crash_chance and self.rng.random() < self.crash_chance:
                self._crash(member.raft_id, power=self.rng.random() < 0.7)
                return False
            step()
            if step == member.send and self.outage_chance and self.rng.random() < self.outage_chance:
                self._crash(member.raft_id, power=True)
                return False
        return True

    def _crash(self, raft_id: str, *, power: bool) -> None:
        self.kill(raft_id, power=power)
        self.crashed.append(raft_id)

    def _stop_removed(self) -> None:
        """A removed member knocks at the others, is told, and stops for good."""
        told = {
            removed.raft_id
            for member in self.members.values()
            for removed in member.host.committed_membership.removed
        }
        for raft_id in sorted(told.intersection(self.disks)):
            del self.disks[raft_id]
            if raft_id in self.members:
                self.members.pop(raft_id)
                self.network.leave(raft_id)
