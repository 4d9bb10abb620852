"""`swarmctl system`: what the nodes' disks are used for, and what of it can go."""

from collections.abc import Sequence
from typing import Any

import click

from swarm.api.v1 import control_pb2 as c
from swarm.api.v1.containers_pb2 import ContainerOutput, ContainerRequest, PruneContainers
from swarm.api.v1.system_pb2 import CollectImages, MeasureDisk
from swarm.api.v1.volumes_pb2 import PruneVolumes
from swarm.cli import parse
from swarm.cli.confirm import confirm
from swarm.cli.connect import Connection, connect
from swarm.cli.container_calls import Notices, ask, node_ids
from swarm.cli.flags import FlagGroup

NODES = click.option(
    "--node", "nodes", multiple=True, help="Only of this node; repeatable. Default: of all nodes."
)


def _examples(*lines: str) -> str:
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines) + "\n\n"


@click.group(cls=FlagGroup)
def system() -> None:
    """The nodes as a whole: their disks, and what they are."""


@system.command("info")
@click.option("-f", "--format", "layout", default="", help="json, yaml or TEMPLATE.")
@click.pass_context
def info(ctx: click.Context, layout: str) -> None:
    """Show what this node is and knows; as `swarmctl info`."""
    from swarm.cli.cluster import info as show_info

    ctx.invoke(show_info, layout=layout)


@system.command(
    "df",
    epilog=_examples("swarmctl system df", "swarmctl system df -v --node worker-1")
    + "Images of the cluster are never reclaimable on a node: `swarmctl image prune` takes them out. Layers "
    "that images share count once in the sum.",
)
@NODES
@click.option("-v", "--verbose", is_flag=True, help="One by one.")
@click.option("--format", "layout", default="", help="json, yaml, TEMPLATE or 'table TEMPLATE'.")
@click.pass_context
def df(ctx: click.Context, nodes: tuple[str, ...], layout: str, *, verbose: bool) -> None:
    """Show what the disks of nodes are used for."""
    from swarm.cli.render import show
    from swarm.cli.system_view import COLUMNS, ITEM_COLUMNS, item_rows, rows
    from swarm.cli.tasks import node_names

    notices = Notices()
    with connect(ctx.obj) as conn:
        request = ContainerRequest(disk=MeasureDisk(items=verbose))
        answers = list(notices.filter(ask(conn, request, node_ids(conn, nodes))))
        names = node_names(conn)
    found = [one for one in answers if one.HasField("disk")]
    if verbose:
        show(item_rows(found, names), ITEM_COLUMNS, layout)
    else:
        show(rows(found, names), COLUMNS, layout)
    ctx.exit(notices.exit_code)


@system.command(
    "prune",
    epilog=_examples(
        "swarmctl system prune --node worker-1",
        "swarmctl system prune --all --volumes --force",
        "swarmctl system prune --filter until=24h --filter label=tier=test",
    )
    + "Exit code 1: a node could not answer, or did not do it.",
)
@NODES
@click.option("-a", "--all", "everything", is_flag=True, help="Also images with names that nothing uses.")
@click.option("--volumes", is_flag=True, help="Also volumes without a name that nothing uses.")
@click.option(
    "--filter",
    "filters",
    multiple=True,
    help="until=TIME|AGE (containers), label=KEY[=VALUE]; images stay then.",
)
@click.option("-f", "--force", is_flag=True, help="Do not ask.")
@click.pass_context
def prune(ctx: click.Context, /, nodes: tuple[str, ...], filters: tuple[str, ...], **given: Any) -> None:
    """Remove what nothing uses: containers that have ended, images, and volumes if asked for."""
    wanted = prune_filters(filters)
    if not given["force"]:
        confirm(_warning(nodes, {**given, "filters": filters}) + "\n")
    with connect(ctx.obj) as conn:
        ctx.exit(_prune(conn, node_ids(conn, nodes), wanted, given))


def prune_filters(filters: Sequence[str]) -> PruneContainers:
    """Return which of the containers that have ended are meant; raises InvalidArgument."""
    from swarm.clock import SystemClock

    found = parse.filters(filters, ("until", "label"))
    wanted = PruneContainers(labels=found.get("label", []))
    for text in found.get("until", []):
        wanted.ended_before_ns = parse.moment(text, SystemClock().now_ns())
    return wanted


def _warning(nodes: Sequence[str], given: dict[str, Any]) -> str:
    """Return what would go, as people read it."""
    where = f"node {', '.join(nodes)}" if nodes else "all nodes"
    lines = ["all containers that have ended, with their files and output"]
    if given["volumes"]:
        lines.append("volumes without a name that no container has, with their data")
    if given["filters"]:
        return f"This removes, on {where}, as far as the filters fit:\n" + "\n".join(
            f"  - {one}" for one in lines
        )
    lines.append("images that nodes pulled for containers that are gone")
    if not nodes:
        named = "" if given["everything"] else " without a name"
        lines.append(f"all images of the cluster{named} that no service uses")
    return f"This removes, on {where}:\n" + "\n".join(f"  - {line}" for line in lines)


def _prune(conn: Connection, nodes: list[str], wanted: PruneContainers, given: dict[str, Any]) -> int:
    from swarm.model.units import format_size

    notices, freed, refused = Notices(), 0, False
    requests = [ContainerRequest(prune=wanted)]
    if given["volumes"]:
        requests.append(ContainerRequest(prune_volumes=PruneVolumes(labels=wanted.labels)))
    for request in requests:
        for answer in notices.filter(ask(conn, request, nodes)):
            refused = _said(answer) or refused
    if wanted.labels or wanted.ended_before_ns:
        # Neither age nor labels of images are asked for: what a filter should keep must not go.
        click.echo(
            "Images stay: --filter is about containers and volumes (`swarmctl image prune`)", err=True
        )
        return 1 if refused else notices.exit_code
    if not nodes:
        pruned = conn.control.PruneImages(c.PruneImagesRequest(all=given["everything"]))
        for item in pruned.images:
            click.echo(f"Removed image: {item.annotations.name}")
    for answer in notices.filter(ask(conn, ContainerRequest(collect_images=CollectImages()), nodes)):
        freed += answer.freed_bytes
    click.echo(f"Images took {format_size(freed)} that are free now; what is in use or young stays")
    return 1 if refused else notices.exit_code


def _said(answer: ContainerOutput) -> bool:
    """Say what went; whether a node refused."""
    if answer.HasField("removed"):
        click.echo(f"Removed container: {answer.removed}")
    elif answer.volume.removed:
        click.echo(f"Removed volume: {answer.volume.removed}")
    elif answer.volume.refusal:
        click.echo(f"Error: {answer.volume.refusal}", err=True)
        return True
    return False
