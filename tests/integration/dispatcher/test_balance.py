"""Agents spread over managers that come and go, and nobody notices: containers, heartbeats, sessions."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from swarm.dev.cluster import DevCluster
from swarm.dev.plan import Node
from swarm.manager.dispatcher.balance import SLACK, SLACK_SESSIONS, weights
from tests.integration.conftest import Clusters
from tests.integration.operator import Operator, wait_until

PATIENCE_S = 180.0
MANAGERS = ["manager-1", "manager-2", "manager-3"]
WORKERS = [f"worker-{number}" for number in range(1, 5)]


@pytest.fixture(scope="module")
def cluster(clusters: Clusters) -> DevCluster:
    return clusters.up(len(MANAGERS), len(WORKERS))


def events(node: Node, *names: str) -> list[dict[str, Any]]:
    """What the daemon of a node has logged under these names so far."""
    if not node.log.exists():
        return []
    lines = node.log.read_text(errors="replace").splitlines()
    said = (json.loads(line) for line in lines if line.startswith("{") and line.endswith("}"))
    return [one for one in said if one["event"] in names]


@dataclass
class Sight:
    """What can be seen of sessions from outside."""

    cluster: DevCluster
    operator: Operator
    ids: Mapping[str, str]  # node id → name

    def names(self) -> dict[str, str]:
        """The names of managers by address."""
        return {self.cluster.node(name).peer_addr: name for name in MANAGERS}

    def holders(self) -> dict[str, str]:
        """By worker: the manager that it opened its newest session with."""
        opened = {name: events(self.cluster.node(name), "agent.session_opened")[-1] for name in WORKERS}
        return {name: self.names()[event["addr"]] for name, event in opened.items()}

    def leader(self) -> str:
        for name in MANAGERS:
            asked = self.operator.on(name).try_("node", "ls", "--format", "json")
            rows = [json.loads(line) for line in asked.stdout.splitlines()] if not asked.returncode else []
            for row in rows:
                if row["ManagerStatus"] == "Leader":
                    return str(row["Hostname"])
        return ""

    def balanced(self, leader: str) -> bool:
        """Whether no manager has so many workers that some of them should leave it."""
        load, shares = Counter(self.holders().values()), weights(MANAGERS, leader)
        target = {name: len(WORKERS) * share / sum(shares.values()) for name, share in shares.items()}
        return all(
            load[name] - target[name] <= max(SLACK_SESSIONS, SLACK * target[name]) for name in MANAGERS
        )

    def downs(self) -> int:
        """How often a leader has given up a worker."""
        changes = (
            event
            for name in MANAGERS
            for event in events(self.cluster.node(name), "dispatcher.node_state_changed")
        )
        return sum(one["node_id"] in self.ids and one["state"] == "NODE_STATE_DOWN" for one in changes)

    def lost(self) -> int:
        """How many sessions broke off."""
        broken = (
            event
            for name in WORKERS
            for event in events(self.cluster.node(name), "agent.stream_lost")
            if event["role"] == "session"
        )
        return sum(1 for _ in broken)


@pytest.fixture
def sight(operator: Operator, cluster: DevCluster, tmp_path: Path) -> Iterator[Sight]:
    operator.load_image(tmp_path)
    operator(
        "service", "create", "-d", "--name", "web", "--mode", "global",
        "--constraint", "node.role==worker", "hello:1",
    )  # fmt: skip
    operator.wait_running("web", len(WORKERS))
    rows = operator.rows("node", "ls")
    yield Sight(
        cluster, operator, {row["ID"]: row["Hostname"] for row in rows if row["Hostname"] in WORKERS}
    )
    operator.remove_in_turmoil("service", "web")


def test_a_manager_that_comes_back_gets_its_share_of_the_agents_and_nothing_else_changes(
    sight: Sight, cluster: DevCluster, operator: Operator
) -> None:
    # A busy machine may keep an agent from running for longer than a node may be silent by default.
    operator("update", "--dispatcher-heartbeat", "5s")
    tasks = {row["ID"] for row in operator.running("web")}
    downs = sight.downs()  # on a busy machine, of those that took their time to start
    away = next(name for name in MANAGERS if name != sight.leader())
    cluster.kill(away)
    wait_until(lambda: away not in sight.holders().values(), PATIENCE_S, f"all agents to leave {away}")
    cluster.start(away)
    # A leader that dies in the middle of it takes what it wanted to its grave; another one begins anew.
    leader = sight.leader()
    cluster.kill(leader)
    wait_until(lambda: leader not in sight.holders().values(), PATIENCE_S, f"all agents to leave {leader}")
    successor = wait_until(sight.leader, PATIENCE_S, "another leader")
    cluster.start(leader)
    lost = sight.lost()
    wait_until(
        lambda: leader in sight.holders().values() and sight.balanced(successor),
        PATIENCE_S,
        f"{leader} to have its share, and no manager too many",
    )
    assert sight.lost() == lost, "a session was given up before there was another one"
    assert sight.downs() == downs
    assert {row["ID"] for row in operator.running("web")} == tasks
