"""A node is drained: the replacement runs first, unless that must not be or does not come about in time."""

from swarm.api.v1.objects_pb2 import Node, Task
from swarm.api.v1.types_pb2 import NodeAvailability, UpdateConfig
from swarm.clock import SECOND, timestamp
from swarm.model import task_state
from tests.unit.orchestrator.bench import Bench, a_spec, running, with_update


def drain(bench: Bench, node_id: str, timeout_s: float | None = None) -> None:
    """Drain a node as the control API does."""

    def change(node: Node) -> None:
        node.spec.availability = NodeAvailability.NODE_AVAILABILITY_DRAIN
        node.spec.drain_started_at.CopyFrom(timestamp(bench.clock.now_ns()))
        if timeout_s is not None:
            node.spec.drain_timeout_ns = int(timeout_s * SECOND)

    bench.change_node(node_id, change)


def drained_bench(timeout_s: float | None = None, **update: int) -> tuple[Bench, Task]:
    spec = with_update(a_spec(1), **update) if update else a_spec(1)
    bench = Bench(spec, nodes=2)
    bench.run()
    old = running(bench)[0]
    drain(bench, old.node_id, timeout_s)
    return bench, old


def elsewhere(bench: Bench, old: Task) -> None:
    """Put the replacement on the other node."""
    (new,) = [task for task in bench.live if task.id != old.id]
    bench.assign(new, "n2" if old.node_id == "n1" else "n1")


def test_the_replacement_runs_before_the_old_task_is_told_to_stop() -> None:
    bench, old = drained_bench()
    bench.settle()
    new = bench.live[-1]
    assert (new.previous_task_id, new.desired_state) == (old.id, task_state.RUNNING)
    assert not new.HasField("start_not_before"), "no restart delay: it did nothing wrong"
    elsewhere(bench, old)
    for state in (task_state.ACCEPTED, task_state.PREPARING, task_state.READY, task_state.STARTING):
        bench.report(new, state)
        bench.settle()
        assert bench.task(old.id).desired_state == task_state.RUNNING
    bench.report(new, task_state.RUNNING)
    bench.settle()
    assert bench.task(old.id).desired_state == task_state.SHUTDOWN
    assert [task.id for task in bench.live] == [new.id]


def test_a_replacement_that_finds_no_node_is_waited_for_and_then_the_old_task_stops_anyway() -> None:
    bench, old = drained_bench(timeout_s=30)
    assert bench.settle().wake_at_ns == bench.clock.now_ns() + 30 * SECOND
    bench.clock.advance(29.9)
    assert not bench.settle()
    assert bench.task(old.id).desired_state == task_state.RUNNING
    bench.clock.advance(0.1)
    bench.settle()
    assert bench.task(old.id).desired_state == task_state.SHUTDOWN
    assert [task.status.state for task in bench.live] == [task_state.NEW], "it goes on waiting for a node"
    assert len(bench.tasks) == 2


def test_the_wait_is_a_minute_unless_said_otherwise_and_none_with_zero() -> None:
    bench, old = drained_bench()
    assert bench.settle().wake_at_ns == bench.clock.now_ns() + 60 * SECOND
    bench, old = drained_bench(timeout_s=0)
    bench.settle()
    assert bench.task(old.id).desired_state == task_state.SHUTDOWN


def test_a_node_that_was_drained_before_it_said_since_when_gives_its_tasks_up_at_once() -> None:
    bench = Bench(a_spec(1), nodes=2)
    bench.run()
    old = running(bench)[0]
    bench.drain(old.node_id)
    bench.settle()
    assert bench.task(old.id).desired_state == task_state.SHUTDOWN
    assert [task.desired_state for task in bench.live] == [task_state.READY]


def test_who_said_stop_first_never_has_two_at_once() -> None:
    bench, old = drained_bench(order=UpdateConfig.ORDER_STOP_FIRST)
    bench.settle()
    assert bench.task(old.id).desired_state == task_state.SHUTDOWN
    assert [task.desired_state for task in bench.live] == [task_state.READY]


def test_a_global_service_gives_its_task_up_at_once() -> None:
    bench = Bench(a_spec(None), nodes=2)
    bench.run()
    drain(bench, "n1")
    bench.settle()
    assert [task.node_id for task in bench.live] == ["n2"]


def test_a_replacement_that_crashes_is_replaced_while_the_old_task_goes_on() -> None:
    bench, old = drained_bench()
    bench.settle()
    elsewhere(bench, old)
    bench.report(bench.live[-1], task_state.FAILED)
    bench.settle()
    assert bench.task(old.id).desired_state == task_state.RUNNING
    assert len(bench.live) == 2
    bench.clock.advance(5)
    bench.settle()
    assert bench.live[-1].desired_state == task_state.RUNNING
    elsewhere(bench, old)
    bench.report(bench.live[-1], task_state.RUNNING)
    bench.settle()
    assert bench.task(old.id).desired_state == task_state.SHUTDOWN
    assert len(running(bench)) == 1


def test_a_node_made_active_again_keeps_its_task_and_the_replacement_goes() -> None:
    bench, old = drained_bench()
    bench.settle()
    bench.set_availability(old.node_id, NodeAvailability.NODE_AVAILABILITY_ACTIVE)
    bench.settle()
    assert [task.id for task in bench.live] == [old.id]


def test_a_replacement_on_a_node_that_is_drained_as_well_is_replaced_and_nothing_doubles() -> None:
    bench = Bench(a_spec(1), nodes=3)
    bench.run()
    old = running(bench)[0]
    drain(bench, old.node_id)
    bench.settle()
    second = bench.live[-1]
    bench.assign(second, next(f"n{one}" for one in (1, 2, 3) if f"n{one}" != old.node_id))
    drain(bench, bench.task(second.id).node_id)
    bench.settle()
    assert bench.task(second.id).desired_state == task_state.SHUTDOWN
    assert bench.task(old.id).desired_state == task_state.RUNNING
    assert len(bench.live) == 2


def test_an_update_during_the_wait_ends_with_the_new_spec_elsewhere() -> None:
    bench, old = drained_bench()
    bench.settle()
    bench.update(image="v2")
    bench.settle()
    for _ in range(30):
        for task in bench.live:
            if not task.node_id:
                bench.assign(task, "n2" if old.node_id == "n1" else "n1")
        bench.run(1)
    assert bench.images() == ["v2"]
    assert [task.node_id for task in running(bench)] != [old.node_id]
    assert not bench.plan()


def test_a_task_that_does_not_run_yet_is_not_waited_for() -> None:
    bench = Bench(a_spec(1), nodes=2)
    bench.settle()
    bench.place()
    old = bench.live[0]
    drain(bench, old.node_id)
    bench.settle()
    assert bench.task(old.id).desired_state == task_state.SHUTDOWN


def test_a_drained_node_that_goes_down_keeps_nothing() -> None:
    bench, old = drained_bench()
    bench.settle()
    bench.lose(old.node_id)
    bench.settle()
    assert bench.task(old.id).desired_state == task_state.SHUTDOWN
    assert len(bench.live) == 1
