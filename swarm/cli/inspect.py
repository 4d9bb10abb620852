"""`swarmctl inspect`: objects of any kind by one command."""

from collections.abc import Callable
from typing import Any

import click

from swarm.api.v1 import control_pb2 as c
from swarm.cli import objects
from swarm.cli.connect import Connection, connect
from swarm.errors import FailedPrecondition, InvalidArgument, NotFound

Find = Callable[..., Any]


def _stored(kind: str) -> Find:
    """Return what looks up an object of the store, and shows it."""

    def find(conn: Connection, ref: str) -> Any:
        more = {"verbose": True} if kind == "network" else {}  # with the containers in it
        request = getattr(c, f"Get{kind.title()}Request")(ref=ref, **more)
        return _view(conn, kind, getattr(conn.control, f"Get{kind.title()}")(request))

    return find


def _view(conn: Connection, kind: str, answer: Any) -> Any:
    from swarm.cli import data_view, inspect_view, network_view
    from swarm.cli.node import described

    if kind == "node":
        return described(conn, answer.node)
    if kind == "network":
        return network_view.network(answer.network, answer.endpoints, verbose=False)
    show = data_view.data if kind in {"secret", "config"} else getattr(inspect_view, kind)
    return show(getattr(answer, kind))


def _container(conn: Connection, ref: str, *, size: bool = False) -> Any:
    from swarm.api.v1.containers_pb2 import ContainerRequest, InspectContainer
    from swarm.cli.container_calls import ask_one, find_container, only
    from swarm.cli.container_inspect import details_view
    from swarm.cli.tasks import node_names

    target = find_container(conn, ref)
    answers = ask_one(conn, target, ContainerRequest(inspect=InspectContainer(size=size)))
    return details_view(only(answers, "details"), target.node_id, node_names(conn))


def _image(conn: Connection, ref: str) -> Any:
    from swarm.cli.image_inspect import described

    return described(conn, ref)


def _volume(conn: Connection, ref: str) -> Any:
    from swarm.api.v1.containers_pb2 import ContainerRequest
    from swarm.api.v1.volumes_pb2 import ListVolumes
    from swarm.cli.container_calls import ask
    from swarm.cli.tasks import node_names
    from swarm.cli.volume_view import page, volumes_of

    found = volumes_of(ask(conn, ContainerRequest(list_volumes=ListVolumes(names=[ref])), ()))
    if not found:
        raise NotFound(f"no node has a volume {ref}")
    return page(found[0].volume.volume, found[0].node_id, node_names(conn))


# In this order: what every node is asked for comes last.
KINDS: dict[str, Find] = {
    **{kind: _stored(kind) for kind in ("service", "task", "node", "network", "secret", "config")},
    "container": _container,
    "image": _image,
    "volume": _volume,
}


def answers(view: Any, layout: str) -> bool:
    """Whether an object has all that a template asks for."""
    if layout in {"", "json", "yaml"}:
        return True
    from swarm.cli.render import fill
    from swarm.cli.unsaid import with_unsaid

    try:
        fill(layout, with_unsaid(view))
    except InvalidArgument:
        return False
    return True


@click.command(
    epilog="\b\nExamples:\n  swarmctl inspect web\n  swarmctl inspect --type node worker-1\n"
    "  swarmctl inspect --format '{{.Spec.Name}}' web shop_db"
)
@click.argument("refs", metavar="NAME|ID...", nargs=-1, required=True)
@click.option("--type", "kind", type=click.Choice(list(KINDS)), help="Only objects of this kind.")
@click.option("-f", "--format", "layout", default="", help="json, yaml or TEMPLATE.")
@click.option("-s", "--size", is_flag=True, help="Also what containers take on the disk.")
@click.pass_context
def inspect(ctx: click.Context, refs: tuple[str, ...], kind: str | None, layout: str, *, size: bool) -> None:
    """Show everything known of services, tasks, nodes, networks, secrets, configs, containers, images and
    volumes.

    Of several objects with one name the first in this order is shown that has what a TEMPLATE asks for: a
    task and its container have one id. --type chooses.
    """
    with connect(ctx.obj) as conn:

        def get(ref: str) -> Any:
            lacking: list[Any] = []
            for find in (KINDS[kind],) if kind else KINDS.values():
                try:
                    view = find(conn, ref, size=True) if size and find is _container else find(conn, ref)
                except (NotFound, InvalidArgument, FailedPrecondition):
                    continue
                if answers(view, layout):
                    return view
                lacking.append(view)
            if lacking:
                return lacking[0]
            raise NotFound(f'there is no {kind or "object"} "{ref}"')

        ctx.exit(objects.inspect(refs, get, layout))
