"""Which reports count."""

import pytest

from swarm.api.v1.dispatcher_pb2 import ReportTaskStatusesRequest, TaskStatusUpdate
from swarm.api.v1.objects_pb2 import Task
from swarm.api.v1.types_pb2 import TaskStatus
from swarm.clock import nanoseconds, timestamp
from swarm.manager.dispatcher.statuses import (
    BATCH_UPDATES,
    batches,
    counts,
    with_status,
    worth_forwarding,
    write_statuses,
)
from swarm.manager.store.tables import Tables
from swarm.manager.store.testing import store_with
from swarm.model.limits import STATUS_CHARACTERS
from swarm.model.task_state import (
    ACCEPTED,
    ASSIGNED,
    COMPLETE,
    FAILED,
    NEW,
    ORPHANED,
    PREPARING,
    REMOVE,
    RUNNING,
    SHUTDOWN,
    STARTING,
)

NOW = 1_700_000_000_000_000_000


def a_task(state: int = STARTING, **fields: str) -> Task:
    task = Task(id="t1", node_id="n1")
    task.status.MergeFrom(TaskStatus(state=state, **fields))  # type: ignore[arg-type]
    return task


def a_status(state: int, **fields: str) -> TaskStatus:
    return TaskStatus(state=state, timestamp=timestamp(NOW), **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (ASSIGNED, ACCEPTED, True),
        (STARTING, RUNNING, True),
        (RUNNING, STARTING, False),
        (RUNNING, FAILED, True),
        (FAILED, RUNNING, False),
        (COMPLETE, SHUTDOWN, False),
        (ORPHANED, RUNNING, False),
        (STARTING, ORPHANED, False),
        (STARTING, REMOVE, False),
        (NEW, ASSIGNED, False),
        (STARTING, 555, False),
    ],
)
def test_a_report_counts_when_it_moves_forward_to_a_state_agents_may_write(
    old: int, new: int, expected: bool
) -> None:
    assert counts(a_task(old), "n1", a_status(new)) is expected


def test_reports_about_unknown_tasks_and_tasks_of_others_do_not_count() -> None:
    assert not counts(None, "n1", a_status(RUNNING))
    assert not counts(a_task(), "n2", a_status(RUNNING))


def test_a_repeated_report_counts_only_when_it_says_something_else() -> None:
    assert not counts(a_task(PREPARING, message="a"), "n1", a_status(PREPARING, message="a"))
    assert counts(a_task(PREPARING, message="a"), "n1", a_status(PREPARING, message="b"))
    with_port = a_status(PREPARING, message="a")
    with_port.ports.add(published_port=1)
    assert counts(a_task(PREPARING, message="a"), "n1", with_port)


def test_a_status_becomes_part_of_the_history_when_the_next_state_comes() -> None:
    task = a_task(STARTING, message="starting")
    moved = with_status(task, a_status(RUNNING), NOW)
    assert [one.message for one in moved.history] == ["starting"]
    assert task.status.state == STARTING
    assert not task.history


def test_a_clock_that_is_ahead_or_missing_is_replaced_by_the_leaders() -> None:
    ahead = a_status(RUNNING)
    ahead.timestamp.CopyFrom(timestamp(NOW + 10**12))
    assert nanoseconds(with_status(a_task(), ahead, NOW).status.timestamp) == NOW
    assert nanoseconds(with_status(a_task(), TaskStatus(state=RUNNING), NOW).status.timestamp) == NOW
    late = a_status(RUNNING)
    late.timestamp.CopyFrom(timestamp(NOW - 5))
    assert nanoseconds(with_status(a_task(), late, NOW).status.timestamp) == NOW - 5


def test_what_a_manager_drops_itself_is_not_forwarded() -> None:
    tables = Tables()
    tables.tasks.put(a_task(RUNNING))
    updates = [
        TaskStatusUpdate(task_id="t1", status=a_status(STARTING)),
        TaskStatusUpdate(task_id="t1", status=a_status(FAILED)),
        TaskStatusUpdate(task_id="unknown", status=a_status(FAILED)),
    ]
    assert worth_forwarding(tables, "n1", updates) == [updates[1]]


async def test_the_leader_checks_again_and_the_same_report_twice_changes_once() -> None:
    store = store_with(a_task(STARTING))
    batch = [("n1", TaskStatusUpdate(task_id="t1", status=a_status(RUNNING)))]
    assert await store.update(lambda transaction: write_statuses(transaction, batch, NOW)) == 1
    assert await store.update(lambda transaction: write_statuses(transaction, batch, NOW)) == 0
    foreign = [("n2", TaskStatusUpdate(task_id="t1", status=a_status(FAILED)))]
    assert await store.update(lambda transaction: write_statuses(transaction, foreign, NOW)) == 0


async def test_a_removed_task_is_not_revived_by_a_late_report() -> None:
    store = store_with(a_task(STARTING))
    await store.update(lambda transaction: transaction.remove(transaction.tasks.get("t1")))
    batch = [("n1", TaskStatusUpdate(task_id="t1", status=a_status(RUNNING)))]
    assert await store.update(lambda transaction: write_statuses(transaction, batch, NOW)) == 0
    assert not len(store.view.tasks)


def test_a_large_request_is_written_in_pieces_and_loses_nothing() -> None:
    request = ReportTaskStatusesRequest()
    for node in range(3):
        updates = [TaskStatusUpdate(task_id=f"{node}-{number}") for number in range(BATCH_UPDATES)]
        request.nodes.add(node_id=f"n{node}", updates=updates[: BATCH_UPDATES - node])
    pieces = batches(request)
    assert max(map(len, pieces)) == BATCH_UPDATES
    assert sum(map(len, pieces)) == 3 * BATCH_UPDATES - 3
    assert all(update.task_id.startswith(node_id[1:]) for piece in pieces for node_id, update in piece)


def test_a_long_error_is_cut_and_reporting_it_again_changes_nothing() -> None:
    view = Tables()
    view.tasks.put(a_task())
    said = a_status(FAILED, err="x" * 1_000_000)
    (update,) = worth_forwarding(view, "n1", [TaskStatusUpdate(task_id="t1", status=said)])
    assert len(update.status.err) == STATUS_CHARACTERS.value
    view.tasks.put(with_status(a_task(), update.status, NOW))
    assert worth_forwarding(view, "n1", [TaskStatusUpdate(task_id="t1", status=said)]) == []


async def test_the_leader_cuts_what_another_manager_let_through() -> None:
    store = store_with(a_task())
    report = TaskStatusUpdate(task_id="t1", status=a_status(RUNNING, message="x" * 1_000_000))
    for written in (1, 0):
        assert await store.update(lambda tx: write_statuses(tx, [("n1", report)], NOW)) == written
    task = store.view.tasks.get("t1")
    assert task is not None
    assert len(task.status.message) == STATUS_CHARACTERS.value
