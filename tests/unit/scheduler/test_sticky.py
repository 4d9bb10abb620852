"""Tasks that go back to where their data is, wait for it, or say why not."""

from swarm.api.v1.objects_pb2 import Task
from swarm.api.v1.types_pb2 import Mount, NodeAvailability, NodeState
from swarm.clock import SECOND, timestamp
from swarm.manager.scheduler.plan import Plan
from swarm.model import task_state
from tests.unit.scheduler.cluster import NOW_NS, Cluster, a_node, reasons


def three_nodes() -> Cluster:
    return Cluster(*(a_node(f"n{number}", cpus=1) for number in (1, 2, 3)))


def next_task(cluster: Cluster, slot: int = 1, age: int = 0, **needs: object) -> Task:
    (task,) = cluster.new_tasks(1, **needs)
    task.slot = slot
    task.meta.created_at.CopyFrom(timestamp(NOW_NS + age * SECOND))
    task.spec.container.mounts.add(type=Mount.TYPE_VOLUME, source="data", target="/data")
    return task


def ran_on(cluster: Cluster, node: str, slot: int = 1, age: int = 0, **needs: object) -> Task:
    task = next_task(cluster, slot, age, **needs)
    task.node_id = node
    cluster.report(task, task_state.RUNNING)
    return task


def end(cluster: Cluster, task: Task, state: int = task_state.FAILED) -> None:
    task.history.add(state=task_state.RUNNING)
    cluster.report(task, state)


def only(plan: Plan) -> tuple[str, str]:
    (assignment,) = plan.assignments
    return assignment.node_id, assignment.note


def test_the_next_task_goes_to_the_node_of_the_last_however_busy_it_is() -> None:
    cluster = three_nodes()
    end(cluster, ran_on(cluster, "n2"))
    for _ in range(5):
        cluster.run_new(1, "other", constraints="node.id==n2")
    assert only(cluster.place([next_task(cluster)])) == ("n2", "")


def test_every_slot_has_its_own_node_and_new_slots_spread() -> None:
    cluster = three_nodes()
    end(cluster, ran_on(cluster, "n3", slot=1))
    end(cluster, ran_on(cluster, "n3", slot=2))
    tasks = [next_task(cluster, slot) for slot in (1, 2, 3)]
    plan = cluster.place(tasks)
    found = {one.task_id: one.node_id for one in plan.assignments}
    assert (found[tasks[0].id], found[tasks[1].id]) == ("n3", "n3")
    assert found[tasks[2].id] in {"n1", "n2"}


def test_without_data_there_is_nothing_to_go_back_to() -> None:
    cluster = three_nodes()
    cluster.run_new(1, "other", constraints="node.id==n1")
    rejected = next_task(cluster)
    rejected.node_id = "n1"
    cluster.report(rejected, task_state.REJECTED)  # it never ran
    assert only(cluster.place([next_task(cluster, age=1)]))[0] != "n1"
    loose = next_task(cluster, slot=2)
    loose.spec.container.sticky = False
    loose.node_id = "n1"
    cluster.report(loose, task_state.RUNNING)
    end(cluster, loose)
    follower = next_task(cluster, slot=2, version=2)
    follower.spec.container.sticky = False
    assert only(cluster.place([follower]))[0] != "n1"


def test_the_last_one_counts_not_the_one_heard_of_last() -> None:
    cluster = three_nodes()
    old, new = ran_on(cluster, "n1", age=1), ran_on(cluster, "n2", age=2)
    end(cluster, new)
    end(cluster, old)
    assert only(cluster.place([next_task(cluster, age=3)])) == ("n2", "")


def test_a_node_that_is_down_drained_or_gone_is_left_and_the_task_says_so() -> None:
    cluster = three_nodes()
    end(cluster, ran_on(cluster, "n1"))
    down = a_node("n1", cpus=1)
    down.status.state = NodeState.NODE_STATE_DOWN
    cluster.put_node(down)
    node, note = only(cluster.place([next_task(cluster)]))
    assert node != "n1"
    assert note == "not on node n1, where its data is: it is down"
    drained = a_node("n1", cpus=1)
    drained.spec.availability = NodeAvailability.NODE_AVAILABILITY_DRAIN
    cluster.put_node(drained)
    assert "it is drained" in only(cluster.place([next_task(cluster)]))[1]
    cluster.drop_node("n1")
    assert "where its data was: the node is gone" in only(cluster.place([next_task(cluster)]))[1]


def test_a_node_without_room_is_left_unless_the_task_before_it_is_only_just_stopping() -> None:
    cluster = three_nodes()
    before = ran_on(cluster, "n1", cpus=1, ports="80")
    started_first = next_task(cluster, cpus=1, ports="80")
    node, note = only(cluster.place([started_first]))
    assert node != "n1"
    assert "not on node n1, where its data is: needs 1 CPU" in note
    cluster.report(started_first, task_state.REJECTED)
    before.desired_state = task_state.SHUTDOWN
    cluster.report(before, task_state.RUNNING)
    waiting = next_task(cluster, cpus=1, ports="80")
    plan = cluster.place([waiting])
    assert plan.assignments == ()
    assert reasons(plan) == [f"waits for task {before.id} to stop on node n1, where its data is"]
    end(cluster, before, task_state.SHUTDOWN)
    assert only(cluster.place([waiting])) == ("n1", "")


def test_a_service_that_becomes_sticky_stays_where_it_is() -> None:
    cluster = three_nodes()
    (before,) = cluster.new_tasks(1)
    before.slot, before.node_id = 1, "n3"
    cluster.report(before, task_state.RUNNING)
    before.desired_state = task_state.SHUTDOWN
    cluster.report(before, task_state.RUNNING)
    (after,) = cluster.new_tasks(1, version=2)
    after.slot, after.previous_task_id = 1, before.id
    after.spec.container.sticky = True
    assert only(cluster.place([after])) == ("n3", "")


def test_what_is_not_listed_any_more_is_forgotten() -> None:
    cluster = three_nodes()
    before = ran_on(cluster, "n1")
    end(cluster, before)
    assert cluster.view.last_place(next_task(cluster)) == ("n1", before.id)
    cluster.view.drop_task(before.id)
    assert cluster.view.last_place(next_task(cluster)) == ("", "")
