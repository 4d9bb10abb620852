"""Commands in real containers, typed at one manager, run on another node."""

import hashlib
import os
import subprocess

from swarm.dev.cluster import DevCluster
from tests.integration.containers.conftest import command, keyboard, processes, wait_gone
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
        timeout=60,
        check=True,
        cwd=ROOT,
    )
    assert there.stdout.split()[0].decode() == hashlib.md5(data).hexdigest()
    back = subprocess.run(
        command(cluster, "service", "exec", "web.worker-1", "cat", "/tmp/big"),
        capture_output=True,
        timeout=60,
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
        person.types(b"sleep 0.5; stty size\n")
        person.sees(b"44 122")
        person.types(b"cat\n")
        wait_until(lambda: "cat" in processes(operator, "web.worker-2"), what="cat to run")
        person.types(b"\x03")  # it ends cat, not the shell
        person.sees(b"^C")
        person.types(b"echo after=$?\n")
        person.sees(b"after=130")
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
        person.types(b"\x10\x11")  # ctrl-p ctrl-q
        assert person.ends() == 0
    operator("service", "exec", "-d", "web.worker-1", "sleep", "1003")
    left = processes(operator, "web.worker-1")
    assert {"sleep 1002", "sleep 1003"} <= set(left)
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
        assert caller.wait(30) == 0
    finally:
        caller.kill()
        caller.wait()
        caller.stdout.close()
        cluster.start(leader)
    operator.wait_running("web", 5)
