"""`swarmctl image`: images that were loaded into the cluster."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from swarm.api.v1 import control_pb2 as c
from swarm.cli import objects, parse
from swarm.cli.confirm import confirm
from swarm.cli.connect import Connection, connect
from swarm.cli.flags import FlagGroup
from swarm.cli.image_build import build
from swarm.cli.image_import import import_command
from swarm.cli.image_transfers import history, pull, push, save
from swarm.cli.live import can_draw
from swarm.cli.prune import HELP, Listing, Reclaimed, chosen, prune_images, tell_unread
from swarm.errors import InvalidArgument

if TYPE_CHECKING:
    from swarm.api.v1.objects_pb2 import Image
    from swarm.cli.render import Row

CHUNK_BYTES = 1 << 20
FILTERS = ("reference", "dangling", "before", "since")


@click.group(cls=FlagGroup)
def image() -> None:
    """Images loaded into the cluster."""


@image.command(
    "ls",
    epilog="\b\nExamples:\n  swarmctl image ls\n  swarmctl image ls shop/web\n"
    "  swarmctl image ls --filter 'reference=shop/*:1.*' --digests\n  swarmctl image ls --tree\n\n"
    "With --tree an image stands under all its names, with what managers hold for each platform (0B: not "
    "held); U: a container is made of it. What images take on nodes, unpacked, says `system df`.",
)
@click.argument("repository", metavar="[REPOSITORY[:TAG]]", default="")
@click.option("-a", "--all", is_flag=True, expose_value=False, help="All are listed always: none is hidden.")
@click.option("--digests", is_flag=True, help="Also print digests.")
@click.option("-f", "--filter", "filters", multiple=True, help=f"KEY=VALUE; keys: {', '.join(FILTERS)}.")
@click.option("--format", "layout", default="", help="json, yaml, TEMPLATE or 'table TEMPLATE'.")
@click.option("--no-trunc", is_flag=True, help="Do not shorten ids.")
@click.option("-q", "--quiet", is_flag=True, help="Print ids only.")
@click.option("--tree", is_flag=True, help="Show the platforms of each image, and whether it is in use.")
@click.pass_context
def ls(
    ctx: click.Context,
    /,
    repository: str,
    filters: tuple[str, ...],
    layout: str,
    *,
    tree: bool,
    **given: Any,
) -> None:
    """List the images of the cluster."""
    from swarm.cli.docker_settings import layout_of
    from swarm.cli.image_view import COLUMNS, DIGEST_COLUMNS, DIGEST_RAW, RAW, rows
    from swarm.cli.render import show
    from swarm.clock import SystemClock

    wanted = parse.filters(filters, FILTERS)
    if repository:
        wanted.setdefault("reference", []).append(repository)
    others = [flag for flag, is_given in (given | {"format": layout}).items() if is_given]
    if tree and others:
        flag = others[0].replace("_", "-")
        raise InvalidArgument(
            f"--{flag} is for the table: --tree is a page for people; leave one of them out"
        )
    with connect(ctx.obj) as conn:
        images = conn.control.ListImages(c.ListImagesRequest()).images
        found = rows(images, wanted, SystemClock().now_ns(), truncate=not given["no_trunc"])
        if tree:
            ctx.exit(_show_tree(conn, images, found))
    columns, raw = (DIGEST_COLUMNS, DIGEST_RAW) if given["digests"] else (COLUMNS, RAW)
    layout = layout_of("imagesFormat", layout, quiet=given["quiet"])
    show(found, columns, layout, "ID" if given["quiet"] else "", raw)


def _show_tree(conn: Connection, images: "Sequence[Image]", found: "Sequence[Row]") -> int:
    """Print images as a tree; return the exit code."""
    from swarm.cli import image_tree
    from swarm.cli.container_calls import Notices

    notices = Notices()
    platforms, in_use = image_tree.asked(conn, images, {row["Digest"] for row in found}, notices)
    click.echo(image_tree.tree(found, platforms, in_use))
    return notices.exit_code


def _chunks(stream: BinaryIO, reference: str, size: int) -> Iterator[c.LoadImageRequest]:
    """Yield the archive in pieces, showing somebody who watches how far it is of `size` (0: not)."""
    shown = size if can_draw(sys.stderr) else 0
    with click.progressbar(length=shown, label="Loading", file=sys.stderr, hidden=not shown) as bar:
        while chunk := stream.read(CHUNK_BYTES):
            yield c.LoadImageRequest(chunk=chunk, reference=reference)
            bar.update(len(chunk))


@image.command(
    "load",
    epilog="\b\nExamples:\n  swarmctl image load -i web.tar\n  docker save web:1 | swarmctl image load",
)
@click.option(
    "-i", "--input", "source", type=click.Path(exists=True, dir_okay=False), help="File; default: stdin."
)
@click.option("-t", "--tag", default="", help="Name for an image that has none in the archive.")
@click.option("-q", "--quiet", is_flag=True, help="Print the references only.")
@click.pass_obj
def load(host: str, source: str | None, tag: str, *, quiet: bool) -> None:
    """Give the cluster an image from an OCI layout or `docker save` archive; no registry needed."""
    if source is None and sys.stdin.isatty():
        raise InvalidArgument(
            "image load reads an archive from standard input; or name one with --input FILE"
        )
    with connect(host) as conn, Path(source).open("rb") if source else sys.stdin.buffer as stream:
        size = Path(source).stat().st_size if source and not quiet else 0
        answer = conn.control.LoadImage(_chunks(stream, tag, size), timeout=None)
    for item in answer.images:
        click.echo(item.annotations.name if quiet else f"Loaded image: {item.annotations.name}")


@image.command("inspect", epilog="\b\nExample:\n  swarmctl image inspect web:1")
@click.argument("refs", metavar="IMAGE...", nargs=-1, required=True)
@click.option("-f", "--format", "layout", default="", help="json, yaml or TEMPLATE.")
@click.pass_context
def inspect(ctx: click.Context, refs: tuple[str, ...], layout: str) -> None:
    """Show everything known of images of the cluster."""
    from swarm.cli.image_inspect import described

    with connect(ctx.obj) as conn:
        ctx.exit(objects.inspect(refs, lambda ref: described(conn, ref), layout))


@image.command("rm", epilog="\b\nExamples:\n  swarmctl image rm web:1\n  swarmctl image rm --force web:1")
@click.argument("refs", metavar="IMAGE...", nargs=-1, required=True)
@click.option("-f", "--force", is_flag=True, help="Also if services or ended containers use it.")
@click.option(
    "--no-prune",
    is_flag=True,
    expose_value=False,
    help="As always: nodes collect what goes unused.",
)
@click.pass_context
def rm(ctx: click.Context, refs: tuple[str, ...], *, force: bool) -> None:
    """Take images out of the cluster that nothing uses; nothing forces one from what runs."""
    from swarm.cli.image_users import check_plain_users
    from swarm.cli.image_view import named
    from swarm.errors import FailedPrecondition, NotFound
    from swarm.model.reference import parse_reference

    with connect(ctx.obj) as conn:

        def act(ref: str) -> str | None:
            known = conn.control.ListImages(c.ListImagesRequest()).images
            try:
                found = named(known, ref)
            except NotFound as problem:
                if not force:
                    raise
                click.echo(f"Warning: {problem}", err=True)
                return None
            names = [parse_reference(item.annotations.name).familiar for item in found]
            if len(names) > 1 and not force:
                raise FailedPrecondition(
                    f"image {ref} has {len(names)} names ({', '.join(names)}): name one, or use --force"
                )
            for item in found:
                check_plain_users(conn, item.annotations.name, force=force)
                conn.control.RemoveImage(c.RemoveImageRequest(ref=item.id, force=force))
            kept = {item.digest for item in known if item not in found}
            deleted = {item.digest: None for item in found if item.digest not in kept}
            return "\n".join(
                [*(f"Untagged: {name}" for name in names), *(f"Deleted: {digest}" for digest in deleted)]
            )

        ctx.exit(objects.each(refs, act))


@image.command("tag", epilog="\b\nExample:\n  swarmctl image tag web:1 registry.example.com/shop/web:1")
@click.argument("source", metavar="IMAGE")
@click.argument("target", metavar="NAME[:TAG]")
@click.pass_obj
def tag(host: str, source: str, target: str) -> None:
    """Give an image of the cluster another name; one that exists moves."""
    with connect(host) as conn:
        conn.control.TagImage(c.TagImageRequest(source=source, target=target))


@image.command(
    "prune",
    epilog="\b\nExamples:\n  swarmctl image prune\n  swarmctl image prune -a --force\n"
    "  swarmctl image prune -a --filter until=72h --filter 'label!=keep'\n\n"
    "Labels are the image's own, of its build. With until= an image is as old as its build or as its name "
    "in the cluster, whichever is younger. The space is that on each manager.",
)
@click.option(
    "-a", "--all", "everything", is_flag=True, help="All that no service uses, not only nameless ones."
)
@click.option("--filter", "filters", multiple=True, help=HELP)
@click.option("-f", "--force", is_flag=True, help="Do not ask.")
@click.pass_context
def prune(ctx: click.Context, filters: tuple[str, ...], *, everything: bool, force: bool) -> None:
    """Take images out of the cluster that no service uses, now or in a revision it can go back to."""
    wanted = chosen(filters)
    if not force:
        what = "every image that no service uses" if everything else "images without a name"
        confirm(f"This removes {what}{', as far as the filters fit,' if filters else ''} from the cluster.")
    space = Reclaimed()
    with connect(ctx.obj) as conn:
        answer = prune_images(conn, wanted, everything=everything)
    gone = Listing("Deleted Images:")
    for item in answer.images:
        gone.tell(f"untagged: {item.annotations.name}")
    gone.end()
    space.add_bytes(answer.freed_bytes)
    space.tell()
    ctx.exit(1 if tell_unread(answer) else 0)


for _command in (build, history, import_command, pull, push, save):
    image.add_command(_command)
