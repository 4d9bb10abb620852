"""A manager whose disk is full or broken stops managing, says why, and lets its containers run on."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from swarm.dev.cluster import DevCluster
from tests.integration.conftest import Clusters
from tests.integration.operator import Operator, wait_until
from tests.integration.raft.breakable import BreakableDisk

MANAGERS = 3
PATIENCE_S = 90.0  # a manager that failed again and again tries once in half a minute


@pytest.fixture(scope="module")
def disks(clusters: Clusters) -> Iterator[tuple[DevCluster, dict[str, BreakableDisk]]]:
    """Three managers, two of them with their Raft log on a disk of its own."""
    cluster = clusters.plan(MANAGERS, 0)
    made: dict[str, BreakableDisk] = {}
    try:
        cluster.up()
        for node in cluster.plan.nodes[1:]:
            cluster.kill(node.name)
            made[node.name] = BreakableDisk(node.state_dir / "raft")
            cluster.start(node.name)
        yield cluster, made
    finally:
        for disk in made.values():
            disk.detach()


def error_of(operator: Operator, node: str) -> str:
    return operator.on(node)("info", "--format", "{{.Error}}")


def containers_on(operator: Operator, node: str) -> dict[str, int]:
    """Return the first process of every task that runs on a node."""
    rows = [row for row in operator.running("calm") if row["Node"] == node]
    tasks = json.loads(operator("task", "inspect", *(row["ID"] for row in rows)))
    return {task["ID"]: task["Status"]["ContainerStatus"]["PID"] for task in tasks}


def write_until_it_says(operator: Operator, node: str, text: str) -> None:
    """Write through another manager until one ends its part, with this reason."""

    def said() -> bool:
        operator.on("manager-1").try_(
            "service", "update", "-d", "--label-add", f"n={os.urandom(4).hex()}", "calm"
        )
        return text in error_of(operator, node)

    wait_until(said, PATIENCE_S, f"{node} to say {text!r}")


def test_a_full_or_broken_disk_ends_the_manager_but_not_its_containers(
    disks: tuple[DevCluster, dict[str, BreakableDisk]], tmp_path: Path
) -> None:
    cluster, made = disks
    operator = Operator(cluster, "manager-1")
    operator.load_image(tmp_path)
    operator("service", "create", "-d", "--name", "calm", "--replicas", str(2 * MANAGERS), "hello:1")
    operator.wait_running("calm", 2 * MANAGERS, PATIENCE_S)
    running = {name: containers_on(operator, name) for name in made}
    assert all(running.values())

    made["manager-2"].fill()
    write_until_it_says(operator, "manager-2", "the disk with the Raft log failed: [Errno 28] No space left")
    assert containers_on(operator, "manager-2") == running["manager-2"]

    made["manager-2"].make_room()
    wait_until(lambda: not error_of(operator, "manager-2"), PATIENCE_S, "manager-2 to manage again")
    again = ("service", "update", "-d", "--label-add", "again=1", "calm")
    wait_until(lambda: operator.on("manager-2").try_(*again).returncode == 0, PATIENCE_S, "it to be of use")

    made["manager-3"].break_for_good()
    write_until_it_says(operator, "manager-3", "[Errno 5] Input/output error")
    more = ("service", "scale", "-d", f"calm={2 * MANAGERS + 1}")
    wait_until(lambda: operator.try_(*more).returncode == 0, PATIENCE_S, "the other two to have a leader")
    operator.wait_running("calm", 2 * MANAGERS + 1, PATIENCE_S)
    for name, pids in running.items():
        assert pids.items() <= containers_on(operator, name).items()
