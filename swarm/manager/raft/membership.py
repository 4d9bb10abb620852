"""Who belongs to the group, and which changes are safe: pure.

A change counts from the moment it is appended, committed or not, and one change is under way at a time.
"""

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field
from functools import cached_property

from swarm.api.v1.raft_pb2 import MembershipChange, RaftMember, RaftMembership
from swarm.errors import FailedPrecondition, NotFound

REMOVED_LIMIT = 256  # members that left and are remembered, so that they can be told
CAUGHT_UP_ENTRIES = 1000  # a learner this close to the end of the log may vote


@dataclass(frozen=True)
class Membership:
    """Voters and learners by raft id, and the last members that were removed."""

    members: Mapping[str, RaftMember] = field(default_factory=dict)
    removed: tuple[RaftMember, ...] = ()

    @cached_property
    def voters(self) -> tuple[str, ...]:
        """Raft ids of those that count for majorities."""
        return tuple(sorted(key for key, member in self.members.items() if not member.learner))

    @cached_property
    def learners(self) -> tuple[str, ...]:
        """Raft ids of those that only get the log."""
        return tuple(sorted(key for key, member in self.members.items() if member.learner))

    @property
    def quorum(self) -> int:
        """How many voters make a majority."""
        return len(self.voters) // 2 + 1

    def is_removed(self, raft_id: str) -> bool:
        """Tell whether this id was a member and is no more."""
        return raft_id not in self.members and any(member.raft_id == raft_id for member in self.removed)

    def of_node(self, node_id: str) -> RaftMember | None:
        """Return the member that a node is."""
        return next((member for member in self.members.values() if member.node_id == node_id), None)

    def node_was_removed(self, node_id: str) -> bool:
        """Tell whether the node was a member and is no more, under any raft id."""
        return self.of_node(node_id) is None and any(m.node_id == node_id for m in self.removed)

    def changed(self, change: MembershipChange) -> "Membership":
        """Return the membership after `change`; what it asks for may be true already."""
        raft_id = change.member.raft_id
        current = self.members.get(raft_id)
        members = dict(self.members)
        if change.kind == MembershipChange.KIND_REMOVE:
            if current is None:
                return self
            del members[raft_id]
            return Membership(members, (*self.removed, current)[-REMOVED_LIMIT:])
        if change.kind == MembershipChange.KIND_UPDATE_ADDR:
            if current is None:
                return self
            moved = RaftMember(addr=change.member.addr)
            members[raft_id] = _merged(current, moved)
        # A joiner replays the addition of members that it was told of when it joined.
        elif (current is None and not self.is_removed(raft_id)) or (current is not None and current.learner):
            members[raft_id] = change.member
        return Membership(members, self.removed)


def _merged(current: RaftMember, update: RaftMember) -> RaftMember:
    merged = RaftMember()
    merged.CopyFrom(current)
    merged.MergeFrom(update)
    return merged


def membership_of(*members: RaftMember) -> Membership:
    """Return a membership that nobody has left yet."""
    return Membership({member.raft_id: member for member in members})


def describe_change(change: MembershipChange, membership: Membership) -> str:
    """Return what a change does, for people; `membership` knows the members by name."""
    member = membership.members.get(change.member.raft_id, change.member)
    node_id = member.node_id or change.member.node_id
    if change.kind == MembershipChange.KIND_REMOVE:
        return f"manager {node_id} is being removed"
    if change.kind == MembershipChange.KIND_UPDATE_ADDR:
        return f"the address of manager {node_id} becomes {change.member.addr}"
    if change.member.learner:
        return f"manager {node_id} is joining"
    return f"manager {node_id} is getting its vote"


def to_message(membership: Membership) -> RaftMembership:
    """Return the message that records `membership`."""
    members = [membership.members[key] for key in sorted(membership.members)]
    return RaftMembership(members=members, removed=membership.removed)


def from_message(message: RaftMembership) -> Membership:
    """Return the membership that a message records."""
    return Membership({member.raft_id: member for member in message.members}, tuple(message.removed))


class MembershipHistory:
    """The membership at every index of the log, so that cut entries can be undone."""

    def __init__(self, index: int, base: Membership) -> None:
        """Start with `base`, the membership as of the log's first entry, at `index`."""
        self._steps: list[tuple[int, Membership]] = [(index, base)]

    @property
    def current(self) -> Membership:
        """The membership that counts: that of the last change in the log."""
        return self._steps[-1][1]

    @property
    def last_change(self) -> int:
        """Index of the last change (that of the log's first entry, if there was none since)."""
        return self._steps[-1][0]

    def append(self, index: int, change: MembershipChange) -> None:
        """Note a change that was appended at `index`."""
        self._steps.append((index, self.current.changed(change)))

    def truncate(self, index: int) -> None:
        """Undo the changes at and above `index`."""
        while len(self._steps) > 1 and self._steps[-1][0] >= index:
            self._steps.pop()

    def at(self, index: int) -> Membership:
        """Return the membership as of the entry at `index`."""
        return next(membership for at, membership in reversed(self._steps) if at <= index)

    def contacts(self, commit_index: int, others: Iterable[RaftMember]) -> tuple[RaftMember, ...]:
        """Return whom to talk to besides the current members.

        A member whose removal is not committed yet may be the leader that undoes the removal.
        """
        committed = self.at(commit_index)
        known = {member.raft_id: member for member in others}
        for index, membership in self._steps:
            if index > commit_index:
                known.update(membership.members)
        known.update(committed.members)
        return tuple(
            known[raft_id]
            for raft_id in sorted(known.keys() - self.current.members.keys())
            if not committed.is_removed(raft_id)
        )

    def compact(self, index: int) -> None:
        """Forget what was before `index`, the log's new first entry."""
        later = [step for step in self._steps if step[0] > index]
        self._steps = [(index, self.at(index)), *later]


def contacts_beside(membership: Membership, known: Iterable[RaftMember]) -> tuple[RaftMember, ...]:
    """Return those of `known` that `membership` does not tell of.

    A snapshot can be older than the member that sends it: its receiver must stay able to answer.
    """
    return tuple(
        member
        for member in known
        if member.raft_id not in membership.members and not membership.is_removed(member.raft_id)
    )


REMOVED = "this member was removed from the group"


def refusal(committed: Membership, known: Mapping[str, RaftMember], raft_id: str, node_id: str) -> str:
    """Return why a manager may not connect as the member `raft_id`, empty if it may.

    Unknown ids are let in: a member that was away may meet a leader that joined meanwhile, and can learn of
    it only from that leader.
    """
    if committed.is_removed(raft_id):
        return REMOVED
    member = known.get(raft_id)
    if member is not None and member.node_id != node_id:
        return f"the raft id {raft_id} belongs to another node"
    return "" if raft_id else "no raft id was given"


def check_removal(membership: Membership, raft_id: str, reachable: Set[str]) -> None:
    """Raise NotFound or FailedPrecondition if removing this member would cost the group its majority."""
    member = membership.members.get(raft_id)
    if member is None:
        raise NotFound(f"there is no manager with the raft id {raft_id}")
    if member.learner:
        return
    left = [voter for voter in membership.voters if voter != raft_id]
    if not left:
        raise FailedPrecondition(f"{member.node_id} is the last manager and cannot be removed")
    needed = len(left) // 2 + 1
    alive = len(reachable & frozenset(left))
    if alive < needed:
        raise FailedPrecondition(
            f"removing {member.node_id} would leave {_managers(len(left))}, of which {alive} can be reached "
            f"and {needed} are needed for a majority"
        )


def may_vote(
    membership: Membership, learner: str, matches: Mapping[str, int], last_index: int, reachable: Set[str]
) -> bool:
    """Tell whether a learner can become a voter: it has the log, and its vote costs nobody the majority.

    `matches` says up to where each member has the log, the leader included; 0: it never said.
    """
    match = matches.get(learner, 0)
    if learner not in reachable or not match or match < last_index - CAUGHT_UP_ENTRIES:
        return False
    after = len(membership.voters) + 1
    return len(reachable & frozenset(membership.voters)) + 1 >= after // 2 + 1


def knows_of(index: int, voters: Iterable[str], matches: Mapping[str, int], reachable: Set[str]) -> bool:
    """Tell whether every reachable voter has the entry at `index`.

    A voter that never heard of a learner refuses its connections, later also as a candidate.
    """
    return all(matches.get(voter, 0) >= index for voter in voters if voter in reachable)


def _managers(count: int) -> str:
    return "1 manager" if count == 1 else f"{count} managers"
