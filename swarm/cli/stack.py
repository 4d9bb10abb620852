"""`swarmctl stack`: services that belong together, from a Compose file."""

import os
from collections.abc import Callable, Sequence
from typing import Any

import click

from swarm.api.v1 import control_pb2 as c
from swarm.api.v1.objects_pb2 import Service
from swarm.cli.compose_files import compose_options, load, read_data, read_file
from swarm.cli.connect import Connection, connect
from swarm.cli.flags import FlagGroup
from swarm.cli.plan import dry_run_options, show_fresh_plan
from swarm.cli.rollout import ATTEMPTS_MAX, EXIT_CODES
from swarm.cli.stack_changes import REMOVING, RESOLVE, Step, removals, steps
from swarm.cli.tasks import list_tasks, ps_options
from swarm.errors import InvalidArgument, NotFound, StaleVersion

COLUMNS = (("NAME", "Name"), ("SERVICES", "Services"))


@click.group(cls=FlagGroup)
def stack() -> None:
    """Stacks: services that belong together, from Compose files."""


@stack.command(
    epilog="\b\nExamples:\n"
    "  swarmctl stack deploy -c compose.yaml shop\n"
    "  swarmctl stack deploy --dry-run -c compose.yaml shop      # what would change, and would it fit?\n"
    "  swarmctl stack deploy -c compose.yaml -c production.yaml --prune shop\n\n" + EXIT_CODES
)
@click.argument("name", metavar="[STACK]", required=False, default="")
@compose_options
@click.option("--prune", is_flag=True, help="Remove services of the stack that are not in the files.")
@click.option(
    "--resolve-image",
    "resolve",
    type=click.Choice(RESOLVE),
    default=RESOLVE[0],
    show_default=True,
    help="For which images to ask the registry; changed: where the files name another one than before.",
)
@click.option("--with-registry-auth", is_flag=True, help="Send your registry credentials to the nodes.")
@click.option("-d", "--detach", is_flag=True, help="Return at once instead of waiting for convergence.")
@click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
@click.option("--timeout", help="Exit 1 if the stack has not converged by then, e.g. 5m.")
@dry_run_options
@click.pass_context
def deploy(ctx: click.Context, /, name: str, **given: Any) -> None:
    """Create a stack, or change it to what its Compose files say: all of it, or nothing.

    What did not change goes on running. Without STACK, the name in the first file counts.
    """
    wanted = _read(name, given)
    if given["with_registry_auth"]:
        _add_credentials(wanted.services)
    with connect(ctx.obj) as conn:
        wanted = _fitting(conn, wanted)
        for warning in wanted.warnings:
            click.echo(f"Warning: {warning}", err=True)

        def plan() -> list[Step]:
            there = _services(conn, wanted.name)
            return steps(wanted, there, prune=given["prune"], resolve=given["resolve"])

        if given["dry_run"]:
            ctx.exit(show_fresh_plan(conn, lambda: [step.change for step in plan()], given["layout"]))
        ids = _apply(conn, plan, quiet=given["quiet"])
        ctx.exit(0 if given["detach"] else _wait(conn, ids, given))


def _read(name: str, given: dict[str, Any]) -> Any:
    from swarm.compose.services import read_stack
    from swarm.compose.values import text

    project = load(given, name)
    written = project.tree.get("name")
    found = name or (text(written) if written is not None else "")
    if not found:
        raise InvalidArgument("how is the stack called? Write its name last, or `name:` in the Compose file")
    return read_stack(project, found, read_file, read_data, dict(os.environ))


def _fitting(conn: Connection, wanted: Any) -> Any:
    """Return a stack without the network that nobody asked for where no node could join it."""
    from swarm.compose.services import without_implicit_network
    from swarm.model.network_support import drivers_of
    from swarm.model.networks import OVERLAY

    if any(OVERLAY in drivers_of(node) for node in conn.control.ListNodes(c.ListNodesRequest()).nodes):
        return wanted
    return without_implicit_network(wanted)


def _add_credentials(specs: Any) -> None:
    from swarm.cli.registry_auth import credentials

    for spec in specs:
        try:
            spec.task.container.registry_auth.CopyFrom(credentials(spec.task.container.image))
        except NotFound:
            continue  # not every image of a stack is in a registry that asks who one is


def _services(conn: Connection, name: str) -> list[Service]:
    from swarm.model.stacks import NAMESPACE_LABEL

    filters = c.Filters(labels=[f"{NAMESPACE_LABEL}={name}"])
    return list(conn.control.ListServices(c.ListServicesRequest(filters=filters)).services)


def _existing(conn: Connection, name: str) -> list[Service]:
    """Return the services of a stack; raises NotFound when it has none."""
    found = _services(conn, name)
    if not found:
        raise NotFound(f"there is no stack {name}; `swarmctl stack ls` shows them")
    return found


def _apply(conn: Connection, plan: Callable[[], Sequence[Step]], *, quiet: bool) -> list[str]:
    """Make the changes; return the ids of the services that were not removed.

    They are planned again when managers, who write to services as well, were faster.
    """
    planned, answer = _make(conn, plan)
    for warning in answer.warnings:
        click.echo(f"Warning: {warning}", err=True)
    pairs = [(step, one) for step, one in zip(planned, answer.ids, strict=True) if step.verb]
    if not quiet:
        for made in answer.made:
            click.echo(f"Creating {made}")
        for step, service_id in pairs:
            click.echo(f"{step.verb} service {step.name} (id: {service_id[:12]})")
    return [service_id for step, service_id in pairs if step.verb != REMOVING]


def _make(
    conn: Connection, plan: Callable[[], Sequence[Step]]
) -> tuple[Sequence[Step], c.ApplyChangesResponse]:
    attempts = 0
    while True:
        attempts += 1
        planned = plan()
        request = c.ApplyChangesRequest(changes=[one.change for one in planned])
        try:
            return planned, conn.control.ApplyChanges(request)
        except StaleVersion:
            if attempts == ATTEMPTS_MAX:
                raise


def _wait(conn: Connection, ids: Sequence[str], given: dict[str, Any]) -> int:
    from swarm.cli.stack_progress import wait_all
    from swarm.model.units import parse_duration

    timeout_s = parse_duration(given["timeout"]) / 1e9 if given.get("timeout") else None
    return wait_all(conn, ids, quiet=given["quiet"], timeout_s=timeout_s)


@stack.command(epilog="\b\nExample:\n  swarmctl stack config -c compose.yaml -c production.yaml")
@compose_options
@click.option("--no-interpolate", "--skip-interpolation", "raw", is_flag=True, help="Leave variables alone.")
def config(*, raw: bool, **given: Any) -> None:
    """Print the Compose files as one: merged, with variables filled in, everything in its long form."""
    import yaml

    project = load(given, "", raw=raw)
    for warning in project.warnings:
        click.echo(f"Warning: {warning}", err=True)
    click.echo(yaml.safe_dump(project.tree.plain(), sort_keys=False, allow_unicode=True), nl=False)


@stack.command()
@click.option("--format", "layout", default="", help="json, TEMPLATE or 'table TEMPLATE'.")
@click.pass_obj
def ls(host: str, layout: str) -> None:
    """List the stacks."""
    from collections import Counter

    from swarm.cli.render import show
    from swarm.model.stacks import NAMESPACE_LABEL

    filters = c.Filters(labels=[NAMESPACE_LABEL])
    with connect(host) as conn:
        found = conn.control.ListServices(c.ListServicesRequest(filters=filters)).services
    names = Counter(one.spec.annotations.labels[NAMESPACE_LABEL] for one in found)
    rows = [{"Name": name, "Services": str(count)} for name, count in sorted(names.items())]
    show(rows, COLUMNS, layout)


@stack.command()
@click.argument("name", metavar="STACK")
@click.option("--format", "layout", default="", help="json, TEMPLATE or 'table TEMPLATE'.")
@click.option("-q", "--quiet", is_flag=True, help="Print ids only.")
@click.pass_obj
def services(host: str, name: str, layout: str, *, quiet: bool) -> None:
    """List the services of a stack."""
    from swarm.cli.service import show_services
    from swarm.model.stacks import NAMESPACE_LABEL

    with connect(host) as conn:
        _existing(conn, name)
        show_services(conn, c.Filters(labels=[f"{NAMESPACE_LABEL}={name}"]), layout, quiet=quiet)


@stack.command()
@click.argument("name", metavar="STACK")
@ps_options
@click.pass_obj
def ps(host: str, /, name: str, filters: tuple[str, ...], layout: str, **flags: bool) -> None:
    """List the tasks of a stack."""
    with connect(host) as conn:
        ids = [service.id for service in _existing(conn, name)]
        list_tasks(conn, c.Filters(service_ids=ids), filters, layout, flags)


@stack.command(epilog="\b\nExample:\n  swarmctl stack rm shop blog")
@click.argument("names", metavar="STACK...", nargs=-1, required=True)
@click.option("-d", "--detach", is_flag=True, help="Return at once instead of waiting until nothing runs.")
@click.option("-q", "--quiet", is_flag=True, help="Do not say what is removed.")
@dry_run_options
@click.pass_context
def rm(ctx: click.Context, /, names: Sequence[str], **given: Any) -> None:
    """Remove stacks with everything in them."""
    from swarm.cli.stack_progress import wait_until_gone
    from swarm.errors import SwarmError

    failed = False
    with connect(ctx.obj) as conn:
        for name in names:
            try:
                if given["dry_run"]:
                    changes = [step.change for step in removals(name, _existing(conn, name))]
                    show_fresh_plan(conn, lambda found=changes: found, given["layout"])  # type: ignore[misc]
                    continue
                ids = [service.id for service in _existing(conn, name)]
                _apply(conn, lambda name=name: removals(name, _services(conn, name)), quiet=given["quiet"])  # type: ignore[misc]
                if not given["detach"]:
                    wait_until_gone(conn, ids)
            except SwarmError as problem:
                click.echo(f"Error: {problem}", err=True)
                failed = True
    ctx.exit(1 if failed else 0)


stack.add_command(deploy, "up")
stack.add_command(rm, "down")
