"""Somebody who types swarmctl commands, and waits for what should come of them."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from swarm.dev.cluster import DevCluster
from tests.integration.typist import typist

T = TypeVar("T")
ROOT = Path(__file__).resolve().parents[2]
ELECTING = "the cluster has no leader yet"
SWARMCTL = [sys.executable, "-m", "swarm.cli.main"]


def wait_until(condition: Callable[[], T], timeout_s: float = 60.0, what: str = "it") -> T:
    """Return the first true answer of `condition`; fails the test with the last one after `timeout_s`.

    What is not in a list yet is no answer yet.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        answer: T | LookupError
        try:
            answer = condition()
        except LookupError as error:
            answer = error
        else:
            if answer:
                return answer
        assert time.monotonic() < deadline, f"waited {timeout_s} s for {what}; last: {answer!r}"
        time.sleep(0.05)


def swarmctl(*arguments: str, timeout_s: float = 180.0) -> subprocess.CompletedProcess[str]:
    """Run swarmctl without a cluster in mind, e.g. `swarmctl dev …`."""
    return subprocess.run(
        [*SWARMCTL, *arguments], capture_output=True, text=True, timeout=timeout_s, check=False, cwd=ROOT
    )


class Operator:
    """Types at one node of a cluster, the first one that runs unless `at` names another."""

    def __init__(self, cluster: DevCluster, at: str = "") -> None:
        self.cluster = cluster
        self._at = at

    def on(self, node: str) -> "Operator":
        """The same person in front of another node."""
        return Operator(self.cluster, node)

    def try_(self, *arguments: str, timeout_s: float = 180.0) -> subprocess.CompletedProcess[str]:
        """Run a swarmctl command and return what came of it."""
        node = self._at or self.cluster.entry().name
        return typist().type(self.cluster, node, arguments, timeout_s)

    def __call__(self, *arguments: str, timeout_s: float = 180.0) -> str:
        """Run a swarmctl command that must succeed and return its output.

        Managers of a busy machine elect another leader now and then: what they refused till then is typed
        again, as they say.
        """
        done = wait_until(lambda: self._unless_electing(*arguments, timeout_s=timeout_s), what="a leader")
        assert done.returncode == 0, f"swarmctl {' '.join(arguments)}:\n{done.stdout}{done.stderr}"
        return done.stdout.strip()

    def _unless_electing(self, *arguments: str, timeout_s: float) -> subprocess.CompletedProcess[str] | None:
        done = self.try_(*arguments, timeout_s=timeout_s)
        return None if done.returncode == 1 and ELECTING in done.stderr else done

    def rows(self, *arguments: str) -> list[dict[str, Any]]:
        """Run a listing command and return its rows."""
        return [json.loads(line) for line in self(*arguments, "--format", "json").splitlines()]

    def load_image(self, folder: Path, *build: str) -> None:
        """Build the hello image and load it into the cluster."""
        archive = folder / "image.tar"
        subprocess.run(
            [sys.executable, ROOT / "examples/hello/build.py", archive, *build],
            check=True,
            capture_output=True,
        )
        self("image", "load", "-i", str(archive))

    def running(self, service: str) -> Sequence[dict[str, Any]]:
        """The rows of the tasks of a service that run and are to run."""
        rows = self.rows("service", "ps", service, "--filter", "desired-state=running")
        return [row for row in rows if row["CurrentState"].startswith("Running")]

    def wait_running(self, service: str, count: int, timeout_s: float = 60.0) -> Sequence[dict[str, Any]]:
        """Wait until exactly so many tasks of a service run."""
        return wait_until(
            lambda: rows if len(rows := self.running(service)) == count else None,
            timeout_s,
            f"{count} running tasks of {service}",
        )
