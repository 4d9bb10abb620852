"""Lost nodes are replaced in time and lost packets move nothing, at default settings.

How soon that is in seconds, without those that a busy machine adds: tests/unit/dispatcher/test_liveness.py.
"""

import contextlib
import json
import time
from collections.abc import Iterator

import pytest

from bench.raft.managers import elections_won
from swarm.dev.cluster import DevCluster
from tests.integration.operator import Operator, wait_until

LOSS_PERCENT = 30
LOSS_S = 30.0


@pytest.fixture(scope="module", autouse=True)
def _image(operator: Operator, tmp_path_factory: pytest.TempPathFactory) -> None:
    operator.load_image(tmp_path_factory.mktemp("image"))


@pytest.fixture
def service(operator: Operator) -> Iterator[str]:
    operator("service", "create", "-d", "--name", "web", "--replicas", "5", "hello:1")
    operator.wait_running("web", 5)
    yield "web"
    operator("service", "rm", "web")


@contextlib.contextmanager
def losing_packets(cluster: DevCluster, nodes: list[str]) -> Iterator[None]:
    """Drop packets of these nodes at random, in both directions."""
    drop = f"numgen random mod 100 < {LOSS_PERCENT} counter drop"
    chains = [
        f"chain {hook} {{ type filter hook {hook} priority -5; {drop}; }};" for hook in ("input", "output")
    ]
    for node in nodes:
        done = cluster.run(node, "nft", f"table ip packet_loss {{ {' '.join(chains)} }}")
        assert done.returncode == 0, done.stderr
    try:
        yield
        for node in nodes:
            listing = cluster.run(node, "nft", "-j", "list", "table", "ip", "packet_loss").stdout
            counters = [
                part["counter"]["packets"]
                for item in json.loads(listing)["nftables"]
                for part in item.get("rule", {}).get("expr", ())
                if "counter" in part
            ]
            assert min(counters) > 5, "no packets were lost"
    finally:
        for node in nodes:
            cluster.run(node, "nft", "delete", "table", "ip", "packet_loss")


def statuses(operator: Operator) -> dict[str, str]:
    return {row["Hostname"]: row["Status"] for row in operator.rows("node", "ls")}


def wait_ready(operator: Operator) -> None:
    wait_until(lambda: set(statuses(operator).values()) == {"Ready"}, what="all nodes to be ready")


def wait_replaced(operator: Operator, lost: set[str]) -> None:
    """Wait until five tasks run on nodes that are not lost."""
    wait_until(
        lambda: len(rows := operator.running("web")) == 5 and not {row["Node"] for row in rows} & lost,
        what="replacements",
    )


def reason(operator: Operator, node: str) -> str:
    """Why a node is down."""
    (view,) = json.loads(operator("node", "inspect", node))
    assert view["Status"]["State"] == "down"
    return str(view["Status"]["Message"])


def task_ids(operator: Operator) -> set[str]:
    return {row["ID"] for row in operator.running("web")}


def test_no_task_is_moved_while_a_third_of_all_packets_of_the_workers_is_lost(
    operator: Operator, cluster: DevCluster, service: str
) -> None:
    before = task_ids(operator)
    seen: set[str] = set()
    with losing_packets(cluster, ["worker-1", "worker-2"]):
        deadline = time.monotonic() + LOSS_S
        while time.monotonic() < deadline:
            seen |= set(statuses(operator).values())
            time.sleep(0.5)
    assert "Down" not in seen
    assert task_ids(operator) == before
    wait_ready(operator)


@pytest.mark.alone
def test_the_tasks_of_a_worker_that_vanished_run_elsewhere_after_three_heartbeats(
    operator: Operator, cluster: DevCluster, service: str
) -> None:
    elections = elections_won(cluster)
    cluster.partition(["worker-1"])
    try:
        wait_replaced(operator, {"worker-1"})
        told = reason(operator, "worker-1")
        if elections_won(cluster) == elections:
            assert told == "no heartbeat for 7.5 s"
        else:  # a busy machine had another leader elected, who never heard it
            assert "no heartbeat " in told
    finally:
        cluster.heal()
    wait_ready(operator)


@pytest.mark.alone
def test_so_do_those_of_a_worker_that_vanished_together_with_the_leader(
    operator: Operator, cluster: DevCluster, service: str
) -> None:
    rows = operator.rows("node", "ls")
    leader = next(row["Hostname"] for row in rows if row["ManagerStatus"] == "Leader")
    other = next(row["Hostname"] for row in rows if row["ManagerStatus"] == "Reachable")
    cluster.partition([leader, "worker-2"])
    try:
        wait_replaced(operator.on(other), {leader, "worker-2"})
        assert "no heartbeat since this leader was elected " in reason(operator.on(other), "worker-2")
        wait_until(lambda: statuses(operator.on(other))["worker-1"] == "Ready", what="worker-1 to be ready")
    finally:
        cluster.heal()
    wait_ready(operator.on(other))
