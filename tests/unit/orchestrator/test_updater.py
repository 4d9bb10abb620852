import pytest

from swarm.api.v1.specs_pb2 import ServiceSpec
from swarm.api.v1.types_pb2 import UpdateStatus
from swarm.clock import SECOND
from swarm.model import task_state
from tests.unit.orchestrator.bench import (
    CONTINUE,
    PAUSE,
    ROLLBACK,
    START_FIRST,
    Bench,
    a_spec,
    running,
    with_update,
)


def state_of(bench: Bench) -> str:
    return UpdateStatus.State.Name(bench.service.update_status.state).removeprefix("STATE_")


def updated(replicas: int | None = 3, image: str = "v2", **config: object) -> Bench:
    """Return a bench whose service runs, and was just given another image."""
    bench = Bench(with_update(a_spec(replicas), **config), nodes=3)
    bench.run()
    bench.update(image=image)
    return bench


def fail_new_tasks(bench: Bench, image: str = "bad", seconds: float = 60.0) -> None:
    """Go on; agents cannot run `image`."""
    for _ in range(int(seconds * 2)):
        bench.settle()
        bench.place()
        for task in bench.live:
            if task.spec.container.image == image and not task_state.is_done(task):
                bench.report(task, task_state.REJECTED, "no such image")
        bench.obey_except(image)
        bench.clock.advance(0.5)
    bench.settle()


def test_a_new_service_is_not_an_update() -> None:
    bench = Bench(a_spec(3))
    bench.run(20)
    assert not bench.service.HasField("update_status")


def test_one_slot_at_a_time_old_stopped_before_new_starts() -> None:
    bench = updated()
    bench.settle()
    assert state_of(bench) == "UPDATING"
    old = [task for task in bench.tasks if task.desired_state == task_state.SHUTDOWN]
    new = [task for task in bench.live if task.spec.container.image == "v2"]
    assert [task.slot for task in old] == [task.slot for task in new] == [1]
    assert new[0].desired_state == task_state.READY
    assert new[0].previous_task_id == old[0].id
    bench.report(old[0], task_state.SHUTDOWN)
    bench.settle()
    assert bench.task(new[0].id).desired_state == task_state.RUNNING
    assert bench.images() == ["v1", "v1", "v2"], "the next slot waits for this one to run"


def test_an_update_goes_through_all_slots_and_completes_after_the_monitor() -> None:
    bench = updated(monitor_ns=5 * SECOND)
    bench.run()
    assert bench.images() == ["v2"] * 3
    assert state_of(bench) == "UPDATING"
    bench.run(4.5)
    assert state_of(bench) == "UPDATING"
    bench.run(1)
    assert state_of(bench) == "COMPLETED"
    assert bench.service.update_status.HasField("completed_at")
    assert not bench.plan()


@pytest.mark.parametrize(("parallelism", "at_once"), [(1, 1), (2, 2), (0, 6)])
def test_parallelism_limits_the_slots_in_flight(parallelism: int, at_once: int) -> None:
    bench = updated(6, parallelism=parallelism)
    most = 0
    for _ in range(100):
        bench.settle()
        in_flight = [
            task
            for task in bench.live
            if task.spec.container.image == "v2" and task.status.state < task_state.RUNNING
        ]
        most = max(most, len(in_flight))
        bench.obey_one()
    assert most == at_once
    assert bench.images() == ["v2"] * 6


def test_the_delay_passes_between_two_slots() -> None:
    bench = updated(3, delay_ns=10 * SECOND)
    bench.run(9)
    assert bench.images() == ["v1", "v1", "v2"]
    bench.run(2)
    assert bench.images() == ["v1", "v2", "v2"]


def test_start_first_never_has_fewer_running_than_asked_for() -> None:
    bench = updated(3, order=START_FIRST)
    for _ in range(60):
        bench.settle()
        assert len(running(bench)) >= 3
        assert len(bench.live) <= 4
        bench.obey_one()
    assert bench.images() == ["v2"] * 3


def test_stop_first_never_has_more_than_one_task_in_a_slot() -> None:
    bench = updated(3)
    for _ in range(60):
        bench.settle()
        assert len({task.slot for task in bench.live}) == len(bench.live)
        bench.obey_one()
    assert bench.images() == ["v2"] * 3


def test_an_old_task_that_never_stops_is_waited_for_no_longer_than_a_minute() -> None:
    bench = updated(1)
    bench.settle()
    bench.clock.advance(61)
    bench.settle()
    assert bench.live[0].desired_state == task_state.RUNNING


def test_a_failing_image_pauses_the_update_and_names_the_task() -> None:
    bench = updated(3, image="bad", failure_action=PAUSE)
    fail_new_tasks(bench)
    assert state_of(bench) == "PAUSED"
    named = [task for task in bench.tasks if task.id in bench.service.update_status.message.split()]
    assert [task.status.state for task in named] == [task_state.REJECTED], "it can still be looked at"
    assert "no such image" in bench.service.update_status.message
    assert bench.images() == ["bad", "v1", "v1"], "the other slots are untouched"


def test_a_new_good_spec_resumes_a_paused_update() -> None:
    bench = updated(3, image="bad", failure_action=PAUSE)
    fail_new_tasks(bench)
    bench.update(image="v3")
    bench.run(20)
    assert state_of(bench) == "COMPLETED"
    assert bench.images() == ["v3"] * 3


def test_a_paused_update_that_goes_on_with_the_same_spec_takes_the_next_slot() -> None:
    bench = updated(3, image="bad", failure_action=PAUSE)
    fail_new_tasks(bench)
    bench.clock.advance(1)
    bench.change_service(lambda service: service.ClearField("update_status"))
    fail_new_tasks(bench)
    assert state_of(bench) == "PAUSED"
    assert bench.images() == ["bad", "bad", "v1"]


def test_tasks_that_fail_while_the_update_is_paused_keep_their_version() -> None:
    bench = updated(3, image="bad", failure_action=PAUSE)
    fail_new_tasks(bench)
    bench.report(next(task for task in bench.live if task.slot == 3), task_state.FAILED)
    bench.settle()
    assert [task.spec.container.image for task in bench.live if task.slot == 3] == ["v1"]
    assert [task.spec_version for task in bench.live if task.slot == 3] == [1]


def test_a_failing_image_with_continue_goes_through_all_slots() -> None:
    bench = updated(3, image="bad", failure_action=CONTINUE)
    fail_new_tasks(bench)
    assert state_of(bench) == "COMPLETED"
    assert bench.images() == ["bad"] * 3


def test_a_failing_image_with_continue_goes_through_all_slots_also_with_start_first() -> None:
    bench = updated(3, image="bad", failure_action=CONTINUE, order=START_FIRST)
    fail_new_tasks(bench)
    assert state_of(bench) == "COMPLETED"
    assert bench.images() == ["bad"] * 3


def test_a_failing_image_with_start_first_leaves_the_old_task_running() -> None:
    bench = updated(3, image="bad", failure_action=PAUSE, order=START_FIRST)
    fail_new_tasks(bench)
    assert state_of(bench) == "PAUSED"
    assert len(running(bench)) == 3


def test_a_failing_image_with_rollback_brings_the_old_spec_back_everywhere() -> None:
    bench = updated(3, image="bad", failure_action=ROLLBACK)
    fail_new_tasks(bench, seconds=3)
    assert state_of(bench) == "ROLLBACK_STARTED"
    assert "because task" in bench.service.update_status.message
    bench.run(20)
    assert state_of(bench) == "ROLLBACK_COMPLETED"
    assert bench.images() == ["v1"] * 3
    assert bench.service.spec.task.container.image == "v1"
    assert not bench.service.HasField("previous_spec")


def test_only_the_slots_that_were_touched_are_rolled_back() -> None:
    bench = updated(3, image="bad", failure_action=ROLLBACK)
    before = {task.id for task in bench.tasks}
    fail_new_tasks(bench, seconds=3)
    bench.run(20)
    assert len(before & {task.id for task in running(bench)}) == 2


@pytest.mark.parametrize("action", [PAUSE, ROLLBACK])
def test_a_rollback_that_fails_pauses_and_stays_so(action: int) -> None:
    bench = Bench(with_update(a_spec(3, image="v1"), failure_action=action), nodes=3)
    bench.run()
    bench.update(image="v2")
    bench.run(20)
    bench.change_service(lambda service: rename_previous(service.previous_spec))
    bench.roll_back()
    fail_new_tasks(bench)
    assert state_of(bench) == "ROLLBACK_PAUSED"
    assert bench.images() == ["bad", "v2", "v2"]


def rename_previous(spec: ServiceSpec) -> None:
    spec.task.container.image = "bad"


def test_a_task_that_ends_within_the_monitor_counts_as_failed_also_with_exit_code_0() -> None:
    bench = updated(2, monitor_ns=5 * SECOND)
    bench.run(2)
    bench.report(next(task for task in running(bench) if task.slot == 1), task_state.COMPLETE)
    bench.settle()
    assert state_of(bench) == "PAUSED"


def test_a_failure_after_the_monitor_does_not_count() -> None:
    bench = updated(2, monitor_ns=2 * SECOND, delay_ns=30 * SECOND)
    bench.run(4)
    assert bench.images() == ["v1", "v2"]
    bench.report(next(task for task in running(bench) if task.slot == 1), task_state.FAILED)
    bench.settle()
    assert state_of(bench) == "UPDATING"


@pytest.mark.parametrize(("healthy_s", "state"), [(3, "PAUSED"), (7, "UPDATING")])
def test_an_update_waits_for_health_and_fails_when_it_is_lost_within_the_monitor(
    healthy_s: float, state: str
) -> None:
    bench = updated(3, image="slow", monitor_ns=5 * SECOND, delay_ns=30 * SECOND)
    for _ in range(120):
        bench.settle()
        bench.obey_except("slow")
        for task in bench.live:
            if task.spec.container.image == "slow" and task.desired_state == task_state.RUNNING:
                bench.report(task, task_state.STARTING)
        bench.clock.advance(1)
    assert bench.images() == ["slow", "v1", "v1"], "not healthy yet: the next slot waits"
    assert state_of(bench) == "UPDATING"
    (slow,) = (task for task in bench.live if task.spec.container.image == "slow")
    bench.report(slow, task_state.RUNNING)
    bench.settle()
    bench.clock.advance(healthy_s)
    bench.settle()
    bench.report(slow, task_state.FAILED, "unhealthy: last probe said nothing")
    bench.settle()
    assert state_of(bench) == state


@pytest.mark.parametrize(("failures", "state"), [(2, "COMPLETED"), (3, "PAUSED")])
def test_a_ratio_of_a_half_tolerates_up_to_half(failures: int, state: str) -> None:
    bench = updated(4, max_failure_ratio=0.5, parallelism=4)
    bench.run()
    for task in running(bench)[:failures]:
        bench.report(task, task_state.FAILED)
    bench.run(20)
    assert state_of(bench) == state


def test_the_same_spec_again_restarts_nothing() -> None:
    bench = Bench(a_spec(3))
    bench.run()
    bench.update()
    assert not bench.plan()


def test_a_forced_update_restarts_every_task() -> None:
    bench = Bench(a_spec(3))
    bench.run()
    before = {task.id for task in bench.tasks}
    bench.update(force=True)
    bench.run(20)
    assert len(running(bench)) == 3
    assert not before & {task.id for task in running(bench)}
    assert state_of(bench) == "COMPLETED"


def test_another_placement_moves_only_the_tasks_that_it_forbids() -> None:
    bench = Bench(a_spec(3))
    bench.run()
    before = {task.node_id: task.id for task in bench.tasks}
    bench.update(constraint="node.id!=n2")
    bench.settle()
    assert {task.node_id for task in bench.tasks if task.desired_state > task_state.RUNNING} == {"n2"}
    assert {before["n1"], before["n3"]} < {task.id for task in bench.live}


def test_another_placement_is_a_new_task_for_one_that_waits() -> None:
    bench = Bench(a_spec(1))
    bench.settle()
    waiting = bench.live[0]
    bench.update(constraint="node.id==n2")
    bench.settle()
    assert waiting.id not in {task.id for task in bench.tasks}
    assert list(bench.live[0].spec.placement.constraints) == ["node.id==n2"]
    assert bench.live[0].desired_state == task_state.RUNNING


def test_an_update_during_an_update_ends_at_the_newest() -> None:
    bench = updated(4)
    bench.settle()
    bench.obey_one()
    bench.update(image="v3")
    bench.run(20)
    assert state_of(bench) == "COMPLETED"
    assert bench.images() == ["v3"] * 4


def test_an_update_during_a_start_first_update_leaves_the_running_task_until_the_newest_runs() -> None:
    bench = updated(1, order=START_FIRST)
    bench.settle()
    bench.update(image="v3")
    bench.settle()
    assert bench.images() == ["v1", "v3"]
    assert [task.spec.container.image for task in running(bench)] == ["v1"]
    bench.run(20)
    assert bench.images() == ["v3"]


def test_rolling_back_twice_gives_the_first_spec_back() -> None:
    bench = updated(2)
    bench.run(20)
    bench.roll_back()
    bench.run(20)
    assert bench.images() == ["v1", "v1"]
    assert state_of(bench) == "ROLLBACK_COMPLETED"
    bench.roll_back()
    bench.run(20)
    assert bench.images() == ["v2", "v2"]


def test_finished_slots_are_updated_as_well() -> None:
    spec = a_spec(2)
    spec.task.restart.condition = 2
    bench = Bench(spec)
    bench.run()
    for task in bench.live:
        bench.report(task, task_state.COMPLETE)
    bench.settle()
    assert running(bench) == []
    bench.update(image="v2")
    bench.run(20)
    assert [task.spec.container.image for task in running(bench)] == ["v2", "v2"]


def test_what_does_not_run_is_updated_first() -> None:
    bench = Bench(with_update(a_spec(3)))
    bench.run()
    bench.report(bench.in_slot(3)[0], task_state.FAILED)
    bench.update(image="v2")
    bench.settle()
    assert [task.slot for task in bench.live if task.spec.container.image == "v2"] == [3]


def test_an_update_without_tasks_completes_at_once() -> None:
    bench = updated(1)
    bench.settle()
    bench.update(replicas=0)
    bench.change_service(
        lambda service: setattr(service.update_status, "state", UpdateStatus.STATE_UPDATING)
    )
    bench.run()
    assert state_of(bench) == "COMPLETED"


def test_a_new_task_that_loses_its_node_is_neither_a_failure_nor_the_end_of_the_update() -> None:
    bench = updated(2)
    bench.settle()
    bench.place()
    new = next(task for task in bench.live if task.spec.container.image == "v2")
    bench.lose(new.node_id)
    bench.run(30)
    assert state_of(bench) == "COMPLETED"
    assert bench.images() == ["v2", "v2"]


@pytest.mark.parametrize("order", [0, START_FIRST])
def test_global_services_are_updated_node_by_node_and_not_on_a_paused_node(order: int) -> None:
    bench = Bench(with_update(a_spec(None), order=order), nodes=3)
    bench.run()
    bench.set_availability("n2", 1)
    bench.update(image="v2")
    bench.run(30)
    images = {task.node_id: task.spec.container.image for task in running(bench)}
    assert images == {"n1": "v2", "n2": "v1", "n3": "v2"}
    assert state_of(bench) == "COMPLETED"


def test_a_node_that_is_paused_while_its_task_is_replaced_still_counts_as_one_that_is_down() -> None:
    bench = Bench(with_update(a_spec(None), parallelism=1), nodes=3)
    bench.run()
    bench.update(image="v2")
    bench.settle()
    begun = {task.node_id for task in bench.live if task.spec.container.image == "v2"}
    assert len(begun) == 1
    bench.set_availability(begun.pop(), 1)
    bench.settle()
    assert bench.images() == ["v1", "v1", "v2"]
    bench.run(30)
    assert bench.images() == ["v2", "v2", "v2"], "what was begun goes on"


@pytest.mark.parametrize("limit", [0, 1])
def test_a_short_history_neither_holds_up_nor_blinds_an_update(limit: int) -> None:
    bench = Bench(with_update(a_spec(3), failure_action=PAUSE), history_limit=limit)
    bench.run()
    bench.update(image="v2")
    bench.run(10)
    assert state_of(bench) == "COMPLETED"
    bench.update(image="bad")
    fail_new_tasks(bench)
    assert state_of(bench) == "PAUSED"


def test_a_new_leader_goes_on_with_an_update() -> None:
    bench = updated(3)
    bench.settle()
    bench.obey_one()
    bench.clock.advance(-0.2)  # whose clock is a little behind
    bench.run(20)
    assert state_of(bench) == "COMPLETED"
    assert bench.images() == ["v2"] * 3
