"""Replicated and global jobs: how many tasks, which ones are retried, when a run begins anew."""

import pytest

from swarm.api.v1.objects_pb2 import Task
from swarm.api.v1.specs_pb2 import ServiceSpec
from swarm.api.v1.types_pb2 import NodeAvailability, NodeState, RestartPolicy
from swarm.clock import SECOND
from swarm.manager.orchestrator.slots import is_stopped
from swarm.model import task_state
from tests.unit.orchestrator.bench import Bench, a_node, a_spec, running

NONE, ON_FAILURE = RestartPolicy.CONDITION_NONE, RestartPolicy.CONDITION_ON_FAILURE
PAUSE, DRAIN, ACTIVE = (
    NodeAvailability.NODE_AVAILABILITY_PAUSE,
    NodeAvailability.NODE_AVAILABILITY_DRAIN,
    NodeAvailability.NODE_AVAILABILITY_ACTIVE,
)


def a_job(total: int, concurrent: int | None = None, **restart: int) -> ServiceSpec:
    spec = a_spec()
    spec.replicated_job.total_completions = total
    if concurrent is not None:
        spec.replicated_job.max_concurrent = concurrent
    for name, value in restart.items():
        setattr(spec.task.restart, name, value)
    return spec


def a_global_job(**restart: int) -> ServiceSpec:
    spec = a_spec()
    spec.global_job.SetInParent()
    for name, value in restart.items():
        setattr(spec.task.restart, name, value)
    return spec


def completed(bench: Bench) -> list[Task]:
    return [task for task in bench.tasks if task.status.state == task_state.COMPLETE]


def complete_one(bench: Bench) -> None:
    bench.report(running(bench)[0], task_state.COMPLETE)
    bench.run()


def test_never_more_than_the_concurrent_ones_live_and_each_slot_completes_once() -> None:
    bench = Bench(a_job(10, 3))
    bench.run()
    most = 0
    while running(bench):
        most = max(most, len(bench.live))
        complete_one(bench)
    assert most == 3
    assert sorted(task.slot for task in completed(bench)) == list(range(1, 11))
    assert len(bench.tasks) == 10
    assert not bench.plan()


def test_without_a_limit_all_run_at_once() -> None:
    bench = Bench(a_job(4))
    bench.run()
    assert len(running(bench)) == 4


def test_towards_the_end_no_more_run_than_are_missing() -> None:
    bench = Bench(a_job(4, 3))
    bench.run()
    for _ in range(2):
        complete_one(bench)
    assert len(running(bench)) == 2


def test_a_failed_task_is_retried_in_its_slot_after_the_delay() -> None:
    bench = Bench(a_job(2, 2, delay_ns=3 * SECOND))
    bench.run()
    first = bench.in_slot(1)[0]
    bench.report(first, task_state.FAILED)
    bench.run()
    assert len(running(bench)) == 1
    bench.run(3)
    assert [task.previous_task_id for task in bench.in_slot(1)] == ["", first.id]
    assert {task.job_iteration for task in bench.tasks} == {1}
    for _ in range(2):
        complete_one(bench)
    assert {task.slot for task in completed(bench)} == {1, 2}
    assert not bench.plan()


def test_with_condition_none_a_failed_task_is_not_retried_and_the_others_go_on() -> None:
    bench = Bench(a_job(3, 1, condition=NONE))
    bench.run()
    bench.report(running(bench)[0], task_state.FAILED)
    bench.run(30)
    for _ in range(2):
        complete_one(bench)
    assert {task.slot for task in completed(bench)} == {2, 3}
    assert len(bench.tasks) == 3
    assert not bench.live
    assert not bench.plan()


@pytest.mark.parametrize("spec", [a_job(1, max_attempts=2), a_global_job(max_attempts=2)])
def test_attempts_count_for_replicated_and_for_global_jobs(spec: ServiceSpec) -> None:
    bench = Bench(spec, nodes=1, history_limit=1)
    bench.run()
    attempts = 0
    while running(bench):
        attempts += 1
        bench.report(running(bench)[0], task_state.FAILED)
        bench.run(10)
    assert attempts == 3
    assert not bench.live
    assert not bench.plan()


def test_what_ended_well_is_never_run_again() -> None:
    bench = Bench(a_job(1))
    bench.run()
    complete_one(bench)
    bench.run(60)
    assert len(bench.tasks) == 1
    assert bench.tasks[0].desired_state == task_state.SHUTDOWN


def test_an_update_runs_the_job_from_zero_and_removes_the_tasks_before() -> None:
    bench = Bench(a_job(3, 2))
    bench.run()
    complete_one(bench)
    old = {task.id for task in bench.tasks}
    bench.update(image="v2")
    bench.run()
    assert bench.service.job_status.iteration == 2
    assert old.isdisjoint(task.id for task in bench.tasks)
    assert sorted(task.slot for task in running(bench)) == [1, 2]
    assert bench.images() == ["v2", "v2"]


def test_a_forced_update_runs_a_finished_job_again() -> None:
    bench = Bench(a_job(1))
    bench.run()
    complete_one(bench)
    bench.update(force=True)
    bench.run()
    assert [task.job_iteration for task in running(bench)] == [2]


def test_a_new_run_waits_until_the_tasks_of_the_one_before_have_stopped_but_not_for_ever() -> None:
    bench = Bench(a_job(1))
    bench.run()
    bench.update(force=True)
    plan = bench.settle()
    assert [task.job_iteration for task in bench.tasks] == [1], "told to stop, and still running"
    assert plan.wake_at_ns == bench.clock.now_ns() + 60 * SECOND
    bench.clock.advance(60)
    bench.settle()
    assert [task.job_iteration for task in bench.live] == [2]


def test_a_task_on_a_lost_node_is_run_elsewhere_and_its_late_success_counts() -> None:
    bench = Bench(a_job(1), nodes=2)
    bench.run()
    lost = running(bench)[0]
    bench.lose(lost.node_id)
    bench.run()
    assert [task.previous_task_id for task in running(bench)] == [lost.id]
    bench.find(lost.node_id)
    bench.report(lost, task_state.COMPLETE)
    bench.run()
    assert not bench.live, "the work is done: nobody has to do it twice"
    assert len(completed(bench)) == 1


def test_a_drained_task_of_a_job_stops_before_its_replacement_starts() -> None:
    bench = Bench(a_job(1), nodes=2)
    bench.run()
    old = running(bench)[0]
    bench.change_node(old.node_id, lambda node: node.spec.drain_started_at.FromSeconds(2_000_000_000))
    bench.drain(old.node_id)
    bench.settle()
    assert bench.task(old.id).desired_state == task_state.SHUTDOWN
    assert [task.desired_state for task in bench.live] == [task_state.READY]


def test_failed_attempts_are_forgotten_beyond_the_limit_and_completed_ones_never() -> None:
    bench = Bench(a_job(2, 1, delay_ns=0, max_delay_ns=0), history_limit=2)
    bench.run()
    for _ in range(6):
        bench.report(running(bench)[0], task_state.FAILED)
        bench.run()
    assert len(bench.in_slot(1)) == 2
    for _ in range(2):
        complete_one(bench)
    assert {task.slot for task in completed(bench)} == {1, 2}


def test_a_global_job_runs_once_on_every_node_that_takes_tasks() -> None:
    bench = Bench(a_global_job(), nodes=5)
    bench.set_availability("n2", PAUSE)
    bench.set_availability("n3", DRAIN)
    bench.lose("n4")
    bench.change_node("n5", lambda node: setattr(node.status, "state", NodeState.NODE_STATE_UNKNOWN))
    bench.run()
    assert [task.node_id for task in running(bench)] == ["n1"]
    complete_one(bench)
    assert not bench.plan()
    for node_id in ("n2", "n3"):
        bench.set_availability(node_id, ACTIVE)
    for node_id in ("n4", "n5"):
        bench.find(node_id)
    bench.run()
    assert [task.node_id for task in running(bench)] == ["n2", "n3", "n4", "n5"]


def test_a_node_that_joins_gets_the_global_job_and_one_that_goes_takes_its_tasks_along() -> None:
    bench = Bench(a_global_job(), nodes=1)
    bench.run()
    complete_one(bench)
    bench.write(lambda tx: tx.create(a_node("late")))
    bench.run()
    assert [task.node_id for task in running(bench)] == ["late"]
    bench.write(lambda tx: tx.remove(tx.nodes.get("n1")))
    bench.run()
    assert {task.node_id for task in bench.tasks} == {"late"}


def test_a_global_job_keeps_what_runs_on_a_node_that_is_down_and_stops_it_on_a_drained_one() -> None:
    bench = Bench(a_global_job(), nodes=2)
    bench.run()
    bench.lose("n1")
    bench.drain("n2")
    bench.run()
    assert [task.node_id for task in bench.live] == ["n1"]
    bench.set_availability("n2", ACTIVE)
    bench.find("n1")
    bench.run()
    assert [task.node_id for task in running(bench)] == ["n1", "n2"]
    assert len(bench.tasks) == 3, "the one on the lost node went on"


def test_a_global_job_leaves_a_node_whose_label_goes() -> None:
    spec = a_global_job()
    spec.task.placement.constraints.append("node.labels.disk==ssd")
    bench = Bench(spec, nodes=1)
    bench.write(lambda tx: tx.create(a_node("fast", disk="ssd")))
    bench.run()
    assert [task.node_id for task in running(bench)] == ["fast"]
    bench.change_node("fast", lambda node: node.spec.annotations.labels.clear())
    bench.run()
    assert not bench.live


def test_a_removed_job_leaves_nothing() -> None:
    bench = Bench(a_job(3, 2))
    bench.run()
    complete_one(bench)
    bench.remove_service()
    bench.run()
    assert all(is_stopped(task, bench.tables.nodes) for task in bench.tasks)
    assert not bench.tasks


def test_a_manual_rollback_of_a_job_runs_the_spec_before() -> None:
    bench = Bench(a_job(1))
    bench.run()
    bench.update(image="v2")
    bench.run()
    bench.roll_back()
    bench.run()
    assert bench.images() == ["v1"]
    assert bench.service.job_status.iteration == 3
    assert not bench.service.HasField("update_status")
