"""`swarmctl stack history` and `stack rollback`: what was deployed, and the way back to it."""

from collections.abc import Sequence
from typing import Any

import click

from swarm.api.v1 import control_pb2 as c
from swarm.api.v1.objects_pb2 import StackRevision
from swarm.api.v1.specs_pb2 import ServiceSpec
from swarm.cli.connect import Connection, connect
from swarm.cli.flags import FlagCommand
from swarm.cli.plan import dry_run_options, show_fresh_plan
from swarm.cli.render import Row, shorten
from swarm.cli.rollout import EXIT_CODES
from swarm.cli.stack_calls import add_credentials, apply, services_of, wait
from swarm.cli.stack_changes import Step, steps_back
from swarm.errors import FailedPrecondition, NotFound

COLUMNS = (
    ("REVISION", "RevisionMark"),
    ("WHEN", "When"),
    ("BY", "By"),
    ("CHANGED", "Changed"),
    ("IMAGES", "Images"),
)
WIDTH = 60  # of what changed and of images
AT_SOCKET = "(socket)"  # of a manager, which only root may open: nobody says who it is
DIGEST = 12  # characters of one


@click.command(
    cls=FlagCommand,
    epilog="\b\nExamples:\n  swarmctl stack history shop\n"
    "  swarmctl stack history --format json --no-trunc shop\n\n"
    "The last 10 deploys are kept, while they are not larger than 1 MiB together.",
)
@click.argument("name", metavar="STACK")
@click.option("--format", "layout", default="", help="json, yaml, TEMPLATE or 'table TEMPLATE'.")
@click.option("--no-trunc", is_flag=True, help="Do not shorten what changed, images and digests.")
@click.pass_obj
def history(host: str, name: str, layout: str, *, no_trunc: bool) -> None:
    """List what was deployed as a stack, newest first: when, by whom, what changed, which images.

    A deploy that changed nothing is not listed. The one marked with * is in force.
    """
    from swarm.cli.render import show
    from swarm.clock import SystemClock

    with connect(host) as conn:
        revisions = _revisions(conn, name)
    show(revision_rows(name, revisions, SystemClock().now_ns(), truncate=not no_trunc), COLUMNS, layout)


def _numbers(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    from swarm.cli.completion import names_of

    return names_of(ctx, param, incomplete)


@click.command(
    cls=FlagCommand,
    epilog="\b\nExamples:\n  swarmctl stack rollback shop            # to the deploy before\n"
    "  swarmctl stack rollback --to 3 shop     # numbers: swarmctl stack history shop\n\n" + EXIT_CODES,
)
@click.argument("name", metavar="STACK")
@click.option(
    "--to",
    "wanted",
    type=click.IntRange(1),
    metavar="N",
    shell_complete=_numbers,
    help="Go back to this deploy.",
)
@click.option("--with-registry-auth", is_flag=True, help="Send your registry credentials to the nodes.")
@click.option("-d", "--detach", is_flag=True, help="Return at once instead of waiting for convergence.")
@click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
@click.option("--timeout", help="Exit 1 if the stack has not converged by then, e.g. 5m.")
@dry_run_options
@click.pass_context
def rollback(ctx: click.Context, /, name: str, wanted: int | None, **given: Any) -> None:
    """Go back to what was deployed before, as a whole: services, networks, secrets and configs.

    It is done in one transaction, or not at all, and is a deploy of its own: rolling back twice is back
    where it began. Images are those of then, by their digests.
    """
    with connect(ctx.obj) as conn:
        target = choose(name, _revisions(conn, name), wanted)
        specs = [_copy(one) for one in target.services]
        if given["with_registry_auth"]:
            add_credentials(specs)

        def plan() -> list[Step]:
            return steps_back(name, target, services_of(conn, name), specs)

        if given["dry_run"]:
            ctx.exit(show_fresh_plan(conn, lambda: [step.change for step in plan()], given["layout"]))
        if not given["quiet"]:
            click.echo(f"Going back to revision {target.revision} of stack {name}")
        ids = apply(conn, plan, quiet=given["quiet"])
        ctx.exit(0 if given["detach"] else wait(conn, ids, name, given))


def choose(name: str, revisions: Sequence[StackRevision], wanted: int | None) -> StackRevision:
    """Return the revision to go back to: `wanted`, or the one before the last.

    Raises NotFound, and FailedPrecondition when there is none before, or it was too large to be kept.
    """
    kept = ", ".join(str(one.revision) for one in revisions if one.services) or "none"
    if wanted is None:
        if len(revisions) < 2:
            raise FailedPrecondition(f"stack {name} was deployed once only: there is nothing to go back to")
        found = revisions[-2]
    else:
        by_number = {one.revision: one for one in revisions}
        if wanted not in by_number:
            raise NotFound(f"stack {name} has no revision {wanted} to go back to; kept are: {kept}")
        found = by_number[wanted]
    if not found.services:
        raise FailedPrecondition(
            f"revision {found.revision} of stack {name} was too large to be kept; kept are: {kept}"
        )
    return found


def revision_rows(
    stack: str, revisions: Sequence[StackRevision], now_ns: int, *, truncate: bool
) -> list[Row]:
    """Return one row a revision, newest first; `revisions` are oldest first, the last one is in force."""
    from swarm.cli.inspect_view import when
    from swarm.clock import nanoseconds
    from swarm.model.units import format_age

    rows: list[Row] = []
    for one in reversed(revisions):
        is_present = one is revisions[-1]
        age = format_age(now_ns - nanoseconds(one.at))
        changed = _changed(stack, one)
        images = ", ".join(_image(stack, spec, truncate=truncate) for spec in one.services) or "(too large)"
        rows.append(
            {
                "Revision": str(one.revision),
                "RevisionMark": f"{one.revision} *" if is_present else str(one.revision),
                "Current": str(is_present).lower(),
                "CreatedAt": when(one.at),
                "When": f"{age[0].lower()}{age[1:]} ago",
                "By": one.by or AT_SOCKET,
                "BackTo": str(one.back_to) if one.back_to else "",
                "Changed": shorten(changed, WIDTH) if truncate else changed,
                "Images": shorten(images, WIDTH) if truncate else images,
            }
        )
    return rows


def _changed(stack: str, one: StackRevision) -> str:
    """Return e.g. `+web ~db -cache`: created, updated, removed; and where it went back to."""
    parts = [
        f"{sign}{name.removeprefix(f'{stack}_')}"
        for sign, names in (("+", one.created), ("~", one.updated), ("-", one.removed))
        for name in names
    ]
    back = [f"back to {one.back_to}:"] if one.back_to else []
    return " ".join([*back, *parts]) or "-"


def _image(stack: str, spec: ServiceSpec, *, truncate: bool) -> str:
    container = spec.task.container
    digest = container.image_digest.removeprefix("sha256:")[:DIGEST] if truncate else container.image_digest
    name = spec.annotations.name.removeprefix(f"{stack}_")
    return f"{name}={container.image}" + (f"@{digest}" if digest else "")


def _revisions(conn: Connection, name: str) -> Sequence[StackRevision]:
    answer: c.ListStackRevisionsResponse = conn.control.ListStackRevisions(
        c.ListStackRevisionsRequest(stack=name)
    )
    return answer.revisions


def _copy(spec: ServiceSpec) -> ServiceSpec:
    copy = ServiceSpec()
    copy.CopyFrom(spec)
    return copy
