"""Services on three managers and two workers."""

import pytest

from swarm.dev.cluster import DevCluster
from tests.integration.operator import Operator


@pytest.fixture(scope="module", autouse=True)
def _image(operator: Operator, tmp_path_factory: pytest.TempPathFactory) -> None:
    operator.load_image(tmp_path_factory.mktemp("image"))


def test_six_replicas_on_five_nodes_become_running(operator: Operator, cluster: DevCluster) -> None:
    operator("service", "create", "--name", "six", "--replicas", "6", "hello:1")
    rows = operator.wait_running("six", 6)
    used = [row["Node"] for row in rows]
    assert set(used) == {node.name for node in cluster.plan.nodes}
    assert max(used.count(node) for node in used) == 2
