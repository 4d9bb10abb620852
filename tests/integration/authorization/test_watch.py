"""Changes as three real managers tell them, while one of them is killed and readers are slow."""

import itertools
import json
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import grpc
import pytest

from swarm.api.status import from_rpc_error
from swarm.api.v1 import control_pb2 as c
from swarm.api.v1.control_pb2_grpc import ControlStub
from swarm.clock import SECOND, nanoseconds
from swarm.errors import Compacted, SwarmError, TransientError, Unavailable, UserError
from swarm.security.identity import Role
from tests.integration.authorization.conftest import Cluster
from tests.integration.authorization.test_listener import create
from tests.integration.swarmd import ROOT, Daemon, wait_for

DEADLINE_S = 120.0
SERVICES = ("a", "b", "c")


class Writer:
    """Gives a service one label after the other, through any manager; knows what was acknowledged."""

    def __init__(self, cluster: Cluster, service: str, managers: tuple[str, ...]) -> None:
        self.cluster = cluster
        self.service = service
        self.managers = itertools.cycle(managers)
        self.acknowledged: list[str] = []
        self.attempted: list[str] = []

    def write(self, value: str, pad: int = 0) -> bool:
        """Set the label once; False when it is not known to be done."""
        daemon = self.cluster.managers[next(self.managers)]
        try:
            found = daemon.ask("GetService", c.GetServiceRequest(ref=self.service)).service
            request = c.UpdateServiceRequest(
                id=found.id, version=found.meta.version.index, spec=found.spec, skip_image_resolution=True
            )
            request.spec.annotations.labels["value"] = value
            for number in range(4):  # one label may not have so much
                request.spec.annotations.labels[f"pad{number}"] = "x" * (pad // 4)
            self.attempted.append(value)
            daemon.ask("UpdateService", request)
        except SwarmError:
            return False
        self.acknowledged.append(value)
        return True

    def latest(self, daemon: Daemon) -> int:
        """The version of what was acknowledged last; 0 while a manager does not have it."""
        found = daemon.ask("GetService", c.GetServiceRequest(ref=self.service)).service
        is_latest = found.spec.annotations.labels["value"] == self.acknowledged[-1]
        return found.meta.version.index if is_latest else 0


class Reader:
    """Follows the services, at one manager or at several after each other."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.version: int | None = None
        self.seen: list[tuple[int, str, str]] = []  # version, service, value
        self.starts: list[tuple[str, int | None]] = []

    @contextmanager
    def at(self, manager: str) -> Iterator[Iterator[c.WatchResponse]]:
        """Open the stream behind what was seen."""
        request = c.WatchRequest(kinds=["service"])
        if self.version is not None:
            request.resume_version = self.version
        self.starts.append((manager, self.version))
        # A fixed window: a reader that does not read must not be given more and more room.
        window = (("grpc.http2.bdp_probe", 0),)
        with self.cluster.channel(manager, self.cluster.certificate(Role.VIEWER), window) as channel:
            answers = ControlStub(channel).Watch(request, timeout=DEADLINE_S)
            try:
                yield answers
            finally:
                answers.cancel()

    def take(self, answer: c.WatchResponse) -> None:
        for event in answer.events:
            spec = event.object.service.spec.annotations
            self.seen.append((answer.version, spec.name, spec.labels["value"]))
        self.version = answer.version

    def follow(self, managers: Iterator[str], enough: Callable[[], bool]) -> None:
        """Read until `enough`, going on at the next manager whenever one is gone."""
        for manager in managers:
            try:
                with self.at(manager) as answers:
                    for answer in answers:
                        self.take(answer)
                        if enough():
                            return
            except grpc.RpcError as error:
                problem = from_rpc_error(error)
                if isinstance(problem, UserError):
                    raise problem from error


@pytest.fixture(scope="module", autouse=True)
def services(cluster: Cluster) -> None:
    for name in SERVICES:
        wait_for(lambda: cluster.managers["m1"].ask("CreateService", create(name)))  # noqa: B023


def test_a_reader_misses_nothing_and_hears_nothing_twice_when_the_leader_is_killed(cluster: Cluster) -> None:
    leader = cluster.leader()
    others = tuple(name for name in cluster.managers if name != leader)
    writers = [Writer(cluster, service, others) for service in SERVICES]
    reader, halfway, last = Reader(cluster), threading.Event(), 30

    def write_all(writer: Writer) -> None:
        for number in range(last):
            if number == last // 3:
                halfway.set()
            value = f"{writer.service}{number}"
            # Unknown outcomes are tried again under another value: each value is sent at most once.
            for attempt in itertools.count():
                if writer.write(f"{value}.{attempt}"):
                    break

    def enough() -> bool:
        values = {value for _, _, value in reader.seen}
        ends = [writer.acknowledged[-1] for writer in writers if len(writer.acknowledged) == last]
        return len(ends) == len(writers) and set(ends) <= values

    first = cluster.managers[leader]
    threads = [threading.Thread(target=write_all, args=(writer,)) for writer in writers]
    # It watches at the leader, so that the stream breaks in the middle of things, and goes on elsewhere.
    threads.append(
        threading.Thread(
            target=reader.follow, args=(itertools.chain([leader], itertools.cycle(others)), enough)
        )
    )
    try:
        threads[-1].start()
        wait_for(lambda: reader.version is not None)
        for thread in threads[:-1]:
            thread.start()
        assert halfway.wait(DEADLINE_S)
        first.stop(signal.SIGKILL)
        for thread in threads:
            thread.join(DEADLINE_S)
        assert not any(thread.is_alive() for thread in threads)
    finally:
        first.start()
        wait_for(lambda: cluster.leader() != "", 60)
    assert len(reader.starts) > 1, "the stream never broke"
    values = [value for _, _, value in reader.seen]
    assert [value for value, times in Counter(values).items() if times > 1] == []
    versions = [version for version, _, _ in reader.seen]
    assert versions == sorted(versions)
    for writer in writers:
        own = [value for _, service, value in reader.seen if service == writer.service]
        assert set(writer.acknowledged) <= set(own), "an acknowledged change was not told"
        assert set(own) <= set(writer.attempted)
        assert own == [value for value in writer.attempted if value in set(own)], "in the order of writing"
        now = cluster.managers[others[0]].ask("GetService", c.GetServiceRequest(ref=writer.service)).service
        assert own[-1] == now.spec.annotations.labels["value"]


def test_the_history_survives_a_restart_of_the_manager_that_told_it(cluster: Cluster) -> None:
    """Versions are indexes of the log: the same before and after, here and elsewhere."""
    reader = Reader(cluster)
    with reader.at("m2") as answers:
        reader.take(next(answers))
    writer = Writer(cluster, "a", ("m1",))
    wait_for(lambda: writer.write("before the restart"))
    cluster.managers["m2"].stop()
    cluster.managers["m2"].start()
    wait_for(lambda: cluster.managers["m2"].ask("GetService", c.GetServiceRequest(ref="a")))
    told = []
    for manager in ("m2", "m3"):
        again = Reader(cluster)
        again.version = reader.version
        again.follow(
            itertools.repeat(manager),
            lambda again=again: again.seen[-1:] and again.seen[-1][2] == "before the restart",
        )
        told.append(again.seen)
    assert told[0] == told[1]


def test_a_reader_that_stops_reading_is_cut_off_and_delays_nobody(cluster: Cluster) -> None:
    slow, quick = Reader(cluster), Reader(cluster)
    writer = Writer(cluster, "b", ("m1", "m2", "m3"))
    with slow.at("m2") as slow_answers, quick.at("m2") as quick_answers:
        for reader, answers in ((slow, slow_answers), (quick, quick_answers)):
            reader.take(next(answers))
        # Far more than gRPC, the kernel and the manager's queue for one reader hold.
        for number in range(80):
            wait_for(lambda number=number: writer.write(f"pad{number}", pad=60_000))
            while not quick.seen or quick.seen[-1][2] != writer.acknowledged[-1]:
                quick.take(next(quick_answers))
        with pytest.raises(grpc.RpcError) as caught:  # noqa: PT012
            for answer in slow_answers:
                slow.take(answer)
        error = from_rpc_error(caught.value)
        assert isinstance(error, TransientError)
        assert "waited to be read" in str(error)
    assert len(slow.seen) < len(quick.seen)
    # What it can still have, it gets; else it hears from where on.
    behind, gone = slow.version, None
    try:
        slow.follow(itertools.repeat("m3"), lambda: slow.seen[-1:] == quick.seen[-1:])
    except Compacted as error:
        gone = str(error)
    assert slow.seen == quick.seen or f"after version {behind}" in (gone or "")


def test_swarmctl_events_goes_on_after_a_restart_and_ends_on_ctrl_c(cluster: Cluster) -> None:
    daemon = cluster.managers["m3"]
    writer = Writer(cluster, "c", ("m1", "m2"))
    command = [
        sys.executable,
        "-m",
        "swarm.cli.main",
        "-H",
        f"unix://{daemon.directory}/r/swarmd.sock",
        "events",
    ]
    events = subprocess.Popen(
        [*command, "--filter", "service=c", "--filter", "type=service", "--format", "json"],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    told: list[dict[str, Any]] = []
    assert events.stdout is not None
    reading = threading.Thread(target=lambda: told.extend(json.loads(line) for line in events.stdout or ()))
    reading.start()
    try:
        # It has begun once it tells something; what it told is not told again after the restart.
        wait_for(lambda: writer.write(f"first{len(writer.attempted)}") and bool(told), 60)
        daemon.stop()
        wait_for(lambda: writer.write(f"away{len(writer.attempted)}"))
        daemon.start()
        wait_for(lambda: writer.write(f"back{len(writer.attempted)}"))
        last = wait_for(lambda: writer.latest(daemon))
        wait_for(lambda: told[-1]["Version"] >= last, 60)
    finally:
        events.send_signal(signal.SIGINT)
        code, problems = events.wait(60), events.stderr.read() if events.stderr else ""
        reading.join(60)
        events.stdout.close()
        assert events.stderr is not None
        events.stderr.close()
        if not daemon.is_running:
            daemon.start()
    assert code == 130, problems
    assert "Traceback" not in problems
    assert problems.count("going on after version") >= 1
    versions = [event["Version"] for event in told]
    assert versions == sorted(set(versions))
    assert len(versions) >= 3
    assert {(event["Type"], event["Action"], event["Actor"]["Attributes"]["name"]) for event in told} == {
        ("service", "update", "c")
    }


def test_events_until_a_time_are_the_same_whatever_became_of_the_manager(cluster: Cluster) -> None:
    daemon = cluster.managers["m3"]
    writer = Writer(cluster, "c", ("m1", "m2"))
    began_ns = nanoseconds(cluster.managers["m1"].ask("GetMoment", c.GetMomentRequest()).at)
    until_ns = began_ns + 20 * SECOND
    since, until = (f"{at_ns // SECOND}.{at_ns % SECOND:09d}" for at_ns in (began_ns, until_ns))

    def events_of(manager: str) -> subprocess.Popen[str]:
        socket = f"unix://{cluster.managers[manager].directory}/r/swarmd.sock"
        return subprocess.Popen(
            [
                *(sys.executable, "-m", "swarm.cli.main", "-H", socket, "events"),
                *("--since", since, "--until", until, "--format", "json"),
                *("--filter", "service=c", "--filter", "type=service"),
            ],
            cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    told: list[str] = []
    with events_of("m3") as events:
        reading = threading.Thread(target=lambda: told.extend(events.stdout or ()))
        reading.start()
        try:
            wait_for(lambda: writer.write(f"first{len(writer.attempted)}") and bool(told), 60)
            daemon.stop()
            wait_for(lambda: writer.write(f"away{len(writer.attempted)}"))
            daemon.start()
            wait_for(lambda: writer.write(f"back{len(writer.attempted)}"))
            code = events.wait(DEADLINE_S)
            problems = events.stderr.read() if events.stderr else ""
        finally:
            events.kill()
            reading.join(60)
            if not daemon.is_running:
                daemon.start()
    assert code == 0, problems
    wait_for(lambda: daemon.ask("GetMoment", c.GetMomentRequest()))
    for manager in ("m1", "m3"):
        with events_of(manager) as again:
            text, problems = again.communicate(timeout=DEADLINE_S)
        assert text.splitlines(keepends=True) == told, problems
    versions = [json.loads(line)["Version"] for line in told]
    assert versions
    assert versions == sorted(set(versions))


def test_a_manager_that_stops_sends_its_readers_elsewhere(cluster: Cluster) -> None:
    reader = Reader(cluster)
    with reader.at("m3") as answers:
        reader.take(next(answers))
        stopping = threading.Thread(target=cluster.managers["m3"].stop)
        stopping.start()
        try:
            with pytest.raises(grpc.RpcError) as caught:  # noqa: PT012
                for answer in answers:
                    reader.take(answer)
        finally:
            stopping.join(DEADLINE_S)
            cluster.managers["m3"].start()
    error = from_rpc_error(caught.value)
    assert isinstance(error, Unavailable)
    assert "this manager stops: go on at another one" in str(error)
