"""The hello example: built from the command line, and served where tasks are plain processes."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from examples.hello import build

pytestmark = pytest.mark.integration
ADDRESS = "127.77.3.9"


def free(address: str, port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((address, port)) != 0


@contextlib.contextmanager
def served(path: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run the image's script as the process runtime would, with only the programs in `path`."""
    assert free(ADDRESS, build.PORT)
    env = {"PATH": path, "HELLO_MESSAGE": "Hi", "HOSTNAME": "task-7", "SWARM_TASK_ADDRESS": ADDRESS}
    process = subprocess.Popen(["/bin/sh", "-c", build.SERVE, "sh"], env=env, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(60)
        finally:
            process.kill()


def fetch() -> str:
    deadline = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(f"http://{ADDRESS}:{build.PORT}/", timeout=60) as answer:
                return answer.read().decode()
        except OSError:  # also when it breaks off in the middle of an answer
            assert time.monotonic() < deadline
            time.sleep(0.02)


@pytest.mark.parametrize("server", ["busybox", "python3"])
def test_the_page_shows_the_message_and_the_task_and_ends_on_a_stop(tmp_path: Path, server: str) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("mktemp", "hostname", "grep", "rm", server):
        found = sys.executable if name == "python3" else shutil.which(name)
        if found is None:
            pytest.skip(f"needs {name}")
        (programs / name).symlink_to(found)
    with served(str(programs)) as process:
        assert fetch() == "Hi from task-7\n"
    assert process.returncode == 0
    assert free(ADDRESS, build.PORT)


def test_the_command_line_builds_the_same_archive_every_time(tmp_path: Path) -> None:
    script = Path(build.__file__)
    for name in ("a.tar", "b.tar"):
        subprocess.run(
            [
                sys.executable,
                "-I",
                script,
                tmp_path / name,
                "--message",
                "Hi",
                "--name",
                "docker.io/library/hi:2",
            ],
            check=True,
            stdout=subprocess.DEVNULL,
            env={**os.environ, "PYTHONHASHSEED": (name[0] == "a" and "1") or "2"},
        )
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()
    assert b"docker.io/library/hi:2" in (tmp_path / "a.tar").read_bytes()


@pytest.mark.skipif(build.static_busybox() is None, reason="needs busybox-static")
def test_only_a_busybox_that_needs_no_library_is_taken() -> None:
    busybox = build.static_busybox()
    assert busybox is not None
    assert not build._has_interpreter(busybox)
    assert build._has_interpreter(Path("/bin/ls"))
    assert build._has_interpreter(Path(__file__))
