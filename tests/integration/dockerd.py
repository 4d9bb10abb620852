"""Debian's dockerd for a test: with folders and a socket of its own, no bridge, and no firewall rules."""

import contextlib
import json
import os
import secrets
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

START_S = 60.0
STOP_S = 60.0


@dataclass(frozen=True)
class Dockerd:
    """A running dockerd; `socket` is where it is asked."""

    socket: Path
    folder: Path
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        return f"unix://{self.socket}"

    def __call__(self, *arguments: str, stdin: str | None = None) -> str:
        """Run a command of Docker's own client and return what it printed."""
        done = self.attempt(*arguments, stdin=stdin)
        assert done.returncode == 0, f"docker {' '.join(arguments)}: {done.stderr}\n{self.log()}"
        return done.stdout.strip()

    def attempt(self, *arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run a command of Docker's own client, which may fail."""
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "DOCKER_CONFIG": str(self.folder),
        }
        return subprocess.run(
            ["docker", "--host", self.url, *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
            env=environment,
        )

    def log(self) -> str:
        """Return the last of what the daemon said."""
        return (self.folder / "dockerd.log").read_text(errors="replace")[-3000:]


@contextlib.contextmanager
def dockerd(folder: Path, *arguments: str) -> Iterator[Dockerd]:
    """Run dockerd with `arguments` until the end of the block; `folder` is made for it and emptied again."""
    folder.mkdir(parents=True)
    # The path of a Unix socket has a limit that folders of tests reach.
    with tempfile.TemporaryDirectory(prefix="dockerd-") as runs:
        (folder / "daemon.json").write_text(json.dumps({}))
        process = _start(folder, Path(runs), arguments)
        running = Dockerd(Path(runs) / "docker.sock", folder, process)
        try:
            _wait_until_it_answers(running)
            yield running
        finally:
            _stop(running)
            for place in (folder, Path(runs)):
                _unmount_below(place)
            subprocess.run(["rm", "-rf", "--one-file-system", str(folder / "data")], check=False)


def _start(folder: Path, runs: Path, arguments: Sequence[str]) -> subprocess.Popen[bytes]:
    name = f"dockerd-{secrets.token_hex(4)}"  # not every name of a temporary folder is one there
    command = [
        "dockerd",
        f"--config-file={folder}/daemon.json",
        f"--data-root={folder}/data",
        f"--exec-root={runs}/exec",
        f"--pidfile={runs}/docker.pid",
        f"--host=unix://{runs}/docker.sock",
        "--bridge=none",
        "--iptables=false",
        "--ip6tables=false",
        "--ip-forward=false",
        # Where a containerd runs for the whole machine, dockerd uses that one.
        f"--containerd-namespace={name}",
        f"--containerd-plugins-namespace={name}-plugins",
        *arguments,
    ]
    with (folder / "dockerd.log").open("wb") as log:
        # A session of its own: Ctrl-C is for the tests, which stop it in order.
        return subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)


def _wait_until_it_answers(running: Dockerd) -> None:
    deadline = time.monotonic() + START_S
    while running.attempt("version").returncode != 0:
        assert running.process.poll() is None, f"dockerd ended: {running.log()}"
        assert time.monotonic() < deadline, f"dockerd does not answer: {running.log()}"
        time.sleep(0.1)


def _stop(running: Dockerd) -> None:
    """Stop containers and daemon, which ends its containerd; the kernel does where it is killed."""
    if running.process.poll() is None:
        for container in running.attempt("ps", "-aq").stdout.split():
            running.attempt("rm", "-f", container)
        running.process.terminate()
        try:
            running.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            running.process.kill()
    running.process.wait()


def _unmount_below(place: Path) -> None:
    for line in reversed(Path("/proc/self/mounts").read_text().splitlines()):
        target = line.split()[1]
        if target.startswith(f"{place}/"):
            subprocess.run(["umount", "-l", target], check=False)
