"""`swarmctl run` and `container run|create`: containers that belong to no service."""

import contextlib
import os
import re
import sys
import time
from pathlib import Path
from typing import Any

import click

from swarm.api.v1.containers_pb2 import ContainerRequest, ListContainers, RemoveContainer
from swarm.api.v1.plain_pb2 import AttachContainer, CreateContainer, PlainSpec, StartContainer
from swarm.cli.connect import Connection, connect
from swarm.cli.container_calls import Target, ask, ask_one, node_ids
from swarm.cli.container_volumes import add_volumes_from
from swarm.cli.docker_settings import DETACH_KEYS
from swarm.cli.flags import FlagCommand
from swarm.cli.plain_options import PULLS, plain_options, plain_spec
from swarm.errors import Ambiguous, InvalidArgument, NameConflict, NotFound, SwarmError, Unavailable

REMOVAL_TIMEOUT_S, REMOVAL_PAUSE_S = 10.0, 0.05
STREAMS = frozenset({"stdin", "stdout", "stderr"})
NOT_RUN, NOT_RUNNABLE, NOT_FOUND = 125, 126, 127
WHERE = (
    "It belongs to its node: it runs on when managers are away, its restart policy is kept by the node, and "
    "a drain leaves it alone. The scheduler does not count what it uses."
)
EXAMPLES = """\b
Examples:
  swarmctl container {verb} {flags}--name db --node worker-1 -v data:/var/lib/db -p 5432 db:1
  swarmctl container {verb} {more}alpine:3 sh -c 'echo hello'

"""


@click.command(
    "create",
    cls=FlagCommand,
    context_settings={"allow_interspersed_args": False, "help_option_names": ["--help"]},
    epilog=EXAMPLES.format(verb="create", flags="", more="-it ") + WHERE,
)
@click.argument("image")
@click.argument("args", metavar="[COMMAND] [ARG...]", nargs=-1, type=click.UNPROCESSED)
@plain_options
@click.pass_context
def create(ctx: click.Context, /, image: str, args: tuple[str, ...], **given: Any) -> None:
    """Make a container on a node, not started; `swarmctl container start` starts it."""
    _attached(given)
    spec = plain_spec(image, args, given)
    with connect(ctx.obj) as conn:
        target = make(conn, spec, given)
        _say_where(conn, target, given)
    click.echo(target.container_id)


@click.command(
    "run",
    cls=FlagCommand,
    context_settings={"allow_interspersed_args": False, "help_option_names": ["--help"]},
    epilog=EXAMPLES.format(verb="run", flags="-d --restart unless-stopped ", more="--rm -it ")
    + WHERE
    + " Exit code: that of the container; 125: it could not be made or started, 126 and 127: its command "
    "cannot be run, or does not exist.",
)
@click.argument("image")
@click.argument("args", metavar="[COMMAND] [ARG...]", nargs=-1, type=click.UNPROCESSED)
@click.option("-d", "--detach", is_flag=True, help="Print its id once it runs, and let it run.")
@click.option("--sig-proxy/--no-sig-proxy", default=True, help="Pass signals on to it (without -t).")
@DETACH_KEYS
@plain_options
@click.pass_context
def run(ctx: click.Context, /, image: str, args: tuple[str, ...], **given: Any) -> None:
    """Make a container on a node and start it."""
    try:
        spec = _spec_to_run(image, args, given)
        with connect(ctx.obj) as conn:
            ctx.exit(_run(conn, spec, given))
    except SwarmError as problem:
        click.echo(f"Error: {problem}", err=True)
        ctx.exit(exit_code(str(problem)))


def _spec_to_run(image: str, args: tuple[str, ...], given: dict[str, Any]) -> PlainSpec:
    from swarm.cli import terminal

    if given["tty"] and given["interactive"] and not given["detach"] and not sys.stdin.isatty():
        raise InvalidArgument("standard input is no terminal: leave out -t to pipe something through")
    terminal.parse_keys(given["detach_keys"])
    attached = _attached(given)
    if given["detach"] and given["attach"]:
        raise InvalidArgument("--attach and --detach exclude each other: give one of them")
    given["stdin"] = given["interactive"] and "stdin" in attached
    spec = plain_spec(image, args, given)
    # Who leaves a terminal may come back to it; the end of a pipe is the end of the container's input.
    spec.stdin_once = given["stdin"] and not given["detach"] and not given["tty"]
    return spec


def _run(conn: Connection, spec: PlainSpec, given: dict[str, Any]) -> int:
    target = make(conn, spec, given)
    try:
        if given["detach"]:
            ask_one(conn, target, ContainerRequest(start=StartContainer()))
            _say_where(conn, target, given)
            click.echo(target.container_id)
            return 0
        if not _attached(given) & {"stdout", "stderr"}:
            click.echo(target.container_id)
        return start_attached(conn, target, spec, given)
    except SwarmError:
        if spec.auto_remove:
            _forget(conn, target)
        raise


def start_attached(conn: Connection, target: Target, spec: PlainSpec, given: dict[str, Any]) -> int:
    """Start a container with this terminal attached; return its exit code."""
    from swarm.cli import terminal
    from swarm.cli.exec_session import Manner, converse

    rows, columns = terminal.size()
    wanted = AttachContainer(start=True, stdin=given["stdin"], rows=rows, columns=columns)
    tty = spec.container.tty
    manner = Manner(
        tty=tty,
        stdin=wanted.stdin,
        detach_keys=given["detach_keys"],
        signals=given["sig_proxy"] and not tty,
    )
    request = ContainerRequest(attach=wanted)
    attached = _attached(given)
    with Path(os.devnull).open("wb") as nowhere:
        out = sys.stdout.buffer if "stdout" in attached else nowhere
        err = sys.stderr.buffer if "stderr" in attached else nowhere
        code = converse(conn, target, request, manner, out, err)
    if spec.auto_remove:
        _wait_until_gone(conn, target)
    return code


def _attached(given: dict[str, Any]) -> set[str]:
    """Return the streams to be attached to; raises InvalidArgument."""
    found = {word.lower() for word in given["attach"]}
    if unknown := found - STREAMS:
        raise InvalidArgument(f"--attach {min(unknown)}: write stdin, stdout or stderr")
    return found or set(STREAMS)


def make(conn: Connection, spec: PlainSpec, given: dict[str, Any]) -> Target:
    """Have a container made and return where; raises SwarmError."""
    cidfile = Path(given["cidfile"]) if given["cidfile"] else None
    if cidfile is not None:
        _reserve(cidfile)
    try:
        target = _make(conn, spec, given)
    except BaseException:
        if cidfile is not None:
            cidfile.unlink(missing_ok=True)
        raise
    if cidfile is not None:
        cidfile.write_text(target.container_id)
    return target


def _reserve(cidfile: Path) -> None:
    try:
        cidfile.touch(exist_ok=False)
    except FileExistsError:
        raise InvalidArgument(
            f"--cidfile {cidfile}: the file is there: remove it if its container is gone"
        ) from None
    except OSError as error:
        raise InvalidArgument(f"--cidfile {cidfile}: {error.strerror}") from None


def _make(conn: Connection, spec: PlainSpec, given: dict[str, Any]) -> Target:
    _check_name(conn, spec.name, chosen=bool(given["name"]))
    spec.container.image = _by_name(conn, spec.container.image)
    nodes = node_ids(conn, [given["node"]]) if given["node"] else []
    if given["volumes_from"]:
        nodes = add_volumes_from(conn, spec, given["volumes_from"], nodes)
    create = CreateContainer(spec=with_credentials(spec), pull=PULLS[given["pull"]])
    request = ContainerRequest(create=create)
    made = None
    for answer in ask(conn, request, nodes):  # to its end: who leaves before has given up, for the manager
        if answer.HasField("chunk") and not given["quiet"] and not _is_no_news(answer.chunk.data):
            sys.stderr.buffer.write(answer.chunk.data)
            sys.stderr.flush()
        if answer.HasField("created"):
            made = Target(answer.created, answer.node_id, plain=True)
            for warning in answer.warnings:
                click.echo(f"WARNING: {warning}", err=True)
    if made is not None:
        return made
    raise Unavailable("the node did not say whether it made the container: see `swarmctl container ls -a`")


def _by_name(conn: Connection, image: str) -> str:
    """Return the name of the image whose id is given, as `image ls` or `build -q` print it."""
    if not re.fullmatch(r"(sha256:)?[0-9a-f]{12,64}", image):
        return image
    from swarm.api.v1 import control_pb2 as c
    from swarm.cli.image_view import named

    try:
        return named(conn.control.ListImages(c.ListImagesRequest()).images, image)[0].annotations.name
    except NotFound:
        return image


def _is_no_news(line: bytes) -> bool:
    """Whether progress says that there was nothing to do."""
    return line.strip().endswith(b"already here")


def with_credentials(spec: PlainSpec) -> PlainSpec:
    """Return the spec with what this person may show the image's registry, for this once."""
    from swarm.cli.registry_auth import known_credentials
    from swarm.model.reference import parse_reference

    found = known_credentials(parse_reference(spec.container.image).registry)
    if found is None:
        return spec
    sent = PlainSpec()
    sent.CopyFrom(spec)
    sent.container.registry_auth.CopyFrom(found)
    return sent


def _check_name(conn: Connection, name: str, *, chosen: bool) -> None:
    """Refuse the name of a container of another node: commands name containers without their node."""
    from swarm.cli.container_calls import check_new_name, find_plain

    if not chosen:
        return
    check_new_name(conn, name)
    try:
        found = find_plain(conn, name)
    except (NotFound, Ambiguous):
        return  # its node has the last word
    if found.container_id.startswith(name):
        return
    raise NameConflict(
        f'the name "{name}" is taken by container {found.container_id[:12]} on node {found.node_id}: '
        "remove or rename that one"
    )


def _say_where(conn: Connection, target: Target, given: dict[str, Any]) -> None:
    if not given["quiet"] and not given["node"]:
        from swarm.cli.tasks import node_names

        click.echo(f"on node {node_names(conn).get(target.node_id, target.node_id)}", err=True)


def _wait_until_gone(conn: Connection, target: Target) -> None:
    """Wait until its node has removed what has ended: its name and its volumes are free then."""
    deadline = time.monotonic() + REMOVAL_TIMEOUT_S
    request = ContainerRequest(list=ListContainers(all=True, refs=[target.container_id]))
    with contextlib.suppress(SwarmError):  # how it ended is known; the rest is the node's
        while time.monotonic() < deadline:
            states = [
                one.container.state
                for one in ask(conn, request, [target.node_id])
                if one.HasField("container")
            ]
            if set(states) != {"exited"}:  # gone, or somebody left its terminal and it goes on
                return
            time.sleep(REMOVAL_PAUSE_S)


def _forget(conn: Connection, target: Target) -> None:
    """Remove a container that was to be removed and never ran."""
    try:
        ask_one(conn, target, ContainerRequest(remove=RemoveContainer(force=True)))
    except SwarmError as problem:
        click.echo(f"Warning: it is still there: {problem}", err=True)


def exit_code(problem: str) -> int:
    """Return what `run` ends with when there is no container to tell."""
    about_command = re.search(r'exec: ".*": (.*)', problem)
    if about_command is None:
        return NOT_RUNNABLE if problem.startswith("open executable") else NOT_RUN
    return NOT_RUNNABLE if "permission denied" in about_command[1] else NOT_FOUND
