"""`swarmctl container diff|export|commit`: what a container changed, all its files, an image of them."""

import sys
from pathlib import Path
from typing import Any, BinaryIO

import click

from swarm.api.v1.containers_pb2 import (
    CommitContainer,
    ContainerRequest,
    ExportContainer,
    ListChanges,
    PathChange,
)
from swarm.cli.connect import Connection, connect
from swarm.cli.container_calls import Target, ask, find_container, only
from swarm.cli.flags import FlagCommand
from swarm.errors import InvalidArgument

KINDS = {PathChange.KIND_CHANGED: "C", PathChange.KIND_ADDED: "A", PathChange.KIND_DELETED: "D"}


@click.command(
    "diff",
    epilog="\b\nExamples:\n  swarmctl container diff web.1\n\n"
    "A: it was added, C: changed, D: deleted. Volumes and what else is mounted are not looked into.",
)
@click.argument("ref", metavar="CONTAINER")
@click.pass_obj
def diff(host: str, ref: str) -> None:
    """List the files that a container changed, added or deleted, compared with its image."""
    with connect(host) as conn:
        target = find_container(conn, ref)
        request = ContainerRequest(container_id=target.container_id, diff=ListChanges())
        for answer in ask(conn, request, [target.node_id]):
            for one in answer.changed.changes:
                click.echo(f"{KINDS.get(one.kind, '?')} {one.path}")


@click.command(
    "export",
    epilog="\b\nExamples:\n"
    "  swarmctl container export -o web.tar web.1\n"
    "  swarmctl container export web.1 | tar -tf -\n\n"
    "What is mounted in it, volumes too, is not in the archive: `container cp` copies that.",
)
@click.argument("ref", metavar="CONTAINER")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="File to write (default: standard output)."
)
@click.pass_obj
def export(host: str, ref: str, output: Path | None) -> None:
    """Write all files of a container to a tar archive."""
    if output is None and sys.stdout.isatty():
        raise InvalidArgument(
            "container export writes an archive to standard output; or name a file with --output FILE"
        )
    with connect(host) as conn:
        target = find_container(conn, ref)
        if output is None:
            _export(conn, target, sys.stdout.buffer)
            return
        from swarm.cli.image_transfers import whole_file

        with whole_file(output) as file:
            _export(conn, target, file)


def _export(conn: Connection, target: Target, file: BinaryIO) -> None:
    request = ContainerRequest(container_id=target.container_id, export=ExportContainer())
    for answer in ask(conn, request, [target.node_id]):
        if answer.HasField("chunk"):
            file.write(answer.chunk.data)
    file.flush()


@click.command(
    "commit",
    cls=FlagCommand,
    epilog="\b\nExamples:\n"
    "  swarmctl container commit web.1 registry.example.com/shop/web:mended\n"
    "  swarmctl container commit -c 'CMD [\"serve\", \"--debug\"]' -m 'with a debugger' db db:debug\n\n"
    "The image is in the cluster like one that was loaded, and runs on every node. Volumes, secrets and "
    "what else is mounted are not in it; variables are. Without a name it is listed by its digest.",
)
@click.argument("ref", metavar="CONTAINER")
@click.argument("reference", metavar="[REPOSITORY[:TAG]]", default="")
@click.option("-a", "--author", default="", help="Who made it.")
@click.option("-m", "--message", default="", help="What it is for.")
@click.option(
    "-c",
    "--change",
    "instructions",
    multiple=True,
    help="Instruction of a Dockerfile: CMD, ENTRYPOINT, ENV, EXPOSE, HEALTHCHECK, LABEL, ONBUILD, "
    "STOPSIGNAL, USER, VOLUME, WORKDIR; repeatable.",
)
@click.option("-p", "--pause/--no-pause", default=True, help="Let it stand still while its files are read.")
@click.pass_obj
def commit(host: str, /, ref: str, reference: str, **given: Any) -> None:
    """Make an image of a container: its files and settings, as one layer more."""
    wanted = CommitContainer(reference=reference, **given)
    with connect(host) as conn:
        target = find_container(conn, ref)
        request = ContainerRequest(container_id=target.container_id, commit=wanted)
        answers = list(ask(conn, request, [target.node_id]))
    click.echo(only(answers, "committed").digest)
