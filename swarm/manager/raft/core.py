"""Consensus: pysyncobj's election and commit rules, with our replication, pre-vote, snapshots, membership.

Only this file knows pysyncobj's private names: `_SyncObj__x` is what its `self.__x` becomes, so a method
of that name here replaces the library's. Everything runs on one thread, and nothing blocks but the disk.
Messages only queue in the transport: whoever runs the core makes the journal durable before they go out.
"""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import structlog
from pysyncobj import syncobj
from pysyncobj.config import SyncObjConf
from pysyncobj.node import Node
from pysyncobj.syncobj import SyncObj

from swarm.api.v1.raft_pb2 import RaftMember
from swarm.errors import (
    NotLeader,
)
from swarm.manager.raft import pinned
from swarm.manager.raft.codec import Message, WireError
from swarm.manager.raft.commands import Commands
from swarm.manager.raft.compaction import Compactor, recover
from swarm.manager.raft.config import Timing
from swarm.manager.raft.election import Election
from swarm.manager.raft.entries import Entry, change_of
from swarm.manager.raft.follower import Follower
from swarm.manager.raft.host import Host
from swarm.manager.raft.journal import DurableJournal
from swarm.manager.raft.leader import Leader
from swarm.manager.raft.membership import contacts_beside
from swarm.manager.raft.outbox import Outbox
from swarm.manager.raft.snapshots import Snapshot, SnapshotStore

log = structlog.get_logger(__name__)

_FOLLOWER, _LEADER = 0, 2  # pysyncobj's states; 1 is a candidate
_constructing = threading.Lock()


class _NoPoller:
    """The library polls at the end of each tick; whoever runs the core waits instead."""

    def poll(self, timeout: float) -> None:
        """Return at once."""


@contextmanager
def _journal_for_constructor(journal: DurableJournal) -> Iterator[None]:
    """Let the library's constructor find `journal` where it would make one of its own."""
    with _constructing:
        original = syncobj.createJournal
        syncobj.createJournal = lambda _: journal
        try:
            yield
        finally:
            syncobj.createJournal = original


class Core(SyncObj):
    """One member of the group."""

    def __init__(
        self,
        journal: DurableJournal,
        snapshots: SnapshotStore,
        transport: Outbox,
        host: Host,
        timing: Timing,
    ) -> None:
        """Continue where the journal and the newest snapshot end; raises InvariantBroken if they do not fit.

        The state machine must have been restored from `snapshots.latest` already.
        """
        pinned.check_installed()
        recover(journal, snapshots)
        self.journal, self.snapshots, self.transport, self.host = journal, snapshots, transport, host
        self.timing = timing
        self.raft_id = journal.raft_id
        self.history = journal.history()
        self.heard_leader_at = float("-inf")
        self.election = Election(self)
        self.follower = Follower(self)
        self.leading = Leader(self)
        self.compactor = Compactor(self)
        self.commands = Commands(self)
        self.is_announced = False  # that we lead: the first entry of the term is handed over
        self._told_committed = False  # the host knows that the current membership is committed
        self._transfer_until = float("-inf")
        self._handlers = {
            "append_entries": self.follower.on_append,
            "next_node_idx": self.leading.on_append_reply,
            "snapshot": self.follower.on_snapshot,
            "snapshot_reply": self.leading.on_snapshot_reply,
            "prevote": self.election.on_prevote,
            "prevote_granted": self.election.on_granted,
            "vote_refused": self._on_vote_refused,
            "request_vote": self._on_request_vote,
            "response_vote": self._on_vote,
            "timeout_now": self._on_timeout_now,
        }
        with _journal_for_constructor(journal):
            super().__init__(
                Node(self.raft_id), (), self._configuration(timing), nodeClass=Node, transport=transport
            )
        self._poller = _NoPoller()
        self._continue()

    def _configuration(self, timing: Timing) -> SyncObjConf:
        return SyncObjConf(
            autoTick=False,
            appendEntriesUseBatch=True,
            appendEntriesPeriod=timing.heartbeat_s,
            raftMinTimeout=timing.election_min_s,
            raftMaxTimeout=timing.election_max_s,
            leaderFallbackTimeout=timing.election_max_s,
            connectionTimeout=max(3.5, timing.election_max_s),
            commandsWaitLeader=False,
            dynamicMembershipChange=True,
            useFork=False,
            journalFile=None,
            fullDumpFile=None,
            password=None,
            onStateChanged=self._on_state_changed,
        )

    def _continue(self) -> None:
        applied = self.snapshots.latest.index if self.snapshots.latest else self.journal[0][1]
        self._SyncObj__raftLastApplied = applied
        self._SyncObj__raftCommitIndex = max(applied, self._SyncObj__raftCommitIndex)
        self._membership_changed()
        if self.history.current.voters == (self.raft_id,):
            self.election_deadline = 0.0  # nobody to wait for

    # What the parts and the host read.

    def now(self) -> float:
        """Return the time in seconds on the library's clock."""
        return syncobj.monotonicTime()

    @property
    def term(self) -> int:
        """The current term."""
        return self._SyncObj__raftCurrentTerm

    @property
    def is_leader(self) -> bool:
        """Whether this member leads its term; the term's first entry may not be applied yet."""
        return self._SyncObj__raftState == _LEADER

    @property
    def leader_id(self) -> str | None:
        """Raft id of the leader, as far as known."""
        leader = self._SyncObj__raftLeader
        return None if leader is None else leader.id

    @property
    def leader_addr(self) -> str:
        """Address of the leader if that is another member, else empty."""
        leader = self.history.current.members.get(self.leader_id or "")
        return "" if leader is None or leader.raft_id == self.raft_id else leader.addr

    @property
    def commit_index(self) -> int:
        """Last index known to be committed."""
        return self._SyncObj__raftCommitIndex

    @property
    def applied_index(self) -> int:
        """Last index handed over to the state machine."""
        return self._SyncObj__raftLastApplied

    @property
    def last_index(self) -> int:
        """Last index of the log."""
        return self.journal[-1][1]

    @property
    def is_voter(self) -> bool:
        """Whether this member counts for majorities."""
        return self.raft_id in self.history.current.voters

    @property
    def other_voters(self) -> set[Node]:
        """The voters without this one."""
        return self._SyncObj__otherNodes

    @property
    def followers(self) -> set[Node]:
        """Everybody who gets the log from the leader."""
        return self._SyncObj__otherNodes | self._SyncObj__readonlyNodes

    @property
    def next_index(self) -> dict[Node, int]:
        """What to send next to each follower."""
        return self._SyncObj__raftNextIndex

    @property
    def match_index(self) -> dict[Node, int]:
        """Up to where each follower's log is known to equal ours."""
        return self._SyncObj__raftMatchIndex

    @property
    def election_deadline(self) -> float:
        """When this member campaigns if it hears nothing."""
        return self._SyncObj__raftElectionDeadline

    @election_deadline.setter
    def election_deadline(self, deadline: float) -> None:
        self._SyncObj__raftElectionDeadline = deadline

    def next_deadline(self) -> float:
        """Return when the next tick is due although nothing happens."""
        return self._SyncObj__newAppendEntriesTime if self.is_leader else self.election_deadline

    def is_connected(self, node: Node) -> bool:
        """Tell whether messages to this member go out."""
        return node in self._SyncObj__connectedNodes

    def reachable(self) -> frozenset[str]:
        """Return this leader and the members that answered it lately."""
        oldest = self.now() - self.timing.election_max_s
        answered = self._SyncObj__lastResponseTime
        return frozenset({self.raft_id, *(node.id for node, at in answered.items() if at > oldest)})

    def entries_from(self, index: int, count: int, size: int) -> list[Entry]:
        """Return up to `count` entries of about `size` bytes, at least one if there is one."""
        return self._SyncObj__getEntries(index, count, size)

    # What the host asks for.

    def tick(self) -> None:
        """Do everything that is due; call after handing in what was received."""
        self.election.prepare(self.now())
        super()._onTick(0.0)

    def transfer(self, duration_s: float) -> None:
        """Try for a while to make another voter the leader; no command is appended meanwhile."""
        self._transfer_until = self.now() + duration_s

    # Messages.

    def _SyncObj__onMessageReceived(self, node: Node, message: Message) -> None:  # noqa: N802
        handler = self._handlers.get(message["type"])
        if handler is not None:
            handler(node, message)

    def _on_request_vote(self, node: Node, message: Message) -> None:
        if message["term"] < self.term:
            self.send(node, {"type": "vote_refused", "term": self.term})
        else:
            super()._SyncObj__onMessageReceived(node, message)

    def _on_vote(self, node: Node, message: Message) -> None:
        if message["term"] == self.term and self.election.is_first_vote(node, self.term):
            super()._SyncObj__onMessageReceived(node, message)

    def _on_vote_refused(self, node: Node, message: Message) -> None:  # one signature for all
        self._observe(message["term"])

    def _on_timeout_now(self, node: Node, message: Message) -> None:
        if self.is_voter and node.id == self.leader_id and message["term"] == self.term:
            super()._SyncObj__onMessageReceived(node, message)  # its heartbeats do not hold us back any more
            self.election.force()

    def send(self, node: Node, message: Message) -> None:
        """Queue a message."""
        self.transport.send(node, message)

    def _observe(self, term: int) -> None:
        if term > self.term:
            self._SyncObj__setCurrentTerm(term, None)
            self._SyncObj__setState(_FOLLOWER)
            self._SyncObj__raftLeader = None

    def follow(self, node: Node, term: int) -> bool:
        """Accept `node` as the leader of `term`; False if that term is over.

        Raises WireError when another one leads it, perhaps this one: a term has one leader.
        """
        if term < self.term:
            return False
        if term > self.term:
            self._observe(term)
            self._SyncObj__transferInProgress = False
        elif self.leader_id not in {None, node.id}:
            raise WireError(f"{node.id} claims to lead term {term}, which {self.leader_id} leads")
        self.heard_leader_at = self.now()
        if not self._SyncObj__transferInProgress:
            self.postpone_election()
            self.election.cancel()
        self._SyncObj__raftLeader = node
        self._SyncObj__setState(_FOLLOWER)
        return True

    def hear_follower(self, node: Node, term: int) -> bool:
        """Note an answer to this leader; False if it does not concern its term or a follower of it."""
        self._observe(term)
        if not self.is_leader or term != self.term or node not in self.match_index:
            return False
        self._SyncObj__lastResponseTime[node] = self.now()
        return True

    def postpone_election(self) -> None:
        """Wait for a leader, as long as the timeouts say."""
        self.election_deadline = self.now() + self._SyncObj__generateRaftTimeout()

    # Leadership.

    def _on_state_changed(self, old: int, new: int) -> None:
        if old != _LEADER or new == _LEADER:
            return
        log.info("raft.leadership_lost", term=self.term)
        self.postpone_election()
        self._transfer_until = float("-inf")
        if self.is_announced:
            self.is_announced = False
            self.host.lead(None)
        self.commands.give_up_appended()
        for read in self.leading.end():
            self.host.refuse(read, NotLeader(self.leader_addr))

    def _SyncObj__onBecomeLeader(self) -> None:  # noqa: N802
        self.is_announced = False
        self.leading.begin()
        super()._SyncObj__onBecomeLeader()
        log.info("raft.leadership_won", term=self.term)

    def _announce(self) -> None:
        first = self._SyncObj__noopIDx
        if self.is_leader and not self.is_announced and first is not None and self.applied_index >= first:
            self.is_announced = True
            self.host.lead(self.term)

    def _continue_transfer(self) -> None:
        ready = [node for node in self.other_voters if self.match_index[node] == self.last_index]
        ready = [node for node in ready if self.is_connected(node) and node.id in self.reachable()]
        if ready:
            target = min(ready, key=lambda node: node.id)
            self.send(target, {"type": "timeout_now", "term": self.term})

    # Commands and entries.

    def _checkCommandsToApply(self) -> None:  # noqa: N802
        if not self.is_leader:
            self.commands.refuse_waiting()
            return
        before = self.last_index
        if self.now() >= self._transfer_until:
            self.commands.append()
        reads = self.commands.take_reads() if self.is_announced else []
        if reads:
            self.leading.begin_reads(reads)
        if reads or self.last_index > before:
            self._SyncObj__sendAppendEntries()
        else:
            self.leading.send_due()

    def append(self, entries: Sequence[Entry]) -> None:
        """Add entries to the log; membership changes count at once."""
        changed = False
        for command, index, term in entries:
            self.journal.add(command, index, term)
            change = change_of(command)
            if change is not None:
                self.history.append(index, change)
                changed = True
        if changed:
            self._membership_changed()

    def cut(self, index: int) -> None:
        """Drop the entries at and above `index`, with the membership changes among them."""
        self.journal.deleteEntriesFrom(index - self.journal[0][1])
        if self.history.last_change >= index:
            self.history.truncate(index)
            self._membership_changed()

    def advance_commit(self, index: int) -> None:
        """Learn from the leader that everything up to `index` is committed."""
        self._SyncObj__leaderCommitIndex = index
        if index > self.commit_index:
            self._SyncObj__raftCommitIndex = index
            self.journal.setRaftCommitIndex(index)

    def install(self, snapshot: Snapshot) -> None:
        """Replace log and state by a snapshot that a leader sent."""
        known = (*self.history.current.members.values(), *self._contacts())
        contacts = contacts_beside(snapshot.membership, known)
        self.snapshots.adopt(snapshot)
        self.journal.reset(snapshot.index, snapshot.term, snapshot.membership, contacts)
        self.history = self.journal.history()
        self._SyncObj__raftLastApplied = self._SyncObj__raftCommitIndex = snapshot.index
        self.host.restore(snapshot)
        self._membership_changed()

    def _SyncObj__applyLogEntries(self) -> bool:  # noqa: N802
        count = min(self.commit_index - self.applied_index, self.host.room())
        if count > 0:
            entries = self._SyncObj__getEntries(self.applied_index + 1, count)
            self.host.apply([self.commands.committed(entry) for entry in entries])
            self._SyncObj__raftLastApplied = entries[-1][1]
            self._announce()
        if not self._told_committed and self.history.last_change <= self.commit_index:
            self._told_committed = True
            self.host.membership_changed(self.history.current, self._contacts(), committed=True)
            if self.history.current.is_removed(self.raft_id):
                self.host.removed()
        for read in self.leading.ready_reads():
            self.host.answer(read)
        return False

    def _membership_changed(self) -> None:
        current = self.history.current
        voters = {Node(raft_id) for raft_id in current.voters if raft_id != self.raft_id}
        learners = {Node(raft_id) for raft_id in current.learners if raft_id != self.raft_id}
        answered = self._SyncObj__lastResponseTime
        gone = self.followers - voters - learners
        for node in gone:
            self.next_index.pop(node, None)
            self.match_index.pop(node, None)
            answered.pop(node, None)
        self.leading.forget(gone)
        for node in voters | learners:
            if node in self.match_index:
                continue
            self.next_index[node] = self.last_index + 1
            self.match_index[node] = 0
            answered[node] = self.now()
        self._SyncObj__otherNodes, self._SyncObj__readonlyNodes = voters, learners
        self._told_committed = False
        self.host.membership_changed(current, self._contacts(), committed=False)

    def _contacts(self) -> tuple[RaftMember, ...]:
        return self.history.contacts(self.commit_index, self.journal.contacts)

    # Replication and compaction in place of the library's.

    def _SyncObj__sendAppendEntries(self) -> None:  # noqa: N802
        self._SyncObj__newAppendEntriesTime = self.now() + self.timing.heartbeat_s
        if self.now() < self._transfer_until:
            self._continue_transfer()
        self.leading.send_all()

    def _SyncObj__tryLogCompaction(self) -> None:  # noqa: N802
        self.compactor.check(self.now())

    def _SyncObj__onNodeConnected(self, node: Node) -> None:  # noqa: N802
        super()._SyncObj__onNodeConnected(node)
        if self.is_leader and node in self.followers:
            self.leading.on_connected(node)

    def _SyncObj__onNodeDisconnected(self, node: Node) -> None:  # noqa: N802
        super()._SyncObj__onNodeDisconnected(node)
        if self.is_leader and node in self.followers:
            self.leading.on_disconnected(node)
        elif node.id == self.leader_id:
            self.election.suspect_leader()
