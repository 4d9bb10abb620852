"""What `swarmctl top` shows."""

from swarm.api.v1.containers_pb2 import ContainerSample
from swarm.api.v1.objects_pb2 import Node, Service, Task
from swarm.api.v1.types_pb2 import NODE_STATE_DOWN, NODE_STATE_READY, TASK_STATE_RUNNING
from swarm.cli.top_view import Cluster, Samples, screen

SECOND = 10**9


def a_node(name, state=NODE_STATE_READY):
    node = Node(id=f"id-{name}")
    node.description.hostname = name
    node.description.resources.nano_cpus = 2 * SECOND
    node.status.state = state
    return node


def a_task(task_id, slot, node):
    task = Task(id=task_id, service_id="s1", slot=slot, node_id=f"id-{node}")
    task.service_annotations.name = "web"
    task.status.state = TASK_STATE_RUNNING
    return task


def a_sample(container_id, at_s, used_s, memory=1_000_000, name="?"):
    return ContainerSample(
        container_id=container_id,
        name=name,
        at_ns=at_s * SECOND,
        cpu_usage_ns=int(used_s * SECOND),
        memory_bytes=memory,
        pids=2,
    )


def a_cluster():
    service = Service(id="s1")
    service.spec.annotations.name = "web"
    return Cluster(
        (a_node("one"), a_node("two", NODE_STATE_DOWN)),
        ((service, "2/2"),),
        (a_task("t1", 1, "one"), a_task("t2", 2, "one")),
    )


def test_use_is_added_up_for_services_and_nodes_and_the_greatest_comes_first():
    samples = Samples()
    samples.take("id-one", [a_sample("t1", 1, 0), a_sample("t2", 1, 0), a_sample("plain", 1, 0, name="db")])
    samples.take(
        "id-one", [a_sample("t1", 3, 1), a_sample("t2", 3, 3), a_sample("plain", 3, 0, 9, name="db")]
    )
    shown = screen(a_cluster(), samples, "cpu")
    assert [(row["Name"], row["Cpus"]) for row in shown.tasks] == [
        ("web.2", "1.50"),
        ("web.1", "0.50"),
        ("db", "0.00"),
    ]
    assert [(row["Name"], row["Cpus"], row["Memory"]) for row in shown.services] == [("web", "2.00", "2MB")]
    assert [(row["Name"], row["Status"], row["Tasks"]) for row in shown.nodes] == [
        ("one", "ready", "2"),
        ("two", "down", "0"),
    ]
    assert shown.head.startswith("nodes 1/2 ready   services 1   tasks 2 running   cpus 2.00")


def test_a_container_that_is_gone_counts_no_more():
    samples = Samples()
    samples.take("id-one", [a_sample("t1", 1, 0), a_sample("t2", 1, 0)])
    samples.take("id-one", [a_sample("t2", 2, 1)])
    shown = screen(a_cluster(), samples, "name")
    assert [row["Name"] for row in shown.tasks] == ["web.2"]


def test_a_counter_that_went_back_is_no_use_of_less_than_nothing():
    samples = Samples()
    samples.take("id-one", [a_sample("t1", 1, 5)])
    samples.take("id-one", [a_sample("t1", 2, 0)])
    assert screen(a_cluster(), samples, "memory").tasks[0]["Cpus"] == "0.00"
