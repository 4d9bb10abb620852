"""Which tasks a node must have, and what it is told of changes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarm.agent.assignments import AssignmentStream
from swarm.api.v1.objects_pb2 import Task
from swarm.api.v1.types_pb2 import Meta
from swarm.manager.dispatcher.assignments import AssignmentSet, belongs, same_assignment, wanted_tasks
from swarm.manager.store.tables import Tables
from swarm.model.task_state import (
    ASSIGNED,
    COMPLETE,
    FAILED,
    NEW,
    ORPHANED,
    PENDING,
    READY,
    REMOVE,
    RUNNING,
    SHUTDOWN,
)


def a_task(task_id: str = "t1", node_id: str = "n1", state: int = RUNNING, desired: int = RUNNING) -> Task:
    task = Task(id=task_id, node_id=node_id, desired_state=desired)
    task.status.state = state
    return task


@pytest.mark.parametrize(
    ("state", "desired", "expected"),
    [
        (NEW, RUNNING, False),
        (PENDING, RUNNING, False),
        (ASSIGNED, READY, True),
        (ASSIGNED, REMOVE, True),
        (RUNNING, RUNNING, True),
        (RUNNING, SHUTDOWN, True),
        (RUNNING, REMOVE, True),
        (COMPLETE, RUNNING, True),
        (FAILED, SHUTDOWN, True),
        (FAILED, REMOVE, False),
        (ORPHANED, RUNNING, False),
        (ORPHANED, SHUTDOWN, False),
    ],
)
def test_a_task_belongs_to_its_node_from_assigned_until_it_is_forgotten(
    state: int, desired: int, expected: bool
) -> None:
    assert belongs(a_task(state=state, desired=desired), "n1") is expected
    assert not belongs(a_task(state=state, desired=desired), "n2")


def test_a_task_that_is_gone_belongs_to_nobody() -> None:
    assert not belongs(None, "n1")


def test_what_an_agent_reports_itself_is_not_sent_back() -> None:
    tables = Tables()
    tables.tasks.put(a_task(state=ASSIGNED))
    told = AssignmentSet("n1")
    told.complete(tables)
    tables.tasks.put(a_task(state=RUNNING))
    assert told.changes(tables, ["t1"]) == []


def test_a_new_desired_state_is_sent() -> None:
    tables = Tables()
    tables.tasks.put(a_task())
    told = AssignmentSet("n1")
    (complete,) = told.complete(tables)
    assert (complete.complete, complete.sequence, [task.id for task in complete.tasks]) == (True, 1, ["t1"])
    tables.tasks.put(a_task(desired=SHUTDOWN))
    (change,) = told.changes(tables, ["t1"])
    assert (change.complete, change.sequence) == (False, 2)
    assert change.tasks[0].desired_state == SHUTDOWN


def test_a_deleted_task_is_withdrawn_once() -> None:
    tables = Tables()
    tables.tasks.put(a_task())
    told = AssignmentSet("n1")
    told.complete(tables)
    tables.tasks.delete("t1")
    (change,) = told.changes(tables, ["t1"])
    assert list(change.removed_task_ids) == ["t1"]
    assert told.changes(tables, ["t1"]) == []


def test_tasks_of_other_nodes_are_not_sent() -> None:
    tables = Tables()
    tables.tasks.put(a_task("t2", "n2"))
    told = AssignmentSet("n1")
    told.complete(tables)
    assert told.changes(tables, ["t2", "unknown"]) == []
    assert wanted_tasks(tables, "n1") == ()


def test_the_index_of_the_store_comes_along_and_history_does_not() -> None:
    tables = Tables()
    tables.index = 42
    task = a_task()
    task.history.add().state = NEW
    task.meta.version.index = 7
    task.meta.created_at.seconds = 5
    tables.tasks.put(task)
    (message,) = AssignmentSet("n1").complete(tables)
    assert message.index == 42
    assert not message.tasks[0].history
    assert message.tasks[0].meta == Meta(created_at=task.meta.created_at)
    assert len(task.history) == 1


def test_a_large_set_goes_out_in_parts_that_belong_together() -> None:
    tables = Tables()
    for number in range(5):
        task = a_task(f"t{number}")
        task.spec.container.env.append("x" * 400_000)
        tables.tasks.put(task)
    told = AssignmentSet("n1")
    parts = told.complete(tables)
    assert [part.sequence for part in parts] == [1, 2, 3]
    assert [part.more for part in parts] == [True, True, False]
    assert all(part.ByteSize() < 2_000_000 for part in parts)
    stream = AssignmentStream()
    changes = [stream.take(part, ()) for part in parts]
    assert changes[:2] == [None, None]
    assert changes[2] is not None
    assert len(changes[2].start) == 5


def test_an_empty_set_is_sent_as_such() -> None:
    (message,) = AssignmentSet("n1").complete(Tables())
    assert message.complete
    assert not message.tasks


def test_every_part_of_an_assignment_that_matters_is_compared() -> None:
    for field in ("spec", "endpoint", "service_annotations"):
        changed = a_task()
        getattr(changed, field).SetInParent()
        if field == "spec":
            changed.spec.force_update = 1
        elif field == "endpoint":
            changed.endpoint.ports.add(target_port=1)
        else:
            changed.service_annotations.labels["a"] = "b"
        assert not same_assignment(a_task(), changed)
    assert same_assignment(a_task(), a_task(state=FAILED))


CHANGES = st.lists(
    st.tuples(
        st.sampled_from(["t1", "t2", "t3"]),
        st.sampled_from(["n1", "n2", ""]),
        st.sampled_from([PENDING, ASSIGNED, RUNNING, FAILED, ORPHANED]),
        st.sampled_from([RUNNING, SHUTDOWN, REMOVE]),
        st.booleans(),
    ),
    max_size=30,
)


@given(CHANGES)
def test_complete_set_and_increments_lead_an_agent_to_exactly_what_it_must_have(changes: list) -> None:
    tables = Tables()
    told, stream = AssignmentSet("n1"), AssignmentStream()
    held: dict[str, Task] = {}

    def deliver(messages: list) -> None:
        for message in messages:
            change = stream.take(message, held)
            assert change is not None
            held.update({task.id: task for task in (*change.start, *change.update)})
            for task_id in change.remove:
                del held[task_id]

    deliver(told.complete(tables))
    for task_id, node_id, state, desired, deleted in changes:
        if deleted:
            tables.tasks.delete(task_id)
        else:
            tables.tasks.put(a_task(task_id, node_id, state, desired))
        deliver(told.changes(tables, [task_id]))
    wanted = {task.id: task.desired_state for task in wanted_tasks(tables, "n1")}
    assert {task_id: task.desired_state for task_id, task in held.items()} == wanted
