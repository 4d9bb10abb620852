"""pysyncobj as it ships, under the same faults: the simulator must find what is wrong with it.

Its disk is better than a real one (nothing is ever lost), so what fails here is replication alone.
"""

import pickle
import random
from collections.abc import Callable
from typing import Any

from pysyncobj import SyncObj, SyncObjConf, replicated, syncobj
from pysyncobj.journal import MemoryJournal
from pysyncobj.node import Node
from pysyncobj.transport import Transport

from swarm.api.v1.raft_pb2 import RaftMember
from swarm.manager.raft.host import Proposal
from swarm.manager.raft.membership import Membership, membership_of
from tests.simulation.raft.member import Record, Step
from tests.simulation.raft.network import Network
from tests.simulation.raft.simulator import Cluster


class PerfectDisk:
    """Keeps everything, whatever happens."""

    def __init__(self) -> None:
        self.contents: dict[str, Any] = {}

    def cut_power(self, rng: random.Random) -> None:
        pass


class PerfectJournal(MemoryJournal):
    """Every write is durable at once."""

    def __init__(self, disk: PerfectDisk) -> None:
        super().__init__()
        self._disk = disk
        for entry in disk.contents.get("log", []):
            super().add(*entry)
        super().setCurrentTerm(disk.contents.get("term", 0), disk.contents.get("vote"))

    def _save(self) -> None:
        self._disk.contents["log"] = list(self[:])

    def add(self, *entry: Any) -> None:
        super().add(*entry)
        self._save()

    def clear(self) -> None:
        super().clear()
        self._save()

    def deleteEntriesFrom(self, position: int) -> None:
        super().deleteEntriesFrom(position)
        self._save()

    def setCurrentTerm(self, term: int, vote: str | None) -> None:
        super().setCurrentTerm(term, vote)
        self._disk.contents.update(term=term, vote=vote)

    def setRaftCommitIndex(self, index: int) -> None:
        self._disk.contents["commit"] = index

    def getRaftCommitIndex(self) -> int:
        return self._disk.contents.get("commit", 1)


class StockTransport(Transport):
    """Messages as the library makes them."""

    def __init__(self, network: Network, own_id: str, others: list[str]) -> None:
        super().__init__(None, None, ())
        self._network = network
        self._own_id = own_id
        self.peers = {other: Node(other) for other in others}

    def send(self, node: Node, message: Any) -> bool:
        self._network.send(self._own_id, node.id, pickle.dumps(message))
        return True


class StockCore(SyncObj):
    """The library with one replicated method; answers to the names that the simulator uses."""

    def __init__(self, member: "StockMember", journal: PerfectJournal, transport: StockTransport) -> None:
        self._member = member
        self.commands = self
        conf = SyncObjConf(
            autoTick=False,
            appendEntriesUseBatch=False,
            appendEntriesBatchSizeBytes=100,  # a few entries in a message, as with a few kB in real life
            logCompactionMinEntries=10**9,
            logCompactionMinTime=10**9,
            leaderFallbackTimeout=2.0,
        )
        original = syncobj.createJournal
        syncobj.createJournal = lambda _: journal
        try:
            others = list(transport.peers.values())
            super().__init__(Node(member.raft_id), others, conf, nodeClass=Node, transport=transport)
        finally:
            syncobj.createJournal = original
        self._poller.poll = lambda timeout: None

    @replicated
    def write(self, command: bytes) -> None:
        self._member.apply(self.raftLastApplied + 1, command)

    def propose(self, proposal: Proposal) -> None:
        def settled(_: Any, error: int) -> None:
            if error == 0:
                proposal.ticket(self.raftLastApplied + 1)

        self.write(proposal.command[1:], callback=settled)

    is_leader = property(lambda self: self._isLeader())
    term = property(lambda self: self.raftCurrentTerm)
    applied_index = property(lambda self: self.raftLastApplied)
    last_index = property(lambda self: self._SyncObj__raftLog[-1][1])


class StockMember:
    """A running process with the library in it; plays its own host."""

    def __init__(
        self, raft_id: str, ids: list[str], disk: PerfectDisk, network: Network, record: Record
    ) -> None:
        self.raft_id = raft_id
        self._record = record
        self.host = self
        self.membership = membership_of(*(RaftMember(raft_id=one) for one in ids))
        self.committed_membership = Membership()
        self.state_set: set[bytes] = set()
        self.transport = StockTransport(network, raft_id, [other for other in ids if other != raft_id])
        self.core = StockCore(self, PerfectJournal(disk), self.transport)
        self.steps = (self.core.doTick,)
        self.turn = self

    def put(self, function: Callable[..., None], *arguments: Any) -> None:
        function(*arguments)

    def wakes(self) -> bool:
        return True

    def turn_over(self) -> None:
        pass

    def has_promised(self, step: Step) -> bool:
        return True

    def apply(self, index: int, command: bytes) -> None:
        first, by = self._record.applied.setdefault(index, (command, self.raft_id))
        if first != command:
            self._record.violations.append(f"at {index} {by} applied {first!r}, {self.raft_id} {command!r}")
        if command in self.state_set:
            self._record.violations.append(f"{self.raft_id} applied {command!r} twice")
        self.state_set.add(command)

    def wants(self, other: str) -> bool:
        return True

    def admits(self, other: str) -> bool:
        return True

    def visited(self, other: str, *, here: bool) -> None:
        pass

    def receive(self, sender: str, frame: bytes) -> None:
        self.transport._onMessageReceived(self.transport.peers[sender], pickle.loads(frame))

    def link_up(self, other: str) -> None:
        self.transport._onNodeConnected(self.transport.peers[other])

    def link_down(self, other: str) -> None:
        self.transport._onNodeDisconnected(self.transport.peers[other])


class StockCluster(Cluster):
    """Members that run the library as it ships."""

    def create(self, raft_id: str, membership: Membership) -> None:
        self._ids = sorted(membership.members)
        self.disks[raft_id] = PerfectDisk()
        self.start(raft_id)

    def start(self, raft_id: str) -> None:
        self.members[raft_id] = self.network.members[raft_id] = StockMember(
            raft_id, self._ids, self.disks[raft_id], self.network, self.record
        )
