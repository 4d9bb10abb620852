"""The view that is kept up to date says the same as one built anew."""

from hypothesis import given, settings
from hypothesis import strategies as st

from swarm.api.v1.objects_pb2 import Task
from swarm.manager.scheduler.node_view import ClusterView
from swarm.model import task_state
from tests.unit.scheduler.cluster import NOW_NS, Cluster, a_node


def picture(view: ClusterView) -> list[tuple[object, ...]]:
    return sorted(
        (
            node.id,
            node.ready,
            node.nano_cpus_free,
            node.memory_bytes_free,
            node.active,
            tuple(sorted(node.ports.items())),
            tuple(node.replicas(service) for service in ("s0", "s1")),
        )
        for node in view
    )


STATES = [task_state.PENDING, task_state.ASSIGNED, task_state.RUNNING, task_state.FAILED]


@settings(max_examples=200)
@given(st.data())
def test_following_events_gives_the_same_view_as_reading_everything(data: st.DataObject) -> None:
    cluster = Cluster(a_node("n0"), a_node("n1"))
    view, nodes, tasks = cluster.view, {"n0": a_node("n0"), "n1": a_node("n1")}, {}
    templates = cluster.new_tasks(4, "s0", cpus=1, ports="80") + cluster.new_tasks(4, "s1", memory_gb=1)
    for _ in range(data.draw(st.integers(0, 30))):
        what = data.draw(st.sampled_from(["task", "task", "task", "drop", "node", "gone"]))
        task = Task()
        task.CopyFrom(data.draw(st.sampled_from(templates)))
        node_id = data.draw(st.sampled_from(["n0", "n1", "n2"]))
        if what == "task":
            task.status.state = data.draw(st.sampled_from(STATES))
            task.node_id = node_id if task.status.state > task_state.PENDING else ""
            task.desired_state = data.draw(st.sampled_from([task_state.RUNNING, task_state.SHUTDOWN]))
            tasks[task.id] = task
            view.put_task(task, NOW_NS)
        elif what == "drop":
            tasks.pop(task.id, None)
            view.drop_task(task.id)
        elif what == "node":
            nodes[node_id] = a_node(node_id, cpus=data.draw(st.integers(0, 9)))
            cluster.put_node(nodes[node_id])
        elif node_id in nodes:
            del nodes[node_id]
            cluster.drop_node(node_id)
    anew = ClusterView()
    for node in nodes.values():
        anew.put_node(node)
    for task in tasks.values():
        anew.put_task(task, NOW_NS)
    assert picture(view) == picture(anew)
    assert {service: view.hosts(service) for service in ("s0", "s1")} == {
        service: anew.hosts(service) for service in ("s0", "s1")
    }


def test_a_placement_counts_before_its_commit_and_once() -> None:
    cluster = Cluster(a_node("n1", cpus=4))
    node = cluster.view.get("n1")
    assert node is not None
    (task,) = cluster.new_tasks(1, cpus=1)
    cluster.view.bind(task, node)
    assert node.nano_cpus_free == 3 * 10**9
    task.node_id, task.status.state = "n1", task_state.ASSIGNED
    assert not cluster.view.put_task(task, NOW_NS)
    assert node.nano_cpus_free == 3 * 10**9


def test_a_placement_that_was_refused_is_taken_back() -> None:
    cluster = Cluster(a_node("n1", cpus=4))
    node = cluster.view.get("n1")
    assert node is not None
    (task,) = cluster.new_tasks(1, cpus=1)
    cluster.view.bind(task, node)
    assert cluster.view.put_task(task, NOW_NS)
    assert node.nano_cpus_free == 4 * 10**9
    assert node.active == 0


def test_room_is_reported_when_a_task_ends_or_is_told_to_stop() -> None:
    cluster = Cluster(a_node("n1"))
    (task,) = cluster.new_tasks(1)
    cluster.place([task])
    running = cluster.tasks[task.id]
    assert not cluster.view.put_task(running, NOW_NS)
    running.desired_state = task_state.SHUTDOWN
    assert cluster.view.put_task(running, NOW_NS)
    running.status.state = task_state.SHUTDOWN
    assert cluster.view.put_task(running, NOW_NS)
    assert not cluster.view.drop_task(running.id)
