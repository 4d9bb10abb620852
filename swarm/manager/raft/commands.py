"""What the leader is asked to append, from the asking to the commit."""

from collections import deque
from typing import TYPE_CHECKING

import structlog

from swarm.api.v1.raft_pb2 import MembershipChange
from swarm.errors import FailedPrecondition, NotLeader, OutcomeUnknown, SwarmError, Unavailable
from swarm.manager.raft.entries import Entry, change_command, change_of
from swarm.manager.raft.host import Committed, Proposal, ReadRequest
from swarm.manager.raft.membership import check_removal, describe_change

if TYPE_CHECKING:
    from swarm.manager.raft.core import Core

log = structlog.get_logger(__name__)


class Commands:
    """Proposals and reads that wait for their turn, and proposals that wait for their commit."""

    def __init__(self, core: "Core") -> None:
        self._core = core
        self._proposals: deque[Proposal] = deque()
        self._reads: list[ReadRequest] = []
        self._appended: dict[int, tuple[int, Proposal]] = {}  # index → term, proposal

    def propose(self, proposal: Proposal) -> None:
        """Take a command for the next tick."""
        self._proposals.append(proposal)

    def read(self, request: ReadRequest) -> None:
        """Take a reader for the next tick."""
        self._reads.append(request)

    def take_reads(self) -> list[ReadRequest]:
        """Return the readers that still wait, and forget them."""
        reads, self._reads = self._reads, []
        return [read for read in reads if not read.abandoned]

    def append(self) -> None:
        """Append what was proposed, and the promotion of a learner that is due."""
        core = self._core
        while self._proposals:
            proposal = self._proposals.popleft()
            if proposal.abandoned:
                continue
            try:
                self._check(change_of(proposal.command))
            except SwarmError as error:
                core.host.refuse(proposal, error)
                continue
            self._appended[core.last_index + 1] = (core.term, proposal)
            core.append([(proposal.command, core.last_index + 1, core.term)])
        promotion = core.leading.promotion() if self._may_change_members else None
        if promotion is not None:
            log.info("raft.learner_promoted", raft_id=promotion.member.raft_id)
            core.append([(change_command(promotion), core.last_index + 1, core.term)])

    @property
    def _may_change_members(self) -> bool:
        """One change at a time, and none before an entry of this term is committed."""
        return self._core.is_announced and self._core.history.last_change <= self._core.commit_index

    @property
    def _pending_change(self) -> str:
        core = self._core
        position = core.history.last_change - core.journal[0][1]
        change = change_of(core.journal[position][0]) if position > 0 else None
        if change is None or not core.is_announced:
            return "a new leader is taking over"
        return describe_change(change, core.history.at(core.commit_index))

    def _check(self, change: MembershipChange | None) -> None:
        if change is None:
            return
        core = self._core
        if not self._may_change_members:
            raise Unavailable(
                f"another change of the managers is under way ({self._pending_change}); "
                "try again when it is done"
            )
        if change.kind == MembershipChange.KIND_REMOVE:
            if change.member.raft_id == core.raft_id:
                raise FailedPrecondition("the leader cannot remove itself; another manager must lead first")
            check_removal(core.history.current, change.member.raft_id, core.reachable())

    def committed(self, entry: Entry) -> Committed:
        """Return a committed entry together with the proposal that it came from."""
        command, index, term = entry
        proposed_term, proposal = self._appended.pop(index, (0, None))
        if proposal is not None and proposed_term != term:
            reason = OutcomeUnknown("another leader's change took the place of this one")
            self._core.host.refuse(proposal, reason)
            proposal = None
        return Committed(index, command, proposal)

    def refuse_waiting(self) -> None:
        """Tell everybody whose request was not appended that this is not the leader."""
        core = self._core
        for proposal in self._proposals:
            core.host.refuse(proposal, NotLeader(core.leader_addr))
        for read in self._reads:
            core.host.refuse(read, NotLeader(core.leader_addr))
        self._proposals.clear()
        self._reads.clear()

    def give_up_appended(self) -> None:
        """Leadership is lost: nobody here will learn what becomes of the entries."""
        unknown = OutcomeUnknown("leadership was lost before a majority confirmed the change")
        for _, proposal in self._appended.values():
            self._core.host.refuse(proposal, unknown)
        self._appended.clear()
