"""Moves begin, wait and end as the update policy says; anything unexpected stops them."""

from swarm.api.v1.objects_pb2 import Rebalance, Service
from swarm.api.v1.types_pb2 import NodeAvailability, NodeState, UpdateStatus
from swarm.clock import SECOND, timestamp
from swarm.model import task_state
from swarm.model.service import start_moving
from tests.unit.orchestrator.bench import START_FIRST, Bench, a_spec, with_update


def moving(slots: int, replicas: int = 4, **update: object) -> Bench:
    """Return a bench whose service begins to move the tasks of the first slots."""
    bench = Bench(with_update(a_spec(replicas), **update))
    bench.run(20)
    tasks = [bench.in_slot(slot)[0] for slot in range(1, slots + 1)]

    def begin(service: Service) -> None:
        moves = [
            Rebalance.Move(task_id=task.id, slot=task.slot, from_node_id=task.node_id) for task in tasks
        ]
        start_moving(service, moves, timestamp(bench.clock.now_ns()))

    bench.change_service(begin)
    return bench


def state(bench: Bench) -> int:
    return bench.service.rebalance.state


def begun(bench: Bench) -> set[int]:
    return {task.slot for task in bench.tasks if task.previous_task_id}


def test_no_more_tasks_move_at_once_than_an_update_may_replace() -> None:
    bench = moving(3, parallelism=2)
    bench.look()
    assert begun(bench) == {1, 2}
    bench.look()
    assert begun(bench) == {1, 2}
    bench.run(30)
    assert begun(bench) == {1, 2, 3}
    assert state(bench) == Rebalance.STATE_COMPLETED
    assert bench.service.rebalance.message == "3 tasks moved"
    assert not bench.plan()


def test_parallelism_zero_moves_all_at_once() -> None:
    bench = moving(3, parallelism=0)
    bench.look()
    assert begun(bench) == {1, 2, 3}


def test_start_first_keeps_the_old_task_until_the_new_one_runs() -> None:
    bench = moving(1, order=START_FIRST)
    old = bench.in_slot(1)[0]
    bench.look()
    assert bench.task(old.id).desired_state == task_state.RUNNING
    assert len(bench.in_slot(1)) == 2
    bench.run(10)
    assert bench.task(old.id).desired_state == task_state.SHUTDOWN
    assert state(bench) == Rebalance.STATE_COMPLETED


def test_the_next_move_waits_for_the_delay() -> None:
    bench = moving(2, delay_ns=60 * SECOND)
    bench.run(20)
    assert begun(bench) == {1}
    bench.run(60)
    assert begun(bench) == {1, 2}


def test_an_update_stops_the_moves_and_is_made() -> None:
    bench = moving(4, parallelism=1)
    bench.look()
    bench.update(image="v2")
    bench.run(60)
    assert state(bench) == Rebalance.STATE_STOPPED
    assert bench.images() == ["v2"] * 4
    assert bench.service.update_status.state == UpdateStatus.STATE_COMPLETED


def test_scaling_does_not_stop_the_moves_and_drops_those_of_slots_that_go() -> None:
    bench = moving(3, replicas=4, parallelism=1)
    bench.look()
    bench.update(replicas=8)
    bench.run(60)
    assert state(bench) == Rebalance.STATE_COMPLETED
    assert {1, 2, 3} <= begun(bench)
    assert len(bench.live) == 8
    bench = moving(4, replicas=4, parallelism=1)
    bench.update(replicas=1)
    bench.run(60)
    assert state(bench) == Rebalance.STATE_COMPLETED
    assert len(bench.live) == 1


def test_a_drain_in_the_middle_of_the_moves_leaves_one_task_in_each_slot() -> None:
    bench = moving(4, parallelism=1)
    bench.look()
    now = timestamp(bench.clock.now_ns())

    def drain(node) -> None:
        node.spec.availability = NodeAvailability.NODE_AVAILABILITY_DRAIN
        node.spec.drain_started_at.CopyFrom(now)

    bench.change_node("n1", drain)
    bench.run(200)
    assert state(bench) == Rebalance.STATE_COMPLETED
    assert sorted(task.slot for task in bench.live) == [1, 2, 3, 4]
    assert all(task.node_id != "n1" for task in bench.live)


def test_the_status_of_the_last_update_is_left_alone() -> None:
    bench = moving(2)
    before = bench.service.update_status
    bench.run(60)
    assert state(bench) == Rebalance.STATE_COMPLETED
    assert bench.service.update_status == before


def test_a_new_task_that_fails_stops_the_moves_and_start_first_keeps_the_old_one() -> None:
    bench = moving(2, order=START_FIRST)
    old = bench.in_slot(1)[0]
    bench.look()
    bench.obey(steps=1)
    new = bench.in_slot(1)[-1]
    bench.report(new, task_state.REJECTED)
    bench.run(30)
    assert state(bench) == Rebalance.STATE_STOPPED
    assert new.id in bench.service.rebalance.message
    assert [task.id for task in bench.live if task.slot == 1] == [old.id]
    assert begun(bench) == {1}


def test_a_new_task_whose_node_dies_is_replaced_and_the_moves_go_on() -> None:
    bench = moving(2)
    bench.look()
    bench.obey(steps=1)
    node_id = bench.in_slot(1)[-1].node_id
    bench.change_node(node_id, lambda node: setattr(node.status, "state", NodeState.NODE_STATE_DOWN))
    bench.run(120)
    assert state(bench) == Rebalance.STATE_COMPLETED
    assert len(bench.live) == 4


def test_a_task_without_a_node_stops_the_moves() -> None:
    bench = moving(2, order=START_FIRST)
    bench.look()
    new = bench.in_slot(1)[-1]

    def refuse(tx) -> None:
        task = bench.task(new.id)
        copy = type(task)()
        copy.CopyFrom(task)
        copy.status.state = task_state.PENDING
        copy.status.err = "no suitable node"
        tx.update(copy)

    bench.write(refuse)
    bench.look()
    assert state(bench) == Rebalance.STATE_STOPPED
    assert bench.service.rebalance.message.endswith("finds no node any more: no suitable node")


def test_the_tasks_say_that_they_were_moved() -> None:
    bench = moving(1)
    old = bench.in_slot(1)[0]
    bench.look()
    assert bench.task(old.id).status.message == "moved to balance"
    assert bench.in_slot(1)[-1].status.message == "moved to balance"
