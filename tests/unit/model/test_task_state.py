from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarm.api.v1.objects_pb2 import Task
from swarm.api.v1.types_pb2 import TaskState
from swarm.errors import InvariantBroken
from swarm.model import task_state as ts

STATES = st.sampled_from(TaskState.values())


def a_task(state: int, desired: int = ts.RUNNING) -> Task:
    task = Task(id="t1", node_id="n1", desired_state=desired)
    task.status.state = state
    return task


def test_every_state_that_can_be_observed_has_an_owner_and_the_desired_one_has_none():
    assert set(ts.OWNERS) == set(TaskState.values()) - {ts.REMOVE}
    assert all(owners for owners in ts.OWNERS.values())


def test_only_states_of_nodes_that_cannot_speak_have_a_second_owner():
    assert {state for state, owners in ts.OWNERS.items() if len(owners) > 1} == {ts.REJECTED, ts.ORPHANED}


@given(STATES, STATES)
def test_nothing_goes_back_and_nothing_follows_the_end(old, new):
    if ts.may_follow(old, new) and new != old:
        assert new > old
        assert not ts.is_terminal(old)
        assert new != ts.REMOVE


@given(STATES, STATES)
def test_desired_state_never_goes_back(old, new):
    if ts.may_desire(old, new):
        assert new >= old
        assert new in ts.DESIRED


def test_the_normal_life_of_a_task_is_allowed():
    life = (ts.NEW, ts.PENDING, ts.ASSIGNED, ts.ACCEPTED, ts.PREPARING, ts.READY, ts.STARTING, ts.RUNNING)
    assert all(ts.may_follow(old, new) for old, new in pairwise(life))
    assert all(ts.may_follow(ts.RUNNING, end) for end in ts.TERMINAL)
    assert all(
        ts.may_desire(old, new) for old, new in pairwise((ts.READY, ts.RUNNING, ts.SHUTDOWN, ts.REMOVE))
    )


def test_a_repeated_report_is_no_transition():
    for state in TaskState.values():
        assert ts.may_follow(state, state)


def test_a_writer_that_does_not_own_the_state_is_refused_with_the_story():
    task = a_task(ts.PENDING)
    task.history.add(state=ts.NEW)
    with pytest.raises(
        ts.InvalidTransition, match=r"t1 on node n1 went new → pending.*scheduler may"
    ) as caught:
        ts.check_transition(task, ts.ASSIGNED, ts.Owner.AGENT)
    assert isinstance(caught.value, InvariantBroken)
    ts.check_transition(task, ts.ASSIGNED, ts.Owner.SCHEDULER)


def test_a_step_back_is_refused_with_the_story():
    with pytest.raises(ts.InvalidTransition, match="ready cannot follow running"):
        ts.check_transition(a_task(ts.RUNNING), ts.READY, ts.Owner.AGENT)
    with pytest.raises(ts.InvalidTransition, match="desired state running cannot follow shutdown"):
        ts.check_desired(a_task(ts.RUNNING, ts.SHUTDOWN), ts.RUNNING)


def test_a_task_holds_resources_from_its_node_until_its_end():
    assert ts.holds_resources(a_task(ts.ASSIGNED))
    assert ts.holds_resources(a_task(ts.RUNNING, ts.SHUTDOWN))
    assert not ts.holds_resources(a_task(ts.FAILED))
    unplaced = a_task(ts.PENDING)
    unplaced.node_id = ""
    assert not ts.holds_resources(unplaced)


def test_runnable_means_meant_to_run_and_still_able_to():
    assert ts.is_runnable(a_task(ts.NEW, ts.READY))
    assert ts.is_runnable(a_task(ts.RUNNING))
    assert not ts.is_runnable(a_task(ts.FAILED))
    assert not ts.is_runnable(a_task(ts.RUNNING, ts.SHUTDOWN))
    assert ts.is_running(a_task(ts.RUNNING))
    assert not ts.is_running(a_task(ts.RUNNING, ts.REMOVE))
