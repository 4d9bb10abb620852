"""Nodes die with -9, alone and all at once; services, nodes, tokens and containers live on."""

import os
import signal
import time

from swarm.dev import formation
from swarm.dev.cluster import READY_TIMEOUT_S, DevCluster
from tests.integration.cluster.conftest import Sight, state_of, values
from tests.integration.operator import Operator, wait_until


def test_a_killed_leader_is_followed_by_another_and_no_container_is_touched(
    operator: Operator, cluster: DevCluster, sight: Sight
) -> None:
    operator("service", "create", "-d", "--name", "keep", "--replicas", "5", "hello:1")
    operator.wait_running("keep", 5)
    before = sight.pids("keep")
    leader = sight.leader()
    # However long a busy machine takes until it is started again: nobody is to replace its tasks meanwhile.
    operator("update", "--dispatcher-heartbeat", "60s")
    cluster.kill(leader.name)
    operator.create_in_turmoil("after")
    operator.wait_running("after", 1)
    assert sight.leader().name != leader.name
    assert sight.alive(list(before.values()))
    cluster.start(leader.name)
    back = operator.on(leader.name)
    wait_until(lambda: back.try_("service", "ls").returncode == 0, what="the old leader to answer")
    wait_until(
        lambda: {row["Name"] for row in back.rows("service", "ls")} >= {"keep", "after"},
        what="the old leader to have caught up",
    )
    wait_until(lambda: is_connected(back), what="its agent to be back")
    assert sight.pids("keep") == before
    operator("update", "--dispatcher-heartbeat", "2.5s")
    operator("service", "rm", "keep", "after")


def test_the_tasks_of_a_dead_worker_run_elsewhere_and_it_gets_none_twice(
    operator: Operator, cluster: DevCluster, sight: Sight
) -> None:
    operator("service", "create", "-d", "--name", "spread", "--replicas", "5", "hello:1")
    operator.wait_running("spread", 5)
    lost = [row["ID"] for row in operator.running("spread") if row["Node"] == "worker-2"]
    pids = sight.pids("spread")
    cluster.kill("worker-2")
    for task_id, pid in pids.items():
        if any(task_id.startswith(short) for short in lost):
            os.kill(pid, signal.SIGKILL)  # the machine is gone, not only its daemon
    wait_until(
        lambda: (
            rows
            if len(rows := operator.running("spread")) == 5 and not {r["ID"] for r in rows} & set(lost)
            else None
        ),
        60,
        "five tasks without the dead ones",
    )
    assert "worker-2" not in {row["Node"] for row in operator.running("spread")}
    cluster.start("worker-2")
    wait_until(
        lambda: {r["Hostname"]: r["Status"] for r in operator.rows("node", "ls")}["worker-2"] == "Ready",
        what="the worker to be back",
    )
    wait_until(lambda: live(operator, "spread") == 5, what="the end of the lost tasks to be told")
    operator("service", "rm", "spread")


def is_connected(operator: Operator) -> bool:
    return operator("info", "--format", "{{.Connected}}") == "true"


def live(operator: Operator, service: str) -> int:
    """How many tasks run, also of those that are to stop."""
    rows = operator.rows("service", "ps", service)
    return sum(row["CurrentState"].startswith("Running") for row in rows)


def test_all_daemons_killed_at_once_come_back_with_the_same_containers(
    operator: Operator, cluster: DevCluster, sight: Sight
) -> None:
    operator("service", "create", "-d", "--name", "steady", "--replicas", "8", "hello:1")
    operator.wait_running("steady", 8)
    pids = sight.pids("steady")
    nodes = {row["ID"] for row in operator.rows("node", "ls")}
    tokens = operator("join-token", "-q", "worker"), operator("join-token", "-q", "manager")
    names = [node.name for node in cluster.plan.nodes]
    # However long a busy machine takes to start daemons: no node is to be given up before its own is there.
    operator("update", "--dispatcher-heartbeat", "60s")
    for name in names:
        cluster.kill(name)
    assert sight.alive(list(pids.values()))
    cluster.start(*names)
    wait_until(lambda: all(is_connected(operator.on(name)) for name in names), what="all agents to be back")
    formation.wait_until_ready(cluster.plan, time.monotonic() + READY_TIMEOUT_S)
    operator("update", "--dispatcher-heartbeat", "2.5s")
    assert {row["ID"] for row in operator.rows("node", "ls")} == nodes
    assert (operator("join-token", "-q", "worker"), operator("join-token", "-q", "manager")) == tokens
    operator.wait_running("steady", 8)
    assert sight.pids("steady") == pids
    assert sight.alive(list(pids.values()))
    assert len(operator.rows("service", "ps", "steady")) == 8  # adopted, not replaced
    operator("service", "rm", "steady")


def test_an_update_goes_on_under_a_new_leader_and_can_be_paused_there(
    operator: Operator, cluster: DevCluster, sight: Sight
) -> None:
    # The delay: so that it is not over before it is paused.
    slow = ("--update-delay", "10s", "--update-monitor", "300ms", "--stop-grace-period", "1s")
    operator(
        "service",
        "create",
        "-d",
        "--name",
        "relay",
        "--replicas",
        "4",
        "-e",
        "V=1",
        *slow,
        "hello:1",
    )
    operator.wait_running("relay", 4)
    operator("service", "update", "-d", "--env-add", "V=2", "relay")
    wait_until(lambda: "V=2" in values(operator, "relay"), 60, "the update to begin")
    leader = sight.leader()
    cluster.kill(leader.name)
    wait_until(lambda: operator.try_("service", "pause", "relay").returncode == 0, 60, "a new leader")
    assert state_of(operator, "relay") == "paused"
    assert len(operator.rows("service", "history", "relay")) == 2
    cluster.start(leader.name)
    operator("service", "resume", "-d", "relay")
    operator("service", "update", "--update-delay", "0s", "--timeout", "60s", "relay", timeout_s=90)
    assert state_of(operator, "relay") == "completed"
    assert values(operator, "relay") == ["V=2"] * 4
    operator("service", "rm", "relay")
