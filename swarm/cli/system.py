"""`swarmctl system`: what the nodes' disks are used for, and what of it can go."""

from collections.abc import Sequence
from typing import Any

import click

from swarm.api.v1.containers_pb2 import ContainerRequest
from swarm.api.v1.system_pb2 import CollectImages, MeasureDisk
from swarm.cli import prune as prune_choice
from swarm.cli.confirm import confirm
from swarm.cli.connect import Connection, connect
from swarm.cli.container_calls import Notices, ask, node_ids
from swarm.cli.late import late_group

NODES = click.option(
    "--node", "nodes", multiple=True, help="Only of this node; repeatable. Default: of all nodes."
)


def _examples(*lines: str) -> str:
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines) + "\n\n"


@click.group(cls=late_group({"events": "swarm.cli.events:events"}))
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
    from swarm.cli.system_view import COLUMNS, ITEM_COLUMNS, RAW, item_rows, rows
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
        show(rows(found, names), COLUMNS, layout, raw=RAW)
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
    help=prune_choice.HELP,
)
@click.option("-f", "--force", is_flag=True, help="Do not ask.")
@click.pass_context
def prune(ctx: click.Context, /, nodes: tuple[str, ...], filters: tuple[str, ...], **given: Any) -> None:
    """Remove what nothing uses: containers that have ended, images, and volumes if asked for."""
    wanted = prune_choice.chosen(filters)
    if not given["force"]:
        confirm(_warning(nodes, {**given, "filters": filters}) + "\n")
    with connect(ctx.obj) as conn:
        ctx.exit(_prune(conn, node_ids(conn, nodes), wanted, given))


def _warning(nodes: Sequence[str], given: dict[str, Any]) -> str:
    """Return what would go, as people read it."""
    where = f"node {', '.join(nodes)}" if nodes else "all nodes"
    lines = ["all containers that have ended, with their files and output"]
    if given["volumes"]:
        lines.append("volumes without a name that no container has, with their data")
    if not given["filters"]:
        lines.append("images that nodes pulled for containers that are gone")
    if not nodes:
        named = "" if given["everything"] else " without a name"
        lines.append(f"all images of the cluster{named} that no service uses")
    fitting = ", as far as the filters fit" if given["filters"] else ""
    return f"This removes, on {where}{fitting}:\n" + "\n".join(f"  - {line}" for line in lines)


def _prune(conn: Connection, nodes: list[str], wanted: prune_choice.Chosen, given: dict[str, Any]) -> int:
    notices, space, failed = Notices(), prune_choice.Reclaimed(), False
    gone = prune_choice.Listing("Deleted Containers:")
    for answer in prune_choice.prune_containers(conn, nodes, wanted, notices):
        if answer.HasField("removed"):
            gone.tell(answer.removed)
            space.add(answer)
    gone.end()
    gone = prune_choice.Listing("Deleted Volumes:")
    for answer in prune_choice.prune_volumes(conn, nodes, wanted, notices) if given["volumes"] else ():
        if answer.volume.removed:
            gone.tell(answer.volume.removed)
            space.add(answer.volume)
        elif answer.volume.refusal:
            click.echo(f"Error: {answer.volume.refusal}", err=True)
            failed = True
    gone.end()
    if not nodes:
        pruned = prune_choice.prune_images(conn, wanted, everything=given["everything"])
        gone = prune_choice.Listing("Deleted Images:")
        for item in pruned.images:
            gone.tell(f"untagged: {item.annotations.name}")
        gone.end()
        space.add_bytes(pruned.freed_bytes)
        failed = prune_choice.tell_unread(pruned) or failed
    if not wanted.some:  # what nodes have beside that can be pulled again, and has no labels
        collecting = ContainerRequest(collect_images=CollectImages())
        for answer in notices.filter(ask(conn, collecting, nodes)):
            space.add_bytes(answer.freed_bytes)
    space.tell()
    return 1 if failed else notices.exit_code
