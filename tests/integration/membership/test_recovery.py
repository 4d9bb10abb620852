"""The majority is lost for good: one manager goes on, and nobody's containers notice."""

import json
import random
import subprocess
import threading
from pathlib import Path

import pytest

from swarm.dev.cluster import DevCluster
from swarm.errors import SwarmError
from tests.integration.operator import SWARMCTL, Operator, wait_until

LOST = ("manager-2", "manager-3")
PATIENCE_S = 90.0


@pytest.fixture(scope="module", autouse=True)
def _image(operator: Operator, tmp_path_factory: pytest.TempPathFactory) -> None:
    operator.load_image(tmp_path_factory.mktemp("image"))


def pids(operator: Operator, service: str) -> dict[str, int]:
    """The first process of every running container, by task id."""
    rows = operator.rows("service", "ps", service, "--no-trunc", "--filter", "desired-state=running")
    ids = [row["ID"] for row in rows if row["CurrentState"].startswith("Running")]
    tasks = json.loads(operator("task", "inspect", *ids)) if ids else []
    return {task["ID"]: task["Status"]["ContainerStatus"]["PID"] for task in tasks}


def alive(processes: dict[str, int]) -> bool:
    return all(Path(f"/proc/{pid}").exists() for pid in processes.values())


def nodes(operator: Operator) -> dict[str, dict[str, str]]:
    return {row["Hostname"]: row for row in operator.rows("node", "ls")}


def managers(operator: Operator) -> set[str]:
    found = nodes(operator)
    return {name for name, row in found.items() if row["ManagerStatus"] in ("Leader", "Reachable")}


def test_one_manager_goes_on_alone_and_the_lost_ones_come_back_as_workers(
    cluster: DevCluster, operator: Operator
) -> None:
    _go_on_alone_with_everything_that_there_was(cluster, operator)
    _take_the_lost_managers_back_and_promote_them(cluster, operator)


def _go_on_alone_with_everything_that_there_was(cluster: DevCluster, operator: Operator) -> None:
    operator("service", "create", "-d", "--name", "keep", "--replicas", "5", "hello:1")
    operator.wait_running("keep", 5)
    before = pids(operator, "keep")
    ids = {name: row["ID"] for name, row in nodes(operator).items()}
    tokens = [operator("join-token", "-q", role) for role in ("worker", "manager")]
    cluster_id = json.loads(operator("info", "--format", "json"))["ClusterID"]

    refused = operator.try_("init", "--force-new-cluster")
    assert refused.returncode == 1
    assert "nothing is lost: 3 of 3 managers are reachable" in refused.stderr
    worker = operator.on("worker-1").try_("init", "--force-new-cluster")
    assert worker.returncode == 1
    assert "run the command on one of the managers" in worker.stderr

    for name in LOST:
        cluster.kill(name)
    alone = operator.on("manager-1")
    stuck = alone.try_("service", "create", "-d", "--name", "no", "hello:1")
    assert stuck.returncode == 1
    assert "init --force-new-cluster" in stuck.stderr
    _interrupt(cluster, alone)
    said = alone("init", "--force-new-cluster")
    assert f"is the only manager of cluster {cluster_id} now" in said

    wait_until(lambda: managers(alone) == {"manager-1"}, PATIENCE_S, "one manager")
    assert {name: row["ID"] for name, row in nodes(alone).items()} == ids
    assert [alone("join-token", "-q", role) for role in ("worker", "manager")] == tokens
    assert json.loads(alone("info", "--format", "json"))["ClusterID"] == cluster_id
    alone("service", "create", "-d", "--name", "after", "--replicas", "2", "hello:1")
    alone.wait_running("after", 2, PATIENCE_S)
    wait_until(lambda: nodes(alone)["manager-2"]["Status"] == "Down", PATIENCE_S, "the dead to be known")
    for name in ("worker-1", "worker-2"):
        wait_until(lambda name=name: nodes(alone)[name]["Status"] == "Ready", PATIENCE_S, name)
    on_survivors = {row["ID"] for row in alone.running("keep") if row["Node"] not in LOST}
    survivors = {task: pid for task, pid in before.items() if task[:12] in {i[:12] for i in on_survivors}}
    assert survivors
    assert alive(survivors)
    again = alone("init", "--force-new-cluster")  # its answer may have been lost
    assert "no manager any more" not in again


def _take_the_lost_managers_back_and_promote_them(cluster: DevCluster, operator: Operator) -> None:
    alone = operator.on("manager-1")
    for name in LOST:
        cluster.start(name)
    for name in LOST:
        wait_until(lambda name=name: nodes(alone)[name]["Status"] == "Ready", PATIENCE_S, f"{name} ready")
        info = wait_until(lambda name=name: _worker(operator.on(name)), PATIENCE_S, f"{name} a worker")
        assert info["Error"] == ""
        raft = cluster.node(name).state_dir / "raft"
        wait_until(lambda raft=raft: not raft.exists(), PATIENCE_S, "the old log to be forgotten")
    assert managers(alone) == {"manager-1"}
    alone("node", "promote", *LOST, timeout_s=PATIENCE_S)
    other = operator.on("manager-2")
    wait_until(lambda: managers(other) == {"manager-1", *LOST}, PATIENCE_S, "three managers")
    cluster.kill("manager-1")
    other.create_in_turmoil("last")  # two of three decide
    cluster.start("manager-1")
    wait_until(lambda: managers(other) == {"manager-1", *LOST}, PATIENCE_S, "three managers")


def _worker(operator: Operator) -> dict[str, object] | None:
    done = operator.try_("info", "--format", "json")
    info: dict[str, object] = json.loads(done.stdout) if done.returncode == 0 else {}
    return info if info and info["Connected"] and not info["IsManager"] and not info["Error"] else None


def _interrupt(cluster: DevCluster, alone: Operator) -> None:
    """Kill the daemon in the middle of the command, again and again: it comes up as old or new."""
    chance = random.Random(7)
    node = cluster.node("manager-1")
    for _ in range(4):
        process = subprocess.Popen(
            [*SWARMCTL, "-H", node.host, "init", "--force-new-cluster"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        _kill_later(cluster, chance.uniform(0.5, 6.0))
        process.wait(60)
        cluster.start("manager-1")
        wait_until(
            lambda: json.loads(alone("info", "--format", "json"))["IsManager"],
            PATIENCE_S,
            "the manager half",
        )


def _kill_later(cluster: DevCluster, after_s: float) -> None:
    threading.Event().wait(after_s)
    try:
        cluster.kill("manager-1")
    except SwarmError as error:
        pytest.fail(f"it was gone before: {error}")
