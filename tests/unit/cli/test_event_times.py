"""`events --since` and `--until`: times of the leader's clock, of what was and of what is to come."""

import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import pytest
from click.testing import CliRunner, Result

from swarm.api.v1 import control_pb2 as c
from swarm.api.v1.containers_pb2 import ContainerOutput
from swarm.api.v1.containers_pb2_grpc import ContainersServicer, add_ContainersServicer_to_server
from swarm.api.v1.control_pb2_grpc import ControlServicer, add_ControlServicer_to_server
from swarm.api.v1.objects_pb2 import Service
from swarm.api.v1.plain_pb2 import FollowEvents, PlainEvent
from swarm.cli import event_window
from swarm.cli.events import events
from swarm.clock import SECOND, nanoseconds, timestamp
from swarm.errors import InvalidArgument

NOW = 1_700_000_000 * SECOND
SERVICES = ("-f", "type=service")
NAMES = ("--format", "{{.Version}} {{.Actor.Attributes.name}} {{.Action}}")


def an_answer(version: int, at_ns: int, *names: str) -> c.WatchResponse:
    answer = c.WatchResponse(version=version, at=timestamp(at_ns))
    for name in names:
        service = Service(id=name)
        service.spec.annotations.name = name
        answer.events.add().object.service.CopyFrom(service)
    return answer


class Manager(ControlServicer):
    """Answers each call with one script, then waits for the caller to leave; `moments` are its clock."""

    def __init__(self, *scripts: list[c.WatchResponse], moments: list[tuple[int, int]]) -> None:
        self.scripts = list(scripts)
        self.moments = moments
        self.asked: list[c.WatchRequest] = []

    def Watch(self, request: Any, context: Any) -> Iterator[c.WatchResponse]:
        self.asked.append(request)
        yield from self.scripts.pop(0)
        _wait_for_end(context)

    def ListNodes(self, request: Any, context: Any) -> c.ListNodesResponse:
        return c.ListNodesResponse()

    def GetMoment(self, request: Any, context: Any) -> c.GetMomentResponse:
        at_ns, version = self.moments[0] if len(self.moments) == 1 else self.moments.pop(0)
        return c.GetMomentResponse(at=timestamp(at_ns), version=version)


class Nodes(ContainersServicer):
    """One node: what it tells those who follow, and what at the end."""

    def __init__(self, following: list[PlainEvent], at_the_end: list[PlainEvent]) -> None:
        self.tells = {True: following, False: at_the_end}
        self.asked: list[FollowEvents] = []

    def View(self, inputs: Any, context: Any) -> Iterator[ContainerOutput]:
        wanted = next(inputs).question.request.events
        self.asked.append(wanted)
        for event in self.tells[wanted.follow]:
            yield ContainerOutput(node_id="n1", event=event)
        if wanted.follow:
            _wait_for_end(context)


def _wait_for_end(context: Any) -> None:
    gone = threading.Event()
    if context.add_callback(gone.set):
        gone.wait(60)


def time_is_up_once_all_listen(monkeypatch: pytest.MonkeyPatch, *asked: list[Any]) -> None:
    """Have the clock stand still until each was asked, and be past everything then."""
    clock = SimpleNamespace(monotonic=lambda: 1000.0 if all(asked) else 0.0, sleep=time.sleep)
    monkeypatch.setattr(event_window, "time", clock)


@contextmanager
def listening(directory: Path, manager: Manager, nodes: Nodes | None) -> Iterator[str]:
    server = grpc.server(ThreadPoolExecutor(6))
    add_ControlServicer_to_server(manager, server)
    if nodes is not None:
        add_ContainersServicer_to_server(nodes, server)
    server.add_insecure_port(f"unix:{directory}/s")
    server.start()
    try:
        yield f"unix://{directory}/s"
    finally:
        server.stop(None).wait()


def run(manager: Manager, directory: Path, *arguments: str, nodes: Nodes | None = None) -> Result:
    with listening(directory, manager, nodes) as host:
        return CliRunner().invoke(events, arguments, obj=host)


def test_what_was_between_two_times_is_told_and_that_is_all(tmp_path: Path) -> None:
    manager = Manager(
        [
            an_answer(3, 0),
            an_answer(4, NOW - 61 * SECOND, "early"),
            an_answer(5, NOW - 60 * SECOND, "first"),
            an_answer(6, NOW - 20 * SECOND, "last"),
            an_answer(7, NOW - 20 * SECOND + 1, "late"),
        ],
        moments=[(NOW, 7)],
    )
    result = run(manager, tmp_path, *SERVICES, *NAMES, "--since", "1m", "--until", "20s")
    assert (result.exit_code, result.stdout) == (0, "5 first create\n6 last create\n")
    assert nanoseconds(manager.asked[0].since) == NOW - 60 * SECOND, "an age is by the leader's clock"
    assert not result.stderr


@pytest.mark.parametrize("since", [(), ("--since", "0")])
def test_without_a_beginning_it_is_all_that_is_kept(tmp_path: Path, since: tuple[str, ...]) -> None:
    first = an_answer(3, 0)
    first.kept_since.CopyFrom(timestamp(NOW - 5 * SECOND))
    manager = Manager([first, an_answer(4, NOW - 5 * SECOND, "web")], moments=[(NOW, 4)])
    result = run(manager, tmp_path, *SERVICES, *NAMES, *since, "--until", f"{NOW // SECOND}")
    assert (result.exit_code, result.stdout) == (0, "4 web create\n")
    assert nanoseconds(manager.asked[0].since) == 1


def test_longer_ago_than_what_is_kept_begins_there_and_says_so(tmp_path: Path) -> None:
    first = an_answer(3, 0)
    first.kept_since.CopyFrom(timestamp(NOW - 5 * SECOND))
    manager = Manager([first, an_answer(4, NOW - 5 * SECOND, "web")], moments=[(NOW, 4)])
    result = run(manager, tmp_path, *SERVICES, *NAMES, "--since", "10m", "--until", "0s")
    assert (result.exit_code, result.stdout) == (0, "4 web create\n")
    assert result.stderr == "Warning: changes are kept since 2023-11-14T22:13:15.000000000Z only.\n"


def test_a_time_to_come_is_waited_for_and_what_was_on_its_way_then_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    until_ns = NOW + 4 * SECOND
    manager = Manager(
        [an_answer(3, 0), an_answer(4, NOW + 1, "now")],
        [
            *(an_answer(4, 0), an_answer(5, 0)),  # the first moment is not late enough to end here
            *(an_answer(6, until_ns, "slow"), an_answer(7, until_ns + 1, "late")),
        ],
        moments=[(NOW, 3), (until_ns - 1, 5), (until_ns, 6)],
    )
    time_is_up_once_all_listen(monkeypatch, manager.asked)
    result = run(manager, tmp_path, *SERVICES, *NAMES, "--since", "-0s", "--until", f"{until_ns // SECOND}")
    assert (result.exit_code, result.stdout) == (0, "4 now create\n6 slow create\n")
    assert not result.stderr
    assert (manager.asked[1].resume_version, manager.asked[1].HasField("since")) == (4, False)


def test_nodes_are_asked_once_more_when_the_time_is_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def an_event(action: str, at_ns: int, cursor: str) -> PlainEvent:
        return PlainEvent(action=action, at_ns=at_ns, name="db", container_id="c1", cursor=cursor)

    nodes = Nodes(
        [PlainEvent(cursor="a.1"), an_event("start", NOW, "a.2")],
        [an_event("die", NOW + 1, "a.3"), an_event("destroy", NOW + 9 * SECOND, "a.4")],
    )
    manager = Manager([an_answer(3, 0)], [an_answer(3, 0)], moments=[(NOW, 3), (NOW + 4 * SECOND, 3)])
    time_is_up_once_all_listen(monkeypatch, manager.asked, nodes.asked)
    result = run(
        manager, tmp_path, "-f", "type=container", "--until", "-4s", "--format", "json", nodes=nodes
    )
    assert result.exit_code == 0
    assert [json.loads(text)["Action"] for text in result.stdout.splitlines()] == ["start", "die"]
    assert [(one.follow, one.since_ns, dict(one.cursors)) for one in nodes.asked] == [
        (True, 1, {}),
        (False, 1, {"n1": "a.2"}),
    ]


def test_what_was_is_told_in_the_order_of_time(tmp_path: Path) -> None:
    nodes = Nodes([], [PlainEvent(cursor="a.1", kept_since_ns=NOW - 50 * SECOND)])
    for at_s, action in ((40, "create"), (20, "start")):
        nodes.tells[False].append(
            PlainEvent(action=action, at_ns=NOW - at_s * SECOND, name="db", container_id="c1")
        )
    manager = Manager(
        [an_answer(3, 0), an_answer(4, NOW - 30 * SECOND, "web"), an_answer(5, NOW - 10 * SECOND, "db")],
        moments=[(NOW, 5)],
    )
    result = run(manager, tmp_path, *NAMES, "--since", "1m", "--until", "0s", nodes=nodes)
    assert result.stdout == "0 db create\n4 web create\n0 db start\n5 db create\n"
    assert result.stderr == (
        "Warning: node n1: events of its containers are kept since 2023-11-14T22:12:30.000000000Z only.\n"
    )


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--since", "1m", "--since-version", "4"], "--since and --since-version exclude each other"),
        (["--until", "1m", "--until-version", "4"], "--until and --until-version exclude each other"),
        (
            ["--since", "1m", "--until", "2m"],
            "--until 2m is before --since 1m: nothing happens between them",
        ),
        (["--since", "yesterday"], '"yesterday" is neither a time'),
    ],
)
def test_times_that_mean_nothing_are_refused(tmp_path: Path, arguments: list[str], sentence: str) -> None:
    result = run(Manager(moments=[(NOW, 3)]), tmp_path, *arguments)
    assert isinstance(result.exception, InvalidArgument)
    assert sentence in str(result.exception)
