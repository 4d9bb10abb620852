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
from swarm.errors import SwarmError, TransientError

PAUSE_S = 0.5
QUEUE_EVENTS = 1024
_OTHERS = ("service", "secret", "config", "volume")  # filters that no container of no service passes


def about_containers(wanted: Mapping[str, Sequence[str]]) -> bool:
    """Whether such events may pass the filters."""
    kinds = wanted.get("type", ("container",))
    return ("container" in kinds or "network" in kinds) and not any(wanted.get(key) for key in _OTHERS)


def of_containers(host: str, wanted: Mapping[str, Sequence[str]], stop: threading.Event) -> Iterator[View]:
    """Yield what nodes tell until `stop`; goes on behind the last event of each when a manager is lost.

    Says on stderr which nodes are not heard, and where events are missing.
    """
    cursors: dict[str, str] = {}
    lost = False
    while not stop.is_set():
        try:
            with connect(host) as conn:
                request = ContainerRequest(events=FollowEvents(follow=True, cursors=cursors))
                for event in _told(conn, request, cursors):
                    lost = False
                    yield event
        except TransientError as error:
            if not lost and not stop.is_set():
                click.echo(f"Warning: events of containers: {error}; going on where they were.", err=True)
            lost = True
        except SwarmError as error:
            click.echo(f"Warning: no events of containers: {error}", err=True)
            if "container" in wanted.get("type", ()):
                raise
            return
        stop.wait(PAUSE_S)


def _told(conn: Connection, request: ContainerRequest, cursors: dict[str, str]) -> Iterator[View]:
    from swarm.cli.container_calls import ask

    names: dict[str, str] = {}
    for answer in ask(conn, request, []):
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
        if told.cursor:
            cursors[node_id] = told.cursor
        if told.action:
            yield of_container(told, node_id, node)


def _node_names(conn: Connection) -> dict[str, str]:
    nodes = conn.control.ListNodes(c.ListNodesRequest()).nodes
    return {node.id: node.description.hostname or node.id for node in nodes}


@contextlib.contextmanager
def merged(
    first: Iterator[View], second: Iterator[View] | None, stop: threading.Event
) -> Iterator[Iterator[View]]:
    """Give the events of both as they come, until the first ends; raises what either raises.

    `stop` is set for the second one then.
    """
    if second is None:
        yield first
        return
    events: queue.Queue[View | BaseException | None] = queue.Queue(QUEUE_EVENTS)

    def pass_on(source: Iterator[View], *, last: bool) -> None:
        try:
            for event in source:
                events.put(event)
        except BaseException as error:  # noqa: BLE001 it is raised where somebody waits for events
            events.put(error)
        else:
            if last:
                events.put(None)

    def taken() -> Iterator[View]:
        while (event := events.get()) is not None:
            if isinstance(event, BaseException):
                raise event
            yield event

    # They end with the process: one waits for the network, and nobody can wake it.
    for source, last in ((first, True), (second, False)):
        threading.Thread(target=pass_on, args=(source,), kwargs={"last": last}, daemon=True).start()
    try:
        yield taken()
    finally:
        stop.set()
