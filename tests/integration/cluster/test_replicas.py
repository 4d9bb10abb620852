"""Services on three managers and two workers: start, replace, scale, remove."""

import os
import signal
import urllib.request

from swarm.dev.cluster import DevCluster
from tests.integration.cluster.conftest import Sight, state_of, values
from tests.integration.operator import Operator, wait_until

QUICK = ("--update-monitor", "300ms", "--rollback-monitor", "300ms", "--stop-grace-period", "1s")
UNKNOWN_IMAGE = ("--no-resolve-image", "--image", "nobody.invalid/has:this")


def test_six_replicas_on_five_nodes_become_running(operator: Operator, cluster: DevCluster) -> None:
    operator("service", "create", "--name", "six", "--replicas", "6", *QUICK, "hello:1")
    rows = operator.wait_running("six", 6)
    used = [row["Node"] for row in rows]
    assert set(used) == {node.name for node in cluster.plan.nodes}
    assert max(used.count(node) for node in used) == 2
    operator("service", "rm", "six")


def test_a_killed_container_is_replaced_in_its_slot(operator: Operator, sight: Sight) -> None:
    operator(
        "service",
        "create",
        "-d",
        "--name",
        "phoenix",
        "--replicas",
        "2",
        "--restart-delay",
        "100ms",
        "hello:1",
    )
    operator.wait_running("phoenix", 2)
    before = sight.pids("phoenix")
    victim, pid = next(iter(before.items()))
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: victim not in sight.pids("phoenix"), what="the killed task to be seen")
    operator.wait_running("phoenix", 2)
    after = sight.pids("phoenix")
    assert set(before) - {victim} <= set(after)
    slots = [row["Name"] for row in operator.running("phoenix")]
    assert sorted(slots) == ["phoenix.1", "phoenix.2"]
    history = operator.rows("service", "ps", "phoenix", "--no-trunc")
    (dead,) = [row for row in history if row["ID"] == victim]
    assert dead["CurrentState"].startswith("Failed")
    assert "137" in dead["Error"]
    operator("service", "rm", "phoenix")


def test_fifty_replicas_converge_and_removal_leaves_nothing(operator: Operator, sight: Sight) -> None:
    operator("service", "create", "-d", "--name", "many", "--stop-grace-period", "1s", "hello:1")
    operator("service", "scale", "many=50", "--timeout", "5m", timeout_s=360)
    pids = sight.pids("many")
    assert len(pids) == 50
    assert sight.alive(list(pids.values()))
    operator("service", "rm", "many")
    wait_until(lambda: not any(sight.alive([pid]) for pid in pids.values()), 60, "all containers to end")
    assert wait_until(lambda: not sight.traces(list(pids)), 60, "mounts, cgroups and folders to go")
    assert operator.rows("service", "ls") == []


def test_a_global_service_runs_once_on_every_node(operator: Operator, cluster: DevCluster) -> None:
    operator("service", "create", "--name", "everywhere", "--mode", "global", *QUICK, "hello:1")
    rows = operator.wait_running("everywhere", 5)
    assert sorted(row["Node"] for row in rows) == sorted(node.name for node in cluster.plan.nodes)
    operator("service", "rm", "everywhere")


def test_a_published_port_answers_at_the_node_of_the_task(operator: Operator, cluster: DevCluster) -> None:
    publish = "published=8080,target=8080,mode=host"
    operator(
        "service", "create", "--name", "web", "--replicas", "2", "--publish", publish, *QUICK, "hello:1"
    )
    for row in operator.wait_running("web", 2):
        address = cluster.node(row["Node"]).address
        wait_until(lambda address=address: b"Hello" in page_of(str(address)), what=f"the page at {address}")
    operator("service", "rm", "web")


def page_of(address: str) -> bytes:
    try:
        with urllib.request.urlopen(f"http://{address}:8080/", timeout=60) as answer:
            return bytes(answer.read())
    except OSError:
        return b""  # the process runs, and does not listen yet


def test_canaries_wait_and_exit_codes_tell_pause_and_rollback_apart(operator: Operator) -> None:
    operator("service", "create", "-d", "--name", "bird", "--replicas", "3", "-e", "V=1", *QUICK, "hello:1")
    operator.wait_running("bird", 3)
    canary = operator.typed(
        "service", "update", "--detach=false", "--update-canary", "1", "--env-add", "V=2", "bird"
    )
    assert canary.returncode == 0, canary.stderr
    assert "service promote" in canary.stderr
    assert state_of(operator, "bird") == "canary"
    assert values(operator, "bird") == ["V=1", "V=1", "V=2"]
    operator("service", "promote", "bird")
    assert values(operator, "bird") == ["V=2"] * 3

    paused = operator.typed("service", "update", *UNKNOWN_IMAGE, "bird")
    assert paused.returncode == 3, paused.stderr
    assert "because task" in paused.stderr
    operator("service", "rollback", "bird")
    assert values(operator, "bird") == ["V=2"] * 3

    rolled_back = operator.typed(
        "service", "update", "--update-failure-action", "rollback", *UNKNOWN_IMAGE, "bird"
    )
    assert rolled_back.returncode == 4, rolled_back.stderr
    assert values(operator, "bird") == ["V=2"] * 3

    history = operator.rows("service", "history", "bird")
    assert [row["Status"] for row in history if row["Status"] == "rolled back"] == ["rolled back"] * 2
    assert history[0]["Current"] == "true"
    assert history[-1]["Changed"] == "created"
    operator("service", "rollback", "--to", "1", "bird")
    assert values(operator, "bird") == ["V=1"] * 3
    operator("service", "rm", "bird")


def test_a_drained_node_gives_its_tasks_up_and_a_paused_one_keeps_them(operator: Operator) -> None:
    operator("service", "create", "-d", "--name", "move", "--replicas", "5", "hello:1")
    operator.wait_running("move", 5)
    operator("node", "update", "--availability", "pause", "worker-1")
    assert "worker-1" in {row["Node"] for row in operator.running("move")}
    operator("node", "update", "--availability", "drain", "worker-1")
    wait_until(lambda: "worker-1" not in {row["Node"] for row in operator.running("move")}, what="the drain")
    operator.wait_running("move", 5)
    operator("node", "update", "--availability", "active", "worker-1")
    operator("service", "rm", "move")


def test_logs_tell_tasks_and_streams_apart(operator: Operator) -> None:
    script = "echo to-out; echo to-err >&2; exec sleep 1000"
    create = ("service", "create", "-d", "--name", "talk", "--replicas", "2", "--entrypoint", "/bin/sh")
    operator(*create, "hello:1", "-c", script)
    operator.wait_running("talk", 2)

    def both_lines() -> bool:
        done = operator.typed("service", "logs", "--timestamps", "talk")
        return done.stdout.count("to-out") == 2 and done.stderr.count("to-err") == 2

    wait_until(both_lines, what="two lines on each stream")
    lines = operator("service", "logs", "talk").splitlines()
    assert {line.split(".")[1] for line in lines} == {"1", "2"}
    operator("service", "rm", "talk")
