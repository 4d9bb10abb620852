"""`swarmctl service`: the commands that look, and where the others are."""

from collections.abc import Sequence
from typing import Any

import click

from swarm.api.v1 import control_pb2 as c
from swarm.api.v1 import objects_pb2 as o
from swarm.cli import objects, parse
from swarm.cli.connect import Connection, connect
from swarm.cli.flags import FlagGroup
from swarm.cli.job_view import moment, replicas_text, shown_mode
from swarm.cli.late import late_group
from swarm.cli.natural_order import natural
from swarm.cli.plan import dry_run_options, show_plan
from swarm.cli.published_ports import folded, published, shown_route
from swarm.cli.tasks import list_tasks, ps_options

COLUMNS = (
    ("ID", "ID"),
    ("NAME", "Name"),
    ("MODE", "Mode"),
    ("REPLICAS", "Replicas"),
    ("IMAGE", "Image"),
    ("PORTS", "Ports"),
)
CRON_COLUMNS = (("LAST RUN", "LastRun"), ("NEXT RUN", "NextRun"))  # when there is a cron job to show
FILTERS = ("id", "name", "label", "mode")
_ELSEWHERE = {
    "create": "swarm.cli.service:create",
    "exec": "swarm.cli.service:execute",
    "history": "swarm.cli.rollout:history",
    "logs": "swarm.cli.service:logs",
    "pause": "swarm.cli.rollout:pause",
    "plan": "swarm.cli.service:plan",
    "promote": "swarm.cli.rollout:promote",
    "rebalance": "swarm.cli.service:rebalance",
    "resume": "swarm.cli.rollout:resume",
    "rollback": "swarm.cli.rollout:rollback",
    "scale": "swarm.cli.service:scale",
    "update": "swarm.cli.service:update",
}


@click.group(cls=late_group(_ELSEWHERE, FlagGroup))
def service() -> None:
    """Services of the cluster."""


def _routes(item: o.Service) -> list[str]:
    return [shown_route(one) for one in item.spec.endpoint.routes]


def _row(item: o.Service, status: c.ServiceStatus) -> dict[str, str]:
    return {
        "ID": item.id[:12],
        "Name": item.spec.annotations.name,
        "Mode": shown_mode(item),
        "Replicas": replicas_text(item, status),
        "Image": item.spec.task.container.image,
        "Ports": ", ".join(filter(None, (folded(published(item)), *_routes(item)))),
        "LastRun": moment(item, item.job_status.last_run),
        "NextRun": moment(item, item.job_status.next_run),
    }


@service.command(
    epilog="\b\nExamples:\n"
    "  swarmctl service ls --filter label=tier=web\n"
    "  swarmctl service ls --format json"
)
@click.option("-f", "--filter", "filters", multiple=True, help=f"KEY=VALUE; keys: {', '.join(FILTERS)}.")
@click.option("--format", "layout", default="", help="json, yaml, TEMPLATE or 'table TEMPLATE'.")
@click.option("-q", "--quiet", is_flag=True, help="Print ids only.")
@click.pass_obj
def ls(host: str, filters: tuple[str, ...], layout: str, *, quiet: bool) -> None:
    """List the services."""
    wanted = service_filters(filters)
    with connect(host) as conn:
        show_services(conn, wanted, layout, quiet=quiet)


def service_filters(texts: Sequence[str]) -> c.Filters:
    """Return which services `--filter` values mean; raises InvalidArgument."""
    found = parse.filters(texts, FILTERS)
    return c.Filters(
        id_prefixes=found.get("id", []),
        name_prefixes=found.get("name", []),
        labels=found.get("label", []),
        modes=found.get("mode", []),
    )


def show_services(conn: Connection, filters: c.Filters, layout: str, *, quiet: bool) -> None:
    """Print the services that match, by name."""
    from swarm.cli.docker_settings import layout_of
    from swarm.cli.render import show

    answer = conn.control.ListServices(c.ListServicesRequest(filters=filters))
    rows = [_row(item, status) for item, status in zip(answer.services, answer.statuses, strict=True)]
    has_cron = any(item.spec.HasField("cron") for item in answer.services)
    columns = COLUMNS + CRON_COLUMNS if has_cron else COLUMNS
    layout = layout_of("servicesFormat", layout, quiet=quiet)
    raw = [(title.lower(), key) for title, key in COLUMNS]
    show(sorted(rows, key=lambda row: natural(row["Name"])), columns, layout, "ID" if quiet else "", raw)


@service.command(
    epilog="\b\nExamples:\n"
    "  swarmctl service ps web\n"
    "  swarmctl service ps --filter desired-state=running web worker"
)
@click.argument("refs", metavar="SERVICE...", nargs=-1, required=True)
@ps_options
@click.pass_context
def ps(
    ctx: click.Context, /, refs: tuple[str, ...], filters: tuple[str, ...], layout: str, **flags: bool
) -> None:
    """List the tasks of services, with the history of every slot."""
    with connect(ctx.obj) as conn:
        services, problems = objects.found(
            refs, lambda ref: conn.control.GetService(c.GetServiceRequest(ref=ref)).service
        )
        priorities = {one.id: one.spec.task.priority for one in services}
        if services:
            list_tasks(conn, c.Filters(service_ids=priorities), filters, layout, flags, priorities)
    ctx.exit(objects.failures(problems))


@service.command(epilog="\b\nExample:\n  swarmctl service why web")
@click.argument("ref", metavar="SERVICE")
@click.option("--format", "layout", default="", help="json or TEMPLATE.")
@click.pass_obj
def why(host: str, ref: str, layout: str) -> None:
    """Tell why a service is not (yet) what its spec says, and what its tasks wait for."""
    from swarm.cli.service_why import explain_service

    with connect(host) as conn:
        explain_service(conn, ref, layout)


@service.command(
    epilog="\b\nExamples:\n"
    "  swarmctl service inspect --pretty web\n"
    "  swarmctl service inspect --format '{{.Spec.TaskTemplate}}' web"
)
@objects.inspect_options("SERVICE...")
@click.pass_context
def inspect(ctx: click.Context, refs: tuple[str, ...], layout: str, *, pretty: bool) -> None:
    """Show everything known of services."""
    from swarm.cli.docker_settings import layout_of
    from swarm.cli.inspect_view import service as view
    from swarm.cli.pretty import pretty_service

    layout = layout_of("serviceInspectFormat", layout, quiet=pretty)
    with connect(ctx.obj) as conn:

        def get(ref: str) -> Any:
            item = conn.control.GetService(c.GetServiceRequest(ref=ref)).service
            return pretty_service(item) if pretty else view(item)

        ctx.exit(objects.inspect(refs, get, layout, pretty=pretty))


@service.command(
    epilog="\b\nExamples:\n  swarmctl service rm web worker\n  swarmctl service rm --dry-run web"
)
@click.argument("refs", metavar="SERVICE...", nargs=-1, required=True)
@dry_run_options
@click.pass_context
def rm(ctx: click.Context, refs: tuple[str, ...], layout: str, *, dry_run: bool) -> None:
    """Remove services and their tasks."""
    with connect(ctx.obj) as conn:
        if dry_run:
            requests = [c.RemoveServiceRequest(ref=ref) for ref in refs]
            changes = [c.PlannedChange(remove_service=request) for request in requests]
            ctx.exit(show_plan(conn, changes, layout))

        def act(ref: str) -> str:
            conn.control.RemoveService(c.RemoveServiceRequest(ref=ref))
            return ref

        ctx.exit(objects.each(refs, act))
