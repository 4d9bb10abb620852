"""`swarmctl stack`: services that belong together, from a Compose file."""

from collections.abc import Sequence
from typing import Any

import click

from swarm.api.v1 import control_pb2 as c
from swarm.cli.compose_files import compose_options, load
from swarm.cli.connect import connect
from swarm.cli.flags import FlagGroup
from swarm.cli.natural_order import natural
from swarm.cli.plan import dry_run_options, show_fresh_plan
from swarm.cli.rollout import EXIT_CODES
from swarm.cli.stack_build import as_if_built, build_images, build_option
from swarm.cli.stack_calls import (
    add_credentials,
    apply,
    existing,
    fitting,
    read,
    remaining,
    services_of,
    wait,
)
from swarm.cli.stack_changes import RESOLVE, Step, removals, steps
from swarm.cli.stack_diff import diff
from swarm.cli.stack_history import history, rollback
from swarm.cli.stack_logs import logs
from swarm.cli.tasks import list_tasks, ps_options

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
@build_option
@dry_run_options
@click.pass_context
def deploy(ctx: click.Context, /, name: str, **given: Any) -> None:
    """Create a stack, or change it to what its Compose files say: all of it, or nothing.

    What did not change goes on running. Without STACK, the name in the first file counts.
    """
    wanted = read(name, given)
    if given["with_registry_auth"]:
        add_credentials(wanted.services)
    with connect(ctx.obj) as conn:
        wanted = fitting(conn, wanted)
        for warning in wanted.warnings:
            click.echo(f"Warning: {warning}", err=True)

        def plan() -> list[Step]:
            there = services_of(conn, wanted.name)
            return steps(wanted, there, prune=given["prune"], resolve=given["resolve"])

        if given["dry_run"]:
            ctx.exit(
                show_fresh_plan(
                    conn,
                    lambda: [step.change for step in as_if_built(conn, wanted.builds, plan())],
                    given["layout"],
                )
            )
        build_images(conn, wanted.builds, wanted=given["build"], quiet=given["quiet"])
        ids = apply(conn, plan, quiet=given["quiet"])
        ctx.exit(0 if given["detach"] else wait(conn, ids, wanted.name, given))


@stack.command(epilog="\b\nExample:\n  swarmctl stack config -c compose.yaml -c production.yaml")
@compose_options
@click.option("--no-interpolate", "--skip-interpolation", "raw", is_flag=True, help="Leave variables alone.")
def config(*, raw: bool, **given: Any) -> None:
    """Print the Compose files as one: merged, with variables filled in, everything in its long form."""
    import yaml

    from swarm.compose.interpolation import escaped

    project = load(given, "", raw=raw)
    for warning in project.warnings:
        click.echo(f"Warning: {warning}", err=True)
    tree = project.tree if raw else escaped(project.tree)
    click.echo(yaml.safe_dump(tree.plain(), sort_keys=False, allow_unicode=True), nl=False)


@stack.command(epilog="\b\nExample:\n  swarmctl stack ls")
@click.option("--format", "layout", default="", help="json, yaml, TEMPLATE or 'table TEMPLATE'.")
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
    rows = [{"Name": name, "Services": str(count)} for name, count in names.items()]
    show(sorted(rows, key=lambda row: natural(row["Name"])), COLUMNS, layout)


@stack.command(
    epilog="\b\nExamples:\n"
    "  swarmctl stack services shop\n"
    "  swarmctl stack services --filter mode=global shop"
)
@click.argument("name", metavar="STACK")
@click.option("-f", "--filter", "filters", multiple=True, help="KEY=VALUE; keys: id, name, label, mode.")
@click.option("--format", "layout", default="", help="json, yaml, TEMPLATE or 'table TEMPLATE'.")
@click.option("-q", "--quiet", is_flag=True, help="Print ids only.")
@click.pass_obj
def services(host: str, /, name: str, filters: tuple[str, ...], layout: str, *, quiet: bool) -> None:
    """List the services of a stack."""
    from swarm.cli.service_group import service_filters, show_services
    from swarm.model.stacks import NAMESPACE_LABEL

    wanted = service_filters(filters)
    wanted.labels.append(f"{NAMESPACE_LABEL}={name}")
    with connect(host) as conn:
        existing(conn, name)
        show_services(conn, wanted, layout, quiet=quiet)


@stack.command(
    epilog="\b\nExamples:\n  swarmctl stack ps shop\n  swarmctl stack ps --filter desired-state=running shop"
)
@click.argument("name", metavar="STACK")
@ps_options
@click.pass_obj
def ps(host: str, /, name: str, filters: tuple[str, ...], layout: str, **flags: bool) -> None:
    """List the tasks of a stack."""
    with connect(host) as conn:
        ids = [service.id for service in existing(conn, name)]
        list_tasks(conn, c.Filters(service_ids=ids), filters, layout, flags)


@stack.command(epilog="\b\nExample:\n  swarmctl stack rm shop blog")
@click.argument("names", metavar="STACK...", nargs=-1, required=True)
@click.option("-d", "--detach", is_flag=True, help="Return at once instead of waiting until nothing runs.")
@click.option("-q", "--quiet", is_flag=True, help="Do not say what is removed.")
@dry_run_options
@click.pass_context
def rm(ctx: click.Context, /, names: Sequence[str], **given: Any) -> None:
    """Remove stacks with everything in them.

    One that does not exist is no error.
    """
    from swarm.cli.stack_progress import wait_until_gone
    from swarm.errors import NotFound, SwarmError

    failed = False
    with connect(ctx.obj) as conn:
        for name in names:
            try:
                if given["dry_run"]:
                    changes = [step.change for step in removals(name, existing(conn, name))]
                    show_fresh_plan(conn, lambda found=changes: found, given["layout"])  # type: ignore[misc]
                    continue
                try:
                    ids = [service.id for service in remaining(conn, name)]
                except NotFound as missing:
                    click.echo(f"Warning: {missing}", err=True)
                    continue
                apply(conn, lambda name=name: removals(name, services_of(conn, name)), quiet=given["quiet"])  # type: ignore[misc]
                if not given["detach"]:
                    wait_until_gone(conn, ids, quiet=given["quiet"])
            except SwarmError as problem:
                click.echo(f"Error: {problem}", err=True)
                failed = True
    ctx.exit(1 if failed else 0)


stack.add_command(deploy, "up")
stack.add_command(rm, "down")
for _command in (diff, history, logs, rollback):
    stack.add_command(_command)
