"""Who of a service runs, who is on the way, whose use is known, and who crashes."""

from swarm.api.v1.objects_pb2 import Task
from swarm.api.v1.types_pb2 import TaskStatus
from swarm.clock import SECOND, timestamp
from swarm.manager.orchestrator.autoscale.census import Census, take_census
from swarm.model import task_state
from swarm.model.history import record_status
from swarm.model.usage import Usage
from swarm.steps import complete

NOW_NS = 1_700_000_000 * SECOND
USE = Usage(5e8, 100.0)


def a_task(
    slot: int,
    state: int = task_state.RUNNING,
    *,
    age_s: float = 600,
    desired: int = task_state.RUNNING,
    crashes: int = 0,
    name: str = "",
) -> Task:
    task = Task(id=name or f"t{slot}", service_id="s1", slot=slot, desired_state=desired, crashes=crashes)
    at = timestamp(NOW_NS - int(age_s * SECOND))
    task.meta.created_at.CopyFrom(at)
    task.meta.updated_at.CopyFrom(at)
    record_status(task, TaskStatus(state=state, timestamp=at))
    return task


def census(*tasks: Task, uses: dict[str, Usage] | None = None) -> Census:
    return complete(take_census(tasks, (uses or {}).get, NOW_NS))


def test_tasks_are_known_missing_or_on_their_way() -> None:
    tasks = [
        a_task(1),
        a_task(2),
        a_task(3, age_s=5),
        a_task(4, task_state.PENDING),
        a_task(5, task_state.READY, desired=task_state.READY),
    ]
    assert census(*tasks, uses={"t1": USE}) == Census((USE,), missing=1, unready=3, crashing=0)


def test_tasks_that_are_over_or_told_to_stop_do_not_count() -> None:
    tasks = [
        a_task(1, task_state.FAILED, desired=task_state.SHUTDOWN, name="old"),
        a_task(1),
        a_task(2, desired=task_state.REMOVE),
    ]
    assert census(*tasks, uses={"t1": USE, "t2": USE, "old": USE}) == Census((USE,))


def test_of_two_tasks_in_a_slot_the_busier_one_counts() -> None:
    busy = Usage(9e8, 1.0)
    tasks = [a_task(1, name="old"), a_task(1, name="new")]
    assert census(*tasks, uses={"old": busy, "new": USE}).uses == (busy,)


def test_crashes_in_a_row_count_until_a_task_is_well_for_a_while() -> None:
    assert census(a_task(1, crashes=1, age_s=5)).crashing == 0
    assert census(a_task(1, crashes=2, age_s=59)).crashing == 1
    assert census(a_task(1, crashes=2, age_s=61)).crashing == 0
    assert census(a_task(1, task_state.READY, desired=task_state.READY, crashes=3)).crashing == 1


def test_a_slot_that_was_given_up_after_a_failure_counts_as_crashing() -> None:
    failed = a_task(1, task_state.FAILED, desired=task_state.SHUTDOWN)
    assert census(failed) == Census(crashing=1)
    assert census(a_task(1, task_state.COMPLETE, desired=task_state.SHUTDOWN)) == Census()
    assert census(a_task(1, task_state.FAILED, desired=task_state.REMOVE)) == Census()
