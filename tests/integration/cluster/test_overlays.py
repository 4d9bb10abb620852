"""Tasks on all nodes of a cluster in overlay networks: by their addresses, while nodes and networks come and go."""

import json
from collections.abc import Mapping
from pathlib import Path

from tests.integration.cluster.conftest import Sight
from tests.integration.operator import Operator, wait_until
from tests.integration.overlay.lab import flood

Places = Mapping[str, tuple[Path, Mapping[str, str]]]  # task -> its namespace, its address by network


def places(operator: Operator, sight: Sight, service: str) -> Places:
    pids = sight.pids(service)
    tasks = json.loads(operator("task", "inspect", *pids))
    return {
        task["ID"]: (
            Path(f"/proc/{pids[task['ID']]}/ns/net"),
            {one["Network"]["Name"]: one["Addresses"][0] for one in task["NetworksAttachments"]},
        )
        for task in tasks
    }


def reach_each_other(there: Places, network: str) -> bool:
    """Whether every task reaches all others there, some on other nodes."""
    return all(
        flood(netns, addresses[network], lambda sent: sent == 2)[1] > 0
        for task_id, (netns, _) in there.items()
        for other, (_, addresses) in there.items()
        if other != task_id
    )


def test_tasks_on_all_nodes_reach_each_other(operator: Operator, sight: Sight) -> None:
    operator("network", "create", "shop")
    operator("service", "create", "-d", "--name", "web", "--network", "shop", "--replicas", "6", "hello:1")
    rows = operator.wait_running("web", 6)
    assert len({row["Node"] for row in rows}) == 5
    wait_until(lambda: reach_each_other(places(operator, sight, "web"), "shop"), what="all pings")
