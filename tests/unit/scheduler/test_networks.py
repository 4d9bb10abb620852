"""Networks: only nodes whose agents can join them."""

from swarm.api.v1.objects_pb2 import Node, Task
from swarm.manager.scheduler.detail import against
from swarm.model.network_support import ENCRYPTION, KEY
from tests.unit.scheduler.cluster import Cluster, a_node, reasons


def able(node_id: str, drivers: str = "") -> Node:
    node = a_node(node_id)
    if drivers:
        node.description.runtime_info[KEY] = drivers
    return node


def joining(cluster: Cluster, number: int, driver: str = "overlay", service: str = "s") -> list[Task]:
    tasks = cluster.new_tasks(number, service)
    for task in tasks:
        task.spec.networks.add(network_id="n", network_name="shop", driver=driver)
    return tasks


def test_only_nodes_that_can_join_the_network_get_its_tasks() -> None:
    cluster = Cluster(able("n1"), able("n2", "overlay,bridge"), able("n3", "bridge"))
    cluster.place(joining(cluster, 2))
    assert cluster.spread() == {"n1": 0, "n2": 2, "n3": 0}
    (reason,) = reasons(cluster.place(joining(cluster, 1, "macvlan", "other")))
    assert reason == "no suitable node (no macvlan networks on 3 nodes)"


def test_a_node_that_learns_it_is_used_and_others_need_nothing() -> None:
    cluster = Cluster(able("n1"))
    tasks = joining(cluster, 1)
    assert not cluster.place(tasks).assignments
    cluster.put_node(able("n1", "overlay"))
    assert cluster.place(tasks).assignments
    assert Cluster(able("n1")).run_new(1).assignments


def test_each_node_says_what_it_lacks() -> None:
    cluster = Cluster(able("n1"))
    (task,) = joining(cluster, 1)
    view = cluster.view
    node = view.get("n1")
    assert node is not None
    assert list(against(view, node, view.demand(task))) == ["its agent can do no overlay networks"]


def test_tasks_of_encrypted_networks_go_where_that_can_be_done_and_others_say_why_not() -> None:
    unable = able("n1", "overlay")
    unable.description.runtime_info[ENCRYPTION] = "the kernel has no WireGuard"
    cluster = Cluster(unable, able("n2", "encrypted,overlay"))
    tasks = joining(cluster, 2)
    for task in tasks:
        task.spec.networks[0].encrypted = True
    cluster.place(tasks)
    assert cluster.spread() == {"n1": 0, "n2": 2}
    alone = Cluster(unable)
    (task,) = joining(alone, 1)
    task.spec.networks[0].encrypted = True
    (reason,) = reasons(alone.place([task]))
    assert "no encrypted networks: the kernel has no WireGuard" in reason
