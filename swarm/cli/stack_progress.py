"""Waiting until the services of a stack have converged, with one line for each of them."""

import sys
import time
from collections.abc import Sequence

import click

from swarm.api.v1 import control_pb2 as c
from swarm.api.v1.objects_pb2 import Node, Service, Task
from swarm.cli.connect import Connection
from swarm.cli.live import Bar, Scene, Screen, can_draw, screen, watched
from swarm.cli.progress import EXIT_DETACHED, EXIT_FAILED, POLL_S, Seen, Waiting
from swarm.cli.render import shorten
from swarm.errors import NotFound, TransientError

WIDTH = 100
UNDER_WAY = "…"


def wait_all(
    conn: Connection,
    ids: Sequence[str],
    *,
    quiet: bool,
    timeout_s: float | None,
    later: str,
) -> int:
    """Wait until all services have converged, or cannot; return the worst of their exit codes.

    `later` is what people are told who do not wait for the end.
    """
    together = _Together(conn)
    waits = [Waiting(conn, one, timeout_s=timeout_s, look_at=together.fetch) for one in ids]
    codes: dict[str, int] = {}
    display = _display(quiet=quiet)
    try:
        while len(codes) < len(waits):
            together.look([one.service_id for one in waits if one.service_id not in codes])
            for one in waits:
                if one.service_id not in codes and (code := _step(one)) is not None:
                    codes[one.service_id] = code
            display.draw(scene_of(waits, codes))
            if len(codes) < len(waits):
                time.sleep(POLL_S)
    except KeyboardInterrupt:
        display.close()
        click.echo(f"\nDetached: {later}.", err=True)
        return EXIT_DETACHED
    finally:
        display.close()
    return max(codes.values(), default=0)


class _Together:
    """What services and their tasks are like now: three questions, however many services there are."""

    def __init__(self, conn: Connection) -> None:
        self._conn = conn
        self._services: dict[str, Service] = {}
        self._tasks: dict[str, list[Task]] = {}
        self._nodes: dict[str, Node] = {}
        self._problem: TransientError | None = None

    def look(self, ids: Sequence[str]) -> None:
        """Ask; what is wrong for a while is told to everybody who fetches."""
        try:
            self._ask(ids)
            self._problem = None
        except TransientError as problem:
            self._problem = problem

    def _ask(self, ids: Sequence[str]) -> None:
        control = self._conn.control
        found = control.ListServices(c.ListServicesRequest(filters=c.Filters(ids=ids))).services
        self._services = {one.id: one for one in found}
        self._tasks = {}
        older: set[str] = set()
        for task in control.ListTasks(c.ListTasksRequest(filters=c.Filters(service_ids=ids))).tasks:
            self._tasks.setdefault(task.service_id, []).append(task)
            service = self._services.get(task.service_id)
            if service is not None and task.spec_version != service.spec_version and task.node_id:
                older.add(task.node_id)
        filters = c.Filters(ids=sorted(older))
        nodes = control.ListNodes(c.ListNodesRequest(filters=filters)).nodes if older else ()
        self._nodes = {node.id: node for node in nodes}

    def fetch(self, _conn: Connection, service_id: str) -> Seen:
        """Return what was seen of a service; raises NotFound, and what was wrong for a while."""
        if self._problem is not None:
            raise self._problem
        if service_id not in self._services:
            raise NotFound(f"there is no service {service_id}")
        return self._services[service_id], self._tasks.get(service_id, []), self._nodes


def wait_until_gone(conn: Connection, ids: Sequence[str], *, quiet: bool = False) -> None:
    """Wait until nothing of these services, which were removed, is left on any node."""
    request = c.ListTasksRequest(filters=c.Filters(service_ids=ids))
    most = 0
    with watched(
        "what still runs is stopped in the background; `swarmctl ps` shows it", quiet=quiet
    ) as show:
        while ids and (left := len(conn.control.ListTasks(request).tasks)):
            most = max(most, left)
            show(Scene(f"stopping: {left} of {most} tasks left", 1 - left / most))
            time.sleep(POLL_S)


def _step(one: Waiting) -> int | None:
    try:
        return one.step()
    except NotFound:
        click.echo(f"Error: service {one.name} was removed", err=True)
        return EXIT_FAILED


def _display(*, quiet: bool) -> "Screen | _Results":
    drawn = screen(quiet=quiet)
    return drawn if quiet or can_draw(sys.stderr) else _Results()


class _Results:
    """Where nothing can be drawn: a line for each service when it is done."""

    def __init__(self) -> None:
        self._told: set[str] = set()

    def draw(self, scene: Scene) -> None:
        """Print what is done since the last time."""
        for bar in scene.bars:
            if bar.name not in self._told and bar.state[0] != UNDER_WAY:
                self._told.add(bar.name)
                why = f": {bar.note}" if bar.note else ""
                click.echo(f"{bar.state[0]} {bar.name}: {bar.state[2:]}{why}", err=True)

    def note(self, text: str) -> None:
        """Print it."""
        click.echo(text, err=True)

    def close(self) -> None:
        """Nothing is left to do."""


def scene_of(waits: Sequence[Waiting], codes: dict[str, int]) -> Scene:
    """Return what people see of services that they wait for: a bar for each."""
    done = sum(one.service_id in codes for one in waits)
    title = f"overall progress: {done} out of {len(waits)} services"
    return Scene(title, done / max(len(waits), 1), [_bar(one, codes) for one in waits])


def _bar(one: Waiting, codes: dict[str, int]) -> Bar:
    mark = {None: UNDER_WAY, 0: "✓"}.get(codes.get(one.service_id), "✗")
    picture = one.picture
    if picture is None:
        return Bar(one.name, mark, 0.0)
    state = f"{mark} {picture.running} of {picture.wanted} {picture.done}"
    return Bar(one.name, state, picture.share, shorten(picture.reason, WIDTH))
