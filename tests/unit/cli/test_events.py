"""Events as lines, as JSON and as filtered; and a reader that outlives its manager."""

import json
import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from click.testing import CliRunner, Result

from swarm.api.v1 import control_pb2 as c
from swarm.api.v1.control_pb2_grpc import ControlServicer, add_ControlServicer_to_server
from swarm.api.v1.objects_pb2 import Network, Node, Service, Task
from swarm.api.v1.plain_pb2 import PlainEvent
from swarm.api.v1.types_pb2 import (
    HEALTH_STATE_HEALTHY,
    HEALTH_STATE_UNHEALTHY,
    NODE_AVAILABILITY_DRAIN,
    NODE_STATE_DOWN,
    NODE_STATE_READY,
    TASK_STATE_RUNNING,
    TASK_STATE_STARTING,
)
from swarm.cli import events as events_module
from swarm.cli.container_events import about_containers, merged
from swarm.cli.event_view import (
    TYPES,
    View,
    attributes,
    events_of,
    line,
    matches,
    named_as_in_go,
    of_container,
)
from swarm.cli.events import events
from swarm.cli.render import fill
from swarm.errors import Compacted, InvalidArgument, SwarmError, TransientError, Unavailable
from swarm.manager.store.tables import KINDS, kind_name

CREATE, UPDATE, REMOVE = 0, 1, 2


def an_event(obj, action: int = CREATE, before=None) -> c.WatchEvent:  # type: ignore[no-untyped-def]
    event = c.WatchEvent(action=action)
    getattr(event.object, kind_name(type(obj))).CopyFrom(obj)
    if before is not None:
        getattr(event.previous, kind_name(type(obj))).CopyFrom(before)
    return event


def an_answer(version: int, *told: c.WatchEvent) -> c.WatchResponse:
    answer = c.WatchResponse(version=version, events=told)
    answer.at.seconds, answer.at.nanos = 1_700_000_000, 5
    return answer


def a_service(name: str = "web") -> Service:
    service = Service(id=f"{name}-id")
    service.spec.annotations.name = name
    return service


def a_task(**fields) -> Task:  # type: ignore[no-untyped-def]
    task = Task(id="t1", service_id="web-id", slot=2, **fields)
    task.service_annotations.name = "web"
    return task


def test_a_line_is_as_docker_prints_it():
    (event,) = events_of(an_answer(7, an_event(a_service())))
    assert line(event) == "2023-11-14T22:13:20.000000005Z service create web-id (name=web)"


def test_json_has_dockers_keys_and_the_version():
    (event,) = events_of(an_answer(7, an_event(a_service(), REMOVE)))
    assert event == {
        "Type": "service",
        "Action": "remove",
        "Actor": {"ID": "web-id", "Attributes": {"name": "web"}},
        "scope": "swarm",
        "time": 1_700_000_000,
        "timeNano": 1_700_000_000_000_000_005,
        "Version": 7,
    }


def test_networks_come_and_go_and_what_is_noted_in_them_is_no_event():
    shop = Network(id="n1")
    shop.spec.annotations.name = "shop"
    told = list(events_of(an_answer(7, *(an_event(shop, action) for action in (CREATE, UPDATE, REMOVE)))))
    assert [(one["Action"], one["Actor"]["Attributes"]) for one in told] == [
        ("create", {"name": "shop", "type": "overlay"}),
        ("remove", {"name": "shop", "type": "overlay"}),
    ]


def test_what_changed_is_told_with_what_it_was():
    before, after = Node(id="n1"), Node(id="n1")
    for node in (before, after):
        node.description.hostname = "host"
    before.status.state, after.status.state = NODE_STATE_READY, NODE_STATE_DOWN
    after.spec.availability = NODE_AVAILABILITY_DRAIN
    assert attributes("node", after, before) == {
        "name": "host",
        "state.new": "down",
        "state.old": "ready",
        "availability.new": "drain",
        "availability.old": "active",
    }
    ahead = a_task(node_id="n1")
    ahead.status.state = TASK_STATE_RUNNING
    behind = a_task(node_id="n1")
    behind.status.state = TASK_STATE_STARTING
    assert attributes("task", ahead, behind) == {
        "name": "web.2",
        "service": "web",
        "service.id": "web-id",
        "node.id": "n1",
        "state.new": "running",
        "state.old": "starting",
    }


def test_health_and_a_death_for_want_of_memory_are_part_of_a_tasks_events() -> None:
    well, ill = a_task(), a_task()
    well.status.container.health.state = HEALTH_STATE_HEALTHY
    ill.status.container.health.state = HEALTH_STATE_UNHEALTHY
    ill.status.container.oom_killed, ill.status.container.exit_code = True, 137
    told = attributes("task", ill, well)
    assert (told["health.new"], told["health.old"]) == ("unhealthy", "healthy")
    assert (told["oomkilled.new"], told["exitcode.new"]) == ("true", "137")


def test_every_kind_of_object_can_be_shown_and_filtered():
    # Places in networks are told of as events of their containers; of users the audit trail tells.
    assert set(TYPES) == {kind_name(kind) for kind in KINDS} - {"attachment", "user"} | {"container"}
    for kind in (one for one in KINDS if kind_name(one) != "user"):
        obj = kind(id="x")
        (event,) = events_of(an_answer(1, an_event(obj, REMOVE, obj)))
        assert f"{event['Type']} remove x (" in line(event)
        assert matches(event, {"type": [event["Type"]], "event": ["remove"]})


@pytest.mark.parametrize(
    ("wanted", "fits"),
    [
        ({}, "service task"),
        ({"type": ["task", "node"]}, "task"),
        ({"event": ["remove"]}, ""),
        ({"service": ["web"]}, "service task"),
        ({"service": ["web-id"]}, "service task"),
        ({"service": ["web"], "type": ["task"]}, "task"),
        ({"service": ["db"]}, ""),
        ({"node": ["n1"]}, "task"),
        ({"image": ["web"]}, ""),
    ],
)
def test_filters(wanted, fits):
    told = events_of(an_answer(1, an_event(a_service()), an_event(a_task(node_id="n1"))))
    assert " ".join(event["Type"] for event in told if matches(event, wanted)) == fits


# The command, at a real socket.

Script = Callable[[c.WatchRequest], Iterator[c.WatchResponse | SwarmError]]


class Manager(ControlServicer):
    """Plays one script a call."""

    def __init__(self, *scripts: list[c.WatchResponse | SwarmError]) -> None:
        self.scripts = list(scripts)
        self.asked: list[c.WatchRequest] = []

    def Watch(self, request, context):  # type: ignore[no-untyped-def]
        self.asked.append(request)
        for one in self.scripts.pop(0) if self.scripts else []:
            if isinstance(one, SwarmError):
                code = (
                    grpc.StatusCode.UNAVAILABLE
                    if isinstance(one, TransientError)
                    else grpc.StatusCode.OUT_OF_RANGE
                )
                context.set_trailing_metadata((("swarm-error", type(one).__name__),))
                context.abort(code, str(one))
            yield one


@contextmanager
def listening(directory: Path, manager: Manager) -> Iterator[str]:
    server = grpc.server(ThreadPoolExecutor(2))
    add_ControlServicer_to_server(manager, server)
    server.add_insecure_port(f"unix:{directory}/s")
    server.start()
    try:
        yield f"unix://{directory}/s"
    finally:
        server.stop(None).wait()


def run(manager: Manager, directory: Path, *arguments: str) -> Result:
    with listening(directory, manager) as host:
        return CliRunner().invoke(events, arguments, obj=host)


def test_events_are_printed_until_the_version_asked_for(tmp_path):
    manager = Manager(
        [an_answer(3), an_answer(5, an_event(a_service())), an_answer(9, an_event(a_service("db")))]
    )
    result = run(
        manager, tmp_path, "--until-version", "5", "--format", "{{.Version}} {{.Type}} {{.Actor.ID}}"
    )
    assert (result.exit_code, result.stdout) == (0, "5 service web-id\n")
    assert not manager.asked[0].HasField("resume_version")


def test_a_change_after_the_end_is_not_printed(tmp_path):
    manager = Manager([an_answer(3), an_answer(9, an_event(a_service()))])
    result = run(
        manager,
        tmp_path,
        "--since-version",
        "0",
        "--until-version",
        "5",
        "--format",
        "json",
        "-f",
        "type=service",
    )
    assert (result.exit_code, result.stdout) == (0, "")
    assert manager.asked[0].resume_version == 0
    assert manager.asked[0].HasField("resume_version")
    assert list(manager.asked[0].kinds) == ["service"]


def test_a_reader_goes_on_after_the_version_it_had_when_its_manager_went(tmp_path, monkeypatch):
    monkeypatch.setattr(events_module, "PAUSE_S", 0.01)
    manager = Manager(
        [an_answer(3), an_answer(5, an_event(a_service("a"))), Unavailable("this manager stops")],
        [Unavailable("not yet")],
        [an_answer(5), an_answer(7), TransientError("too slow")],
        [an_answer(7), an_answer(8, an_event(a_service("b")))],
    )
    result = run(manager, tmp_path, "--until-version", "8", "--format", "json", "-f", "type=service")
    assert [json.loads(text)["Actor"]["ID"] for text in result.stdout.splitlines()] == ["a-id", "b-id"]
    assert [asked.resume_version for asked in manager.asked[1:]] == [5, 5, 7]
    assert result.stderr.splitlines() == [
        "Warning: this manager stops; going on after version 5.",
        "Warning: too slow; going on after version 7.",
    ]


def test_a_reader_gives_up_in_the_end_and_says_how_to_go_on(tmp_path, monkeypatch):
    monkeypatch.setattr(events_module, "PAUSE_S", 0.01)
    monkeypatch.setattr(events_module, "PATIENCE_S", 0.05)
    manager = Manager([an_answer(3)], *([Unavailable("gone")] for _ in range(100)))
    manager.scripts[0].append(Unavailable("gone"))
    result = run(manager, tmp_path)
    assert isinstance(result.exception, Unavailable)
    assert "swarmctl events --since-version 3 goes on from here" in str(result.exception)


def test_what_never_began_fails_at_once(tmp_path):
    result = run(Manager([Unavailable("no manager here")]), tmp_path, "--since-version", "3")
    assert isinstance(result.exception, Unavailable)


def test_a_version_that_is_gone_is_not_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr(events_module, "PAUSE_S", 0.01)
    gone = Compacted("the oldest version to go on from is 9")
    manager = Manager([an_answer(3), Unavailable("restarts")], [gone])
    assert isinstance(run(manager, tmp_path).exception, Compacted)
    assert isinstance(run(Manager([gone]), tmp_path, "--since-version", "1").exception, Compacted)


def test_a_cluster_without_leader_is_mentioned_once(tmp_path):
    quiet = an_answer(3)
    quiet.stale = True
    result = run(
        Manager([quiet, quiet, an_answer(4)]), tmp_path, "--until-version", "4", "-f", "type=service"
    )
    assert result.stderr.splitlines() == [
        "Warning: the cluster has no leader: nothing changes until it has."
    ]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["-f", "type=secrets"], "--filter type=secrets: write one of cluster, config, container"),
        (["-f", "event=dies"], "--filter event=dies: write one of create, update, remove"),
        (["-f", "colour=red"], "KEY one of type, event"),
    ],
)
def test_a_filter_that_means_nothing_is_refused(arguments, sentence, tmp_path):
    result = run(Manager(), tmp_path, *arguments)
    assert sentence in str(result.exception)


def test_a_format_that_means_nothing_is_refused(tmp_path):
    result = run(Manager([an_answer(5, an_event(a_service()))]), tmp_path, "--format", "{{.Nope}}")
    assert 'there is no "Nope"' in str(result.exception)


def test_templates_know_the_names_of_docker_and_json_stays_json() -> None:
    event = named_as_in_go(told("start"))
    template = "{{.Status}} {{.ID}} {{.From}} {{.Scope}} {{.Time}} {{.TimeNano}} {{.Actor.Attributes.name}}"
    assert fill(template, event) == "start c1c1 db:1 local 0 5 db"
    assert json.loads(fill("{{json .}}", event)) == told("start")
    # Another event has other attributes: that ends nobody's following.
    other = "{{.Actor.Attributes.exitCode}} {{if .Actor.Attributes.exitCode}}ended{{else}}-{{end}}"
    assert fill(other, event) == "<no value> -"
    with pytest.raises(InvalidArgument, match='no "Nope" here'):
        fill("{{.Nope}}", event)


def test_a_container_has_the_keys_of_old_scripts_too() -> None:
    event = told("start")
    assert (event["status"], event["id"], event["from"]) == ("start", "c1c1", "db:1")
    assert "status" not in told("connect", network="shop")


def test_labels_and_scopes_are_filtered_and_labels_rename_nothing() -> None:
    event = told(team="red", name="other", container="c9", node="n9")
    assert event["Actor"]["Attributes"] == {
        "name": "db",
        "image": "db:1",
        "team": "red",
        "container": "c9",
        "node": "worker-1",
        "node.id": "n1",
    }
    for wanted in ({"label": ["team"]}, {"label": ["team=blue", "team=red"]}, {"scope": ["local"]}):
        assert matches(event, wanted)
    for wanted in ({"label": ["team=blue"]}, {"scope": ["swarm"]}, {"container": ["c9"]}):
        assert not matches(event, wanted)


def told(action: str = "die", **attributes: str) -> View:
    event = PlainEvent(
        at_ns=5, action=action, container_id="c1c1", name="db", image="db:1", attributes=attributes
    )
    return of_container(event, "n1", "worker-1")


def test_what_happens_to_a_container_reads_like_all_else() -> None:
    assert line(told(exitCode="3")) == (
        "1970-01-01T00:00:00.000000005Z container die c1c1 "
        "(name=db, image=db:1, exitCode=3, node=worker-1, node.id=n1)"
    )
    joined = told("connect", network="shop")
    assert (joined["Type"], joined["Actor"]["ID"]) == ("network", "shop")


@pytest.mark.parametrize(
    ("wanted", "fits"),
    [
        ({"type": ["container"]}, True),
        ({"container": ["db"]}, True),
        ({"container": ["c1"]}, True),
        ({"container": ["web"]}, False),
        ({"event": ["die"], "node": ["worker-1"], "image": ["db:1"]}, True),
        ({"event": ["start"]}, False),
        ({"service": ["db"]}, False),
    ],
)
def test_containers_are_filtered(wanted, fits):
    assert matches(told(), wanted) is fits
    assert about_containers(wanted) is ("service" not in wanted)
    assert matches(told("health_status: healthy"), {"event": ["health_status"]})


def test_of_two_sources_that_both_end_all_is_told() -> None:
    stop, begun = threading.Event(), threading.Event()

    def later() -> Iterator[View]:
        begun.wait(60)
        yield told("die")

    def first() -> Iterator[View]:
        yield told("start")
        begun.set()

    with merged(first(), later(), stop, both_end=True) as found:
        assert [event["Action"] for event in found] == ["start", "die"]


def test_two_sources_are_told_as_one_until_the_first_ends() -> None:
    stop = threading.Event()
    waiting: queue.Queue[View] = queue.Queue()
    with merged(iter([told("start")]), iter(waiting.get, None), stop) as found:
        assert [event["Action"] for event in found] == ["start"]
    assert stop.is_set()

    def broken() -> Iterator[View]:
        yield told("start")
        raise Unavailable("gone")

    with pytest.raises(Unavailable), merged(broken(), iter(waiting.get, None), stop) as found:
        list(found)
    waiting.put(None)  # type: ignore[arg-type]
    waiting.put(None)  # type: ignore[arg-type]
