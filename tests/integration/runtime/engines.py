"""A container engine of the tests' own: with its own directories, its own socket and no network."""

import contextlib
import json
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

from swarm.runtime.oci.cgroups import Cgroup, read_layout
from swarm.runtime.oci.overlay import mounts_below, unmount
from tests.integration import cgroups

READY_S = 60.0


class Dockerd:
    """Docker's daemon below `base`; of a containerd of the machine it uses names of its own."""

    def __init__(self, base: Path, cgroup_parent: str) -> None:
        self.base = base
        self.socket = base / "engine.sock"
        self.cgroup_parent = cgroup_parent
        self._daemon: subprocess.Popen[bytes] | None = None

    def command(self) -> list[str]:
        name = self.cgroup_parent
        return [
            shutil.which("dockerd", path="/usr/sbin:/usr/bin") or "dockerd",
            f"--host=unix://{self.socket}",
            f"--data-root={self.base / 'data'}",
            f"--exec-root={self.base / 'exec'}",
            f"--pidfile={self.base / 'dockerd.pid'}",
            f"--config-file={self.base / 'none.json'}",
            f"--containerd-namespace={name}",
            f"--containerd-plugins-namespace={name}-plugins",
            f"--cgroup-parent=/{name}",
            *("--bridge=none", "--iptables=false", "--ip6tables=false", "--ip-forward=false"),
            *("--live-restore", "--log-level=warn"),
        ]

    def start(self) -> None:
        """Start the daemon and wait until it answers."""
        (self.base / "none.json").write_text("{}")
        with (self.base / "engine.log").open("ab") as log:
            self._daemon = subprocess.Popen(self.command(), stdout=log, stderr=log)
        deadline = time.monotonic() + READY_S
        while not self.answers():
            assert self._daemon.poll() is None, (self.base / "engine.log").read_text()[-3000:]
            assert time.monotonic() < deadline, (self.base / "engine.log").read_text()[-3000:]
            time.sleep(0.05)

    def answers(self) -> bool:
        with contextlib.suppress(OSError, ValueError):
            self.get("/containers/json")
            return True
        return False

    def get(self, path: str) -> Any:
        """Ask the engine something."""
        return json.loads(self.read(path))

    def read(self, path: str) -> bytes:
        """Return what the engine answers, in its own words."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(self.socket))
            connection.sendall(f"GET /v1.41{path} HTTP/1.0\r\nHost: engine\r\n\r\n".encode())
            data = b""
            while chunk := connection.recv(65536):
                data += chunk
        head, _, body = data.partition(b"\r\n\r\n")
        if b" 200 " not in head.splitlines()[0]:
            raise ValueError(head)
        return body

    def containers(self) -> list[str]:
        """Return the names of all containers."""
        return [name for one in self.get("/containers/json?all=1") for name in one["Names"]]

    def end(self) -> None:
        """End the daemon; containers go on."""
        if self._daemon is not None:
            self._daemon.terminate()
            try:
                self._daemon.wait(READY_S)
            except subprocess.TimeoutExpired:
                self._daemon.kill()
                self._daemon.wait()

    def stop(self) -> None:
        """Stop the daemon and take away all that it mounted and made."""
        self.end()
        for point in mounts_below(self.base):
            unmount(point)
        Cgroup(read_layout(), f"/{self.cgroup_parent}/x").remove()
        cgroups.remove(self.cgroup_parent)
