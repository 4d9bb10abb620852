"""What would happen is told without happening; and tasks move to a node that came back."""

import json

import pytest

from swarm.cli.plan import EXIT_DOES_NOT_FIT
from swarm.dev.cluster import DevCluster
from tests.integration.conftest import Clusters
from tests.integration.operator import Operator


@pytest.fixture(scope="module")
def cluster(clusters: Clusters) -> DevCluster:
    return clusters.up(1, 2)


def plan_of(operator: Operator, *arguments: str, code: int = 0) -> dict:
    done = operator.typed(*arguments, "--format", "json")
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout)


def actions(plan: dict) -> list[str]:
    return sorted(f"{step['Action']} {step['FromNode']}>{step['Node']}" for step in plan["Steps"])


def spread(operator: Operator, service: str) -> list[int]:
    names = [row["Node"] for row in operator.running(service)]
    return sorted(names.count(name) for name in set(names))


def test_plans_tell_what_then_happens_and_a_rebalance_moves_tasks_back(
    operator: Operator,
) -> None:
    create = ("service", "create", "-d", "--name", "web", "--replicas", "3", "--stop-grace-period", "1s")
    done = operator.typed(*create, "--dry-run", "--format", "json", "hello:1")
    assert done.returncode == 0, done.stderr
    planned = json.loads(done.stdout)
    assert actions(planned) == ["start >manager-1", "start >worker-1", "start >worker-2"]
    assert operator("service", "ls", "-q") == ""
    operator(*create, "hello:1")
    operator.wait_running("web", 3)

    too_much = ("service", "update", "--dry-run", "--reserve-memory", "900g", "web")
    assert plan_of(operator, *too_much, code=EXIT_DOES_NOT_FIT)["Fits"] is False
    assert "insufficient resources" in operator.typed(*too_much).stdout

    planned = plan_of(operator, "node", "drain", "--dry-run", "worker-1")
    assert [step["FromNode"] for step in planned["Steps"]] == ["worker-1"]
    operator("node", "drain", "--wait", "worker-1")
    assert spread(operator, "web") == [1, 2]
    operator("node", "update", "--availability", "active", "worker-1")
    assert plan_of(operator, "service", "plan", "web")["Steps"] == []

    planned = plan_of(operator, "service", "rebalance", "--dry-run", "web")
    assert [(step["Action"], step["Node"]) for step in planned["Steps"]] == [("move", "worker-1")]
    assert operator("service", "rebalance", "--timeout", "60s", "web").endswith("1 task moved")
    assert spread(operator, "web") == [1, 1, 1]
    assert operator("service", "rebalance", "web") == "web: balanced, nothing to move"
    (moved,) = [row["ID"] for row in operator.running("web") if row["Node"] == "worker-1"]
    assert "moved to balance" in operator("task", "history", moved)
