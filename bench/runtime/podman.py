"""Podman, which has no daemon: its program is what starts containers."""

import os
import shutil
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from swarm.runtime.oci.cgroups import read_layout

COMMAND = ["sleep", "100000"]
AT_ONCE = 8
# What podman sets by itself is more than a root without CAP_SYS_RESOURCE may have.
LIMITS = ("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=4096:4096")


def program() -> str:
    """Return the program to measure, empty when there is none; the variable PODMAN may name another."""
    return shutil.which(os.environ.get("PODMAN", "podman")) or ""


class Podman:
    """podman with storage of its own."""

    name = "podman"

    def __init__(self, folder: Path, memory: Path, registry: str) -> None:
        """Keep images and containers in `folder`, what only this boot needs in `memory`."""
        self._registry = registry
        self._base = [program(), "--root", f"{folder}/podman/root", "--runroot", f"{memory}/podman/run"]
        self._base += ["--tmpdir", f"{memory}/podman/tmp", "--cgroup-manager", "cgroupfs"]
        if Path("/sys/fs/cgroup/unified").exists():  # crun refuses cgroup version 2 beside version 1
            self._base += ["--runtime", "runc"]

    def close(self) -> None:
        """Leave no container, and no cgroup that nobody else is in."""
        self.stop()
        for root in read_layout().roots:
            for left in ("libpod_parent/conmon", "libpod_parent"):
                with suppress(OSError):  # not there, or somebody's
                    (root / left).rmdir()

    def pull(self, repository: str) -> float:
        """Return the seconds of one pull of an image that is not here."""
        self._run("rmi", "-f", f"{self._registry}/{repository}:1", check=False)
        started = time.monotonic()
        self._run("pull", "-q", "--tls-verify=false", f"{self._registry}/{repository}:1")
        return time.monotonic() - started

    def start(self, repository: str, count: int) -> float:
        """Return the seconds until `count` containers run."""
        words = (
            "run",
            "-d",
            "--network",
            "host",
            *LIMITS,
            f"{self._registry}/{repository}:1",
            *COMMAND,
        )
        started = time.monotonic()
        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(lambda _: self._run(*words), range(count)))
        return time.monotonic() - started

    def stop(self) -> None:
        """Remove all containers."""
        self._run("rm", "-a", "-f", "-t", "0", check=False)

    def _run(self, *words: str, check: bool = True) -> None:
        done = subprocess.run([*self._base, *words], check=False, capture_output=True, text=True)
        if check and done.returncode:
            raise RuntimeError(f"podman {words[0]}: {done.stderr}")
