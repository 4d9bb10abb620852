"""A Docker daemon of our own, asked over its socket: no client program is measured along."""

import json
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.client import HTTPConnection
from pathlib import Path

from bench.runtime.memory import kilobytes
from swarm.runtime.oci.cgroups import read_layout
from swarm.runtime.oci.overlay import mounts_below, unmount

READY_S = 60
COMMAND = ["sleep", "100000"]


class _Socket(HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=300)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(300)
        self.sock.connect(str(self._path))


class Docker:
    """dockerd with the containerd that it starts itself, in a folder of its own."""

    name = "dockerd"

    def __init__(self, folder: Path, memory: Path, registry: str) -> None:
        """Keep images and containers in `folder`, what only this boot needs in `memory`."""
        self._folder, self._registry = folder / "docker", registry
        self._folder.mkdir()
        self._memory = memory / "docker"
        self._mark = folder.name  # in the command line of everything that it starts: both folders have it
        command = ["dockerd", "--data-root", f"{self._folder}/root", "--exec-root", str(self._memory)]
        command += ["-H", f"unix://{self._folder}/sock", "--pidfile", f"{self._folder}/pid"]
        command += ["--bridge=none", "--iptables=false", f"--cgroup-parent=/{self._mark}-docker"]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        end = time.monotonic() + READY_S
        while True:
            try:
                self._ask("GET", "/_ping")
            except OSError:
                if time.monotonic() > end:
                    self.close()
                    raise
                time.sleep(0.2)
            else:
                return

    def close(self) -> None:
        """Stop it."""
        self._process.terminate()
        self._process.wait(60)
        for point in mounts_below(self._memory):  # it leaves the network namespace of its own mounted
            unmount(point)
        for root in read_layout().roots:
            with suppress(FileNotFoundError):  # not in every hierarchy
                (root / f"{self._mark}-docker").rmdir()

    def pull(self, repository: str) -> float:
        """Return the seconds of one pull of an image that is not here."""
        self._ask("DELETE", f"/images/{self._registry}/{repository}:1?force=true", missing=True)
        started = time.monotonic()
        answer = self._ask("POST", f"/images/create?fromImage={self._registry}/{repository}&tag=1")
        if b'"error"' in answer:
            raise RuntimeError(answer[-500:].decode())
        return time.monotonic() - started

    def start(self, repository: str, count: int) -> float:
        """Return the seconds until `count` containers run."""
        started = time.monotonic()
        with ThreadPoolExecutor(count) as pool:
            list(pool.map(lambda _: self._start(repository), range(count)))
        return time.monotonic() - started

    def _start(self, repository: str) -> None:
        wanted = {"Image": f"{self._registry}/{repository}:1", "Cmd": COMMAND}
        wanted |= {"HostConfig": {"NetworkMode": "host"}}
        made = json.loads(self._ask("POST", "/containers/create", wanted))
        self._ask("POST", f"/containers/{made['Id']}/start")

    def stop(self) -> None:
        """Remove all containers."""
        containers = json.loads(self._ask("GET", "/containers/json?all=true"))
        with ThreadPoolExecutor(8) as pool:
            list(
                pool.map(lambda one: self._ask("DELETE", f"/containers/{one['Id']}?force=true"), containers)
            )

    def memory(self) -> tuple[int, int]:
        """Return (PSS, RSS) of daemons and shims in KiB."""
        return kilobytes(("dockerd", "containerd", "containerd-shim"), self._mark)

    def _ask(self, method: str, path: str, body: object = None, *, missing: bool = False) -> bytes:
        connection = _Socket(self._folder / "sock")
        try:
            headers = {"Content-Type": "application/json"}
            connection.request(method, path, json.dumps(body) if body is not None else None, headers)
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        if answer.status >= 400 and not (missing and answer.status == 404):
            raise RuntimeError(f"{method} {path}: {content.decode()}")
        return content
