from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from swarm.manager.orchestrator.replicated import removal_order
from swarm.manager.orchestrator.slots import slots_of
from swarm.model import task_state
from swarm.steps import complete
from tests.unit.orchestrator.bench import Bench, a_spec, running


def test_a_new_service_gets_slots_from_1() -> None:
    bench = Bench(a_spec(3))
    bench.settle()
    assert [task.slot for task in bench.tasks] == [1, 2, 3]
    assert {task.status.state for task in bench.tasks} == {task_state.NEW}
    assert {task.desired_state for task in bench.tasks} == {task_state.RUNNING}


def test_a_spec_without_replicas_wants_one() -> None:
    spec = a_spec(3)
    spec.replicated.ClearField("replicas")
    bench = Bench(spec)
    bench.settle()
    assert len(bench.tasks) == 1


def test_counts_follow_2_4_1_and_removed_tasks_vanish() -> None:
    bench = Bench(a_spec(2))
    bench.run()
    bench.update(replicas=4)
    bench.run()
    assert len(running(bench)) == 4
    bench.update(replicas=1)
    bench.run()
    assert len(bench.tasks) == 1
    assert len(running(bench)) == 1


def test_zero_replicas_leave_nothing() -> None:
    bench = Bench(a_spec(3))
    bench.run()
    bench.update(replicas=0)
    bench.run()
    assert bench.tasks == ()


def test_scaling_keeps_the_tasks_there_are() -> None:
    bench = Bench(a_spec(2))
    bench.run()
    before = {task.id for task in bench.tasks}
    bench.update(replicas=5)
    bench.run()
    assert before < {task.id for task in running(bench)}
    assert not bench.service.HasField("update_status")


def test_scaling_down_takes_what_does_not_run_first() -> None:
    bench = Bench(a_spec(3))
    bench.run()
    broken = bench.in_slot(1)[0]
    bench.report(broken, task_state.FAILED)
    bench.settle()
    bench.update(replicas=2)
    bench.settle()
    assert sorted({task.slot for task in bench.live}) == [2, 3]


def test_scaling_down_takes_from_the_fullest_node() -> None:
    bench = Bench(a_spec(4), nodes=2)
    bench.settle()
    for task, node in zip(bench.tasks, ("n1", "n1", "n1", "n2"), strict=True):
        bench.assign(task, node)
        bench.report(task, task_state.RUNNING)
    bench.update(replicas=2)
    bench.settle()
    assert sorted(task.node_id for task in bench.live) == ["n1", "n2"]
    assert sorted(task.slot for task in bench.live) == [1, 4]


def test_the_lowest_free_slot_is_filled_first() -> None:
    bench = Bench(a_spec(4), nodes=2)
    bench.settle()
    for task, node in zip(bench.tasks, ("n1", "n1", "n1", "n2"), strict=True):
        bench.assign(task, node)
        bench.report(task, task_state.RUNNING)
    bench.update(replicas=2)
    bench.run()
    bench.update(replicas=3)
    bench.settle()
    assert sorted(task.slot for task in bench.live) == [1, 2, 4]


def test_a_slot_that_is_still_being_emptied_gets_a_task_that_waits() -> None:
    bench = Bench(a_spec(1))
    bench.run()
    bench.update(replicas=0)
    bench.settle()
    bench.update(replicas=1)
    bench.settle()
    newcomer = bench.live[0]
    assert newcomer.slot == 1
    assert newcomer.desired_state == task_state.READY
    bench.run()
    assert [task.id for task in running(bench)] == [newcomer.id]


def test_a_task_removed_from_outside_is_replaced() -> None:
    bench = Bench(a_spec(2))
    bench.run()
    bench.write(lambda tx: tx.remove(bench.in_slot(2)[0]))
    bench.run()
    assert sorted(task.slot for task in running(bench)) == [1, 2]


def test_tasks_of_a_removed_service_are_stopped_and_gone() -> None:
    bench = Bench(a_spec(4), history_limit=5)
    bench.run()
    bench.report(bench.in_slot(1)[0], task_state.FAILED)  # one in delay, and one dead
    bench.settle()
    bench.lose("n3")
    bench.remove_service()
    bench.settle()
    assert {task.desired_state for task in bench.tasks} == {task_state.REMOVE}
    assert all(task.status.state == task_state.RUNNING for task in bench.tasks), "only what runs is left"
    bench.obey()
    bench.settle()
    assert bench.tasks == ()


def test_a_second_pass_finds_nothing_to_do() -> None:
    bench = Bench(a_spec(5))
    bench.run()
    assert not bench.plan()


@settings(max_examples=60)
@given(
    nodes=st.lists(st.sampled_from(["n1", "n2", "n3", "n4"]), min_size=1, max_size=20),
    keep=st.integers(0, 20),
)
def test_what_scaling_down_leaves_is_as_spread_as_it_can_be(nodes: list[str], keep: int) -> None:
    bench = Bench(a_spec(len(nodes)), nodes=4)
    bench.settle()
    for task, node in zip(bench.tasks, nodes, strict=True):
        bench.assign(task, node)
        bench.report(task, task_state.RUNNING)
    order = removal_order(complete(slots_of(bench.tasks)).values())
    kept = order[min(len(order), max(0, len(order) - keep)) :]
    left = Counter(slot.live[0].node_id for slot in kept)
    full = Counter(nodes)
    for one in left:
        for other in full:
            # No node keeps more than another unless the other had no more to keep.
            assert left[one] <= left[other] + 1 or left[other] == full[other]
