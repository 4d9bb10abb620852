"""`swarmctl dev`: clusters come up, live side by side, survive crashes of the command, and go completely."""

import json
import signal
import socket
import subprocess
import sys
import time

import pytest

from swarm.dev import leftovers, processes
from swarm.dev.cluster import DevCluster
from swarm.errors import FailedPrecondition, NotFound
from tests.integration.conftest import UP_TIMEOUT_S, Clusters
from tests.integration.operator import ROOT, SWARMCTL, Operator, swarmctl, wait_until


@pytest.fixture(scope="module")
def pair(clusters: Clusters) -> DevCluster:
    return clusters.up(1, 2)


def connects(cluster: DevCluster, source: str, target: str) -> bool:
    """Whether one node gets a TCP answer from another; a refused connection is an answer."""
    address = cluster.node(target).address
    program = (
        "import socket, sys\n"
        "try: socket.create_connection((sys.argv[1], 9), 0.5).close()\n"
        "except ConnectionRefusedError: pass\n"
    )
    return cluster.run(source, sys.executable, "-c", program, str(address)).returncode == 0


def reaches(cluster: DevCluster, source: str, target: str) -> None:
    """Wait for the answer: addresses that nobody answered for are asked for again only by and by."""
    wait_until(lambda: connects(cluster, source, target), what=f"{target} to answer {source}")


def test_nodes_are_named_joined_and_ready(pair: DevCluster) -> None:
    rows = Operator(pair).rows("node", "ls")
    assert {row["Hostname"]: row["Status"] for row in rows} == {
        "manager-1": "Ready",
        "worker-1": "Ready",
        "worker-2": "Ready",
    }
    assert [row["Hostname"] for row in rows if row["ManagerStatus"]] == ["manager-1"]


def test_up_again_changes_nothing(pair: DevCluster) -> None:
    before = processes.find(pair.plan)
    done = swarmctl("dev", "up", "--managers", "1", "--workers", "2", "--name", pair.plan.name)
    assert done.returncode == 0, done.stderr
    assert f'eval "$(swarmctl dev env --name {pair.plan.name})"' in done.stdout
    assert processes.find(pair.plan) == before


def test_up_with_other_numbers_of_nodes_is_refused(pair: DevCluster) -> None:
    with pytest.raises(FailedPrecondition, match="1 managers and 2 workers"):
        DevCluster.create(pair.plan.name, 3, 2)


def test_clusters_live_side_by_side(pair: DevCluster, clusters: Clusters) -> None:
    other = clusters.up(1, 0)
    assert not other.plan.subnet.overlaps(pair.plan.subnet)
    assert len(Operator(other).rows("node", "ls")) == 1
    assert len(Operator(pair).rows("node", "ls")) == 3
    assert other.down() == []
    assert len(Operator(pair).rows("node", "ls")) == 3


def test_ls_ps_and_env_tell_where_everything_is(pair: DevCluster) -> None:
    name = pair.plan.name
    listed = [json.loads(line) for line in swarmctl("dev", "ls", "--format", "json").stdout.splitlines()]
    (row,) = [row for row in listed if row["Name"] == name]
    assert (row["Nodes"], row["Running"]) == ("3", "3")
    nodes = swarmctl("dev", "ps", "--name", name, "--format", "json").stdout.splitlines()
    assert [json.loads(line)["State"] for line in nodes] == ["running"] * 3
    env = swarmctl("dev", "env", "--name", name).stdout
    assert env == f"export SWARMCTL_HOST={pair.node('manager-1').host}\n"


def test_kill_and_start_change_the_process_and_nothing_else(pair: DevCluster) -> None:
    before = processes.find(pair.plan)
    pair.kill("worker-1")
    assert "worker-1" not in processes.find(pair.plan)
    with pytest.raises(FailedPrecondition, match="not running"):
        pair.kill("worker-1")
    pair.start("worker-1")
    with pytest.raises(FailedPrecondition, match="is running"):
        pair.start("worker-1")
    after = processes.find(pair.plan)
    assert after.keys() == before.keys()
    assert after["worker-1"] != before["worker-1"]
    assert after["worker-2"] == before["worker-2"]
    wait_until(lambda: all(row["Status"] == "Ready" for row in Operator(pair).rows("node", "ls")))


def test_a_suspended_node_is_shown_as_such(pair: DevCluster) -> None:
    pair.kill("worker-2", signal.SIGSTOP)
    wait_until(lambda: {s.node.name: s.word for s in pair.states()}["worker-2"] == "suspended")
    pair.kill("worker-2", signal.SIGCONT)
    wait_until(lambda: {s.node.name: s.word for s in pair.states()}["worker-2"] == "running")


def test_a_partition_cuts_both_ways_and_leaves_its_nodes_together(pair: DevCluster) -> None:
    pair.partition(["worker-1", "worker-2"])
    try:
        assert not connects(pair, "worker-1", "manager-1")
        assert not connects(pair, "manager-1", "worker-2")
        reaches(pair, "worker-1", "worker-2")
        assert {s.node.name for s in pair.states() if s.island} == {"worker-1", "worker-2"}
        pair.partition(["worker-2"])
        assert not connects(pair, "worker-1", "worker-2")
    finally:
        pair.heal()
    reaches(pair, "worker-1", "manager-1")
    reaches(pair, "worker-1", "worker-2")
    assert not any(state.island for state in pair.states())


def test_nodes_reach_the_host_and_the_host_reaches_nodes(pair: DevCluster) -> None:
    with socket.create_server((str(pair.plan.host_address), 0)) as server:
        program = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 60)"
        host, port = server.getsockname()
        done = pair.run("worker-1", sys.executable, "-c", program, host, str(port))
        assert done.returncode == 0, done.stderr
        connection, client = server.accept()
        connection.close()
    assert client[0] == str(pair.node("worker-1").address)
    address = str(pair.node("manager-1").address)
    socket.create_connection((address, 2377), 60).close()


def test_exec_runs_a_command_on_the_network_of_a_node(pair: DevCluster) -> None:
    arguments = ["dev", "exec", "--name", pair.plan.name, "worker-1", "--"]
    shown = swarmctl(*arguments, "sh", "-c", "cat /proc/net/fib_trie; echo $SWARMCTL_HOST; exit 7")
    assert shown.returncode == 7
    assert str(pair.node("worker-1").address) in shown.stdout
    assert pair.node("worker-1").host in shown.stdout
    missing = swarmctl(*arguments, "no-such-command")
    assert (missing.returncode, missing.stderr) == (1, "Error: there is no no-such-command\n")


def test_logs_show_the_end_of_a_daemons_log(pair: DevCluster) -> None:
    done = swarmctl("dev", "logs", "manager-1", "--tail", "2", "--name", pair.plan.name)
    assert len(done.stdout.splitlines()) == 2


@pytest.mark.parametrize("arguments", [["kill", "nobody"], ["start", "nobody"], ["logs", "nobody"]])
def test_an_unknown_node_is_one_clear_error(pair: DevCluster, arguments: list[str]) -> None:
    done = swarmctl("dev", *arguments, "--name", pair.plan.name)
    assert done.returncode == 1
    assert "has no node nobody; it has manager-1, worker-1, worker-2" in done.stderr


def test_an_unknown_cluster_is_one_clear_error() -> None:
    with pytest.raises(NotFound, match="swarmctl dev up --name nowhere"):
        DevCluster.open("nowhere")


def test_a_cluster_comes_back_after_a_reboot_with_its_nodes(clusters: Clusters) -> None:
    cluster = clusters.up(1, 1)
    ids = {row["ID"] for row in Operator(cluster).rows("node", "ls")}
    # What a reboot does: every process and namespace gone, /run empty, /var/lib as it was.
    for pid in processes.find(cluster.plan).values():
        processes.send(pid, signal.SIGKILL, 60)
    saved = cluster.plan.data.rename(cluster.plan.data.with_name(f"{cluster.plan.name}-saved"))
    leftovers.remove(cluster.plan)
    saved.rename(cluster.plan.data)
    cluster.up(timeout_s=UP_TIMEOUT_S)
    assert {row["ID"] for row in Operator(cluster).rows("node", "ls")} == ids


@pytest.mark.parametrize("after_s", [0.3, 0.6, 1.2, 2.0])
def test_killed_at_any_moment_up_can_be_repeated_and_down_leaves_nothing(
    clusters: Clusters, after_s: float
) -> None:
    cluster = clusters.plan(1, 1)
    arguments = ["--managers", "1", "--workers", "1", "--name", cluster.plan.name]
    kill_after(["dev", "up", *arguments], after_s)
    done = swarmctl("dev", "up", *arguments)
    assert done.returncode == 0, done.stderr
    assert len(Operator(cluster).rows("node", "ls")) == 2
    kill_after(["dev", "down", "--name", cluster.plan.name], after_s / 2)
    done = swarmctl("dev", "down", "--name", cluster.plan.name)
    assert done.returncode == 0, done.stderr
    assert leftovers.find(cluster.plan) == []


def test_down_without_a_state_file_still_finds_everything(clusters: Clusters) -> None:
    cluster = clusters.up(1, 1)
    (cluster.plan.data / "cluster.json").write_text("{")
    done = swarmctl("dev", "down", "--name", cluster.plan.name)
    assert done.returncode == 0, done.stderr
    assert leftovers.find(cluster.plan) == []


def test_down_of_a_cluster_that_never_was_is_no_error() -> None:
    assert swarmctl("dev", "down", "--name", "never-was").returncode == 0


def kill_after(arguments: list[str], after_s: float) -> None:
    command = subprocess.Popen(
        [*SWARMCTL, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=ROOT
    )
    time.sleep(after_s)  # a moment to be killed at, not a condition to wait for
    command.kill()
    command.wait()
