"""A cluster with the hello image, and looks at what is really there."""

import json
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from swarm.dev import formation
from swarm.dev.cluster import READY_TIMEOUT_S, DevCluster
from swarm.dev.plan import Node
from tests.integration.operator import Operator, wait_until


@pytest.fixture(scope="module", autouse=True)
def _image(operator: Operator, tmp_path_factory: pytest.TempPathFactory) -> None:
    operator.load_image(tmp_path_factory.mktemp("image"))


@pytest.fixture(autouse=True)
def _all_ready(cluster: DevCluster) -> None:
    """What a test starts is to find all nodes, also those whose daemons the test before has killed."""
    formation.wait_until_ready(cluster.plan, time.monotonic() + READY_TIMEOUT_S)


class Sight:
    """Looks at the machine below a cluster: what the kernel says, not what swarm says."""

    def __init__(self, cluster: DevCluster, operator: Operator) -> None:
        self.cluster = cluster
        self.operator = operator

    def pids(self, service: str) -> Mapping[str, int]:
        """The first process of every running container of a service, by task id."""
        rows = self.operator.rows(
            "service", "ps", service, "--no-trunc", "--filter", "desired-state=running"
        )
        ids = [row["ID"] for row in rows if row["CurrentState"].startswith("Running")]
        if not ids:
            return {}
        tasks = json.loads(self.operator("task", "inspect", *ids))
        return {task["ID"]: task["Status"]["ContainerStatus"]["PID"] for task in tasks}

    def alive(self, pids: Sequence[int]) -> bool:
        """Whether all these processes exist."""
        return all(Path(f"/proc/{pid}").exists() for pid in pids)

    def traces(self, task_ids: Sequence[str]) -> list[str]:
        """What mounts, cgroups and folders of run time still carry the ids of these tasks."""
        found = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
        roots = [Path("/sys/fs/cgroup"), self.cluster.plan.run, self.cluster.plan.data]
        for root in roots:
            for folder, names, files in os.walk(root):  # bears with folders that go while it looks
                found += [f"{folder}/{name}" for name in (*names, *files)]
        return [path for path in found if any(task in path for task in task_ids)]

    def leader(self) -> Node:
        """The node that leads now, by the word of any manager that answers."""

        def ask() -> Node | None:
            done = self.operator.try_("node", "ls", "--format", "json")
            rows = [json.loads(line) for line in done.stdout.splitlines()] if done.returncode == 0 else []
            names = [row["Hostname"] for row in rows if row["ManagerStatus"] == "Leader"]
            return self.cluster.node(names[0]) if names and not done.stderr else None

        return wait_until(ask, 60, "a leader")


@pytest.fixture(scope="module")
def sight(cluster: DevCluster, operator: Operator) -> Sight:
    """Look at the machine."""
    return Sight(cluster, operator)


def values(operator: Operator, service: str) -> list[str]:
    """The value of V in the tasks that run, by their specs."""
    ids = [row["ID"] for row in operator.running(service)]
    tasks = json.loads(operator("task", "inspect", *ids))
    return sorted(task["Spec"]["ContainerSpec"]["Env"][0] for task in tasks)


def state_of(operator: Operator, service: str) -> str:
    (found,) = json.loads(operator("service", "inspect", service))
    state = found.get("UpdateStatus", {}).get("State", "")
    assert isinstance(state, str)
    return state
