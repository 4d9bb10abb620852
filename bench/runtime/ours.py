"""Ours: the runtime layer in a process of its own, and for memory a worker of a real cluster."""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.runtime.memory import kilobytes
from swarm.dev.cluster import DevCluster

ROOT = Path(__file__).resolve().parents[2]
READY_S = 180
SCRIPT = "while :; do sleep 3600; done"


class Ours:
    """A child with the driver and the image store of an agent."""

    name = "swarm"

    def __init__(self, folder: Path, memory: Path, registry: str) -> None:
        """Keep images and containers in `folder`, what only this boot needs in `memory`."""
        self._folder = folder / "ours"
        self._folder.mkdir()
        with (self._folder / "log").open("ab") as log:
            self._child = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "bench.runtime.node",
                    str(self._folder),
                    str(memory / "ours"),
                    registry,
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                cwd=ROOT,
            )
        self._answer()

    def close(self) -> None:
        """Stop it, with all its containers."""
        assert self._child.stdin is not None
        self._child.stdin.close()
        self._child.wait(60)

    def pull(self, repository: str) -> float:
        """Return the seconds of one pull of an image that is not here."""
        return self._order("pull", repository)

    def start(self, repository: str, count: int) -> float:
        """Return the seconds until `count` containers run."""
        return self._order("start", repository, count)

    def stop(self) -> None:
        """Remove all containers."""
        self._order("stop")

    def _order(self, verb: str, repository: str = "", count: int = 0) -> float:
        assert self._child.stdin is not None
        self._child.stdin.write(json.dumps((verb, repository, count)) + "\n")
        self._child.stdin.flush()
        return self._answer()

    def _answer(self) -> float:
        assert self._child.stdout is not None
        line = self._child.stdout.readline()
        if not line:
            raise RuntimeError((self._folder / "log").read_text()[-2000:])
        return float(line)


def memory_of_a_worker(containers: int) -> tuple[int, int]:
    """Return (PSS, RSS) in KiB of a worker's daemon and shims while it runs `containers` tasks."""
    cluster = DevCluster.create("bench-memory", 1, 1)
    try:
        cluster.up()
        manager, worker = cluster.plan.nodes
        command = [
            str(Path(sys.executable).with_name("swarmctl")),
            "--host",
            cluster.node(manager.name).host,
        ]
        _load(command)
        words = ["service", "create", "-q", "--name", "idle", "--replicas", str(containers)]
        words += ["--constraint", "node.role==worker", "bench:1"]
        subprocess.run([*command, *words], check=True, timeout=READY_S)
        time.sleep(5)  # what starting needed has been given back
        pid = next(one.pid for one in cluster.states() if one.node.name == worker.name)
        return kilobytes(("conmon",), str(worker.run), (pid,))
    finally:
        cluster.down()


def _load(command: list[str]) -> None:
    sys.path.insert(0, str(ROOT))
    from examples.hello import build

    with tempfile.NamedTemporaryFile(suffix=".tar") as archive:
        archive.write(build.archive(build.build(build.shell("bench:1", SCRIPT))))
        archive.flush()
        subprocess.run([*command, "image", "load", "-q", "-i", archive.name], check=True, timeout=READY_S)
