"""Tasks on all nodes of a cluster in overlay networks: while nodes and networks come and go."""

import json
import os
import signal
from collections.abc import Mapping
from pathlib import Path

from swarm.dev.cluster import DevCluster
from tests.integration.cluster.conftest import Sight
from tests.integration.operator import Operator, wait_until
from tests.integration.overlay.lab import flood, link_names

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


def test_a_node_that_dies_is_forgotten_and_joins_in_again_when_it_returns(
    operator: Operator, cluster: DevCluster, sight: Sight
) -> None:
    operator("network", "create", "lasting")
    operator("service", "create", "-d", "--name", "db", "--network", "lasting", "--replicas", "5", "hello:1")
    rows = operator.wait_running("db", 5)
    (lost,) = (row["ID"] for row in rows if row["Node"] == "worker-2")
    pids = sight.pids("db")
    cluster.kill("worker-2")
    for task_id, pid in pids.items():
        if task_id.startswith(lost):
            os.kill(pid, signal.SIGKILL)  # the machine is gone, not only its daemon
    wait_until(lambda: "worker-2" not in {row["Node"] for row in operator.running("db")}, 60, "its end")
    operator.wait_running("db", 5, 60)
    wait_until(lambda: reach_each_other(places(operator, sight, "db"), "lasting"), what="the others")
    cluster.start("worker-2")
    wait_until(
        lambda: (
            {row["Hostname"]: row["Status"] for row in operator.rows("node", "ls")}["worker-2"] == "Ready"
        ),
        what="the worker to be back",
    )
    operator("service", "update", "-d", "--force", "db")
    wait_until(lambda: "worker-2" in {row["Node"] for row in operator.running("db")}, 60, "it to be used")
    operator.wait_running("db", 5, 60)
    wait_until(lambda: reach_each_other(places(operator, sight, "db"), "lasting"), what="all of them")


def test_a_killed_daemon_and_the_next_one_interrupt_nothing(
    operator: Operator, cluster: DevCluster, sight: Sight
) -> None:
    operator("network", "create", "calm")
    operator("service", "create", "-d", "--name", "calm", "--network", "calm", "--mode", "global", "hello:1")
    operator.wait_running("calm", 5)
    rows = {row["Node"]: row["ID"] for row in operator.running("calm")}
    there = places(operator, sight, "calm")
    by_node = {
        node: next(place for task_id, place in there.items() if task_id.startswith(short))
        for node, short in rows.items()
    }

    def restart(sent: int) -> bool:
        if sent == 20:
            cluster.kill("worker-1")
            cluster.start("worker-1")
        return sent == 60

    netns, _ = by_node["manager-1"]
    _, addresses = by_node["worker-1"]
    assert flood(netns, addresses["calm"], restart) == (60, 60)
    operator("service", "rm", "calm")


def test_networks_are_joined_and_left_by_an_update_and_nothing_stays_of_them(
    operator: Operator, cluster: DevCluster, sight: Sight
) -> None:
    for name in ("front", "back"):
        operator("network", "create", name)
    operator(
        "service",
        "create",
        "-d",
        "--name",
        "api",
        "--network",
        "front",
        "--replicas",
        "4",
        "--update-parallelism",
        "4",
        "--update-monitor",
        "1s",
        "hello:1",
    )
    operator.wait_running("api", 4)
    for change, networks in (
        (["--network-add", "back"], {"front", "back"}),
        (["--network-rm", "front"], {"back"}),
    ):
        operator("service", "update", *change, "api", timeout_s=120)
        there = places(operator, sight, "api")
        assert len(there) == 4
        for _, addresses in there.values():
            assert addresses.keys() == networks
        for name in networks:
            assert reach_each_other(there, name)
    operator("service", "rm", "api")
    front, back = (one["Id"] for one in json.loads(operator("network", "inspect", "front", "back")))

    def left() -> list[str]:
        found = [path.name for node in cluster.plan.nodes for path in node.run.glob("overlays/*")]
        return [name for name in found if name in (front, back)]

    wait_until(lambda: not left(), what="the routers to go")
    operator("network", "rm", "front", "back")


def test_networks_that_every_node_has_or_makes_for_itself(operator: Operator, sight: Sight) -> None:
    operator("network", "create", "--driver", "bridge", "--subnet", "10.91.0.0/24", "own")
    for name in ("host", "none", "bridge", "own"):
        operator("service", "create", "-d", "--name", f"in-{name}", "--network", name, "hello:1")
    links = {
        name: link_names(next(iter(sight_of(operator, sight, f"in-{name}"))))
        for name in ("host", "none", "bridge", "own")
    }
    assert links["none"] == {"lo"}
    assert links["bridge"] == {"lo", "eth0"}
    assert links["own"] == {"lo", "eth0", "eth1"}
    assert any(name.startswith("swarm-") for name in links["host"])
    operator("service", "rm", "in-host", "in-none", "in-bridge", "in-own")


def sight_of(operator: Operator, sight: Sight, service: str) -> list[Path]:
    operator.wait_running(service, 1)
    return [Path(f"/proc/{pid}/ns/net") for pid in sight.pids(service).values()]
