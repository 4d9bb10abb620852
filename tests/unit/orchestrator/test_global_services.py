from swarm.api.v1.types_pb2 import NodeAvailability, NodeState, RestartPolicy
from swarm.model import task_state
from tests.unit.orchestrator.bench import Bench, a_node, a_spec, running


def nodes_of(bench: Bench) -> list[str]:
    return sorted(task.node_id for task in running(bench))


def test_every_node_gets_one_task_with_its_node_and_no_slot() -> None:
    bench = Bench(a_spec(None), nodes=3)
    bench.settle()
    assert sorted(task.node_id for task in bench.tasks) == ["n1", "n2", "n3"]
    assert {task.slot for task in bench.tasks} == {0}


def test_a_node_that_joins_gets_one_and_one_that_leaves_loses_it() -> None:
    bench = Bench(a_spec(None), nodes=1)
    bench.run()
    joined = a_node("n9")
    bench.write(lambda tx: tx.create(joined))
    bench.run()
    assert nodes_of(bench) == ["n1", "n9"]
    for task in bench.tables.tasks.by_node("n9"):
        bench.report(task, task_state.ORPHANED)
    node = bench.tables.nodes.get("n9")
    assert node is not None
    bench.write(lambda tx: tx.remove(node))
    bench.run()
    assert [task.node_id for task in bench.tasks] == ["n1"]


def test_a_drained_node_loses_its_task_and_gets_another_when_it_is_active_again() -> None:
    bench = Bench(a_spec(None))
    bench.run()
    bench.drain("n2")
    bench.run()
    assert nodes_of(bench) == ["n1", "n3"]
    bench.set_availability("n2", NodeAvailability.NODE_AVAILABILITY_ACTIVE)
    bench.run()
    assert nodes_of(bench) == ["n1", "n2", "n3"]


def test_a_paused_node_keeps_its_task_and_a_new_one_gets_none() -> None:
    bench = Bench(a_spec(None), nodes=2)
    bench.run()
    bench.set_availability("n2", NodeAvailability.NODE_AVAILABILITY_PAUSE)
    late = a_node("n9")
    late.spec.availability = NodeAvailability.NODE_AVAILABILITY_PAUSE
    bench.write(lambda tx: tx.create(late))
    assert not bench.plan()


def test_a_lost_node_has_no_live_task_and_gets_one_when_it_is_back_and_the_old_one_stopped() -> None:
    bench = Bench(a_spec(None))
    bench.run()
    old = bench.tables.tasks.by_node("n2")[0]
    bench.lose("n2")
    bench.settle()
    assert {task.node_id for task in bench.live} == {"n1", "n3"}
    bench.find("n2")
    bench.settle()
    new = next(task for task in bench.live if task.node_id == "n2")
    assert new.desired_state == task_state.READY
    bench.report(old, task_state.SHUTDOWN)
    bench.settle()
    assert bench.task(new.id).desired_state == task_state.RUNNING


def test_a_node_not_heard_of_since_a_manager_started_keeps_its_task() -> None:
    bench = Bench(a_spec(None))
    bench.run()
    bench.change_node("n2", lambda node: setattr(node.status, "state", NodeState.NODE_STATE_UNKNOWN))
    assert not bench.plan()


def test_a_task_goes_when_its_node_loses_the_label_and_comes_when_it_gets_it() -> None:
    spec = a_spec(None)
    spec.task.placement.constraints.append("node.labels.disk==ssd")
    bench = Bench(spec)
    bench.run()
    assert bench.tasks == ()
    bench.change_node("n2", lambda node: node.spec.annotations.labels.update(disk="ssd"))
    bench.run()
    assert nodes_of(bench) == ["n2"]
    bench.change_node("n2", lambda node: node.spec.annotations.labels.clear())
    bench.run()
    assert nodes_of(bench) == []
    assert bench.tasks[-1].status.state == task_state.SHUTDOWN
    bench.change_node("n2", lambda node: node.spec.annotations.labels.update(disk="ssd"))
    bench.run()
    assert nodes_of(bench) == ["n2"]


def test_a_task_that_never_got_onto_a_drained_node_is_forgotten() -> None:
    bench = Bench(a_spec(None))
    bench.settle()
    bench.drain("n2")
    bench.settle()
    assert sorted(task.node_id for task in bench.tasks) == ["n1", "n3"]


def test_a_failed_task_is_replaced_on_its_node_after_the_delay() -> None:
    bench = Bench(a_spec(None))
    bench.run()
    failed = bench.tables.tasks.by_node("n2")[0]
    bench.report(failed, task_state.FAILED)
    bench.run(4)
    assert nodes_of(bench) == ["n1", "n3"]
    bench.run(2)
    assert nodes_of(bench) == ["n1", "n2", "n3"]


def test_a_task_that_is_done_for_good_is_not_started_again() -> None:
    spec = a_spec(None)
    spec.task.restart.condition = RestartPolicy.CONDITION_ON_FAILURE
    bench = Bench(spec)
    bench.run()
    for task in bench.live:
        bench.report(task, task_state.COMPLETE)
    bench.run(20)
    assert len(bench.tasks) == 3
    assert not bench.plan()
