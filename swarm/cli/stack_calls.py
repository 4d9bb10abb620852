"""What the commands of `swarmctl stack` have in common: reading files, making changes, waiting."""

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import click

from swarm.api.v1 import control_pb2 as c
from swarm.api.v1.objects_pb2 import Service
from swarm.api.v1.specs_pb2 import ServiceSpec
from swarm.cli.compose_files import load, read_data, read_file
from swarm.cli.connect import Connection
from swarm.cli.rollout import ATTEMPTS_MAX
from swarm.cli.stack_changes import REMOVING, Step
from swarm.errors import (
    InvalidArgument,
    InvariantBroken,
    NameConflict,
    NoQuorum,
    NotFound,
    NotLeader,
    OutcomeUnknown,
    StaleVersion,
    Unavailable,
    UserError,
)

PAUSE_S = 1.0  # until the next manager leads
UNKNOWN = "all of it was done, or nothing"


def read(name: str, given: dict[str, Any]) -> Any:
    """Return the stack that the options of a command name; raises what reading it raises."""
    from swarm.compose.services import read_stack
    from swarm.compose.values import text

    project = load(given, name)
    written = project.tree.get("name")
    found = name or (text(written) if written is not None else "")
    if not found:
        raise InvalidArgument("how is the stack called? Write its name last, or `name:` in the Compose file")
    return read_stack(project, found, read_file, read_data)


def fitting(conn: Connection, wanted: Any) -> Any:
    """Return a stack without the network that nobody asked for where no node could join it."""
    from swarm.compose.services import without_implicit_network
    from swarm.model.network_support import drivers_of
    from swarm.model.networks import OVERLAY

    if any(OVERLAY in drivers_of(node) for node in conn.control.ListNodes(c.ListNodesRequest()).nodes):
        return wanted
    return without_implicit_network(wanted)


def add_credentials(specs: Iterable[ServiceSpec]) -> None:
    """Write the credentials of whoever runs swarmctl into specs whose registries ask for them."""
    from swarm.cli.registry_auth import credentials

    for spec in specs:
        try:
            spec.task.container.registry_auth.CopyFrom(credentials(spec.task.container.image))
        except NotFound:
            continue  # not every image of a stack is in a registry that asks who one is


def services_of(conn: Connection, name: str) -> list[Service]:
    """Return the services of a stack; none when there is no such stack."""
    from swarm.model.stacks import NAMESPACE_LABEL

    filters = c.Filters(labels=[f"{NAMESPACE_LABEL}={name}"])
    return list(conn.control.ListServices(c.ListServicesRequest(filters=filters)).services)


def existing(conn: Connection, name: str) -> list[Service]:
    """Return the services of a stack; raises NotFound when it has none."""
    found = services_of(conn, name)
    if not found:
        raise NotFound(f"there is no stack {name}; `swarmctl stack ls` shows them")
    return found


def remaining(conn: Connection, name: str) -> list[Service]:
    """Return the services of a stack, also none when its history is all that is left; raises NotFound."""
    found = services_of(conn, name)
    if not found:
        try:
            conn.control.ListStackRevisions(c.ListStackRevisionsRequest(stack=name))
        except NotFound:
            raise NotFound(f"there is no stack {name}; `swarmctl stack ls` shows them") from None
    return found


def apply(conn: Connection, plan: Callable[[], Sequence[Step]], *, quiet: bool) -> list[str]:
    """Make the changes; return the ids of the services that were not removed.

    They are planned again when somebody else was faster, or nobody knows what became of them.
    """
    try:
        planned, answer = _make(conn, plan)
    except KeyboardInterrupt:
        click.echo(f"\nInterrupted: {UNKNOWN}; `swarmctl stack ls` and `stack services` show it.", err=True)
        raise
    for warning in answer.warnings:
        click.echo(f"Warning: {warning}", err=True)
    pairs = [(step, one) for step, one in zip(planned, answer.ids, strict=True) if step.verb]
    if not quiet:
        for made in answer.made:
            click.echo(f"Creating {made}")
        for step, service_id in pairs:
            known_as = "" if step.verb == REMOVING else f" (id: {service_id[:12]})"
            click.echo(f"{step.verb} service {step.name}{known_as}")
        for gone in answer.removed:
            click.echo(f"{REMOVING} {gone}")
    return [service_id for step, service_id in pairs if step.verb != REMOVING]


def _make(
    conn: Connection, plan: Callable[[], Sequence[Step]]
) -> tuple[Sequence[Step], c.ApplyChangesResponse]:
    """Plan and make changes until they are made; what was done the time before is found when planning."""
    refused: tuple[c.ApplyChangesRequest, UserError] | None = None
    for attempt in range(1, ATTEMPTS_MAX + 1):
        is_last = attempt == ATTEMPTS_MAX
        request = c.ApplyChangesRequest()  # planning may be refused as well
        try:
            planned = plan()
            request = c.ApplyChangesRequest(changes=[one.change for one in planned])
            if refused is not None and refused[0] == request:
                raise refused[1]
            return planned, conn.control.ApplyChanges(request)
        except (NameConflict, NotFound) as problem:
            # Perhaps another deploy of the stack made or removed it just now.
            if is_last or refused is not None:
                raise
            refused = request, problem
        except StaleVersion:
            if is_last:
                raise
        except OutcomeUnknown as problem:
            if is_last:
                raise OutcomeUnknown(
                    f"{problem}; {UNKNOWN}: run the command again, nothing is done twice"
                ) from None
        except (NotLeader, NoQuorum, Unavailable) as problem:
            if is_last:
                raise
            click.echo(f"Waiting: {problem}", err=True)
            time.sleep(PAUSE_S)
    raise InvariantBroken("the last attempt returns or raises")


def wait(conn: Connection, ids: Sequence[str], name: str, given: dict[str, Any]) -> int:
    """Wait until services of stack `name` have converged, as the options say; return the exit code."""
    from swarm.cli.stack_progress import wait_all
    from swarm.model.units import parse_duration

    timeout_s = parse_duration(given["timeout"]) / 1e9 if given.get("timeout") else None
    later = f"the stack goes on in the background; `swarmctl stack services {name}` shows it"
    return wait_all(conn, ids, quiet=given["quiet"], timeout_s=timeout_s, later=later)
