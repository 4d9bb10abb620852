"""What a follower does with its leader's entries and snapshots."""

from typing import TYPE_CHECKING

import structlog
from pysyncobj.node import Node

from swarm.manager.raft.codec import Message
from swarm.manager.raft.replication import AppendPlan, plan_append, term_at
from swarm.manager.raft.snapshots import DamagedSnapshot, IncomingSnapshot

if TYPE_CHECKING:
    from swarm.manager.raft.core import Core

log = structlog.get_logger(__name__)


class Follower:
    """Receives the log."""

    def __init__(self, core: "Core") -> None:
        self._core = core
        self._incoming: IncomingSnapshot | None = None

    def on_append(self, node: Node, message: Message) -> None:
        """Take entries from the leader and say up to where the logs are equal."""
        core = self._core
        if not core.follow(node, message["term"]):
            self._reply(node, AppendPlan(core.last_index + 1))  # our term tells it that it leads no more
            return
        previous = (message["prevLogIdx"], message["prevLogTerm"])
        plan = plan_append(core.journal, core.commit_index, previous, message["entries"])
        if plan is None:
            return
        if plan.cut_from is not None:
            core.cut(plan.cut_from)
        core.append(plan.append)
        if plan.success:
            core.advance_commit(min(message["commit_index"], plan.match))
        self._reply(node, plan, message["read_sequence"])

    def _reply(self, node: Node, plan: AppendPlan, read_sequence: int = 0) -> None:
        message: Message = {
            "type": "next_node_idx",
            "term": self._core.term,
            "next_node_idx": plan.next_index,
        }
        message |= {"success": plan.success, "reset": plan.reset, "read_sequence": read_sequence}
        self._core.send(node, message)

    def on_snapshot(self, node: Node, message: Message) -> None:
        """Take a piece of a snapshot; the last one installs it."""
        core = self._core
        if not core.follow(node, message["term"]):
            self._reply(node, AppendPlan(core.last_index + 1))
            return
        index, term = message["index"], message["snapshot_term"]
        if index <= core.commit_index or term_at(core.journal, index) == term:
            self.drop_incoming()  # we have that entry, and hence everything before it
            core.advance_commit(index)
            self._reply(node, AppendPlan(max(index, core.commit_index) + 1, success=True))
            return
        if self._incoming is None or self._incoming.key != (index, term):
            self.drop_incoming()
            self._incoming = core.snapshots.receive(core.journal.cluster_id, index, term)
        if message["offset"] == self._incoming.received and self._take(self._incoming, message):
            self._reply(node, AppendPlan(index + 1, success=True))
            return
        reply: Message = {"type": "snapshot_reply", "term": core.term, "index": index}
        core.send(node, reply | {"offset": self._received})

    @property
    def _received(self) -> int:
        return 0 if self._incoming is None else self._incoming.received

    def _take(self, incoming: IncomingSnapshot, message: Message) -> bool:
        """Write the piece; return whether the snapshot is complete and installed. Raises OSError."""
        try:
            incoming.append(message["chunk"])
            if not message["done"]:
                return False
            self._incoming = None
            snapshot = incoming.finish()
        except DamagedSnapshot as error:
            log.warning("raft.snapshot_refused", raft_index=message["index"], reason=str(error))
            self.drop_incoming()  # the leader starts again from the first piece
            return False
        self._core.install(snapshot)
        log.info("raft.snapshot_installed", raft_index=snapshot.index)
        return True

    def drop_incoming(self) -> None:
        """Forget what has arrived of a snapshot."""
        if self._incoming is not None:
            self._incoming.abort()
            self._incoming = None
