"""A follower's log after any order of messages: it never loses what the leader may count on."""

from hypothesis import given
from hypothesis import strategies as st

from swarm.manager.raft.entries import Entry
from swarm.manager.raft.replication import plan_append


def log_of(terms: list[int], first: int = 1) -> list[Entry]:
    return [(b"%d@%d" % (index, term), index, term) for index, term in enumerate(terms, start=first)]


def apply(log: list[Entry], commit: int, previous: int, leader: list[Entry], count: int) -> int | None:
    """Let a follower take `count` entries of a leader's log after `previous`; return what it confirmed."""
    first = log[0][1]
    entries = leader[previous : previous + count]
    plan = plan_append(log, commit, (previous, leader[previous - 1][2]), entries)
    if plan is None:
        return None
    if plan.cut_from is not None:
        del log[plan.cut_from - first :]
    log.extend(plan.append)
    return plan.match if plan.success else None


def test_entries_that_are_there_already_cut_nothing_behind_them() -> None:
    log = log_of([1, 1, 1, 1, 1])
    assert apply(log, 1, 2, log_of([1, 1, 1]), 1) == 3
    assert len(log) == 5


def test_a_conflict_cuts_the_log_there() -> None:
    log = log_of([1, 1, 1, 1])
    leader = log_of([1, 1, 2])
    assert apply(log, 2, 2, leader, 1) == 3
    assert log == leader


def test_a_gap_is_answered_with_the_own_end() -> None:
    log = log_of([1, 1])
    plan = plan_append(log, 1, (5, 1), [])
    assert plan is not None
    assert (plan.reset, plan.success, plan.next_index) == (True, False, 3)


def test_another_term_is_skipped_as_a_whole_but_not_what_is_committed() -> None:
    log = log_of([1, 2, 2, 2, 2])
    plan = plan_append(log, 1, (5, 3), [])
    assert plan is not None
    assert (plan.reset, plan.next_index) == (True, 2)
    plan = plan_append(log, 3, (5, 3), [])
    assert plan is not None
    assert plan.next_index == 4


def test_entries_before_the_first_one_are_known_to_be_equal() -> None:
    log = log_of([3, 3], first=10)
    leader = log_of([1] * 9 + [3, 3, 3])
    assert apply(log, 10, 4, leader, 8) == 12
    assert log[-1] == leader[-1]
    assert apply(log, 10, 2, leader, 2) == 10


@st.composite
def logs(draw: st.DrawFn) -> tuple[list[Entry], list[Entry], int]:
    """Return a leader's log, a follower's, and how many entries both have committed.

    What only the follower has comes from terms of its own: an index and a term name one entry, and with it
    all before it.
    """
    leader = [1, *sorted(draw(st.lists(st.sampled_from([1, 2, 4, 6]), max_size=8)))]
    shared = draw(st.integers(1, len(leader)))
    own = sorted(draw(st.lists(st.sampled_from([3, 5, 7]), max_size=6)))
    tail = [term for term in own if term >= leader[shared - 1]]
    commit = draw(st.integers(1, shared))
    return log_of(leader), log_of(leader[:shared] + tail), commit


@given(logs(), st.data())
def test_whatever_arrives_what_was_confirmed_stays(
    case: tuple[list[Entry], list[Entry], int], data: st.DataObject
) -> None:
    leader, log, commit = case
    confirmed = 0
    for _ in range(data.draw(st.integers(1, 12))):
        previous = data.draw(st.integers(1, len(leader)))
        match = apply(log, commit, previous, leader, data.draw(st.integers(0, 4)))
        if match is not None:
            confirmed = max(confirmed, match)
            assert log[:match] == leader[:match]
        assert log[:confirmed] == leader[:confirmed]
        assert log[:commit] == leader[:commit]
        assert [entry[1] for entry in log] == list(range(1, len(log) + 1))


@given(logs())
def test_a_leader_that_goes_back_as_told_always_gets_through(
    case: tuple[list[Entry], list[Entry], int],
) -> None:
    leader, log, commit = case
    following = len(leader) + 1
    for _ in range(len(leader) + 5):
        previous = following - 1
        plan = plan_append(log, commit, (previous, leader[previous - 1][2]), leader[previous:])
        assert plan is not None
        if plan.success:
            return
        assert plan.next_index < following
        following = max(plan.next_index, 2)
    raise AssertionError("the leader never gets through")
