"""What goes wrong in a run, drawn from the seed."""

from dataclasses import dataclass

from swarm.api.v1.raft_pb2 import MembershipChange, RaftMember
from swarm.manager.raft.membership import Membership
from tests.simulation.raft.invariants import unsettled
from tests.simulation.raft.member import Member
from tests.simulation.raft.simulator import STEP_S, Cluster

VOTERS_MAX = 5


@dataclass(frozen=True)
class Faults:
    """Chances per step of a hundredth of a second, unless it says otherwise."""

    crash: float = 0.009  # of each member in each of its turns, between any two steps
    outage: float = 0.0  # of a member's power, right after a reply, a vote, or an answer to a client
    blackout: float = 0.0  # of the power of all members at once
    disk: float = 0.0  # of a member's power, before any operation of its disk
    cut: float = 0.008  # of some link, in one or both directions
    heal: float = 0.01  # of all links at once
    stall: float = 0.003  # of some member, up to half a second
    membership: float = 0.0
    jumble: float = 0.0  # of each frame to come twice, or to overtake others
    delay_s: float = 0.03  # of a frame, at most
    commands: float = 0.4
    reads: float = 0.1


class Chaos:
    """Runs a cluster with faults, then heals it and waits until it has settled."""

    def __init__(self, cluster: Cluster, faults: Faults) -> None:
        self._cluster = cluster
        self._faults = faults
        self._restarts: dict[str, float] = {}

    def run(self, duration_s: float, settle_s: float = 15.0) -> None:
        """Do it; durations in virtual seconds."""
        cluster = self._cluster
        cluster.network.delay_s = self._faults.delay_s
        cluster.network.jumble = self._faults.jumble
        for _ in range(int(duration_s / STEP_S)):
            alive = self._quorum_lives()
            cluster.crash_chance = self._faults.crash if alive else 0.0
            cluster.outage_chance = self._faults.outage if alive else 0.0
            cluster.disk_chance = self._faults.disk if alive else 0.0
            self._break_something()
            self._use()
            cluster.step()
            self._restart()
        self._settle(settle_s)

    def _settle(self, settle_s: float) -> None:
        """Heal everything, and go on until the cluster works as one again, or the time is over."""
        cluster = self._cluster
        cluster.heal()
        asked_for = None
        for step in range(int(settle_s / STEP_S)):
            cluster.step()
            if step % 20 or unsettled(cluster):
                continue
            if asked_for in cluster.record.acknowledged:
                return
            asked_for = cluster.submit(cluster.leaders()[0])

    def _quorum_lives(self) -> bool:
        """Kill only while more than half of all run: the rest of the run is to see work, too."""
        return len(self._cluster.members) > len(self._cluster.disks) // 2

    def _break_something(self) -> None:
        cluster, rng, faults = self._cluster, self._cluster.rng, self._faults
        draw = rng.random()
        if faults.blackout and rng.random() < faults.blackout:
            cluster.blackout()
        names = sorted(cluster.members)
        if len(names) < 2:
            return
        one, other = rng.sample(names, 2)
        if draw < faults.cut:
            directions = [(one, other), (other, one)][: rng.randint(1, 2)]
            for sender, recipient in directions:
                cluster.network.disconnect(sender, recipient)
                if rng.random() < 0.7:
                    cluster.network.cut.add((sender, recipient))
        elif draw < faults.cut + faults.heal:
            cluster.network.cut.clear()
        elif draw < faults.cut + faults.heal + faults.stall:
            cluster.stalled[one] = cluster.clock.now + rng.uniform(0.05, 0.5)
        elif draw < faults.cut + faults.heal + faults.stall + faults.membership:
            self._change_members()

    def _restart(self) -> None:
        cluster = self._cluster
        for raft_id in cluster.crashed:
            self._restarts[raft_id] = cluster.clock.now + cluster.rng.uniform(0.2, 3.0)
        cluster.crashed.clear()
        for raft_id, at in sorted(self._restarts.items()):
            if at <= cluster.clock.now:
                del self._restarts[raft_id]
                if raft_id in cluster.disks and raft_id not in cluster.members:
                    cluster.start(raft_id)

    def _use(self) -> None:
        cluster, rng = self._cluster, self._cluster.rng
        leaders = cluster.leaders()
        if not leaders:
            return
        if rng.random() < self._faults.commands:
            for _ in range(rng.randint(1, 6)):
                cluster.submit(rng.choice(leaders))
        if rng.random() < self._faults.reads:
            cluster.read(rng.choice(leaders))

    def _change_members(self) -> None:
        cluster, rng = self._cluster, self._cluster.rng
        leaders = [member for member in cluster.leaders() if member.host.leading is not None]
        if not leaders:
            return
        leader = rng.choice(leaders)
        voters = leader.host.membership.voters
        if len(voters) < 3 or (rng.random() < 0.5 and len(leader.host.membership.members) < VOTERS_MAX):
            self._add(leader)
        elif rng.random() < 0.2:
            leader.core.transfer(1.0)
        else:
            target = RaftMember(raft_id=rng.choice(voters))
            cluster.change(leader, MembershipChange.KIND_REMOVE, target, lambda _: None)

    def _add(self, leader: Member) -> None:
        cluster = self._cluster
        raft_id = f"m{cluster.created}"
        cluster.created += 1
        joiner = RaftMember(raft_id=raft_id, learner=True)

        def start(_: int) -> None:
            known = leader.host.membership
            voters = {voter: known.members[voter] for voter in known.voters}
            cluster.create(raft_id, Membership({**voters, raft_id: joiner}))

        cluster.change(leader, MembershipChange.KIND_ADD, joiner, start)
