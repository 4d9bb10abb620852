"""A cluster with two services on its workers, and somebody who types at a terminal."""

import contextlib
import os
import pty
import select
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from swarm.dev.cluster import DevCluster
from tests.integration.operator import ROOT, SWARMCTL, Operator, wait_until


@pytest.fixture(scope="module", autouse=True)
def _services(operator: Operator, tmp_path_factory: pytest.TempPathFactory) -> None:
    operator.load_image(tmp_path_factory.mktemp("image"))
    operator(
        "service", "create", "-d", "--name", "web", "--mode", "global", "--restart-delay", "0s", "hello:1"
    )
    operator.wait_running("web", 5)


def command(cluster: DevCluster, *arguments: str, at: str = "manager-2") -> list[str]:
    """The command line of somebody at a manager."""
    return [*SWARMCTL, "--host", f"unix://{cluster.node(at).socket}", *arguments]


class Keyboard:
    """A terminal with swarmctl in it."""

    def __init__(self, arguments: list[str]) -> None:
        self.master, slave = pty.openpty()
        self.resize(33, 111)
        self.process = subprocess.Popen(
            ["/bin/sh", "-c", 'exec "$@" <"$0" >"$0" 2>&1', os.ttyname(slave), *arguments],
            stdin=slave,  # else it would hang up before it was taken
            start_new_session=True,
            cwd=ROOT,
        )
        os.close(slave)
        self.screen = b""

    def resize(self, rows: int, columns: int) -> None:
        """Pull at the window."""
        import fcntl
        import struct
        import termios

        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def types(self, keys: bytes) -> None:
        """Press keys."""
        os.write(self.master, keys)

    def sees(self, text: bytes, timeout_s: float = 60.0, keys: bytes = b"") -> None:
        """Wait until `text` was shown, and press `keys` again and again if any are given."""
        deadline = time.monotonic() + timeout_s
        while text not in self.screen:
            assert time.monotonic() < deadline, f"{text!r} is not in {self.screen!r}"
            if keys:
                self.types(keys)
            if select.select([self.master], [], [], 0.5 if keys else 0.1)[0]:
                try:
                    self.screen += os.read(self.master, 65536)
                except OSError:
                    assert text in self.screen, f"{text!r} is not in {self.screen!r}"

    def ends(self, keys: bytes = b"") -> int:
        """Wait for the end of swarmctl, and press `keys` again and again if any are given."""
        deadline = time.monotonic() + 60
        while keys and self.process.poll() is None and time.monotonic() < deadline:
            with contextlib.suppress(OSError):  # it has hung up
                self.types(keys)
            time.sleep(0.2)
        return self.process.wait(timeout=60)


@contextmanager
def keyboard(arguments: list[str]) -> Iterator[Keyboard]:
    """Sit at a terminal within the block."""
    found = Keyboard(arguments)
    try:
        yield found
    finally:
        os.close(found.master)
        if found.process.poll() is None:
            found.process.send_signal(signal.SIGKILL)
        found.process.wait()


def processes(operator: Operator, ref: str) -> list[str]:
    """What runs in a container."""
    return [row["Command"] for row in operator.rows("container", "top", ref)]


def wait_told(operator: Operator) -> None:
    """Wait until all nodes tell of their containers again."""
    wait_until(
        lambda: operator.try_("container", "ls").returncode == 0,
        what="all nodes to tell of their containers",
    )


def wait_whole(operator: Operator, nodes: int) -> None:
    """Wait until all nodes tell of their containers again, and the service runs on each."""
    wait_told(operator)
    operator.wait_running("web", nodes)


def wait_gone(operator: Operator, ref: str, text: str) -> None:
    """Wait until no process of a container has `text` in its command line."""
    wait_until(
        lambda: not any(text in line for line in processes(operator, ref)), 60, f"{text} to end in {ref}"
    )
