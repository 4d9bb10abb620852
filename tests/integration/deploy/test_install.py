"""Swarm installed for good: a release, two commands and a service, and nothing by halves."""

import secrets
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.integration.deploy.machine import SOURCE, Machine, machine

RELEASES = Path("/opt/swarm/releases")
UNIT = "/etc/systemd/system/swarmd.service"


@pytest.fixture
def bare(tmp_path: Path) -> Iterator[Machine]:
    """A machine that nobody has installed anything on."""
    with machine(tmp_path) as made:
        yield made


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A machine with swarm, whose first installation was cut after half of the files; shared."""
    with machine(tmp_path_factory.mktemp("machine")) as made:
        name = made(
            "env",
            f"PYTHONPATH={SOURCE}/deploy",
            "python3",
            "-c",
            "import install as i; print(i.release_name())",
        )
        made("mkdir", "-p", RELEASES / name / "bin")
        made("ln", "-s", "nowhere", RELEASES / name / "bin" / "python")
        for number in range(4):
            made("mkdir", RELEASES / f"0.0.{number}-old")
            made("touch", "-d", f"2020-01-0{number + 1}", RELEASES / f"0.0.{number}-old")
        done = made.install()
        assert done.returncode == 0, done.stderr
        yield made


def test_somebody_elses_program_is_not_replaced(bare: Machine) -> None:
    bare("sh", "-c", "echo other > /usr/local/bin/swarmd")
    refused = bare.install()
    assert refused.returncode == 1
    assert "/usr/local/bin/swarmd is not a link" in refused.stderr
    assert bare("cat", "/usr/local/bin/swarmd") == "other"
    assert bare("ls", RELEASES) == ""


def test_only_root_installs(bare: Machine) -> None:
    somebody = ("setpriv", "--reuid=65534", "--clear-groups", "--bounding-set=-all,+dac_read_search")
    granted = ("--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search")
    refused = bare.try_(*somebody, *granted, "python3", SOURCE / "deploy" / "bootstrap.py", "install")
    assert refused.returncode == 1
    assert "only root" in refused.stderr


def test_the_programs_run_from_a_release_that_root_alone_can_change(installed: Machine) -> None:
    assert "Usage" in installed("swarmctl", "--help")
    assert installed("cat", "/usr/local/share/man/man1/swarmctl-service-create.1").startswith(".TH")
    assert installed("readlink", "-f", "/usr/local/bin/swarmd").startswith("/opt/swarm/releases/0.")
    assert installed("find", "/opt/swarm", "!", "-user", "root") == ""
    assert installed("find", "/opt/swarm", "!", "-type", "l", "-perm", "/022") == ""


def test_the_service_is_right_and_starts_with_the_machine(installed: Machine) -> None:
    assert installed("systemd-analyze", "verify", UNIT) == ""
    assert installed("systemctl", "is-enabled", "swarmd") == "enabled"


def test_the_service_manager_hears_when_the_daemon_is_ready_and_when_it_stops(installed: Machine) -> None:
    address = f"swarm-test-{secrets.token_hex(4)}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind("\0" + address)
        manager.settimeout(60)
        flags = ("--runtime", "process", "--metrics-addr", "", "--listen-addr", "127.0.0.1:1")
        command = installed.command("env", f"NOTIFY_SOCKET=@{address}", "swarmd", *flags)
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as daemon:
            try:
                assert manager.recv(100) == b"READY=1"
                assert "NodeID" not in installed("swarmctl", "info")
                assert b"NOTIFY_SOCKET" not in b"".join(_environments_below(daemon.pid))
                daemon.send_signal(signal.SIGTERM)
                assert manager.recv(100) == b"STOPPING=1"
                assert daemon.wait(60) == 0
            finally:
                daemon.kill()


def _environments_below(pid: int) -> Iterator[bytes]:
    """The environments of the children of a process, of those that do not end meanwhile."""
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        with suppress(OSError):
            yield Path(f"/proc/{child}/environ").read_bytes()


def test_the_same_again_changes_nothing(installed: Machine) -> None:
    def state() -> str:
        places = ("/opt/swarm", "/usr/local/bin", "/etc/systemd/system")
        return installed("find", *places, "!", "-path", "*/__pycache__*", "-printf", r"%p %T@ %i\n")

    before = state()
    again = installed.install()
    assert again.returncode == 0
    assert "building" not in again.stderr
    assert state() == before


def test_two_releases_stay_to_go_back_to(installed: Machine) -> None:
    current = Path(installed("readlink", "-f", "/opt/swarm/current"))
    assert installed("ls", RELEASES).split() == ["0.0.2-old", "0.0.3-old", current.name]
