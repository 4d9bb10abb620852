"""`swarmctl volume`: data of containers that stays on a node, on this one and on all others."""

import secrets
from collections.abc import Iterable
from typing import Any

import click

from swarm.api.v1.containers_pb2 import ContainerOutput, ContainerRequest
from swarm.api.v1.specs_pb2 import VolumeSpec
from swarm.api.v1.volumes_pb2 import CreateVolume, ListVolumes, RemoveVolume
from swarm.cli import cluster_volume, objects, parse
from swarm.cli.confirm import confirm, confirm_on_terminal
from swarm.cli.connect import Connection, connect
from swarm.cli.container_calls import Notices, ask, node_ids
from swarm.cli.flags import FlagGroup
from swarm.cli.prune import LABELS, Listing, Reclaimed, chosen, prune_volumes
from swarm.errors import FailedPrecondition, InvalidArgument, NotFound

NODES = click.option(
    "--node", "nodes", multiple=True, help="Only on this node; repeatable. Default: on all nodes."
)
PARTLY = "Exit code 1: a node could not answer, or did not do it; what it says names it."


def _epilog(*lines: str) -> str:
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines) + f"\n\n{PARTLY}"


@click.group(cls=FlagGroup)
def volume() -> None:
    """Volumes: data of containers that stays on a node. Each node has its own, also of the same name.

    Cluster volumes are made once for all nodes, by a storage plugin (CSI).
    """


@volume.command(
    "create",
    epilog=_epilog(
        "swarmctl volume create --node worker-1 data",
        "swarmctl volume create --label tier=db data",
        "swarmctl volume create -o type=nfs -o o=addr=192.0.2.10,rw -o device=:/export shared",
        "swarmctl volume create --cluster -d csi.example.com --required-bytes 10g --group db db-1",
    ),
)
@click.argument("name", required=False)
@click.option("-d", "--driver", default="local", show_default=True, help="What makes it.")
@click.option("-o", "--opt", "options", multiple=True, help="Option of the driver: type, device or o=….")
@click.option("-l", "--label", "labels", multiple=True, help="KEY=VALUE.")
@click.option("--name", "name_before", default="", hidden=True)
@cluster_volume.cluster_options
@NODES
@click.pass_context
def create(ctx: click.Context, /, name: str | None, nodes: tuple[str, ...], **given: Any) -> None:
    """Make a volume, on all nodes or on some; services make theirs themselves."""
    from swarm.model.volumes import driver_problems, name_problems

    if name and given["name_before"]:
        raise InvalidArgument(f"the volume has two names: {given['name_before']} (--name) and {name}")
    name = name or given["name_before"] or secrets.token_hex(32)
    if cluster_volume.is_of_cluster(given):
        if nodes:
            raise InvalidArgument("--node: a cluster volume is for all nodes; see --topology-required")
        with connect(ctx.obj) as conn:
            spec = cluster_volume.wanted_spec(name, given)
            click.echo(cluster_volume.create(conn, spec))
        return
    wanted = CreateVolume(
        name=name,
        driver=given["driver"],
        options=parse.key_values(given["options"], "--opt"),
        labels=parse.key_values(given["labels"], "--label"),
    )
    for problem in (*name_problems(wanted.name), *driver_problems(wanted.driver, wanted.options)):
        raise InvalidArgument(problem)
    with connect(ctx.obj) as conn:
        asked = _asked(conn, nodes, ContainerRequest(create_volume=wanted))
    if any(one.volume.HasField("volume") for one in asked.answers):
        click.echo(wanted.name)
    ctx.exit(asked.exit_code)


@volume.command(
    "ls",
    epilog=_epilog(
        "swarmctl volume ls",
        "swarmctl volume ls --node worker-1 --filter dangling=true -q",
        "swarmctl volume ls --format '{{.Name}} {{.Node}} {{.Mountpoint}}'",
    ),
)
@click.option(
    "-f", "--filter", "filters", multiple=True, help="KEY=VALUE; keys: name, label, driver, dangling."
)
@click.option("--format", "layout", default="", help="json, yaml, TEMPLATE or 'table TEMPLATE'.")
@click.option("-q", "--quiet", is_flag=True, help="Print names only.")
@click.option("--cluster", is_flag=True, help="Cluster volumes only; --filter has id, name and label.")
@NODES
@click.pass_context
def ls(ctx: click.Context, /, nodes: tuple[str, ...], filters: tuple[str, ...], **given: Any) -> None:
    """List volumes, and which tasks have them."""
    from swarm.cli.docker_settings import layout_of
    from swarm.cli.render import show
    from swarm.cli.tasks import node_names
    from swarm.cli.volume_view import COLUMNS, FILTERS, RAW, rows

    name_key = "Name" if given["quiet"] else ""
    layout = layout_of("volumesFormat", given["layout"], quiet=given["quiet"])
    if given["cluster"]:
        wanted = parse.filters(filters, cluster_volume.FILTERS)
        with connect(ctx.obj) as conn:
            found = cluster_volume.rows(conn, wanted)
        show(found, cluster_volume.COLUMNS, layout, name_key, RAW)
        return
    wanted = parse.filters(filters, FILTERS)
    for value in wanted.get("dangling", ()):
        parse.truth("dangling", value)
    with connect(ctx.obj) as conn:
        asked = _asked(conn, nodes, ContainerRequest(list_volumes=ListVolumes()))
        names = node_names(conn)
    found = rows(asked.answers, wanted, names)
    if given["quiet"] and layout in {
        "",
        "table",
        "raw",
    }:  # for `volume rm`, which removes a volume of all nodes
        found = list({row["Name"]: row for row in found}.values())
    show(found, COLUMNS, layout, name_key, RAW)
    ctx.exit(asked.exit_code)


@volume.command(
    "inspect",
    epilog=_epilog("swarmctl volume inspect data", "swarmctl volume inspect --node worker-1 data"),
)
@click.argument("names", metavar="VOLUME...", nargs=-1, required=True)
@click.option("-f", "--format", "layout", default="", help="json, yaml or TEMPLATE.")
@NODES
@click.pass_context
def inspect(ctx: click.Context, names: tuple[str, ...], nodes: tuple[str, ...], layout: str) -> None:
    """Show everything that nodes know of volumes: one entry for each node that has one of the name.

    A cluster volume of that name is the one that is meant, unless --node is said.
    """
    from swarm.cli.render import show_objects
    from swarm.cli.tasks import node_names
    from swarm.cli.volume_view import page, volumes_of

    with connect(ctx.obj) as conn:
        found = {name: cluster_volume.find(conn, name) for name in names} if not nodes else {}
        pages = [cluster_volume.page(one, node_names(conn)) for one in found.values() if one is not None]
        local = [name for name in names if found.get(name) is None]
        code, missing = 0, set(local)
        if local:
            asked = _asked(conn, nodes, ContainerRequest(list_volumes=ListVolumes(names=local)))
            answers = volumes_of(asked.answers)
            answers.sort(key=lambda one: (local.index(one.volume.volume.name), one.node_id))
            pages += [page(one.volume.volume, one.node_id, node_names(conn)) for one in answers]
            code, missing = asked.exit_code, missing - {one.volume.volume.name for one in answers}
    if pages or not layout:
        show_objects(pages, layout)
    for name in names:
        if name in missing:
            click.echo(f"Error: {_unknown(name)}", err=True)
    ctx.exit(1 if missing else code)


@volume.command("update", epilog="\b\nExamples:\n  swarmctl volume update --availability drain db-1")
@click.argument("name", metavar="VOLUME")
@click.option("--availability", type=click.Choice(list(cluster_volume.AVAILABILITIES)), help="For tasks.")
@click.option("--label-add", "labels", multiple=True, help="KEY=VALUE; repeatable.")
@click.option("--label-rm", "no_labels", multiple=True, help="KEY; repeatable.")
@click.pass_context
def update(ctx: click.Context, /, name: str, **given: Any) -> None:
    """Change a cluster volume: paused, no new task gets it; drained, its tasks are replaced."""
    added = parse.key_values(given["labels"], "--label-add")

    def change(spec: VolumeSpec) -> None:
        if given["availability"]:
            spec.availability = cluster_volume.AVAILABILITIES[given["availability"]]
        for key in given["no_labels"]:
            spec.annotations.labels.pop(key, None)
        spec.annotations.labels.update(added)

    with connect(ctx.obj) as conn:
        cluster_volume.update(conn, name, change)
    click.echo(name)


@volume.command("rm", epilog=_epilog("swarmctl volume rm data", "swarmctl volume rm --node worker-1 data"))
@click.argument("names", metavar="VOLUME...", nargs=-1, required=True)
@click.option("-f", "--force", is_flag=True, help="Do not ask; one that does not exist is no error.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@NODES
@click.pass_context
def rm(
    ctx: click.Context, names: tuple[str, ...], nodes: tuple[str, ...], *, force: bool, yes: bool
) -> None:
    """Remove volumes with their data, on all nodes that have them; one that a task has stays.

    A cluster volume of that name is the one that is meant, unless --node is said. With --force it is
    forgotten at once, whatever its plugin has. Asks only where somebody sits at a terminal.
    """
    if not (force or yes):
        where = f"node {', '.join(nodes)}" if nodes else "every node that has one"
        confirm_on_terminal(f"This removes {', '.join(names)} on {where}, with all data.", "--yes")
    with connect(ctx.obj) as conn:
        codes: list[int] = []

        def act(name: str) -> str:
            if not nodes and cluster_volume.find(conn, name) is not None:
                cluster_volume.remove(conn, name, force=force)
                return name
            asked = _asked(conn, nodes, ContainerRequest(remove_volume=RemoveVolume(name=name)))
            codes.append(asked.exit_code)
            if any(one.volume.removed for one in asked.answers) or (force and not asked.exit_code):
                return name
            if asked.refused:
                raise FailedPrecondition(f"volume {name} was not removed")
            raise NotFound(_unknown(name))

        failed = objects.each(names, act)
    ctx.exit(max([failed, *codes]))


@volume.command(
    "prune", epilog=_epilog("swarmctl volume prune --all --node worker-1 --filter label=tier=test")
)
@click.option("-a", "--all", "everything", is_flag=True, help="Also those that have a name.")
@click.option("--filter", "filters", multiple=True, help="label=KEY[=VALUE], label!=KEY[=VALUE], all=true.")
@click.option("-f", "--force", is_flag=True, help="Do not ask.")
@NODES
@click.pass_context
def prune(ctx: click.Context, /, nodes: tuple[str, ...], filters: tuple[str, ...], **given: Any) -> None:
    """Remove volumes that no task has: those without a name, or all."""
    wanted, notices = chosen(filters, (*LABELS, "all")), Notices()
    said = {parse.truth("all", one) for one in parse.filters(filters, (*LABELS, "all")).get("all", ())}
    if len(said) + given["everything"] > 1:
        raise InvalidArgument("--all and --filter all=…: say once which volumes are meant")
    everything = given["everything"] or True in said
    if not given["force"]:
        what = "all volumes that no task has" if everything else "volumes without a name"
        confirm(f"This removes {what}, with their data.")
    with connect(ctx.obj) as conn:
        places = node_ids(conn, nodes)
        answers = prune_volumes(conn, places, wanted, notices, everything=everything)
        asked = _Answers(conn, answers, notices)
    gone, space = Listing("Deleted Volumes:"), Reclaimed()
    removed = (one.volume for one in asked.answers if one.volume.removed)
    for one in sorted(removed, key=lambda one: one.removed):
        gone.tell(one.removed)
        space.add(one)
    gone.end()
    space.tell()
    ctx.exit(asked.exit_code)


class _Answers:
    """What nodes answered; what they refused was said on stderr."""

    def __init__(self, conn: Connection, answers: Iterable[ContainerOutput], notices: Notices) -> None:
        from swarm.cli.tasks import node_names

        self.answers = list(answers)
        refusals = [one for one in self.answers if one.volume.refusal]
        names = node_names(conn) if refusals else {}
        for one in refusals:
            click.echo(f"Error: node {names.get(one.node_id, one.node_id)}: {one.volume.refusal}", err=True)
        self.refused = bool(refusals)
        self.exit_code = 1 if refusals or notices.any else 0


def _asked(conn: Connection, nodes: Iterable[str], request: ContainerRequest) -> _Answers:
    notices = Notices()
    return _Answers(conn, notices.filter(ask(conn, request, node_ids(conn, tuple(nodes)))), notices)


def _unknown(name: str) -> str:
    return f"no node asked has a volume {name}; `swarmctl volume ls` lists them"
