"""What happens to containers of no service, beside what changes in the store, for `swarmctl events`."""

import contextlib
import queue
import threading
from collections.abc import Iterator, Mapping, Sequence

import click

from swarm.api.v1 import control_pb2 as c
from swarm.api.v1.containers_pb2 import ContainerRequest
from swarm.api.v1.plain_pb2 import FollowEvents
from swarm.cli.connect import Connection, connect
from swarm.cli.event_view import View, of_container
from swarm.cli.event_window import Window
from swarm.cli.inspect_view import when
from swarm.clock import timestamp
from swarm.errors import SwarmError, TransientError

PAUSE_S = 0.5
QUEUE_EVENTS = 1024
_OTHERS = ("service", "secret", "config", "volume")  # filters that no container of no service passes


def about_containers(wanted: Mapping[str, Sequence[str]]) -> bool:
    """Whether such events may pass the filters."""
    kinds = wanted.get("type", ("container",))
    return ("container" in kinds or "network" in kinds) and not any(wanted.get(key) for key in _OTHERS)


def of_containers(
    host: str, wanted: Mapping[str, Sequence[str]], window: Window, stop: threading.Event
) -> Iterator[View]:
    """Yield what nodes tell until `stop`; goes on behind the last event of each when a manager is lost.

    When the time is over, nodes are asked once more for what they had not told yet. Says on stderr which
    nodes are not heard, and where events are missing.
    """
    cursors: dict[str, str] = {}
    lost = False
    while not stop.is_set():
        left_s, over = window.left_s, window.is_over
        wish = FollowEvents(follow=not over, since_ns=window.since_ns or 0, cursors=cursors)
        try:
            with connect(host) as conn:
                for event in _told(conn, ContainerRequest(events=wish), cursors, left_s):
                    lost = False
                    yield event
            if over:
                return
        except TransientError as error:
            if window.is_over and not over:
                continue
            if not lost and not stop.is_set():
                click.echo(f"Warning: events of containers: {error}; going on where they were.", err=True)
            lost = True
        except SwarmError as error:
            click.echo(f"Warning: no events of containers: {error}", err=True)
            if "container" in wanted.get("type", ()):
                raise
            return
        stop.wait(PAUSE_S)


def _told(
    conn: Connection, request: ContainerRequest, cursors: dict[str, str], timeout_s: float | None
) -> Iterator[View]:
    from swarm.cli.container_calls import ask

    names: dict[str, str] = {}
    for answer in ask(conn, request, [], timeout_s=timeout_s):
        if answer.HasField("notice"):
            click.echo(f"Warning: {answer.notice}", err=True)
            continue
        if not answer.HasField("event"):
            continue
        told, node_id = answer.event, answer.node_id
        if node_id not in names:
            names.update(_node_names(conn))
        node = names.setdefault(node_id, node_id)
        if told.gap:
            click.echo(f"Warning: node {node}: events of its containers are missing here.", err=True)
        if told.kept_since_ns:
            since = when(timestamp(told.kept_since_ns))
            click.echo(
                f"Warning: node {node}: events of its containers are kept since {since} only.", err=True
            )
        if told.cursor:
            cursors[node_id] = told.cursor
        if told.action:
            yield of_container(told, node_id, node)


def _node_names(conn: Connection) -> dict[str, str]:
    nodes = conn.control.ListNodes(c.ListNodesRequest()).nodes
    return {node.id: node.description.hostname or node.id for node in nodes}


@contextlib.contextmanager
def merged(
    first: Iterator[View], second: Iterator[View] | None, stop: threading.Event, *, both_end: bool = False
) -> Iterator[Iterator[View]]:
    """Give the events of both as they come, until the first ends, or both; raises what either raises.

    `stop` is set for the second one then.
    """
    if second is None:
        yield first
        return
    events: queue.Queue[View | BaseException | None] = queue.Queue(QUEUE_EVENTS)

    def pass_on(source: Iterator[View], *, counts: bool) -> None:
        try:
            for event in source:
                events.put(event)
        except BaseException as error:  # noqa: BLE001 it is raised where somebody waits for events
            events.put(error)
        else:
            if counts:
                events.put(None)

    def taken() -> Iterator[View]:
        for _ in range(1 + both_end):
            while (event := events.get()) is not None:
                if isinstance(event, BaseException):
                    raise event
                yield event

    # They end with the process: one waits for the network, and nobody can wake it.
    for source, counts in ((first, True), (second, both_end)):
        threading.Thread(target=pass_on, args=(source,), kwargs={"counts": counts}, daemon=True).start()
    try:
        yield taken()
    finally:
        stop.set()
