"""What operators do to managers in these tests, and writers that note what was acknowledged to them."""

import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from swarm.api.v1 import control_pb2 as control
from swarm.api.v1.types_pb2 import ManagerStatus
from swarm.errors import NameConflict, SwarmError
from tests.integration.operator import is_refused_now
from tests.integration.swarmd import ROOT, Daemon, wait_for

PATIENCE_S = 60.0  # these tests share few cores with others


def swarmctl(daemon: Daemon, *arguments: str, timeout_s: float = 120.0) -> subprocess.CompletedProcess[str]:
    """Type a command at a node."""
    command = [sys.executable, "-m", "swarm.cli.main", "-H", f"unix://{daemon.directory}/r/swarmd.sock"]
    return subprocess.run(
        [*command, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=timeout_s, check=False
    )


def typed(daemon: Daemon, *arguments: str) -> str:
    """Type a command that must succeed."""
    done = _answered(daemon, *arguments)
    assert done.returncode == 0, f"swarmctl {' '.join(arguments)}: {done.stdout}{done.stderr}"
    return done.stdout.strip()


def refused(daemon: Daemon, *arguments: str) -> str:
    """Type a command that must fail; return why it did."""
    done = _answered(daemon, *arguments)
    assert done.returncode == 1, f"swarmctl {' '.join(arguments)}: {done.stdout}{done.stderr}"
    return done.stderr


def _answered(daemon: Daemon, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Type a command again while managers elect a leader, or start, and do nothing of it."""
    refused_until = time.monotonic() + PATIENCE_S
    done = swarmctl(daemon, *arguments)
    while is_refused_now(done) and time.monotonic() < refused_until:
        done = swarmctl(daemon, *arguments)
    return done


def get_done(daemon: Daemon, *arguments: str) -> None:
    """Type a command again until it succeeds: managers may elect another leader, or miss one, meanwhile."""

    def attempt() -> bool:
        done = swarmctl(daemon, *arguments)
        said.append(done.stderr)
        return done.returncode == 0

    said: list[str] = []
    try:
        wait_for(attempt, PATIENCE_S)
    except AssertionError:
        raise AssertionError(f"swarmctl {' '.join(arguments)}: {said[-1]}") from None


def voters(asked: Daemon) -> set[str]:
    """The names of the managers that have a vote and can be reached, as one manager sees them."""
    return {
        name
        for name, node in asked.nodes().items()
        if node.HasField("manager_status")
        and not node.manager_status.learner
        and node.manager_status.reachability == ManagerStatus.REACHABILITY_REACHABLE
    }


def leader(made: Mapping[str, Daemon]) -> str:
    """The name of the leader, by the word of whoever answers."""

    def ask() -> str:
        for daemon in made.values():
            try:
                found = daemon.nodes()
            except SwarmError:
                continue
            return next((name for name, node in found.items() if node.manager_status.leader), "")
        return ""

    return wait_for(ask, PATIENCE_S)


def managers(made: Mapping[str, Daemon], *names: str) -> dict[str, Daemon]:
    """Start a cluster with these daemons as managers, and return them."""
    first, *rest = names
    tokens = made[first].init()
    for name in rest:
        made[name].join(tokens.manager_token, made[first].addr)
    wait_for(lambda: voters(made[first]) == set(names), PATIENCE_S)
    return {name: made[name] for name in names}


def replace_address(daemon: Daemon, last: int) -> str:
    """Give a daemon that does not run another address on the same loopback network."""
    net = daemon.addr.rpartition(".")[0]
    daemon.addr = f"{net}.{last}:2377"
    return daemon.addr


def kill(daemon: Daemon) -> None:
    """End the process without a word."""
    daemon.stop(signal.SIGKILL)


def raft_dir(daemon: Daemon) -> Path:
    """Where a manager keeps its log."""
    return daemon.directory / "s" / "raft"


class Writers:
    """Threads that create services and change their labels without a pause, at any manager that answers."""

    def __init__(self, daemons: Iterable[Daemon], count: int = 2) -> None:
        self._daemons = list(daemons)
        self._over = threading.Event()
        self.created: dict[str, str] = {}  # name → id, as acknowledged
        self.labels: dict[str, int] = {}  # name → last value acknowledged
        self.tried: dict[str, int] = {}  # name → last value that may have been written
        self.maybe: set[str] = set()  # names whose creation was never confirmed
        self.errors: list[str] = []
        self.longest_s = 0.0
        self._threads = [threading.Thread(target=self._write, args=(n,), name=f"w{n}") for n in range(count)]

    def __enter__(self) -> "Writers":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    @property
    def acknowledged(self) -> int:
        """How many writes were confirmed so far."""
        return len(self.created) + sum(self.labels.values())

    def _write(self, number: int) -> None:
        chance = random.Random(number)
        count, last_s = 0, time.monotonic()
        while not self._over.is_set():
            name = f"t{number}-{count // 4}"
            daemon = chance.choice(self._daemons)
            try:
                self._create(daemon, name) if count % 4 == 0 else self._label(daemon, name)
            except SwarmError as error:
                self.errors.append(f"{type(error).__name__}: {error}")
                self._over.wait(0.02)
                continue
            now_s = time.monotonic()
            self.longest_s, last_s = max(self.longest_s, now_s - last_s), now_s
            count += 1

    def _create(self, daemon: Daemon, name: str) -> None:
        request = control.CreateServiceRequest(skip_image_resolution=True)
        request.spec.annotations.name = name
        request.spec.task.container.image = "busybox"
        request.spec.replicated.replicas = 0
        self.maybe.add(name)
        try:
            service = daemon.ask("CreateService", request, 6.0).service
        except NameConflict:  # an earlier attempt was committed, although its answer was lost
            service = daemon.ask("GetService", control.GetServiceRequest(ref=name), 6.0).service
        self.created[name] = service.id
        self.labels[name] = self.tried[name] = 0

    def _label(self, daemon: Daemon, name: str) -> None:
        service = daemon.ask("GetService", control.GetServiceRequest(ref=name), 6.0).service
        value = int(service.spec.annotations.labels.get("n", "0")) + 1
        service.spec.annotations.labels["n"] = str(value)
        self.tried[name] = max(self.tried[name], value)
        request = control.UpdateServiceRequest(
            id=service.id,
            version=service.meta.version.index,
            spec=service.spec,
            skip_image_resolution=True,
        )
        daemon.ask("UpdateService", request, 6.0)
        self.labels[name] = value

    def check(self, asked: Daemon) -> None:
        """Fail unless all that was acknowledged is there, once, and nothing that nobody asked for."""
        answer = asked.ask("ListServices", control.ListServicesRequest())
        found = {service.spec.annotations.name: service for service in answer.services}
        assert len(found) == len(answer.services)
        lost = {name for name, service_id in self.created.items() if found[name].id != service_id}
        assert not lost
        assert set(found) <= self.maybe
        for name, value in self.labels.items():
            there = int(found[name].spec.annotations.labels.get("n", "0"))
            assert value <= there <= self.tried[name], name


def eventually_told(question: Callable[[], str], *texts: str) -> str:
    """Wait until an answer contains all these texts, and return it."""

    def ask() -> str:
        said = question()
        return said if all(text in said for text in texts) else ""

    return wait_for(ask, PATIENCE_S)
