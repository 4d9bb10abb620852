"""What each node lacks, in figures, and what a waiting task says of it."""

from swarm.api.v1.types_pb2 import NODE_AVAILABILITY_DRAIN, NODE_STATE_DOWN
from swarm.manager.scheduler.detail import same_reason
from swarm.manager.scheduler.why import judge_nodes
from swarm.manager.store.tables import Tables
from swarm.model import task_state
from swarm.steps import complete
from tests.unit.scheduler.cluster import NOW_NS, Cluster, a_node


def texts(cluster: Cluster, **needs: object) -> str:
    plan = cluster.run_new(1, "late", **needs)
    return plan.refusals[0].text if plan.refusals else ""


def test_too_little_memory_says_how_much_is_needed_and_where_the_most_is_free() -> None:
    cluster = Cluster(a_node("n1", memory_gb=1), a_node("n2", memory_gb=2))
    cluster.run_new(1, "other", memory_gb=0.75, constraints="node.hostname==n2")
    assert texts(cluster, memory_gb=2) == (
        "no suitable node (insufficient resources on 2 nodes): "
        "needs 2 GiB of memory, the most free is 1.2 GiB on n2"
    )


def test_constraints_that_hold_nowhere_are_named() -> None:
    cluster = Cluster(a_node("n1"), a_node("n2", disk="hdd"))
    assert texts(cluster, constraints=["node.labels.disk==ssd"]) == (
        "no suitable node (scheduling constraints not satisfied on 2 nodes): "
        "node.labels.disk==ssd is not met by 2 nodes"
    )


def test_a_port_that_is_taken_names_the_service_and_the_node() -> None:
    cluster = Cluster(a_node("n1"))
    first = cluster.new_tasks(1, "s1", ports="8080")
    first[0].service_annotations.name = "web"
    cluster.place(first)
    assert texts(cluster, ports="8080") == (
        "no suitable node (host-mode port already in use on 1 node): "
        "port 8080/tcp is taken by service web on n1"
    )


def test_a_port_that_is_not_free_yet_is_held_by_a_stopping_task() -> None:
    cluster = Cluster(a_node("n1"))
    first = cluster.new_tasks(1, "s1", ports="8080")
    cluster.place(first)
    first[0].desired_state = task_state.SHUTDOWN
    cluster.report(first[0], task_state.RUNNING)
    assert "port 8080/tcp is taken by a task that is stopping" in texts(cluster, ports="8080")


def test_without_anything_to_add_the_reason_stands_alone() -> None:
    assert texts(Cluster()) == "no suitable node"


def test_a_task_bound_to_its_node_says_what_that_node_lacks() -> None:
    cluster = Cluster(a_node("n1", cpus=1))
    (refusal,) = cluster.check_bound(cluster.new_tasks(1, cpus=4, node_id="n1")).refusals
    assert refusal.text == (
        "no suitable node (insufficient resources on 1 node): needs 4 CPUs, 1 CPU of 1 CPU free"
    )


def test_a_reason_that_differs_only_in_what_is_free_is_not_written_again() -> None:
    before = "no suitable node (…): needs 2 GiB of memory, the most free is 1.2 GiB on n2; x is not met"
    assert same_reason(before, before.replace("1.2 GiB on n2", "0.5 GiB on n7"))
    assert not same_reason(before, before.replace("needs 2", "needs 3"))
    assert not same_reason(before, before.replace("x is", "y is"))
    assert same_reason("needs 4 CPUs, 1 CPU of 1 CPU free", "needs 4 CPUs, 0 CPUs of 1 CPU free")


def a_store(cluster: Cluster) -> Tables:
    tables = Tables()
    for node in cluster.view:
        assert node.node is not None
        tables.nodes.put(node.node)
    for task in cluster.tasks.values():
        tables.tasks.put(task)
    return tables


def test_every_node_says_all_that_stands_against_a_task() -> None:
    down, drained = a_node("down", disk="ssd"), a_node("drained", cpus=1, disk="ssd")
    down.status.state, down.status.message = NODE_STATE_DOWN, "heartbeat failure"
    drained.spec.availability = NODE_AVAILABILITY_DRAIN
    cluster = Cluster(down, drained, a_node("wrong", disk="hdd"), a_node("good", disk="ssd"))
    (task,) = cluster.new_tasks(1, cpus=2, constraints="node.labels.disk==ssd")
    found = complete(judge_nodes(a_store(cluster), task, NOW_NS))
    assert {verdict.hostname: list(verdict.reasons) for verdict in found} == {
        "down": ["it is down: heartbeat failure"],
        "drained": ["it is drained: it takes no tasks", "needs 2 CPUs, 1 CPU of 1 CPU free"],
        "good": [],
        "wrong": ["constraint node.labels.disk==ssd is not met: it has hdd"],
    }


def test_what_runs_already_counts_against_a_node() -> None:
    cluster = Cluster(a_node("n1", cpus=2, memory_gb=1))
    cluster.run_new(1, cpus=1.5, per_node=1)
    (task,) = cluster.new_tasks(1, version=2, cpus=1, memory_gb=2, per_node=1)
    (verdict,) = complete(judge_nodes(a_store(cluster), task, NOW_NS))
    assert list(verdict.reasons) == [
        "needs 1 CPU, 0.5 CPUs of 2 CPUs free",
        "needs 2 GiB of memory, 1 GiB of 1 GiB free",
        "it runs 1 of the service already, and 1 are allowed on one node",
    ]


def test_a_task_of_a_global_service_is_judged_by_its_own_node() -> None:
    cluster = Cluster(a_node("n1", cpus=1), a_node("n2", cpus=64))
    (task,) = cluster.new_tasks(1, cpus=4, node_id="n1")
    found = complete(judge_nodes(a_store(cluster), task, NOW_NS))
    assert [verdict.node_id for verdict in found] == ["n1"]
