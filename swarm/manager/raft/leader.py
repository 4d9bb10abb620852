"""What a leader does for its members: entries, snapshots, consistent reads, promotion of learners."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import structlog
from pysyncobj.node import Node

from swarm.api.v1.raft_pb2 import MembershipChange, RaftMember
from swarm.manager.raft.codec import Message
from swarm.manager.raft.entries import FIRST_INDEX
from swarm.manager.raft.host import ReadRequest
from swarm.manager.raft.membership import knows_of, may_vote
from swarm.manager.raft.replication import term_at
from swarm.manager.raft.sealed import SealedFile
from swarm.manager.raft.snapshots import DamagedSnapshot, Snapshot

if TYPE_CHECKING:
    from swarm.manager.raft.core import Core

log = structlog.get_logger(__name__)

WINDOW_ENTRIES = 4096  # sent to a member and not acknowledged yet
BATCH_BYTES = 512 * 1024  # entries in one message, unless a single one is larger
CHUNK_BYTES = 512 * 1024  # of a snapshot; one is under way per member
CHUNK_RETRY_S = 5.0


class SnapshotTransfer:
    """A snapshot on its way to one member, piece by acknowledged piece."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self.offset = 0
        self.retry_at = 0.0
        self._file: SealedFile | None = None

    def message(self, term: int) -> Message:
        """Return the message with the piece at the current offset, in clear; raises DamagedSnapshot."""
        if self._file is None:
            self._file = self.snapshot.open()
        chunk = self._file.read(self.offset, CHUNK_BYTES)
        done = self.offset + len(chunk) >= self._file.size()
        message: Message = {"type": "snapshot", "term": term, "index": self.snapshot.index}
        message |= {"snapshot_term": self.snapshot.term, "offset": self.offset, "chunk": chunk, "done": done}
        return message

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()


class Leader:
    """The state that a member has only while it leads."""

    def __init__(self, core: "Core") -> None:
        self._core = core
        self._probing: set[Node] = set()  # where these members' logs agree with ours is not known yet
        self._due: set[Node] = set()
        self._set_back: set[Node] = set()  # lack entries that they confirmed
        self._transfers: dict[Node, SnapshotTransfer] = {}
        self._read_sequence = 0
        self._echoes: dict[str, int] = {}  # raft id → last read sequence that it answered
        self._reads: list[tuple[int, int, ReadRequest]] = []  # sequence, index to be applied, who asked

    def begin(self) -> None:
        """Start a term: nothing is known about the members."""
        self._probing = set(self._core.followers)
        self._due.clear()
        self._set_back.clear()
        self._echoes.clear()

    def end(self) -> list[ReadRequest]:
        """Leadership is lost; returns the readers that wait."""
        self.drop_transfers()
        waiting = [read for _, _, read in self._reads]
        self._reads.clear()
        self._due.clear()
        return waiting

    def drop_transfers(self) -> None:
        """Stop sending snapshots."""
        for transfer in self._transfers.values():
            transfer.close()
        self._transfers.clear()

    def forget(self, nodes: Iterable[Node]) -> None:
        """Drop what concerns members that were removed."""
        for node in nodes:
            self._probing.discard(node)
            self._due.discard(node)
            self._set_back.discard(node)
            self._echoes.pop(node.id, None)
            transfer = self._transfers.pop(node, None)
            if transfer is not None:
                transfer.close()

    # Sending.

    def send_all(self) -> None:
        """Send to everybody what they lack; an empty message is a heartbeat."""
        self._due.clear()
        for node in sorted(self._core.followers, key=lambda node: node.id):
            self._send(node, heartbeat=True)

    def send_due(self) -> None:
        """Send to those that can take more since their last answer."""
        due, self._due = self._due, set()
        for node in sorted(due, key=lambda node: node.id):
            self._send(node, heartbeat=False)

    def _send(self, node: Node, *, heartbeat: bool) -> None:
        core = self._core
        if not core.is_connected(node):
            return
        while True:
            following = core.next_index[node]
            if following <= core.journal[0][1]:
                self._send_snapshot(node)
                self._send_entries(node, core.last_index + 1, ())  # keeps the connection known to be alive
                return
            full = following - core.match_index[node] > WINDOW_ENTRIES or core.transport.is_congested(node)
            entries = () if full else core.entries_from(following, WINDOW_ENTRIES, BATCH_BYTES)
            if entries or heartbeat:
                self._send_entries(node, following, entries)
            if not entries:
                return
            heartbeat = False
            core.next_index[node] = entries[-1][1] + 1
            if node in self._probing or core.next_index[node] > core.last_index:
                return

    def _send_entries(self, node: Node, following: int, entries: Iterable[tuple[bytes, int, int]]) -> None:
        core = self._core
        previous = following - 1
        message: Message = {"type": "append_entries", "term": core.term, "commit_index": core.commit_index}
        message |= {"prevLogIdx": previous, "prevLogTerm": term_at(core.journal, previous)}
        core.send(node, message | {"entries": entries, "read_sequence": self._read_sequence})

    def _send_snapshot(self, node: Node) -> None:
        core = self._core
        transfer = self._transfers.get(node)
        if transfer is None:
            if core.snapshots.latest is None:
                log.error("raft.snapshot_missing", raft_id=node.id, raft_index=core.next_index[node])
                return
            transfer = self._transfers[node] = SnapshotTransfer(core.snapshots.latest)
            log.info("raft.snapshot_sending", raft_id=node.id, raft_index=transfer.snapshot.index)
        if core.now() >= transfer.retry_at:
            self._send_chunk(node, transfer)

    def _send_chunk(self, node: Node, transfer: SnapshotTransfer) -> None:
        transfer.retry_at = self._core.now() + CHUNK_RETRY_S
        try:
            self._core.send(node, transfer.message(self._core.term))
        except DamagedSnapshot as error:  # the next snapshot helps
            log.error("raft.snapshot_not_sent", raft_id=node.id, reason=str(error))  # noqa: TRY400

    # Answers.

    def on_append_reply(self, node: Node, message: Message) -> None:
        """Learn how far a member's log equals ours."""
        core = self._core
        if not core.hear_follower(node, message["term"]):
            return
        if message["read_sequence"] <= self._read_sequence:  # no correct member echoes what it never got
            self._echoes[node.id] = max(self._echoes.get(node.id, 0), message["read_sequence"])
        following = message["next_node_idx"]
        if following > core.last_index + 1:
            log.warning("raft.answer_refused", raft_id=node.id, raft_index=following)
            return
        if message["success"]:
            core.match_index[node] = max(core.match_index[node], following - 1)
            core.next_index[node] = max(core.next_index[node], following)
            self._probing.discard(node)
            self._end_transfer(node)
        elif not message["reset"] or not self._go_back(node, following):
            return
        if core.next_index[node] <= core.last_index:
            self._due.add(node)

    def _go_back(self, node: Node, following: int) -> bool:
        """Send from further back; False if there is no reason to."""
        core = self._core
        if following <= core.match_index[node]:
            # A late answer, or its disk was set back: what it has confirmed is not sent again.
            if node not in self._set_back:
                self._set_back.add(node)
                log.warning("raft.member_lacks_confirmed_entries", raft_id=node.id, raft_index=following)
            return False
        following = max(following, FIRST_INDEX + 1)
        if following >= core.next_index[node]:
            return False
        core.next_index[node] = following
        self._probing.add(node)
        return True

    def _end_transfer(self, node: Node) -> None:
        transfer = self._transfers.get(node)
        if transfer is not None and self._core.match_index[node] >= transfer.snapshot.index:
            del self._transfers[node]
            transfer.close()

    def on_snapshot_reply(self, node: Node, message: Message) -> None:
        """Send the next piece of a snapshot."""
        if not self._core.hear_follower(node, message["term"]):
            return
        transfer = self._transfers.get(node)
        if transfer is None or transfer.snapshot.index != message["index"]:
            return
        if message["offset"] != transfer.offset:
            transfer.offset = message["offset"]
            self._send_chunk(node, transfer)

    def on_connected(self, node: Node) -> None:
        """Start sending to a member."""
        self._due.add(node)

    def on_disconnected(self, node: Node) -> None:
        """What was sent to a member and not answered is lost."""
        core = self._core
        if core.match_index.get(node):
            core.next_index[node] = core.match_index[node] + 1
        self._probing.add(node)
        self._due.discard(node)
        if node in self._transfers:
            self._transfers[node].retry_at = 0.0

    # Consistent reads: whoever asks waits until a majority has answered a message sent after that.

    def begin_reads(self, reads: Iterable[ReadRequest]) -> None:
        """Note readers; the next messages ask the majority on their behalf."""
        self._read_sequence += 1
        index = self._core.commit_index
        self._reads.extend((self._read_sequence, index, read) for read in reads)

    def ready_reads(self) -> list[ReadRequest]:
        """Return the readers that may go on, and forget them."""
        if not self._reads:
            return []
        core = self._core
        echoes = [self._echoes.get(node.id, 0) for node in core.other_voters]
        confirmed = sorted([*echoes, self._read_sequence], reverse=True)[core.history.current.quorum - 1]
        ready: list[ReadRequest] = []
        waiting: list[tuple[int, int, ReadRequest]] = []
        for sequence, index, read in self._reads:
            if sequence <= confirmed and index <= core.applied_index:
                ready.append(read)
            elif not read.abandoned:
                waiting.append((sequence, index, read))
        self._reads = waiting
        return ready

    # The log.

    @property
    def log_wanted_from(self) -> int:
        """The entry behind which that member goes on, of those that answer, which has the least."""
        core = self._core
        reachable = core.reachable() if core.is_leader else frozenset()
        ends = [core.last_index]
        for node in core.followers:
            transfer = self._transfers.get(node)
            end = transfer.snapshot.index if transfer is not None else core.match_index[node]
            if end and node.id in reachable and core.is_connected(node):
                ends.append(end)
        return min(ends)

    # Learners.

    def promotion(self) -> MembershipChange | None:
        """Return the promotion of a learner that has caught up, None if there is none to make."""
        core = self._core
        membership = core.history.current
        if not membership.learners:
            return None
        matches = {node.id: index for node, index in core.match_index.items()}
        matches[core.raft_id] = core.last_index
        reachable = core.reachable()
        for learner in membership.learners:
            if not may_vote(membership, learner, matches, core.last_index, reachable):
                continue
            if not knows_of(core.history.last_change, membership.voters, matches, reachable):
                continue
            member = RaftMember()
            member.CopyFrom(membership.members[learner])
            member.learner = False
            return MembershipChange(kind=MembershipChange.KIND_ADD, member=member)
        return None
