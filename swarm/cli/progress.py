"""Waiting until a service has converged, and showing how far it is."""

import time
from collections.abc import Callable
from typing import TypeAlias

import click

from swarm.api.v1 import control_pb2 as c
from swarm.api.v1.objects_pb2 import Node, Service, Task
from swarm.cli.connect import Connection
from swarm.cli.convergence import Picture, Verdict, look, monitor_ns
from swarm.cli.live import Scene, Screen, Silent, screen
from swarm.errors import NotFound, TransientError
from swarm.model.job import job_of

POLL_S = 0.2
Seen: TypeAlias = tuple[Service, list[Task], dict[str, Node]]
EXIT_FAILED = 1  # also: not in time, or removed
EXIT_PAUSED = 3
EXIT_ROLLED_BACK = 4
EXIT_DETACHED = 130  # Ctrl-C: what came of it is not known
_EXITS = {
    Verdict.FAILED: EXIT_FAILED,
    Verdict.PAUSED: EXIT_PAUSED,
    Verdict.ROLLED_BACK: EXIT_ROLLED_BACK,
}


def fetch(conn: Connection, service_id: str) -> Seen:
    """Read a service, its tasks, and the nodes of tasks that an older spec asked for."""
    service = conn.control.GetService(c.GetServiceRequest(ref=service_id)).service
    filters = c.Filters(service_ids=[service_id])
    tasks = list(conn.control.ListTasks(c.ListTasksRequest(filters=filters)).tasks)
    older = {task.node_id for task in tasks if task.spec_version != service.spec_version and task.node_id}
    if not older:
        return service, tasks, {}
    nodes = conn.control.ListNodes(c.ListNodesRequest(filters=c.Filters(ids=older))).nodes
    return service, tasks, {node.id: node for node in nodes}


def wait(
    conn: Connection, service_id: str, *, quiet: bool, timeout_s: float | None, rollback: bool = False
) -> int:
    """Wait until the service has converged and stayed so for its monitor time; return the exit code."""
    display = screen(quiet=quiet)
    waiting = Waiting(conn, service_id, timeout_s=timeout_s, rollback=rollback, display=display)
    try:
        while (code := waiting.step()) is None:
            time.sleep(POLL_S)
    except KeyboardInterrupt:
        display.close()
        click.echo(
            "\nDetached: the service goes on in the background; "
            f"`swarmctl service ps {waiting.name}` shows it.",
            err=True,
        )
        return EXIT_DETACHED
    except NotFound:
        display.close()
        click.echo(f"Error: service {waiting.name} was removed", err=True)
        return EXIT_FAILED
    finally:
        display.close()
    return code


def scene_of(picture: Picture) -> Scene:
    """Return what people see of a service that they wait for."""
    title = f"overall progress: {picture.running} out of {picture.wanted} tasks"
    return Scene(title, picture.share, picture.bars, picture.reason)


class Waiting:
    """One wait: when it began and since when the service looks converged."""

    def __init__(
        self,
        conn: Connection,
        service_id: str,
        *,
        timeout_s: float | None,
        rollback: bool = False,
        display: Screen | None = None,
        look_at: Callable[[Connection, str], Seen] = fetch,
    ) -> None:
        """`look_at` finds the service and its tasks, for whoever waits for many at a time."""
        self._conn = conn
        self._fetch = look_at
        self.service_id = service_id
        self.name = service_id[:12]
        self.picture: Picture | None = None  # as of the last look
        self._timeout_s = timeout_s
        self._rollback = rollback
        self._display = display or Silent()
        self._started = time.monotonic()
        self._stable_since: float | None = None

    def step(self) -> int | None:
        """Look once; return the exit code when it is decided."""
        now = time.monotonic()
        try:
            service, tasks, nodes = self._fetch(self._conn, self.service_id)
        except TransientError as problem:
            self._display.note(f"waiting: {problem}")
            return self._late(self.service_id, str(problem), now)
        picture = self.picture = look(service, tasks, nodes, rollback_wanted=self._rollback)
        self._display.draw(scene_of(picture))
        name = self.name = service.spec.annotations.name
        if picture.verdict in _EXITS:
            self._display.close()
            click.echo(
                f"Error: service {name} {picture.reason}{_next_step(picture.verdict, name)}", err=True
            )
            return _EXITS[picture.verdict]
        if picture.verdict is Verdict.CANARY:
            self._display.close()
            click.echo(f"service {name}: {picture.reason}", err=True)
            return 0
        if picture.verdict is Verdict.WAITING:
            self._stable_since = None
            why = f"{picture.running} of {picture.wanted} {picture.done}" + (
                f": {picture.reason}" if picture.reason else ""
            )
            return self._late(name, why, now)
        self._stable_since = self._stable_since or now
        if now - self._stable_since < monitor_ns(service) / 1e9:
            return None
        self._display.close()
        self._display.note("verify: service converged" if job_of(service.spec) is None else "job complete")
        return 0

    def _late(self, name: str, why: str, now: float) -> int | None:
        if self._timeout_s is None or now - self._started <= self._timeout_s:
            return None
        self._display.close()
        click.echo(
            f"Error: service {name} has not converged in time, {why}. "
            f"It goes on in the background; `swarmctl service ps {name}` shows it.",
            err=True,
        )
        return EXIT_FAILED


def _next_step(verdict: Verdict, name: str) -> str:
    if verdict is Verdict.PAUSED:
        return (
            f". `swarmctl service ps {name}` shows its tasks; then `service resume {name}`, "
            f"`service rollback {name}` or another update"
        )
    return (
        f". `swarmctl service history {name}` shows what was tried" if verdict is Verdict.ROLLED_BACK else ""
    )
