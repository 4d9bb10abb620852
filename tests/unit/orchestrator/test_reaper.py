import pytest

from swarm.api.v1.types_pb2 import RestartPolicy
from swarm.model import task_state
from tests.unit.orchestrator.bench import Bench, a_spec, running


def crashed(times: int, history_limit: int, **policy: int) -> Bench:
    """Return a service of one task that has crashed so often, and runs."""
    spec = a_spec(1)
    spec.task.restart.delay_ns = 0
    spec.task.restart.max_delay_ns = 0  # no back-off
    for name, value in policy.items():
        setattr(spec.task.restart, name, value)
    bench = Bench(spec, history_limit=history_limit)
    bench.run()
    for _ in range(times):
        bench.clock.advance(1)
        bench.report(running(bench)[0], task_state.FAILED)
        bench.run()
    return bench


@pytest.mark.parametrize(("limit", "left"), [(5, 5), (2, 2), (1, 1), (0, 1), (-1, 9)])
def test_a_slot_lists_no_more_tasks_than_the_limit_the_live_one_counted(limit: int, left: int) -> None:
    bench = crashed(8, limit)
    assert len(bench.tasks) == left
    assert len(running(bench)) == 1
    assert bench.tasks[-1].id == "t9", "the oldest go first"


def test_attempts_that_count_are_kept() -> None:
    bench = crashed(4, 1, max_attempts=3)
    assert running(bench) == []
    assert len(bench.tasks) == 4


def test_without_history_a_finished_slot_keeps_the_task_that_finished_it() -> None:
    spec = a_spec(2)
    spec.task.restart.condition = RestartPolicy.CONDITION_NONE
    bench = Bench(spec, history_limit=0)
    bench.run()
    for task in bench.live:
        bench.report(task, task_state.COMPLETE)
    bench.run(60)
    assert len(bench.tasks) == 2
    assert running(bench) == []


def test_a_task_to_be_removed_goes_once_it_has_stopped() -> None:
    bench = Bench(a_spec(1))
    bench.run()
    bench.update(replicas=0)
    bench.settle()
    assert len(bench.tasks) == 1
    bench.report(bench.tasks[0], task_state.SHUTDOWN)
    bench.settle()
    assert bench.tasks == ()


def test_a_task_to_be_removed_that_was_never_assigned_goes_at_once() -> None:
    bench = Bench(a_spec(1))
    bench.settle()
    bench.update(replicas=0)
    bench.settle()
    assert bench.tasks == ()


def test_a_task_to_be_removed_goes_with_its_node() -> None:
    bench = Bench(a_spec(1))
    bench.run()
    node_id = bench.live[0].node_id
    bench.update(replicas=0)
    bench.settle()
    bench.lose(node_id)
    bench.settle()
    assert bench.tasks == ()


def test_a_task_that_is_stopping_is_not_forgotten_whatever_the_limit() -> None:
    bench = Bench(a_spec(1), history_limit=0)
    bench.run()
    old = bench.live[0]
    bench.drain(old.node_id)
    bench.settle()
    assert old.id in {task.id for task in bench.tasks}
    bench.run()
    assert old.id not in {task.id for task in bench.tasks}
