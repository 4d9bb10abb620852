"""A manager whose disk is full or broken stops managing, says why, and lets its containers run on."""

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from swarm.dev.cluster import DevCluster
from tests.integration.conftest import UP_TIMEOUT_S, Clusters
from tests.integration.operator import Operator, wait_until
from tests.integration.raft.breakable import BreakableDisk

MANAGERS = 3
PATIENCE_S = 90.0  # a manager that failed again and again tries once in half a minute
FULL = ("[Errno 28] No space left",)
# Who notices first: a write of the manager, or the kernel's own, which then lets nobody write any more. The
# manager that tries again hears the second in any case.
BROKEN = ("[Errno 5] Input/output error", "[Errno 30] Read-only file system")


@pytest.fixture(scope="module")
def disks(clusters: Clusters) -> Iterator[tuple[DevCluster, dict[str, BreakableDisk]]]:
    """Three managers, two of them with their Raft log on a disk of its own."""
    cluster = clusters.plan(MANAGERS, 0)
    made: dict[str, BreakableDisk] = {}
    try:
        cluster.up(timeout_s=UP_TIMEOUT_S)
        # Nobody who starts again, or has to find another manager, is taken for dead.
        Operator(cluster)("update", "--dispatcher-heartbeat", "60s")
        for node in cluster.plan.nodes[1:]:
            cluster.kill(node.name)
            made[node.name] = BreakableDisk(node.state_dir / "raft")
            cluster.up(timeout_s=UP_TIMEOUT_S)  # ready again, so that tasks come to it and the next may go
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


def write_until_it_says(operator: Operator, node: str, reasons: Sequence[str]) -> None:
    """Write through another manager until one ends its part, with one of these reasons."""
    sentences = [f"the disk with the Raft log failed: {reason}" for reason in reasons]

    def said() -> bool:
        operator.on("manager-1").try_(
            "service", "update", "-d", "--label-add", f"n={os.urandom(4).hex()}", "calm"
        )
        error = error_of(operator, node)
        return any(sentence in error for sentence in sentences)

    wait_until(said, PATIENCE_S, f"{node} to say one of {sentences}")


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
    write_until_it_says(operator, "manager-2", FULL)
    assert containers_on(operator, "manager-2") == running["manager-2"]

    made["manager-2"].make_room()
    wait_until(lambda: not error_of(operator, "manager-2"), PATIENCE_S, "manager-2 to manage again")
    again = ("service", "update", "-d", "--label-add", "again=1", "calm")
    wait_until(lambda: operator.on("manager-2").try_(*again).returncode == 0, PATIENCE_S, "it to be of use")

    made["manager-3"].break_for_good()
    write_until_it_says(operator, "manager-3", BROKEN)
    more = ("service", "scale", "-d", f"calm={2 * MANAGERS + 1}")
    wait_until(lambda: operator.try_(*more).returncode == 0, PATIENCE_S, "the other two to have a leader")
    operator.wait_running("calm", 2 * MANAGERS + 1, PATIENCE_S)
    for name, pids in running.items():
        assert pids.items() <= containers_on(operator, name).items()
