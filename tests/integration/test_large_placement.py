"""While a placement keeps the managers busy, the control API answers and nobody calls an election."""

from bench.placement.load import place, simulated_nodes
from tests.integration.conftest import Clusters

NODES, SERVICES, REPLICAS = 500, 10, 500


def test_while_thousands_of_tasks_are_placed_every_request_is_answered_and_the_leader_stays(
    clusters: Clusters,
) -> None:
    cluster = clusters.up(3, 0)
    with simulated_nodes(cluster, NODES):
        seen = place(cluster, NODES, SERVICES, REPLICAS)  # returns when every task has a node
    assert seen.failures == []
    assert seen.elections == 0
    assert all(seen.asked.values()), seen.asked
