"""`swarmctl service rebalance`: move tasks so that services are spread as they would be placed now."""

import time
from collections.abc import Callable
from typing import Any

import click

from swarm.api.v1 import control_pb2 as c
from swarm.api.v1.objects_pb2 import Rebalance, Service
from swarm.api.v1.types_pb2 import TaskState
from swarm.cli.connect import Connection
from swarm.cli.live import Bar, Scene, watched
from swarm.cli.plan import show_plan
from swarm.errors import InvalidArgument, NotFound, SwarmError, TransientError

POLL_S = 0.2


def rebalance(conn: Connection, refs: tuple[str, ...], given: dict[str, Any]) -> int:
    """Rebalance services one after another, or only say what would move; return the exit code."""
    if given["all"]:
        if refs:
            raise InvalidArgument("--all: name services, or all of them, but not both")
        refs = _replicated(conn)
    elif not refs:
        raise InvalidArgument("no service is named: name one, or use --all")
    requests = [c.RebalanceServiceRequest(ref=ref, max_moves=given["max_moves"]) for ref in refs]
    if given["dry_run"]:
        changes = [c.PlannedChange(rebalance_service=request) for request in requests]
        return show_plan(conn, changes, given["layout"])
    return max([0, *(_rebalance_one(conn, request, given) for request in requests)])


def _replicated(conn: Connection) -> tuple[str, ...]:
    found = conn.control.ListServices(c.ListServicesRequest(filters=c.Filters(modes=["replicated"])))
    return tuple(one.spec.annotations.name for one in found.services)


def _rebalance_one(conn: Connection, request: c.RebalanceServiceRequest, given: dict[str, Any]) -> int:
    try:
        service: Service = conn.control.RebalanceService(request).service
        if service.rebalance.state != Rebalance.STATE_MOVING:
            click.echo(f"{request.ref}: balanced, nothing to move")
            return 0
        click.echo(f"{request.ref}: {service.rebalance.message}")
        if given["detach"]:
            return 0
        return _wait(conn, service, given)
    except SwarmError as problem:
        click.echo(f"Error: {problem}", err=True)
        return 1


def _wait(conn: Connection, service: Service, given: dict[str, Any]) -> int:
    """Wait until the rebalance is over; return the exit code."""
    from swarm.model.units import parse_duration

    name = service.spec.annotations.name
    moving = [move.task_id for move in service.rebalance.moves]
    deadline_s = time.monotonic() + parse_duration(given["timeout"]) / 1e9 if given["timeout"] else None
    later = f"the rebalance goes on in the background; `swarmctl service inspect --pretty {name}` shows it"
    try:
        with watched(later, quiet=given["quiet"]) as show:
            return _follow(conn, service, moving, deadline_s, show)
    except KeyboardInterrupt:
        return 130
    except NotFound:
        click.echo(f"Error: service {name} was removed", err=True)
        return 1


def _follow(
    conn: Connection,
    service: Service,
    moving: list[str],
    deadline_s: float | None,
    show: Callable[[Scene], None],
) -> int:
    name, total = service.spec.annotations.name, len(moving)
    while True:
        try:
            now: Service = conn.control.GetService(c.GetServiceRequest(ref=service.id)).service
            moved = _moved(conn, now, moving)
            show(Scene(f"{name}: {moved} of {total} moved", moved / total, [Bar(name, "", moved / total)]))
            code = _verdict(name, now.rebalance)
            if code is not None:
                return code
        except TransientError as problem:
            show(Scene(f"{name}: waiting: {problem}", 0.0))
        if deadline_s is not None and time.monotonic() > deadline_s:
            click.echo(
                f"Error: service {name} is still being rebalanced; it goes on in the background, "
                f"`swarmctl service inspect {name}` shows how far it is.",
                err=True,
            )
            return 1
        time.sleep(POLL_S)


def _moved(conn: Connection, service: Service, moving: list[str]) -> int:
    filters = c.Filters(service_ids=[service.id])
    tasks = conn.control.ListTasks(c.ListTasksRequest(filters=filters)).tasks
    wanted = {task.id for task in tasks if task.desired_state <= TaskState.TASK_STATE_RUNNING}
    return sum(task_id not in wanted for task_id in moving)


def _verdict(name: str, status: Rebalance) -> int | None:
    """Return the exit code when a rebalance is over, and say how it ended."""
    if status.state == Rebalance.STATE_MOVING:
        return None
    if status.state == Rebalance.STATE_COMPLETED:
        click.echo(f"{name}: {status.message}")
        return 0
    click.echo(f"Error: the rebalance of service {name} {status.message or 'ended'}", err=True)
    return 1
