"""Complete sets, increments, gaps, repeats."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarm.agent.assignments import AssignmentStream, Changes, diff_all, diff_some
from swarm.api.v1.dispatcher_pb2 import Assignments
from swarm.api.v1.objects_pb2 import Task
from swarm.errors import SessionExpired


def ids(changes: Changes | None) -> tuple[list[str], list[str], list[str]]:
    assert changes is not None
    return (
        [task.id for task in changes.start],
        [task.id for task in changes.update],
        sorted(changes.remove),
    )


def message(
    sequence: int, *tasks: str, complete: bool = False, more: bool = False, removed: tuple[str, ...] = ()
) -> Assignments:
    return Assignments(
        sequence=sequence,
        complete=complete,
        more=more,
        tasks=[Task(id=task) for task in tasks],
        removed_task_ids=removed,
    )


def test_a_complete_set_starts_what_is_missing_and_removes_what_is_not_in_it() -> None:
    changes = AssignmentStream().take(message(1, "a", "b", complete=True), {"b", "c"})
    assert ids(changes) == (["a"], ["b"], ["c"])


def test_a_complete_set_in_parts_is_applied_as_one() -> None:
    stream = AssignmentStream()
    assert stream.take(message(1, "a", complete=True, more=True), {"c"}) is None
    assert ids(stream.take(message(2, "b", complete=True), {"c"})) == (["a", "b"], [], ["c"])


def test_an_increment_changes_only_what_it_names() -> None:
    stream = AssignmentStream()
    stream.take(message(1, complete=True), ())
    changes = stream.take(message(2, "a", "b", removed=("c", "d")), {"b", "c", "e"})
    assert ids(changes) == (["a"], ["b"], ["c"])


def test_a_repeated_message_is_ignored() -> None:
    stream = AssignmentStream()
    stream.take(message(1, complete=True), ())
    stream.take(message(2, "a"), ())
    assert stream.take(message(2, "a"), ()) is None
    assert stream.take(message(1, complete=True), {"a"}) is None


@pytest.mark.parametrize("sequences", [[2], [1, 3], [1, 2, 5]])
def test_a_missing_message_ends_the_session(sequences: list[int]) -> None:
    stream = AssignmentStream()
    *before, last = sequences
    for sequence in before:
        stream.take(message(sequence, complete=sequence == 1), ())
    with pytest.raises(SessionExpired):
        stream.take(message(last), ())


def test_a_session_that_does_not_begin_with_the_complete_set_is_not_believed() -> None:
    with pytest.raises(SessionExpired):
        AssignmentStream().take(message(1, "a"), ())


NAMES = st.sets(st.sampled_from("abcdef"))


@given(NAMES, NAMES)
def test_after_a_complete_set_exactly_that_set_is_held(held: set[str], wanted: set[str]) -> None:
    changes = diff_all(held, [Task(id=name) for name in wanted])
    started, updated, removed = ids(changes)
    assert (held | set(started)) - set(removed) == wanted
    assert set(updated) == held & wanted
    assert not set(started) & held


@given(NAMES, NAMES, NAMES)
def test_an_increment_adds_what_is_sent_and_takes_what_is_removed(
    held: set[str], wanted: set[str], gone: set[str]
) -> None:
    changes = diff_some(held, {name: Task(id=name) for name in wanted}, gone)
    started, _, removed = ids(changes)
    assert (held | set(started)) - set(removed) == (held - gone) | wanted
