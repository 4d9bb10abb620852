"""Strategies: which of the nodes with room is taken."""

from swarm.api.v1.types_pb2 import PlacementStrategy
from tests.unit.scheduler.cluster import Cluster, a_node


def three_nodes() -> Cluster:
    return Cluster(*(a_node(f"n{one}", cpus=4) for one in (1, 2, 3)))


def test_binpack_fills_one_node_after_the_other() -> None:
    cluster = three_nodes()
    cluster.run_new(5, cpus=1, strategy="binpack")
    assert sorted(cluster.spread().values()) == [0, 1, 4]
    cluster.run_new(1, "other", cpus=1, strategy="binpack")
    assert sorted(cluster.spread("other").values()) == [0, 0, 1]
    assert cluster.spread("other")["n2"] == 1 or cluster.spread()["n2"] != 1


def test_binpack_takes_the_fullest_node_where_the_task_still_fits() -> None:
    cluster = three_nodes()
    cluster.run_new(1, "a", cpus=3, constraints="node.id==n2")
    cluster.run_new(1, "b", cpus=1, constraints="node.id==n3")
    cluster.run_new(1, "large", cpus=2, strategy="binpack")
    assert cluster.spread("large") == {"n1": 0, "n2": 0, "n3": 1}
    cluster.run_new(1, "small", cpus=1, strategy="binpack")
    assert (
        sum(cluster.spread("small").values())
        == cluster.spread("small")["n2"] + cluster.spread("small")["n3"]
    )


def test_binpack_looks_at_the_scarcer_of_cpu_and_memory() -> None:
    cluster = Cluster(a_node("n1", cpus=10, memory_gb=10), a_node("n2", cpus=10, memory_gb=10))
    cluster.run_new(1, "a", cpus=4, memory_gb=1, constraints="node.id==n1")
    cluster.run_new(1, "b", cpus=1, memory_gb=6, constraints="node.id==n2")
    cluster.run_new(1, "s", cpus=1, strategy="binpack")
    assert cluster.spread() == {"n1": 0, "n2": 1}


def test_least_reserved_goes_by_share_and_not_by_number() -> None:
    cluster = Cluster(a_node("small", cpus=2), a_node("large", cpus=16))
    cluster.run_new(6, cpus=1, strategy="least-reserved")
    assert cluster.spread() == {"small": 1, "large": 5}


def test_without_reservations_least_reserved_spreads() -> None:
    cluster = three_nodes()
    cluster.run_new(6, strategy="least-reserved")
    assert cluster.spread() == {"n1": 2, "n2": 2, "n3": 2}


def test_spread_looks_at_no_reservation() -> None:
    cluster = three_nodes()
    cluster.run_new(1, "a", cpus=3, constraints="node.id==n2")
    cluster.run_new(6, strategy="spread")
    assert cluster.spread() == {"n1": 2, "n2": 2, "n3": 2}


def test_what_a_service_does_not_say_the_cluster_decides() -> None:
    cluster = three_nodes()
    cluster.view.default_strategy = PlacementStrategy.PLACEMENT_STRATEGY_BINPACK
    cluster.run_new(3, cpus=1)
    assert sorted(cluster.spread().values()) == [0, 0, 3]
    cluster.run_new(3, "even", strategy="spread")
    assert cluster.spread("even") == {"n1": 1, "n2": 1, "n3": 1}


def test_preferences_come_before_the_strategy() -> None:
    cluster = Cluster(*(a_node(f"{zone}{one}", cpus=8, zone=zone) for zone in "ab" for one in (1, 2)))
    cluster.run_new(4, cpus=1, spread="node.labels.zone", strategy="binpack")
    assert sorted(cluster.spread().values()) == [0, 0, 2, 2]
    assert cluster.spread()["a1"] + cluster.spread()["a2"] == 2


def test_a_node_that_grows_is_ranked_anew() -> None:
    cluster = Cluster(a_node("n1", cpus=4), a_node("n2", cpus=4))
    cluster.run_new(1, "a", cpus=1, constraints="node.id==n1")
    cluster.run_new(1, "b", cpus=2, constraints="node.id==n2")
    cluster.run_new(1, "c", cpus=0.5, strategy="least-reserved")
    assert cluster.spread("c") == {"n1": 1, "n2": 0}
    cluster.put_node(a_node("n2", cpus=40))
    cluster.run_new(2, "d", cpus=0.5, strategy="least-reserved")
    assert cluster.spread("d") == {"n1": 0, "n2": 2}
