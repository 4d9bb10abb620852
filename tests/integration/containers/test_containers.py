"""Containers of all nodes, from one manager: commands in them, looks, changes, copies, logs."""

import hashlib
import json
import os
import subprocess
from pathlib import Path

from swarm.dev.cluster import DevCluster
from tests.integration.containers.conftest import command, keyboard, processes, wait_gone, wait_whole
from tests.integration.operator import ROOT, Operator, wait_until


def test_output_exit_code_environment_and_directory_are_those_of_the_command(operator: Operator) -> None:
    for at in ("manager-1", "manager-3"):
        done = operator.on(at).try_(
            *("service", "exec", "-e", "A=b c", "-w", "/tmp", "web.worker-1", "--"),
            *("sh", "-c", "echo $A; pwd; echo oh >&2; exit 7"),
        )
        assert (done.returncode, done.stdout, done.stderr) == (7, "b c\n/tmp\n", "oh\n")
    missing = operator.try_("task", "exec", "web.worker-2", "no-such-program")
    assert missing.returncode == 127
    assert "no-such-program" in missing.stderr
    nowhere = operator.try_("service", "exec", "nothing", "true")
    assert nowhere.returncode == 1
    assert 'no container, task or service "nothing"' in nowhere.stderr


def test_ten_megabytes_go_through_standard_input_and_come_back(cluster: DevCluster) -> None:
    data = os.urandom(10_000_000)
    there = subprocess.run(
        command(
            cluster,
            "service",
            "exec",
            "-i",
            "web.worker-1",
            "--",
            "sh",
            "-c",
            "cat > /tmp/big; md5sum /tmp/big",
        ),
        input=data,
        capture_output=True,
        timeout=200,
        check=True,
        cwd=ROOT,
    )
    assert there.stdout.split()[0].decode() == hashlib.md5(data).hexdigest()
    back = subprocess.run(
        command(cluster, "service", "exec", "web.worker-1", "cat", "/tmp/big"),
        capture_output=True,
        timeout=200,
        check=True,
        cwd=ROOT,
    )
    assert back.stdout == data


def test_a_terminal_has_the_size_of_the_callers_and_passes_keys_and_exit_code_on(
    cluster: DevCluster, operator: Operator
) -> None:
    with keyboard(command(cluster, "service", "exec", "-it", "web.worker-2", "sh")) as person:
        person.types(b"tty; stty size\n")
        person.sees(b"33 111")
        assert b"/dev/pts" in person.screen
        person.resize(44, 122)
        person.types(b"until stty size | grep '44 12[2]'; do sleep 0.1; done\n")
        person.sees(b"44 122")
        person.types(b"cat\n")
        wait_until(lambda: "cat" in processes(operator, "web.worker-2"), what="cat to run")
        person.types(b"\x03")  # it ends cat, not the shell
        person.sees(b"^C")
        # `cat` may still take the first line that follows, before it ends.
        person.sees(b"after=130", keys=b"echo after=$?\n")
        person.types(b"exit 3\n")
        assert person.ends() == 3


def test_who_leaves_takes_the_command_along_and_who_detaches_does_not(
    cluster: DevCluster, operator: Operator
) -> None:
    arguments = command(cluster, "service", "exec", "-i", "web.worker-1", "--", "sleep", "1001")
    caller = subprocess.Popen(arguments, stdin=subprocess.PIPE, cwd=ROOT)
    try:
        wait_until(lambda: "sleep 1001" in processes(operator, "web.worker-1"), what="the command to run")
    finally:
        caller.kill()
        caller.communicate()
    wait_gone(operator, "web.worker-1", "sleep 1001")
    with keyboard(command(cluster, "service", "exec", "-it", "web.worker-1", "sleep", "1002")) as person:
        wait_until(lambda: "sleep 1002" in processes(operator, "web.worker-1"), what="the command to run")
        # ctrl-p ctrl-q; before swarmctl has heard that the command runs, they are the terminal's own.
        assert person.ends(keys=b"\x10\x11") == 0
    operator("service", "exec", "-d", "web.worker-1", "sleep", "1003")
    wait_until(
        lambda: {"sleep 1002", "sleep 1003"} <= set(processes(operator, "web.worker-1")),
        what="both commands to run",
    )
    operator("service", "exec", "web.worker-1", "--", "sh", "-c", "killall sleep")
    wait_gone(operator, "web.worker-1", "sleep 100")


def test_a_killed_leader_interrupts_no_command_typed_at_another_manager(
    cluster: DevCluster, operator: Operator
) -> None:
    rows = operator.rows("node", "ls")
    leader = next(row["Hostname"] for row in rows if row["ManagerStatus"] == "Leader")
    other = next(row["Hostname"] for row in rows if row["ManagerStatus"] == "Reachable")
    arguments = command(cluster, "service", "exec", "-i", "web.worker-1", "--", "cat", at=other)
    caller = subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT)
    assert caller.stdin is not None
    assert caller.stdout is not None
    try:
        caller.stdin.write(b"before\n")
        caller.stdin.flush()
        assert caller.stdout.readline() == b"before\n"
        cluster.kill(leader)
        wait_until(lambda: operator.on(other).try_("service", "ls").returncode == 0, what="another leader")
        caller.stdin.write(b"after\n")
        caller.stdin.close()
        assert caller.stdout.readline() == b"after\n"
        assert caller.wait(60) == 0
    finally:
        caller.kill()
        caller.wait()
        caller.stdout.close()
        cluster.start(leader)
    wait_whole(operator, 5)


def test_containers_are_listed_inspected_measured_paused_and_replaced_when_stopped(
    operator: Operator,
) -> None:
    rows = operator.rows("container", "ls", "--filter", "service=web")
    nodes = {"manager-1", "manager-2", "manager-3", "worker-1", "worker-2"}
    assert {row["Node"] for row in rows} == nodes
    assert all(row["Status"].startswith("Up") and row["Service"] == "web" for row in rows)
    ours = ("container", "ls", "--node", "worker-1", "--filter", "service=web")
    (only,) = operator.rows(*ours)
    (found,) = json.loads(operator("container", "inspect", only["ID"]))
    assert found["State"]["Status"] == "running"
    assert Path(f"/proc/{found['State']['Pid']}").exists()
    assert any("httpd" in line for line in processes(operator, "web.worker-1"))
    (usage,) = operator.rows("container", "stats", "--no-stream", "web.worker-1")
    assert usage["CPUPerc"].endswith("%")
    assert int(usage["PIDs"]) >= 1

    operator("container", "pause", only["ID"])
    (paused,) = operator.rows(*ours)
    assert paused["Status"].endswith("(Paused)")
    operator("container", "unpause", only["ID"])
    operator("container", "pause", only["ID"])  # a paused one can be stopped as well
    refused = operator.try_("container", "rm", only["ID"])
    assert refused.returncode == 1
    assert "stop it, or remove it by force" in refused.stderr
    waiting = operator.try_("container", "stop", "--time", "5", only["ID"])
    assert waiting.returncode == 0, waiting.stderr
    assert int(operator("container", "wait", only["ID"])) in {0, 137, 143}
    wait_until(
        lambda: any(row["ID"] != only["ID"] for row in operator.rows(*ours)),
        what="the task to be replaced",
    )
    assert only["ID"] in operator("container", "prune", "--force", "--node", "worker-1")
    rows = operator.rows("container", "ls", "--all", "--node", "worker-1")
    assert only["ID"] not in {row["ID"] for row in rows}


def test_a_tree_is_copied_in_and_out_and_no_link_leads_out_of_the_container(
    cluster: DevCluster, operator: Operator, tmp_path: Path
) -> None:
    tree = tmp_path / "tree"
    (tree / "sub").mkdir(parents=True)
    (tree / "sub/file").write_bytes(os.urandom(300_000))
    (tree / "link").symlink_to("sub/file")
    (tree / "sub/tool").write_text("#!/bin/sh\n")
    (tree / "sub/tool").chmod(0o755)

    def cp(*arguments: str) -> subprocess.CompletedProcess[str]:
        line = command(cluster, "container", "cp", *arguments)
        return subprocess.run(line, capture_output=True, text=True, timeout=60, check=False, cwd=ROOT)

    assert cp(str(tree), "web.worker-2:/tmp/tree").returncode == 0
    listed = operator("container", "exec", "web.worker-2", "--", "sh", "-c", "cd /tmp/tree; find . | sort")
    assert listed.splitlines() == [".", "./link", "./sub", "./sub/file", "./sub/tool"]
    assert cp("web.worker-2:/tmp/tree", str(tmp_path / "back")).returncode == 0
    assert (tmp_path / "back/sub/file").read_bytes() == (tree / "sub/file").read_bytes()
    assert (tmp_path / "back/link").readlink() == Path("sub/file")
    assert os.access(tmp_path / "back/sub/tool", os.X_OK)

    # To the container /escape is a directory of its own; to the node it is one of this test's.
    hostile = tmp_path / "outside"
    hostile.mkdir()
    (hostile / "secret").write_text("of the node")
    operator(
        *("container", "exec", "web.worker-2", "--", "sh", "-c"),
        f"mkdir -p {hostile}; echo of the container > {hostile}/secret; ln -s {hostile} /tmp/way;"
        f"ln -s ../../../../../../../../../..{hostile} /tmp/up",
    )
    for way in ("way", "up"):
        assert cp(str(tree / "sub/tool"), f"web.worker-2:/tmp/{way}/{way}").returncode == 0
        assert cp(f"web.worker-2:/tmp/{way}/secret", str(tmp_path / way)).returncode == 0
        assert (tmp_path / way).read_text() == "of the container\n"
    assert sorted(path.name for path in hostile.iterdir()) == ["secret"]

    # What comes out cannot lead out of its destination either.
    operator(
        "container", "exec", "web.worker-2", "--", "sh", "-c", "mkdir -p /tmp/t/x; echo bad > /tmp/t/x/file"
    )
    (tmp_path / "here/t").mkdir(parents=True)
    (tmp_path / "here/t/x").symlink_to(hostile)
    refused = cp("web.worker-2:/tmp/t", str(tmp_path / "here"))
    assert refused.returncode == 1
    assert sorted(path.name for path in hostile.iterdir()) == ["secret"]
    missing = cp("web.worker-2:/no/such", str(tmp_path))
    assert missing.returncode == 1
    assert "there is no /no/such in the container" in missing.stderr


def test_logs_are_ordered_per_task_and_a_node_that_is_cut_off_is_named(
    cluster: DevCluster, operator: Operator
) -> None:
    script = "i=0; while [ $i -lt 50 ]; do i=$((i+1)); echo line $i; done; exec sleep 1000"
    operator(
        *("service", "create", "-d", "--name", "talk", "--mode", "global", "--log-opt", "max-size=4k"),
        *(
            "--log-opt",
            "max-file=2",
            "--constraint",
            "node.role==worker",
            "--entrypoint",
            f"sh -c '{script}'",
        ),
        "hello:1",
    )
    operator.wait_running("talk", 2)
    everything = [f"line {number}" for number in range(1, 51)]
    logs = wait_until(
        lambda: found if (found := operator("service", "logs", "talk")).count("line 50") == 2 else "",
        what="all lines",
    )
    for node in ("worker-1", "worker-2"):
        assert [line.split(" | ")[1] for line in logs.splitlines() if f"@{node}" in line] == everything
    assert operator("task", "logs", "--raw", "--tail", "2", "talk.worker-1").splitlines() == everything[-2:]
    stamped = operator("container", "logs", "-t", "--tail", "1", "talk.worker-1")
    after = operator("container", "logs", "--since", stamped.split()[0], "talk.worker-1")
    assert after.splitlines()[-1] == "line 50"
    assert operator("container", "logs", "--until", "1h", "talk.worker-1") == ""
    cluster.partition(["worker-2"])
    try:
        cut = operator.try_("service", "logs", "talk")
        assert cut.returncode == 1
        assert "worker-2" in cut.stderr
        assert [line.split(" | ")[1] for line in cut.stdout.splitlines()] == everything
        listed = operator.try_("container", "ls", "--format", "json")
        assert listed.returncode == 1
        assert "Warning: node worker-2" in listed.stderr
        assert "worker-2" not in {json.loads(line)["Node"] for line in listed.stdout.splitlines()}
        refused = operator.try_("service", "exec", "talk.worker-2", "true")
        assert refused.returncode == 1
        assert "node worker-2" in refused.stderr
    finally:
        cluster.heal()
    wait_whole(operator, 5)
    operator("service", "rm", "talk")
