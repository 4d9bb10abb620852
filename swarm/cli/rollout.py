"""`swarmctl service history|rollback|pause|resume|promote`: the updates of a service, in people's hands."""

from collections.abc import Callable
from typing import Any

import click

from swarm.api.v1 import control_pb2 as c
from swarm.api.v1.objects_pb2 import Service
from swarm.api.v1.types_pb2 import UpdateStatus
from swarm.cli.connect import Connection, connect
from swarm.cli.flags import FlagCommand
from swarm.cli.plan import dry_run_options, show_service_plan
from swarm.clock import SystemClock
from swarm.errors import StaleVersion
from swarm.model.rollout import ROLLING_BACK

ATTEMPTS_MAX = 5  # of a change, when a manager writes how far the update is at the same time
_GOES_BACK = (*ROLLING_BACK, UpdateStatus.STATE_ROLLBACK_COMPLETED)
EXIT_CODES = (
    "\b\nExit codes: 0 done, 1 refused, failed or too late, 3 the update paused,\n"
    "4 it was rolled back, 130 Ctrl-C (the update goes on in the background)."
)


def settle(conn: Connection, service_id: str, given: dict[str, Any], *, rollback: bool = False) -> int:
    """Wait for convergence unless asked not to; return the exit code.

    `rollback`: to be rolled back is no failure, because it is what the user wants, or what was before.
    """
    if given["detach"]:
        return 0
    from swarm.cli.progress import wait
    from swarm.model.units import parse_duration

    timeout_s = parse_duration(given["timeout"]) / 1e9 if given.get("timeout") else None
    return wait(conn, service_id, quiet=given["quiet"], timeout_s=timeout_s, rollback=rollback)


def is_rolled_back(service: Service) -> bool:
    """Whether a service, as a request left it, goes back or went back already: to see that is no news."""
    return service.update_status.state in _GOES_BACK


def change_service(conn: Connection, ref: str, send: Callable[[Service], Service]) -> Service:
    """Read a service and `send` a change of it; once more when only the state of its update changed since.

    Returns what `send` returns. Raises StaleVersion when somebody else changed the spec in between.
    """
    found = conn.control.GetService(c.GetServiceRequest(ref=ref)).service
    attempts = 1
    while True:
        try:
            return send(found)
        except StaleVersion:
            again = conn.control.GetService(c.GetServiceRequest(ref=found.id)).service
            if again.revision != found.revision or attempts == ATTEMPTS_MAX:
                raise
            found = again
            attempts += 1


def roll_back(conn: Connection, ref: str, given: dict[str, Any], revision: int = 0) -> int:
    """Go back to a revision, 0 for the spec before, or show what that would do; return the exit code."""

    def request(found: Service) -> c.SteerUpdateRequest:
        version, action = found.meta.version.index, c.SteerUpdateRequest.ACTION_ROLLBACK
        return c.SteerUpdateRequest(ref=found.id, action=action, version=version, revision=revision)

    def planned(found: Service, ref: str) -> c.PlannedChange:
        return c.PlannedChange(steer_update=request(found))

    def send(found: Service) -> Service:
        answer: Service = conn.control.SteerUpdate(request(found)).service
        return answer

    if given["dry_run"]:
        return show_service_plan(conn, [ref], planned, given["layout"])
    changed = change_service(conn, ref, send)
    click.echo(ref)
    return settle(conn, changed.id, given, rollback=True)


def waiting_options(command: Any) -> Any:
    """Add what every command takes that waits for a service."""
    for option in (
        click.option("--timeout", help="Exit 1 if the service has not converged by then, e.g. 2m."),
        click.option("-q", "--quiet", is_flag=True, help="Show no progress."),
        click.option("-d", "--detach", is_flag=True, help="Return at once instead of waiting."),
    ):
        command = option(command)
    return command


def _steer(
    ctx: click.Context, ref: str, action: "c.SteerUpdateRequest.Action", given: dict[str, Any]
) -> None:
    with connect(ctx.obj) as conn:
        service = conn.control.SteerUpdate(c.SteerUpdateRequest(ref=ref, action=action)).service
        click.echo(ref)
        ctx.exit(settle(conn, service.id, given, rollback=is_rolled_back(service)))


@click.command(
    cls=FlagCommand,
    epilog="\b\nExamples:\n"
    "  swarmctl service rollback web          # to the spec before; again: and back\n"
    "  swarmctl service rollback --to 3 web   # to a revision of `service history web`\n"
    "  swarmctl service rollback --dry-run web\n\n" + EXIT_CODES,
)
@click.argument("ref", metavar="SERVICE")
@click.option("--to", "revision", type=click.IntRange(min=1), help="Revision to go back to.")
@waiting_options
@dry_run_options
@click.pass_context
def rollback(ctx: click.Context, /, ref: str, revision: int | None, **given: Any) -> None:
    """Go back to the spec before the last update, or to any revision that is kept."""
    with connect(ctx.obj) as conn:
        ctx.exit(roll_back(conn, ref, given, revision or 0))


@click.command(cls=FlagCommand, epilog="\b\nExample:\n  swarmctl service pause web")
@click.argument("ref", metavar="SERVICE")
@click.pass_context
def pause(ctx: click.Context, ref: str) -> None:
    """Let the update of a service begin nothing more until it is resumed."""
    _steer(ctx, ref, c.SteerUpdateRequest.ACTION_PAUSE, {"detach": True})


@click.command(cls=FlagCommand, epilog="\b\nExample:\n  swarmctl service resume web\n\n" + EXIT_CODES)
@click.argument("ref", metavar="SERVICE")
@waiting_options
@click.pass_context
def resume(ctx: click.Context, /, ref: str, **given: Any) -> None:
    """Let an update go on that was paused, by hand or because a task failed."""
    _steer(ctx, ref, c.SteerUpdateRequest.ACTION_RESUME, given)


@click.command(
    cls=FlagCommand,
    epilog="\b\nExample:\n"
    "  swarmctl service update --update-canary 1 --image web:2 web\n"
    "  swarmctl service promote web\n\n" + EXIT_CODES,
)
@click.argument("ref", metavar="SERVICE")
@waiting_options
@click.pass_context
def promote(ctx: click.Context, /, ref: str, **given: Any) -> None:
    """Update the other tasks of a service as well: its canaries are good."""
    _steer(ctx, ref, c.SteerUpdateRequest.ACTION_PROMOTE, given)


@click.command(
    cls=FlagCommand,
    epilog="\b\nThe revision in force is marked with *. Example:\n  swarmctl service history --no-trunc web",
)
@click.argument("ref", metavar="SERVICE")
@click.option("--format", "layout", default="", help="json, yaml, TEMPLATE or 'table TEMPLATE'.")
@click.option("--no-trunc", is_flag=True, help="Do not shorten what changed and messages.")
@click.option("-q", "--quiet", is_flag=True, help="Print numbers only.")
@click.pass_obj
def history(host: str, ref: str, layout: str, *, no_trunc: bool, quiet: bool) -> None:
    """Show the revisions of a service that are kept, newest first: what changed and what came of it."""
    from swarm.cli.render import show
    from swarm.cli.revision_table import COLUMNS, revision_rows

    with connect(host) as conn:
        answer = conn.control.ListRevisions(c.ListRevisionsRequest(ref=ref))
    truncate = not no_trunc and layout in {"", "table"}
    rows = revision_rows(answer.revisions, SystemClock().now_ns(), truncate=truncate)
    show(rows, COLUMNS, layout, "Revision" if quiet else "")


COMMANDS = (history, pause, promote, resume, rollback)
