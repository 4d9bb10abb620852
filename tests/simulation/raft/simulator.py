"""The real core under a virtual clock, a virtual network and a virtual disk: deterministic per seed."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pysyncobj import syncobj

from swarm.api.v1.raft_pb2 import MembershipChange, RaftMember
from swarm.manager.raft.config import Timing
from swarm.manager.raft.entries import change_command, data_command
from swarm.manager.raft.host import Proposal, ReadRequest
from swarm.manager.raft.journal import DurableJournal
from swarm.manager.raft.membership import Membership, membership_of
from tests.simulation.raft.disk import KEYS, PowerCut, SimDisk
from tests.simulation.raft.member import CLUSTER, Member, Record, Reorder, VirtualClock
from tests.simulation.raft.network import Network

STEP_S = 0.01

TIMING = Timing(
    election_min_s=0.3, election_max_s=0.6, heartbeat_s=0.05, snapshot_entries=50, trailing_entries=10
)


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


class Cluster:
    """Members, their disks, and a client; faults are injected from outside."""

    def __init__(
        self,
        seed: int,
        clock: VirtualClock,
        size: int = 3,
        timing: Timing = TIMING,
        reorder: Reorder | None = None,
    ) -> None:
        self.rng = random.Random(seed)
        self.clock = clock
        self.timing = timing
        self.record = Record()
        self.network = Network(seed, lambda: clock.now)
        self.disks: dict[str, SimDisk] = {}
        self.members: dict[str, Member] = {}
        self.stalled: dict[str, float] = {}  # member → until when it does not run
        self.crash_chance = 0.0  # in a turn, between any two of its steps
        self.outage_chance = 0.0  # of losing power right after a promise went out
        self.disk_chance = 0.0  # of losing power before an operation of a disk
        self.crashed: list[str] = []
        self._reorder = reorder
        self._commands = 0
        ids = [f"m{number}" for number in range(size)]
        self.created = size
        for raft_id in ids:
            self.create(raft_id, membership_of(*(RaftMember(raft_id=other) for other in ids)))
        self.heal()

    def create(self, raft_id: str, membership: Membership) -> None:
        """Start a new member on an empty disk."""
        disk = SimDisk()
        DurableJournal.create(disk, KEYS, CLUSTER, raft_id, membership)
        disk.cut_now = lambda: bool(self.disk_chance) and self.rng.random() < self.disk_chance
        self.disks[raft_id] = disk
        self.start(raft_id)

    def start(self, raft_id: str) -> None:
        """Start a member from its disk."""
        try:
            self.members[raft_id] = self.network.members[raft_id] = Member(
                raft_id, self.disks[raft_id], self.network, self.clock, self.record, self.rng, self.timing,
                self._reorder,
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

    def blackout(self) -> None:
        """Take the power from all members at once."""
        for raft_id in sorted(self.members):
            self._crash(raft_id, power=True)

    def heal(self) -> None:
        """End all faults."""
        self.crash_chance = self.outage_chance = self.disk_chance = self.network.jumble = 0.0
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

    def submit(self, member: Member) -> bytes:
        """Propose the next command to a member, and return it."""
        self._commands += 1
        command = b"%06d" % self._commands

        def acknowledge(index: int) -> None:
            self.record.acknowledged[command] = index
            self.record.order.append(command)

        member.turn.put(member.core.commands.propose, Proposal(data_command(command), acknowledge))
        return command

    def read(self, member: Member) -> None:
        """Ask a member for a consistent read."""
        member.turn.put(member.core.commands.read, ReadRequest(len(self.record.order)))

    def change(self, member: Member, kind: "MembershipChange.Kind", target: RaftMember, then: Any) -> None:
        """Propose a membership change; `then` is called when it is committed."""
        change = MembershipChange(kind=kind, member=target)
        member.turn.put(member.core.commands.propose, Proposal(change_command(change), then))

    def step(self) -> None:
        """Let a hundredth of a second pass."""
        self.clock.now += STEP_S
        self.network.deliver(self.rng)
        ids = sorted(self.members)
        self.rng.shuffle(ids)
        for raft_id in ids:
            if self.stalled.get(raft_id, 0.0) <= self.clock.now:
                self._run(raft_id)
        if self.rng.random() < 0.3:
            self.network.prune()
            self._stop_removed()
            self.connect(0.2)

    def _run(self, raft_id: str) -> None:
        member = self.members[raft_id]
        try:
            alive = not member.wakes() or self._take_turn(member)
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
        for step in member.steps:
            if self.crash_chance and self.rng.random() < self.crash_chance / len(member.steps):
                self._crash(member.raft_id, power=self.rng.random() < 0.7)
                return False
            step()
            if self.outage_chance and member.has_promised(step) and self.rng.random() < self.outage_chance:
                self._crash(member.raft_id, power=True)
                return False
        member.turn_over()
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
