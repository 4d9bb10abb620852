"""When does this member campaign, and whom does it encourage? Pre-vote around pysyncobj's election.

Before a real election, which raises the term and deposes whoever leads, a member asks whether it would
win: others say yes only if its log is as new as theirs and they have heard of no leader for a while.
"""

import random
from typing import TYPE_CHECKING

from pysyncobj.node import Node

from swarm.manager.raft.codec import Message

if TYPE_CHECKING:
    from swarm.manager.raft.core import Core


class Election:
    """The pre-vote rounds of one member, and who voted for it in which term."""

    def __init__(self, core: "Core") -> None:
        self._core = core
        self._round: tuple[float, set[str]] | None = None  # nonce, members that said yes
        self._cleared = False  # the next election may be a real one
        self._votes: tuple[int, set[str]] = (0, set())

    def prepare(self, now: float) -> None:
        """Turn a due election into a pre-vote round, unless one was won; called before each tick."""
        core = self._core
        if core.is_leader or core.election_deadline >= now:
            return
        if not core.is_voter:
            core.postpone_election()
        elif not core.other_voters or self._cleared:
            self._cleared = False  # the library's election follows in this tick
        else:
            self._ask(now)

    def _ask(self, now: float) -> None:
        core = self._core
        core.postpone_election()
        self._round = (now, {core.raft_id})
        _, index, term = core.journal[-1]
        for node in core.other_voters:
            if core.is_connected(node):
                message: Message = {"type": "prevote", "term": core.term + 1, "nonce": now}
                core.send(node, message | {"last_log_index": index, "last_log_term": term})

    def on_prevote(self, node: Node, message: Message) -> None:
        """Answer a member that thinks of campaigning."""
        core = self._core
        if message["term"] <= core.term:
            core.send(
                node, {"type": "vote_refused", "term": core.term}
            )  # it learns the term without winning
            return
        _, index, term = core.journal[-1]
        if (message["last_log_term"], message["last_log_index"]) < (term, index):
            return
        if core.is_leader or core.now() - core.heard_leader_at < core.timing.election_min_s:
            return
        core.send(node, {"type": "prevote_granted", "term": core.term, "nonce": message["nonce"]})

    def on_granted(self, node: Node, message: Message) -> None:
        """Count a yes; a majority starts a real election."""
        core = self._core
        if self._round is None or message["nonce"] != self._round[0] or core.is_leader or not core.is_voter:
            return
        supporters = self._round[1]
        supporters.add(node.id)
        if len(supporters.intersection(core.history.current.voters)) >= core.history.current.quorum:
            self._round = None
            self.force()

    def suspect_leader(self) -> None:
        """The connection to the leader broke: its process may have died. Two silent heartbeats will tell.

        A leader that lives is heard before that, on its own stream to us, and nothing happens.
        """
        core = self._core
        silence_s = 2 * core.timing.heartbeat_s
        core.heard_leader_at = min(core.heard_leader_at, core.now() - core.timing.election_min_s + silence_s)
        patience_s = silence_s + random.uniform(0.5, 2.5) * core.timing.heartbeat_s  # noqa: S311  # no secret
        core.election_deadline = min(core.election_deadline, core.now() + patience_s)

    def force(self) -> None:
        """Campaign at the next tick."""
        self._cleared = True
        self._core.election_deadline = 0.0

    def cancel(self) -> None:
        """Forget a round, and a permission to campaign: there is a leader."""
        self._round = None
        self._cleared = False

    def is_first_vote(self, node: Node, term: int) -> bool:
        """Tell whether this vote counts: from a voter, once per term."""
        if self._votes[0] != term:
            self._votes = (term, set())
        if node.id in self._votes[1] or node not in self._core.other_voters:
            return False
        self._votes[1].add(node.id)
        return True
