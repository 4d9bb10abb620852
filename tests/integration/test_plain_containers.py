"""Containers that belong to no service: run from a manager on a worker that only dials out."""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from swarm.dev.cluster import DevCluster
from swarm.runtime.oci.cgroups import read_layout
from swarm.runtime.oci.freezer import is_frozen
from tests.integration.conftest import Clusters
from tests.integration.containers.conftest import command, keyboard, wait_told
from tests.integration.operator import ROOT, Operator, wait_until


@pytest.fixture(scope="module")
def cluster(clusters: Clusters) -> DevCluster:
    """One manager, one worker."""
    return clusters.up(1, 1)


@pytest.fixture(scope="module", autouse=True)
def _image(operator: Operator, tmp_path_factory: pytest.TempPathFactory) -> None:
    operator.load_image(tmp_path_factory.mktemp("image"))


@pytest.fixture
def small_disk(cluster: DevCluster, operator: Operator) -> Iterator[Path]:
    """The worker's containers on a disk of 16 MB; nothing of it is left."""
    state = Path(f"/var/lib/swarm-dev/{cluster.plan.name}/worker-1/state/containers")
    assert state.is_dir()
    cluster.kill("worker-1")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "none", str(state)], check=True)
    try:
        cluster.start("worker-1")
        yield state
    finally:
        cluster.kill("worker-1")
        subprocess.run(["umount", "-l", str(state)], check=True)
        cluster.start("worker-1")
        wait_told(operator)


RUN = ("run", "-q", "--node", "worker-1", "--entrypoint", "sh")


def state(operator: Operator, name: str) -> str:
    rows = operator.rows("container", "ls", "-a", "--filter", f"name={name}")
    return str(rows[0]["Status"]) if rows else ""


def test_a_foreground_run_is_as_if_the_command_ran_here(operator: Operator, cluster: DevCluster) -> None:
    done = operator.try_(*RUN, "--rm", "-e", "A=b c", "hello:1", "-c", "echo $A; echo oh >&2; exit 7")
    assert (done.returncode, done.stdout, done.stderr) == (7, "b c\n", "oh\n")
    missing = operator.try_("run", "-q", "--rm", "--entrypoint", "no-such-program", "hello:1")
    assert missing.returncode == 127
    assert "no-such-program" in missing.stderr
    assert operator.try_("run", "-q", "no-such-image:1").returncode == 125
    data = b"0123456789" * 300_000
    arguments = (*RUN[:-1], "cat", "--rm", "-i", "hello:1")
    echo = subprocess.run(
        command(cluster, *arguments, at="manager-1"),
        input=data,
        capture_output=True,
        timeout=200,
        check=True,
        cwd=ROOT,
    )
    assert echo.stdout == data
    left = ("container", "ls", "-a", "--filter", "is-task=false")
    wait_until(lambda: not operator.rows(*left), 60, "the containers to go")


def test_a_terminal_is_resized_left_and_taken_up_again(operator: Operator, cluster: DevCluster) -> None:
    # A signal may interrupt `read`, which is not the end of the input.
    script = (
        "trap 'stty size' WINCH; echo ready; "
        "while :; do read -r word && case $word in bye) exit 3;; *) echo got $word;; esac; done"
    )
    arguments = (*RUN, "-it", "--name", "typed", "hello:1", "-c", script)
    with keyboard(command(cluster, *arguments, at="manager-1")) as screen:
        screen.sees(b"ready")
        screen.types(b"one\n")
        screen.sees(b"got one")
        screen.types(b"\x10\x11")
        assert screen.ends() == 0
    assert state(operator, "typed").startswith("Up")
    with keyboard(command(cluster, "container", "attach", "typed", at="manager-1")) as screen:
        screen.types(b"two\n")
        screen.sees(b"got two")
        screen.resize(44, 122)
        screen.sees(b"44 122")
        screen.types(b"bye\n")
        assert screen.ends() == 3
    assert "got one" in operator("container", "logs", "typed")
    operator("container", "rm", "typed")


def test_signals_go_to_the_container(operator: Operator, cluster: DevCluster) -> None:
    script = "trap 'echo told; exit 5' INT; echo ready; while :; do sleep 0.1; done"
    arguments = command(cluster, *RUN, "--rm", "hello:1", "-c", script, at="manager-1")
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, cwd=ROOT)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 5
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def test_a_container_belongs_to_its_node_whatever_becomes_of_the_daemons(
    operator: Operator, cluster: DevCluster
) -> None:
    """Files stay over restarts; the policy is kept by an agent that was away; a drain does nothing."""

    def has_run(times: int) -> None:
        # Until the managers hear of the node, nothing can be asked there.
        wait_until(
            lambda: (
                operator.try_("container", "exec", "db", "cat", "/kept").stdout.split() == ["run"] * times
            ),
            60,
            f"run {times}",
        )

    script = "echo run >> /kept; cat /kept | wc -l; exec sleep 1000"
    container = operator(
        *RUN, "-d", "--name", "db", "--restart", "always", "-p", "8099:80", "hello:1", "-c", script
    )
    taken = operator.try_("run", "-q", "-d", "--name", "db", "hello:1")
    assert taken.returncode == 125
    assert '"db" is taken' in taken.stderr
    has_run(1)
    operator("container", "restart", "-t", "0", "db")
    has_run(2)
    operator("node", "update", "--availability", "drain", "worker-1")
    pid = int(operator("container", "inspect", "-f", "{{.State.Pid}}", "db"))
    cluster.kill("worker-1")
    assert pid > 1
    assert container in Path(f"/proc/{pid}/cgroup").read_text()
    os.kill(pid, signal.SIGKILL)  # while no agent looks
    cluster.start("worker-1")
    has_run(3)
    operator("node", "update", "--availability", "active", "worker-1")
    operator("container", "stop", "-t", "0", "db")
    assert state(operator, "db").startswith("Exited")
    assert container in operator("container", "prune", "-f")


def test_a_service_that_is_made_later_does_not_take_a_containers_name_away(operator: Operator) -> None:
    operator(*RUN, "-d", "--name", "both", "hello:1", "-c", "echo of-none; exec sleep 1000")
    operator(
        "service", "create", "-d", "--name", "both", "--entrypoint", "sh", "hello:1", "-c", "exec sleep 1000"
    )
    (task,) = operator.wait_running("both", 1)
    ids = ("-f", "{{.Id}}")
    assert not operator("container", "inspect", "both", *ids).startswith(task["ID"])
    assert operator("container", "inspect", "both.1", *ids).startswith(task["ID"])
    wait_until(lambda: operator("container", "logs", "both") == "of-none")
    assert operator("container", "exec", "both", "hostname") != operator(
        "service", "exec", "both", "hostname"
    )
    operator("container", "stop", "-t", "0", "both")
    assert operator("container", "inspect", "both", "-f", "{{.State.Status}}") == "exited"
    operator("container", "rm", "both")
    assert operator("container", "inspect", "both", *ids).startswith(task["ID"])
    operator("service", "rm", "both")
    wait_until(lambda: not operator.rows("container", "ls", "-a"), 60, "its container to go")


def stands_still(pid: str) -> bool:
    """Whether the freezer of a process is closed, by the kernel's account."""
    layout = read_layout()
    for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == ("freezer" if layout.version == 1 else ""):
            return is_frozen(layout, path)
    raise AssertionError(f"process {pid} has no freezer")


def test_an_agent_that_ends_in_a_commit_leaves_nothing_paused(
    operator: Operator, cluster: DevCluster
) -> None:
    script = "busybox dd if=/dev/zero of=/large bs=1M count=400; exec sleep 1000"
    operator(*RUN, "-d", "--name", "large", "hello:1", "-c", script)
    operator(*RUN, "-d", "--name", "held", "hello:1", "-c", "exec sleep 1000")
    operator("container", "pause", "held")
    wait_until(lambda: operator("container", "top", "large", "--format", "{{.Command}}") == "sleep 1000")
    pid = operator("container", "inspect", "large", "-f", "{{.State.Pid}}")
    committing = subprocess.Popen(
        command(cluster, "container", "commit", "large", "large:1", at="manager-1"), cwd=ROOT
    )
    try:
        wait_until(lambda: stands_still(pid), 60, "a pause for the commit")
        cluster.kill("worker-1")
        assert stands_still(pid)
        cluster.start("worker-1")
        wait_until(lambda: operator.try_("container", "exec", "large", "true").returncode == 0)
        assert not stands_still(pid)
        assert "Paused" in state(operator, "held")  # by people
    finally:
        committing.kill()
        committing.wait()
    operator("container", "rm", "-f", "large", "held")


def test_a_full_disk_keeps_tasks_away_until_there_is_room(operator: Operator, small_disk: Path) -> None:
    place = ("--constraint", "node.hostname==worker-1")
    filler = small_disk / "filler"
    filler.write_bytes(b"x" * 16_000_000)
    listed = ("node", "ls", "--filter", "name=worker-1", "--format", "{{.Status}}")
    wait_until(lambda: "disk pressure" in operator(*listed), 60, "disk pressure")
    operator("service", "create", "-d", "--name", "late", *place, "hello:1")
    wait_until(lambda: "disk pressure" in operator.try_("service", "why", "late").stdout, 60, "the reason")
    assert "swarmctl system prune" in operator("node", "inspect", "worker-1")
    filler.unlink()
    operator.wait_running("late", 1, timeout_s=60)
    operator("service", "rm", "late")
    wait_until(lambda: not operator.rows("container", "ls", "-a"), 60, "its container to go")


def test_disks_are_measured_and_what_is_used_is_not_removed(operator: Operator) -> None:
    operator(*RUN, "-d", "--name", "user", "-v", "scratch:/scratch", "hello:1", "-c", "exec sleep 1000")
    rows = operator.rows("system", "df", "--node", "worker-1")
    kinds = {row["Type"].partition(" of ")[0]: row for row in rows}
    assert kinds["Containers"]["Active"] == "1"
    assert kinds["Images"]["Active"] == "1"
    assert "%" in kinds["Disk"]["Size"]
    assert "worker" in operator("system", "df", "-v", "--node", "worker-1")
    assert operator("system", "info") == operator("info")
    used = operator.try_("image", "rm", "-f", "hello:1")
    assert used.returncode == 1
    assert "container user, which is running" in used.stderr
    operator("container", "stop", "-t", "0", "user")
    assert "by force" in operator.try_("image", "rm", "hello:1").stderr
    pruned = operator("system", "prune", "-f", "--node", "worker-1", "--filter", "until=1h")
    assert "Deleted Containers:" not in pruned
    pruned = operator("system", "prune", "-f", "--node", "worker-1", "--volumes")
    assert pruned.startswith("Deleted Containers:\n")
    assert "scratch" in operator("volume", "ls", "-q")  # it has a name
