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
# What is not done, and can be typed again: managers elect a leader, cannot hear the others, or start.
NOT_NOW = ("the cluster has no leader", "the manager of this node is starting")
LOST = "leadership was lost before"
MAYBE = "it may still take effect"
STALE = "this is what one manager last knew"
_QUESTIONS = frozenset(("ls", "ps", "inspect", "history", "why"))
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


def is_refused_now(done: subprocess.CompletedProcess[str]) -> bool:
    """Whether a command did nothing, or what is the same when done twice, and is to be typed again."""
    said = done.stderr
    if LOST in said and list(done.args)[-3:-1] == ["update", "--dispatcher-heartbeat"]:
        return True
    return done.returncode == 1 and MAYBE not in said and any(reason in said for reason in NOT_NOW)


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

    def typed(self, *arguments: str, timeout_s: float = 180.0) -> subprocess.CompletedProcess[str]:
        """Run a swarmctl command and return what came of it by the word of a leader.

        Managers of a busy machine elect another one now and then: what they refused till then is typed
        again, as they say, and so is what one of them answered from what it knew before.
        """
        done = wait_until(lambda: self._unless_electing(*arguments, timeout_s=timeout_s), what="a leader")
        assert done is not None
        return done

    def __call__(self, *arguments: str, timeout_s: float = 180.0) -> str:
        """Run a swarmctl command that must succeed and return its output."""
        done = self.typed(*arguments, timeout_s=timeout_s)
        assert done.returncode == 0, f"swarmctl {' '.join(arguments)}:\n{done.stdout}{done.stderr}"
        return done.stdout.strip()

    def _unless_electing(self, *arguments: str, timeout_s: float) -> subprocess.CompletedProcess[str] | None:
        done = self.try_(*arguments, timeout_s=timeout_s)
        is_old = STALE in done.stderr and not _QUESTIONS.isdisjoint(arguments[:2])
        return None if is_refused_now(done) or is_old else done

    def create_in_turmoil(self, name: str) -> None:
        """Create a service while leaders go: whoever confirms it may go with the answer."""

        def there() -> bool:
            done = self.try_("service", "create", "-d", "--name", name, "hello:1")
            return done.returncode == 0 or f"the name {name} is taken" in done.stderr

        wait_until(there, 90, f"service {name} to be accepted")

    def remove_in_turmoil(self, kind: str, *names: str) -> None:
        """Remove objects while leaders go, each until there is none of that name."""
        for name in names:
            wait_until(lambda name=name: self._is_gone(kind, name), 90, f"{kind} {name} to go")

    def _is_gone(self, kind: str, name: str) -> bool:
        done = self.try_(kind, "rm", name)
        return done.returncode == 0 or f"there is no {kind} {name}" in done.stderr

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
