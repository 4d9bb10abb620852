"""Who belongs to the group: changes that count when appended, and changes that are refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarm.api.v1.raft_pb2 import MembershipChange, RaftMember
from swarm.errors import FailedPrecondition, NotFound
from swarm.manager.raft.membership import (
    REMOVED,
    Membership,
    MembershipHistory,
    check_removal,
    contacts_beside,
    from_message,
    may_vote,
    membership_of,
    refusal,
    to_message,
)

ADD, REMOVE, MOVE = (
    MembershipChange.KIND_ADD,
    MembershipChange.KIND_REMOVE,
    MembershipChange.KIND_UPDATE_ADDR,
)


def member(raft_id: str, *, learner: bool = False, addr: str = "") -> RaftMember:
    return RaftMember(raft_id=raft_id, node_id=f"node-{raft_id}", addr=addr, learner=learner)


def change(kind: "MembershipChange.Kind", changed: RaftMember) -> MembershipChange:
    return MembershipChange(kind=kind, member=changed)


def group(voters: str, learners: str = "") -> Membership:
    return membership_of(*map(member, voters), *(member(key, learner=True) for key in learners))


def test_a_learner_does_not_count_until_it_is_promoted() -> None:
    joined = group("abc").changed(change(ADD, member("d", learner=True)))
    assert (joined.voters, joined.learners, joined.quorum) == (("a", "b", "c"), ("d",), 2)
    promoted = joined.changed(change(ADD, member("d")))
    assert (promoted.voters, promoted.learners, promoted.quorum) == (("a", "b", "c", "d"), (), 3)


def test_replaying_the_past_changes_nothing_that_is_known() -> None:
    known = group("abc", "d")
    assert known.changed(change(ADD, member("a", learner=True))).voters == ("a", "b", "c")
    gone = known.changed(change(REMOVE, member("b")))
    assert gone.changed(change(ADD, member("b", learner=True))).members.keys() == {"a", "c", "d"}
    assert gone.changed(change(REMOVE, member("b"))) == gone


def test_an_address_changes_and_nothing_else() -> None:
    moved = group("ab").changed(change(MOVE, RaftMember(raft_id="a", addr="h:9")))
    assert moved.members["a"] == member("a", addr="h:9")
    assert moved.changed(change(MOVE, RaftMember(raft_id="x", addr="h:9"))) == moved


def test_a_removed_member_is_remembered_by_id_and_node() -> None:
    gone = group("abc").changed(change(REMOVE, member("b")))
    assert gone.is_removed("b")
    assert not gone.is_removed("a")
    assert gone.node_was_removed("node-b")
    assert from_message(to_message(gone)) == gone
    again = gone.changed(change(ADD, RaftMember(raft_id="b2", node_id="node-b")))
    assert not again.node_was_removed("node-b")
    assert again.is_removed("b")


def test_who_may_connect() -> None:
    committed = group("abc").changed(change(REMOVE, member("c")))
    assert refusal(committed, committed.members, "a", "node-a") == ""
    assert refusal(committed, committed.members, "c", "node-c") == REMOVED
    assert "belongs to another node" in refusal(committed, committed.members, "a", "node-b")
    assert refusal(committed, committed.members, "new", "node-new") == ""  # may be a leader we missed
    assert refusal(committed, committed.members, "", "node-a")


def test_a_removal_must_leave_a_majority_that_answers() -> None:
    trio = group("abc")
    check_removal(trio, "c", frozenset("ab"))
    with pytest.raises(FailedPrecondition, match="would leave 2 managers, of which 1 can be"):
        check_removal(trio, "b", frozenset("ab"))
    check_removal(group("ab"), "b", frozenset("a"))
    with pytest.raises(FailedPrecondition, match="last manager"):
        check_removal(group("a", "d"), "a", frozenset("ad"))
    check_removal(group("abc", "d"), "d", frozenset("a"))  # a learner costs nothing
    with pytest.raises(NotFound):
        check_removal(trio, "x", frozenset("abc"))


def test_a_learner_may_vote_when_it_has_the_log_and_answers() -> None:
    joined = group("ab", "d")
    alive = frozenset("abd")
    assert may_vote(joined, "d", {"a": 5000, "d": 4000}, 5000, alive)
    assert not may_vote(joined, "d", {"a": 5000, "d": 3999}, 5000, alive)
    assert not may_vote(joined, "d", {"a": 5000, "d": 5000}, 5000, frozenset("ab"))
    assert not may_vote(joined, "d", {"a": 500, "d": 0}, 500, alive)  # it never said anything
    # With b away, a group of three would live on a and d alone; with b and c away it would stand still.
    assert may_vote(joined, "d", {"d": 5000}, 5000, frozenset("ad"))
    assert not may_vote(group("abc", "d"), "d", {"d": 5000}, 5000, frozenset("ad"))


def test_cutting_the_log_undoes_changes() -> None:
    history = MembershipHistory(1, group("abc"))
    history.append(5, change(ADD, member("d")))
    history.append(9, change(REMOVE, member("a")))
    assert history.current.voters == ("b", "c", "d")
    history.truncate(9)
    assert (history.current.voters, history.last_change) == (("a", "b", "c", "d"), 5)
    history.truncate(2)
    assert (history.current.voters, history.last_change) == (("a", "b", "c"), 1)


def test_compaction_forgets_only_the_past() -> None:
    history = MembershipHistory(1, group("abc"))
    history.append(5, change(ADD, member("d")))
    history.append(9, change(REMOVE, member("a")))
    history.compact(7)
    assert history.at(7).voters == ("a", "b", "c", "d")
    assert history.at(9).voters == ("b", "c", "d")
    history.truncate(8)
    assert history.current.voters == ("a", "b", "c", "d")


def test_one_keeps_talking_to_whose_removal_may_be_undone() -> None:
    history = MembershipHistory(1, group("abc"))
    history.append(5, change(REMOVE, member("a")))
    assert [contact.raft_id for contact in history.contacts(4, [member("z")])] == ["a", "z"]
    assert [contact.raft_id for contact in history.contacts(5, [member("a")])] == []


def test_contacts_are_those_that_a_snapshot_does_not_tell_of() -> None:
    snapshot = group("ab").changed(change(REMOVE, member("b")))
    known = [member("a"), member("b"), member("c")]
    assert [contact.raft_id for contact in contacts_beside(snapshot, known)] == ["c"]


@given(st.lists(st.tuples(st.sampled_from([ADD, REMOVE, MOVE]), st.sampled_from("abcdef"), st.booleans())))
def test_a_history_knows_every_index_whatever_is_cut(steps: list[tuple[int, str, bool]]) -> None:
    history = MembershipHistory(1, group("abc"))
    expected = [group("abc")]
    for index, (kind, raft_id, learner) in enumerate(steps, start=2):
        step = change(kind, member(raft_id, learner=learner))
        history.append(index, step)
        expected.append(expected[-1].changed(step))
    for index, membership in enumerate(expected, start=1):
        assert history.at(index) == membership
    middle = len(expected) // 2 + 1
    history.compact(middle)
    history.truncate(middle + 1)
    assert history.current == expected[middle - 1]
