import pytest

from swarm.api.v1.specs_pb2 import ServiceSpec
from swarm.api.v1.types_pb2 import RestartPolicy
from swarm.clock import SECOND, nanoseconds
from swarm.manager.orchestrator.restart import NO_LONGER_FITS
from swarm.model import task_state
from swarm.model.task import hold_reason
from tests.unit.orchestrator.bench import Bench, a_spec, running

ANY, ON_FAILURE, NONE = (
    RestartPolicy.CONDITION_ANY,
    RestartPolicy.CONDITION_ON_FAILURE,
    RestartPolicy.CONDITION_NONE,
)


def restarting(replicas: int | None = 1, **policy: int) -> ServiceSpec:
    spec = a_spec(replicas)
    for name, value in policy.items():
        setattr(spec.task.restart, name, value)
    return spec


def end_once(bench: Bench, state: int = task_state.FAILED, ran_s: float = 1.0) -> None:
    """Let the running task end, and its successor start after the delay."""
    bench.clock.advance(ran_s)
    bench.report(running(bench)[0], state)
    bench.run(10)


@pytest.mark.parametrize(
    ("condition", "state", "replaced"),
    [
        (ANY, task_state.COMPLETE, True),
        (ANY, task_state.FAILED, True),
        (ANY, task_state.REJECTED, True),
        (ANY, task_state.SHUTDOWN, True),
        (ON_FAILURE, task_state.COMPLETE, False),
        (ON_FAILURE, task_state.FAILED, True),
        (ON_FAILURE, task_state.REJECTED, True),
        (NONE, task_state.COMPLETE, False),
        (NONE, task_state.FAILED, False),
    ],
)
def test_the_condition_decides_whether_an_ended_task_is_replaced(
    condition: int, state: int, replaced: bool
) -> None:
    bench = Bench(restarting(condition=condition))
    bench.run()
    bench.report(bench.live[0], state)
    bench.run(10)
    assert len(running(bench)) == int(replaced)
    assert {task.slot for task in bench.tasks} == {1}
    assert not bench.plan()


def test_the_replacement_says_what_it_replaces_and_waits_for_the_delay() -> None:
    bench = Bench(restarting(delay_ns=3 * SECOND))
    bench.run()
    old = bench.live[0]
    bench.report(old, task_state.FAILED)
    plan = bench.settle()
    new = bench.live[0]
    assert new.previous_task_id == old.id
    assert new.desired_state == task_state.READY
    assert plan.wake_at_ns == nanoseconds(new.start_not_before) == bench.clock.now_ns() + 3 * SECOND
    bench.place()
    bench.report(new, task_state.READY)  # prepared, and still held back
    bench.clock.advance(2.9)
    assert not bench.plan()
    bench.clock.advance(0.1)
    bench.settle()
    assert bench.task(new.id).desired_state == task_state.RUNNING


def test_a_replacement_that_cannot_even_be_prepared_is_not_replaced_before_the_delay_has_passed() -> None:
    bench = Bench(restarting(delay_ns=5 * SECOND))
    bench.run()
    bench.report(bench.live[0], task_state.FAILED)
    bench.settle()
    for _ in range(200):
        bench.place()
        if not task_state.is_done(bench.live[0]):
            bench.report(bench.live[0], task_state.REJECTED)
        bench.settle()
        bench.clock.advance(0.1)
    created = bench.tasks[-1].id
    assert created == "t4", "after five seconds, five, and ten: it crashes again and again"


def test_the_delay_is_five_seconds_unless_said_otherwise() -> None:
    bench = Bench(a_spec(1))
    bench.run()
    bench.report(bench.live[0], task_state.FAILED)
    assert bench.settle().wake_at_ns == bench.clock.now_ns() + 5 * SECOND


def test_without_delay_the_replacement_starts_at_once() -> None:
    bench = Bench(restarting(delay_ns=0))
    bench.run()
    bench.report(bench.live[0], task_state.FAILED)
    bench.settle()
    assert bench.live[0].desired_state == task_state.RUNNING


def test_after_two_attempts_the_third_failure_is_final() -> None:
    bench = Bench(restarting(max_attempts=2))
    bench.run()
    for _ in range(2):
        end_once(bench)
        assert len(running(bench)) == 1
    end_once(bench)
    assert running(bench) == []
    assert len(bench.tasks) == 3


def test_old_failures_do_not_count_with_a_window() -> None:
    bench = Bench(restarting(max_attempts=1, window_ns=60 * SECOND))
    bench.run()
    for _ in range(4):
        end_once(bench, ran_s=100)
        assert len(running(bench)) == 1
    end_once(bench, ran_s=1)
    assert running(bench) == []
    bench.run(200)
    assert running(bench) == [], "final stays final, also when the window has passed"


def test_a_new_spec_starts_counting_anew() -> None:
    bench = Bench(restarting(max_attempts=1))
    bench.run()
    end_once(bench)
    end_once(bench)
    assert running(bench) == []
    bench.update(image="v2")
    bench.run(20)
    assert len(running(bench)) == 1
    end_once(bench)
    assert len(running(bench)) == 1


def test_moves_count_as_no_attempts() -> None:
    bench = Bench(restarting(max_attempts=1))
    bench.run()
    for _ in range(3):
        node_id = running(bench)[0].node_id
        bench.drain(node_id)
        bench.run()
        bench.set_availability(node_id, 0)
    assert len(running(bench)) == 1
    end_once(bench)
    assert len(running(bench)) == 1
    end_once(bench)
    assert running(bench) == []


def test_a_rejection_by_the_enforcer_counts_as_no_attempt() -> None:
    bench = Bench(restarting(max_attempts=1))
    bench.run()
    for _ in range(3):
        bench.report(running(bench)[0], task_state.REJECTED, NO_LONGER_FITS)
        bench.run(10)
    assert len(running(bench)) == 1


def test_tasks_leave_a_drained_node_without_the_delay() -> None:
    bench = Bench(a_spec(3))
    bench.run()
    bench.drain("n2")
    bench.settle()
    newcomer = next(task for task in bench.live if task.status.state == task_state.NEW)
    assert newcomer.desired_state == task_state.READY, "the old one still runs"
    assert newcomer.start_not_before.seconds == 0
    bench.run()
    assert all(task.node_id != "n2" or task.desired_state > task_state.RUNNING for task in bench.tasks)
    assert len(running(bench)) == 3
    bench.set_availability("n2", 0)
    assert not bench.plan(), "nothing moves back"


def test_a_paused_node_keeps_its_tasks() -> None:
    bench = Bench(a_spec(3))
    bench.run()
    bench.set_availability("n2", 1)
    assert not bench.plan()


def test_tasks_of_a_lost_node_are_replaced_at_once() -> None:
    bench = Bench(a_spec(3))
    bench.run()
    lost = next(task for task in bench.live if task.node_id == "n2")
    bench.lose("n2")
    bench.settle()
    assert bench.task(lost.id).desired_state == task_state.SHUTDOWN
    newcomer = next(task for task in bench.live if task.previous_task_id == lost.id)
    assert newcomer.desired_state == task_state.RUNNING
    bench.place()
    bench.obey()
    bench.find("n2")
    bench.run(30)
    assert len(running(bench)) == 3
    assert bench.task(lost.id).status.state == task_state.SHUTDOWN


def test_a_disconnected_or_unknown_node_keeps_its_tasks() -> None:
    bench = Bench(a_spec(3))
    bench.run()
    for state in (0, 3):
        bench.change_node("n2", lambda node, state=state: setattr(node.status, "state", state))
        assert not bench.plan()


def test_tasks_of_a_removed_node_are_replaced() -> None:
    bench = Bench(a_spec(3))
    bench.run()
    lost = next(task for task in bench.live if task.node_id == "n2")
    bench.report(lost, task_state.ORPHANED)
    node = bench.tables.nodes.get("n2")
    assert node is not None
    bench.write(lambda tx: tx.remove(node))
    bench.run()
    assert len(running(bench)) == 3


def test_condition_none_means_at_most_once_also_when_the_node_is_lost() -> None:
    bench = Bench(restarting(condition=NONE))
    bench.run()
    bench.lose(bench.live[0].node_id)
    bench.run(10)
    assert running(bench) == []
    assert len(bench.tasks) == 1


def test_a_new_manager_starts_what_was_held_back() -> None:
    bench = Bench(restarting(delay_ns=5 * SECOND))
    bench.run()
    bench.report(bench.live[0], task_state.FAILED)
    bench.settle()
    bench.clock.advance(60)  # nobody led
    bench.run()
    assert len(running(bench)) == 1


def test_a_task_that_never_stops_holds_up_its_successor_for_a_minute() -> None:
    bench = Bench(a_spec(1))
    bench.run()
    old = bench.live[0]
    bench.drain(old.node_id)
    bench.settle()
    bench.clock.advance(59)
    assert not bench.plan()
    bench.clock.advance(1)
    bench.settle()
    assert bench.live[0].desired_state == task_state.RUNNING


def test_a_longer_grace_period_is_waited_for() -> None:
    spec = a_spec(1)
    spec.task.container.stop_grace_period_ns = 300 * SECOND
    bench = Bench(spec)
    bench.run()
    bench.drain(bench.live[0].node_id)
    bench.settle()
    bench.clock.advance(200)
    assert not bench.plan()
    bench.clock.advance(110)
    bench.settle()
    assert bench.live[0].desired_state == task_state.RUNNING


def test_a_task_that_goes_down_with_its_node_while_stopping_holds_up_nobody() -> None:
    bench = Bench(a_spec(1))
    bench.run()
    old = bench.live[0]
    bench.drain(old.node_id)
    bench.settle()
    bench.lose(old.node_id)
    bench.settle()
    assert bench.live[0].desired_state == task_state.RUNNING


def test_two_tasks_in_one_slot_are_one_too_many() -> None:
    bench = Bench(a_spec(1))
    bench.run()
    double = type(bench.live[0])()
    double.CopyFrom(bench.live[0])
    double.id = "double"
    double.status.state = task_state.STARTING
    bench.write(lambda tx: tx.create(double))
    bench.settle()
    assert [task.id for task in bench.live] == ["t1"]


def delays_of_crashes(bench: Bench, crashes: int, ran_s: float = 1.0) -> list[float]:
    """Let the task of slot 1 crash so often, and return how long each successor was held back."""
    delays = []
    for _ in range(crashes):
        bench.clock.advance(ran_s)
        bench.report(running(bench)[0], task_state.FAILED, "exit code 1")
        bench.settle()
        delays.append((nanoseconds(bench.live[0].start_not_before) - bench.clock.now_ns()) / SECOND)
        bench.clock.advance(delays[-1])
        bench.run()
    return delays


def test_crashes_in_a_row_wait_twice_as_long_each_time_up_to_a_limit() -> None:
    bench = Bench(a_spec(1), history_limit=2)  # how often it crashed is known though its history is not
    bench.run()
    assert delays_of_crashes(bench, 10) == [5, 5, 10, 20, 40, 80, 160, 300, 300, 300]


def test_a_task_that_ran_well_for_a_minute_ends_the_row() -> None:
    bench = Bench(a_spec(1))
    bench.run()
    assert delays_of_crashes(bench, 4) == [5, 5, 10, 20]
    assert delays_of_crashes(bench, 1, ran_s=60.0) == [5]
    assert delays_of_crashes(bench, 2) == [5, 10]


def test_a_task_that_ends_well_is_no_crash_however_often_it_does() -> None:
    bench = Bench(restarting(delay_ns=SECOND))
    bench.run()
    for _ in range(5):
        end_once(bench, task_state.COMPLETE)
    assert bench.live[0].crashes == 0


def test_a_new_spec_starts_without_the_crashes_of_the_old_one() -> None:
    bench = Bench(a_spec(1))
    bench.run()
    delays_of_crashes(bench, 4)
    bench.update(image="v2")
    bench.run(1)
    assert delays_of_crashes(bench, 3) == [5, 5, 10]


def test_limited_attempts_come_as_fast_as_the_user_said() -> None:
    bench = Bench(restarting(max_attempts=20, window_ns=60 * SECOND, delay_ns=SECOND))
    bench.run()
    assert delays_of_crashes(bench, 8) == [1] * 8


def test_the_limit_of_the_delay_can_be_chosen_and_be_none() -> None:
    bench = Bench(restarting(delay_ns=2 * SECOND, max_delay_ns=5 * SECOND))
    bench.run()
    assert delays_of_crashes(bench, 5) == [2, 2, 4, 5, 5]
    bench = Bench(restarting(delay_ns=2 * SECOND, max_delay_ns=0))
    bench.run()
    assert delays_of_crashes(bench, 5) == [2] * 5


def test_a_task_that_lost_its_node_waits_for_nothing_and_ends_the_row() -> None:
    bench = Bench(a_spec(1))
    bench.run()
    delays_of_crashes(bench, 4)
    bench.lose(running(bench)[0].node_id)
    bench.run()
    assert running(bench)[0].crashes == 0
    assert not running(bench)[0].HasField("start_not_before")


def test_a_task_that_is_held_back_says_for_how_long_and_why() -> None:
    bench = Bench(a_spec(1))
    bench.run()
    delays_of_crashes(bench, 4)
    bench.report(running(bench)[0], task_state.FAILED)
    bench.settle()
    assert hold_reason(bench.live[0], bench.clock.now_ns()) == "restarts in 40 s: 5 crashes in a row"
    bench.clock.advance(38.5)
    assert hold_reason(bench.live[0], bench.clock.now_ns()) == "restarts in 2 s: 5 crashes in a row"
    bench.clock.advance(2)
    bench.run()
    assert hold_reason(running(bench)[0], bench.clock.now_ns()) == ""
