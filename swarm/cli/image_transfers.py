"""`swarmctl image pull|push|save|history`: images between the cluster, registries and archives."""

import os
import re
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import click

from swarm.api.v1 import control_pb2 as c
from swarm.api.v1.types_pb2 import RegistryAuth
from swarm.cli.connect import connect
from swarm.cli.flags import FlagCommand
from swarm.cli.live import can_draw
from swarm.errors import FailedPrecondition, InvalidArgument, NotFound

_COUNTER = re.compile(r"(Pulling from|Pushing to) \S+: ")
_COUNTER_EVERY_S = 5.0  # where lines cannot be overwritten
_HISTORY_COLUMNS = (
    ("LAYER", "ID"),
    ("CREATED", "CreatedSince"),
    ("CREATED BY", "CreatedBy"),
    ("SIZE", "Size"),
    ("COMMENT", "Comment"),
)
_COMMAND_WIDTH = 45


@click.command(
    epilog="\b\nExamples:\n  swarmctl image pull nginx:1.27\n"
    "  swarmctl image pull --platform linux/arm64 --platform linux/amd64 registry.example.com/shop/web:3\n"
    "  swarmctl image pull --all-tags registry.example.com/shop/web\n\n"
    "The manager that is asked fetches the image; the other managers copy it from there, and nodes get it "
    "from them. Without --platform it is fetched for the platforms of the cluster's nodes. Credentials are "
    "those of `swarmctl login`; they serve this command only."
)
@click.argument("reference", metavar="NAME[:TAG]")
@click.option(
    "--platform", "platforms", multiple=True, help="linux/ARCHITECTURE[/VARIANT] or all; repeatable."
)
@click.option("-a", "--all-tags", "everything", is_flag=True, help="Each tag that the registry has of NAME.")
@click.option("-q", "--quiet", is_flag=True, help="Print the reference only.")
@click.pass_context
def pull(
    ctx: click.Context, reference: str, platforms: tuple[str, ...], *, everything: bool, quiet: bool
) -> None:
    """Fetch an image from its registry into the cluster."""
    from swarm.cli import objects

    credentials = _credentials(reference)
    with connect(ctx.obj) as conn:

        def act(ref: str) -> str:
            request = c.PullImageRequest(reference=ref, platforms=platforms, registry_auth=credentials)
            pulled = _follow(conn.control.PullImage(request, timeout=None), "pulled", quiet=quiet)
            if not quiet:
                status = "Downloaded newer image for" if pulled.changed else "Image is up to date for"
                click.echo(f"Status: {status} {pulled.image.annotations.name}", err=True)
            return str(pulled.image.annotations.name)

        if not everything:
            click.echo(act(reference))
            return
        asked = c.ListRegistryTagsRequest(reference=reference, registry_auth=credentials)
        tags = conn.control.ListRegistryTags(asked, timeout=None).tags
        ctx.exit(objects.each([f"{reference}:{tag}" for tag in tags], act))


@click.command(
    epilog="\b\nExamples:\n  swarmctl image tag web:3 registry.example.com/shop/web:3\n"
    "  swarmctl image push registry.example.com/shop/web:3\n\n"
    "What the registry has is not sent again. Credentials are those of `swarmctl login`."
)
@click.argument("reference", metavar="NAME[:TAG]")
@click.option("-a", "--all-tags", "everything", is_flag=True, help="Each image of the cluster of that NAME.")
@click.option("-q", "--quiet", is_flag=True, help="Print the digest only.")
@click.pass_context
def push(ctx: click.Context, reference: str, *, everything: bool, quiet: bool) -> None:
    """Give an image of the cluster to the registry that its name says."""
    from swarm.cli import objects

    credentials = _credentials(reference)
    with connect(ctx.obj) as conn:

        def act(ref: str) -> None:
            request = c.PushImageRequest(ref=ref, registry_auth=credentials)
            pushed = _follow(conn.control.PushImage(request, timeout=None), "pushed", quiet=quiet)
            _tell_pushed(pushed, quiet=quiet)

        if not everything:
            act(reference)
            return
        images = conn.control.ListImages(c.ListImagesRequest()).images
        ctx.exit(objects.each(tagged((one.annotations.name for one in images), reference), act))


def tagged(names: Iterable[str], repository: str) -> list[str]:
    """Return those of the names that are of a repository; raises InvalidArgument, NotFound."""
    from swarm.model.reference import parse_reference, parse_repository

    wanted = parse_repository(repository)
    found = [name for name in names if (one := parse_reference(name)).tag and one.name == wanted.name]
    if not found:
        raise NotFound(f"the cluster has no image of the name {repository}; `swarmctl image ls` lists them")
    return sorted(found)


def _tell_pushed(pushed: c.PushedImage, *, quiet: bool) -> None:
    if pushed.left_out:
        click.echo(
            f"Warning: the cluster does not hold this image for {', '.join(pushed.left_out)}, and the "
            "registry has it without now; `swarmctl image pull --platform all` gets everything.",
            err=True,
        )
    tag = pushed.reference.rpartition(":")[2]
    click.echo(
        pushed.digest
        if quiet
        else f"{tag}: digest: {pushed.digest} size: {pushed.size_bytes} sent: {pushed.sent_bytes}"
    )


@click.command(
    epilog="\b\nExamples:\n  swarmctl image save -o web.tar web:1 web:2\n"
    "  swarmctl image save web:1 | docker load"
)
@click.argument("refs", metavar="IMAGE...", nargs=-1, required=True)
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="File; default: stdout."
)
@click.pass_obj
def save(host: str, refs: tuple[str, ...], output: Path | None) -> None:
    """Write images to an archive: an OCI layout that `docker load` reads as well."""
    if output is None and sys.stdout.isatty():
        raise InvalidArgument(
            "image save writes an archive to standard output; or name a file with --output FILE"
        )
    with connect(host) as conn:
        chunks = conn.control.SaveImages(c.SaveImagesRequest(refs=refs), timeout=None)
        if output is None:
            _write(chunks, sys.stdout.buffer)
            return
        with whole_file(output) as file:
            _write(chunks, file)


@click.command(
    cls=FlagCommand,
    epilog="\b\nExamples:\n  swarmctl image history web:1\n  swarmctl image history --no-trunc web:1",
)
@click.argument("ref", metavar="IMAGE")
@click.option("--format", "layout", default="", help="json, yaml, TEMPLATE or 'table TEMPLATE'.")
@click.option("--no-trunc", is_flag=True, help="Show commands in full.")
@click.option("-q", "--quiet", is_flag=True, help="Print the digests of layers only.")
@click.option(
    "-H", "--human/--no-human", default=True, help="Sizes with units and ages; else bytes and dates."
)
@click.pass_obj
def history(host: str, ref: str, layout: str, *, no_trunc: bool, quiet: bool, human: bool) -> None:
    """Show how an image was made, the latest step first; sizes are those of layers as they are sent."""
    from swarm.cli.render import show
    from swarm.clock import SystemClock

    with connect(host) as conn:
        entries = conn.control.GetImageHistory(c.GetImageHistoryRequest(ref=ref)).entries
    now_ns = SystemClock().now_ns()
    rows = [step_row(entry, now_ns, in_full=no_trunc, human=human) for entry in reversed(entries)]
    shown = [row for row in rows if row["Layer"]] if quiet else rows
    show(shown, _HISTORY_COLUMNS, layout, "Layer" if quiet else "")


def step_row(
    entry: c.ImageHistoryEntry, now_ns: int, *, in_full: bool, human: bool = True
) -> dict[str, str]:
    """Return what a step of an image's history looks like in a table."""
    from swarm.cli.render import shorten
    from swarm.clock import SECOND, nanoseconds, timestamp
    from swarm.model.units import format_age, format_size

    command = " ".join(entry.created_by.split())
    created = entry.HasField("created_at")
    date = timestamp(entry.created_at.seconds * SECOND).ToJsonString() if created else ""
    age = f"{format_age(now_ns - nanoseconds(entry.created_at))} ago" if created else "N/A"
    return {
        "ID": (entry.layer if in_full else entry.layer.removeprefix("sha256:")[:12]) or "<none>",
        "Layer": entry.layer,
        "CreatedAt": date,
        "CreatedSince": age if human else date,
        "CreatedBy": command if in_full else shorten(command, _COMMAND_WIDTH),
        "Size": format_size(entry.size_bytes) if human else str(entry.size_bytes),
        "Comment": entry.comment,
    }


def _credentials(reference: str) -> RegistryAuth | None:
    from swarm.cli.registry_auth import known_credentials
    from swarm.model.reference import parse_reference

    return known_credentials(parse_reference(reference).registry)


def _follow(events: Iterable[Any], last: str, *, quiet: bool) -> Any:
    """Show the progress of a transfer as it comes, and return its outcome."""
    lines, outcome = _Lines(), None
    for event in events:  # to the end: who leaves before it is for the manager one who gave up
        if event.WhichOneof("event") == last:
            lines.end()
            outcome = getattr(event, last)
        elif not quiet:
            lines.add(event.progress)
    if outcome is not None:
        return outcome
    raise FailedPrecondition("the manager ended the transfer without an outcome: try again")


class _Lines:
    """Progress on standard error: counters overwrite each other on a terminal, and are rare elsewhere."""

    def __init__(self) -> None:
        self._overwrites = can_draw(sys.stderr)
        self._counting = False
        self._said_s = 0.0

    def add(self, line: str) -> None:
        """Show a line."""
        counter = _COUNTER.match(line) is not None
        if not self._overwrites:
            now_s = time.monotonic()
            if not counter or now_s - self._said_s >= _COUNTER_EVERY_S:
                self._said_s = now_s if counter else self._said_s
                click.echo(line, err=True)
            return
        click.echo(("\r\033[K" if self._counting else "") + line, err=True, nl=not counter)
        self._counting = counter

    def end(self) -> None:
        """Leave the last counter behind."""
        if self._counting:
            click.echo(err=True)


def _write(chunks: Iterable[c.SaveImagesResponse], file: BinaryIO) -> None:
    file.writelines(answer.chunk for answer in chunks)
    file.flush()


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """Open a file that appears under its name only when everything is written."""
    try:
        if path.exists() and not path.is_file():  # a pipe or a device
            with path.open("wb") as file:
                yield file
            return
        temporary = path.with_name(f".{path.name}.{os.getpid()}.new")
        try:
            with temporary.open("wb") as file:
                yield file
            temporary.rename(path)
        finally:
            temporary.unlink(missing_ok=True)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise FailedPrecondition(f"cannot write {path}: {error.strerror}") from None
