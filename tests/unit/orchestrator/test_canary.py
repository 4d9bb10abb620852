"""Updates that stop: for canaries, and because somebody paused them."""

from collections.abc import Callable

import pytest

from swarm.api.v1.objects_pb2 import Service
from swarm.clock import SECOND, timestamp
from swarm.model import rollout, task_state
from tests.unit.orchestrator.bench import PAUSE, ROLLBACK, START_FIRST, Bench, a_spec, running, with_update
from tests.unit.orchestrator.test_updater import fail_new_tasks, state_of


def with_canaries(count: int = 1, replicas: int | None = 4, image: str = "v2", **config: object) -> Bench:
    """Return a bench whose service runs, and was just given another image, with canaries."""
    spec = with_update(a_spec(replicas), **config)
    spec.update.canary = count
    spec.task.restart.max_delay_ns = 0  # crashes in a row are not what this is about
    bench = Bench(spec, nodes=4)
    bench.run()
    bench.update(image=image)
    return bench


def do(bench: Bench, action: Callable[[Service], bool]) -> None:
    bench.change_service(action)


def resume(bench: Bench) -> None:
    do(bench, lambda service: rollout.resume(service, timestamp(bench.clock.now_ns())))


@pytest.mark.parametrize("replicas", [4, None])
@pytest.mark.parametrize("count", [1, 2])
def test_canaries_are_updated_and_the_others_wait_until_they_are_promoted(
    count: int, replicas: int | None
) -> None:
    bench = with_canaries(count, replicas)
    bench.run(8)
    assert state_of(bench) == "CANARY"
    assert "waiting" in bench.service.update_status.message
    assert bench.images() == ["v1"] * (4 - count) + ["v2"] * count
    assert not bench.plan(), "nothing to do, and no alarm needed"
    do(bench, rollout.promote)
    bench.run(7)
    assert state_of(bench) == "COMPLETED"
    assert bench.images() == ["v2"] * 4


def test_canaries_are_watched_before_they_are_called_good() -> None:
    bench = with_canaries(monitor_ns=5 * SECOND)
    bench.run(4)
    assert state_of(bench) == "UPDATING"
    bench.run(3)
    assert state_of(bench) == "CANARY"


def test_canaries_rolled_back_leave_the_other_tasks_alone() -> None:
    bench = with_canaries()
    untouched = {task.id for task in bench.live if task.slot != 1}
    bench.run(7)
    bench.roll_back()
    bench.run(7)
    assert state_of(bench) == "ROLLBACK_COMPLETED"
    assert bench.images() == ["v1"] * 4
    assert untouched < {task.id for task in running(bench)}


@pytest.mark.parametrize(
    ("action", "state", "images"),
    [(PAUSE, "PAUSED", ["bad", "v1", "v1", "v1"]), (ROLLBACK, "ROLLBACK_COMPLETED", ["v1"] * 4)],
)
def test_failing_canaries_follow_the_failure_action(action: int, state: str, images: list[str]) -> None:
    # One of four would be within the ratio; of one canary it is all.
    bench = with_canaries(image="bad", failure_action=action, max_failure_ratio=0.5)
    fail_new_tasks(bench, seconds=12)
    assert state_of(bench) == state
    assert bench.images() == images


def test_a_canary_that_fails_while_it_waits_follows_the_failure_action_however_late() -> None:
    bench = with_canaries(failure_action=ROLLBACK, monitor_ns=SECOND)
    bench.run(7)
    assert state_of(bench) == "CANARY"
    bench.clock.advance(3600)
    bench.report(next(task for task in running(bench) if task.slot == 1), task_state.FAILED, "exit code 1")
    bench.run(7)
    assert state_of(bench) == "ROLLBACK_COMPLETED"
    assert "exit code 1" in bench.service.update_status.message, "it is said why"
    assert bench.images() == ["v1"] * 4


def test_a_failure_of_a_promoted_canary_after_the_monitor_does_not_count() -> None:
    bench = with_canaries(failure_action=ROLLBACK, monitor_ns=SECOND, delay_ns=30 * SECOND)
    bench.run(4)
    do(bench, rollout.promote)
    bench.report(next(task for task in running(bench) if task.slot == 1), task_state.FAILED)
    bench.settle()
    assert state_of(bench) == "UPDATING"


def test_a_canary_that_lost_its_node_is_put_elsewhere_and_no_other_slot_is_begun() -> None:
    bench = with_canaries()
    bench.run(7)
    canary = next(task for task in running(bench) if task.slot == 1)
    bench.lose(canary.node_id)
    bench.run(7)
    assert bench.images() == ["v1", "v1", "v1", "v2"]
    assert state_of(bench) == "CANARY"


def test_an_old_task_that_fails_beside_waiting_canaries_stays_old() -> None:
    bench = with_canaries()
    bench.run(7)
    bench.report(next(task for task in running(bench) if task.slot == 3), task_state.FAILED)
    bench.run(7)
    assert state_of(bench) == "CANARY"
    assert bench.images() == ["v1", "v1", "v1", "v2"]


def test_as_many_canaries_as_tasks_have_nobody_left_to_wait_for() -> None:
    bench = with_canaries(4)
    bench.run(8)
    assert state_of(bench) == "COMPLETED"


def test_more_canaries_asked_for_while_some_wait_are_begun() -> None:
    bench = with_canaries()
    bench.run(7)
    bench.reconfigure(lambda spec: setattr(spec.update, "canary", 3))
    bench.run(7)
    assert state_of(bench) == "CANARY"
    assert bench.images() == ["v1", "v2", "v2", "v2"]


def test_scaling_promotes_no_canaries() -> None:
    bench = with_canaries()
    bench.run(7)
    bench.update(replicas=3)
    bench.run(7)
    assert state_of(bench) == "CANARY"
    assert bench.images().count("v1") >= 2


def test_a_service_that_was_scaled_in_the_middle_rolls_back_to_the_old_tasks_and_the_new_number() -> None:
    bench = with_canaries(failure_action=ROLLBACK)
    bench.run(7)
    bench.update(replicas=6)
    bench.run(5)
    bench.roll_back()
    bench.run(7)
    assert bench.images() == ["v1"] * 6


def test_other_replicas_or_labels_restart_no_task_and_are_no_update() -> None:
    bench = Bench(a_spec(3))
    bench.run()
    before = {task.id for task in bench.live}
    bench.update(replicas=4)
    bench.reconfigure(lambda spec: spec.annotations.labels.update({"a": "b"}))
    bench.run(7)
    assert before < {task.id for task in running(bench)}
    assert len(running(bench)) == 4
    assert not bench.service.HasField("update_status")
    assert bench.service.spec_version == 1
    assert bench.service.revision == 3


def test_a_paused_update_finishes_what_it_began_and_begins_nothing() -> None:
    bench = with_canaries(0)
    bench.settle()
    do(bench, rollout.pause)
    bench.run(8)
    assert state_of(bench) == "PAUSED"
    assert bench.images() == ["v1", "v1", "v1", "v2"]
    assert len(running(bench)) == 4
    resume(bench)
    bench.run(7)
    assert state_of(bench) == "COMPLETED"
    assert bench.images() == ["v2"] * 4


def test_a_paused_start_first_update_leaves_no_slot_with_two_tasks() -> None:
    bench = with_canaries(0, order=START_FIRST)
    bench.settle()
    assert len(bench.live) == 5
    do(bench, rollout.pause)
    bench.run(10)
    assert bench.images() == ["v1", "v1", "v1", "v2"]


def test_a_paused_rollback_goes_on_as_a_rollback() -> None:
    bench = with_canaries(0)
    bench.run(7)
    bench.roll_back()
    bench.settle()
    do(bench, rollout.pause)
    bench.run(7)
    assert state_of(bench) == "ROLLBACK_PAUSED"
    assert bench.images() == ["v1", "v2", "v2", "v2"]
    resume(bench)
    bench.run(7)
    assert state_of(bench) == "ROLLBACK_COMPLETED"
    assert bench.images() == ["v1"] * 4


def test_an_update_resumed_after_a_failure_forgives_it_and_goes_on() -> None:
    bench = with_canaries(0, failure_action=PAUSE)
    bench.run(1)
    bench.report(next(task for task in running(bench) if task.slot == 1), task_state.FAILED)
    bench.settle()
    assert state_of(bench) == "PAUSED"
    bench.clock.advance(1)
    resume(bench)
    bench.run(7)
    assert state_of(bench) == "COMPLETED"
    assert bench.images() == ["v2"] * 4


def test_another_failure_action_for_a_paused_update_lets_it_go_on_by_that() -> None:
    bench = with_canaries(0, image="bad", failure_action=PAUSE)
    fail_new_tasks(bench, seconds=12)
    assert state_of(bench) == "PAUSED"
    bench.clock.advance(1)
    bench.reconfigure(lambda spec: setattr(spec.update, "failure_action", ROLLBACK))
    fail_new_tasks(bench, seconds=10)
    bench.run(7)
    assert state_of(bench) == "ROLLBACK_COMPLETED"
    assert bench.images() == ["v1"] * 4


def test_a_start_first_update_that_was_resumed_and_fails_again_pauses_again() -> None:
    bench = with_canaries(0, image="bad", failure_action=PAUSE, order=START_FIRST)
    fail_new_tasks(bench, seconds=2)
    for _ in range(6):  # more often than there are slots
        assert state_of(bench) == "PAUSED"
        bench.clock.advance(1)
        resume(bench)
        fail_new_tasks(bench, seconds=12)
        assert len(running(bench)) == 4
    assert state_of(bench) == "PAUSED"
