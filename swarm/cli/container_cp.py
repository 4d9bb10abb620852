"""`swarmctl container cp`: files from a container to here, and from here to a container."""

import contextlib
import io
import shutil
import sys
import threading
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

import click

from swarm.api.v1.containers_pb2 import (
    ContainerInput,
    ContainerRequest,
    CopyFromContainer,
    CopyToContainer,
    PathInfo,
    StatPath,
)
from swarm.cli.connect import Connection, connect
from swarm.cli.container_calls import Target, ask, ask_one, find_container, only, question
from swarm.cli.exec_session import CHUNK_BYTES, Caller
from swarm.errors import InvalidArgument, SwarmError


@click.command(
    "cp",
    epilog="\b\nExamples:\n"
    "  swarmctl container cp web.1:/var/log/app ./logs\n"
    "  swarmctl container cp settings.toml web.1:/etc/app/\n"
    "  swarmctl container cp web.1:/data - | tar -tf -\n\n"
    "A directory is copied into one that exists, and becomes one that does not; SOURCE/. means what is in "
    "it. Symbolic links are copied as links. What comes into a container belongs to its root, with -a to "
    "whom it belonged before.",
)
@click.argument("source", metavar="SOURCE|CONTAINER:SOURCE|-")
@click.argument("target", metavar="TARGET|CONTAINER:TARGET|-")
@click.option("-L", "--follow-link", is_flag=True, help="Copy what SOURCE leads to, if it is a link.")
@click.option("-q", "--quiet", is_flag=True, expose_value=False, help="It says nothing anyway.")
@click.option("-a", "--archive", is_flag=True, help="Keep owners.")
@click.pass_obj
def cp(host: str, source: str, target: str, *, follow_link: bool, archive: bool) -> None:
    """Copy files between a container and this machine; - is a tar archive on standard input or output."""
    (from_ref, from_path), (to_ref, to_path) = split(source), split(target)
    if bool(from_ref) == bool(to_ref):
        raise InvalidArgument("one of SOURCE and TARGET must be in a container: write CONTAINER:PATH")
    with connect(host) as conn:
        if from_ref:
            found = find_container(conn, from_ref)
            request = CopyFromContainer(path=from_path, follow_link=follow_link)
            _from(conn, found, request, to_path, keep_owner=archive)
        else:
            _to(
                conn,
                find_container(conn, to_ref),
                from_path,
                to_path,
                follow=follow_link,
                keep_owner=archive,
            )


def split(text: str) -> tuple[str, str]:
    """Return (container, path); no container for a path of this machine: `./a:b` is one."""
    ref, colon, path = text.partition(":")
    if not colon or text.startswith(("/", ".")) or "/" in ref or not ref:
        return "", text
    if not path:
        raise InvalidArgument(f'"{text}" names no path in the container')
    return ref, path


def _from(
    conn: Connection, found: Target, request: CopyFromContainer, to_path: str, *, keep_owner: bool
) -> None:
    answers = ask(
        conn, ContainerRequest(container_id=found.container_id, copy_from=request), [found.node_id]
    )
    chunks = (answer.chunk.data for answer in answers if answer.HasField("chunk"))
    if to_path == "-":
        for chunk in chunks:
            sys.stdout.buffer.write(chunk)
        sys.stdout.buffer.flush()
        return
    from swarm.cli.archive import Destination, extract

    contents = request.path.endswith("/.") or request.path == "."
    for warning in extract(
        chunks, Destination.choose(Path(to_path), to_path, contents=contents), keep_owner
    ):
        click.echo(f"Warning: {warning}", err=True)


def _to(
    conn: Connection, found: Target, from_path: str, to_path: str, *, follow: bool, keep_owner: bool
) -> None:
    from swarm.cli.archive import pack

    kind = _kind(conn, found, to_path)
    if from_path == "-":
        if not kind.directory:
            raise InvalidArgument(f"{to_path} is no directory in the container: an archive needs one")
        _send(conn, found, to_path, _pass_on, keep_owner=keep_owner)
        return
    source = Path(from_path)
    if follow:
        source = source.resolve()
    directory, name = place(source, from_path, to_path, kind)
    left_out: list[str] = []
    _send(
        conn, found, directory, lambda sink: left_out.extend(pack(source, name, sink)), keep_owner=keep_owner
    )
    for warning in left_out:
        click.echo(f"Warning: {warning}", err=True)


def _pass_on(sink: "Upload") -> None:
    shutil.copyfileobj(sys.stdin.buffer, sink, CHUNK_BYTES)


def place(source: Path, text: str, to_path: str, kind: PathInfo) -> tuple[str, str]:
    """Return the directory in the container to unpack in, and the name that the source gets there.

    An empty name: what is in the directory, not itself. Raises InvalidArgument.
    """
    if not source.exists() and not source.is_symlink():
        raise InvalidArgument(f"there is no {source}")
    is_directory = source.is_dir() and not (source.is_symlink() and not text.endswith("/"))
    if kind.directory:
        contents = text.endswith("/.") or text == "."
        return to_path, "" if contents else source.name or source.resolve().name
    if kind.exists and is_directory:
        raise InvalidArgument(f"{to_path} is a file in the container: a directory cannot be copied to it")
    if to_path.endswith("/") and not is_directory:
        raise InvalidArgument(f"there is no directory {to_path} in the container")
    target = PurePosixPath(to_path)
    return str(target.parent), target.name


def _kind(conn: Connection, found: Target, path: str) -> PathInfo:
    kind: PathInfo = only(ask_one(conn, found, ContainerRequest(stat=StatPath(path=path))), "path")
    return kind


def _send(
    conn: Connection, found: Target, directory: str, write: "Callable[[Upload], None]", *, keep_owner: bool
) -> None:
    """Have an archive unpacked that `write` writes; returns when it was."""
    request = ContainerRequest(
        container_id=found.container_id, copy_to=CopyToContainer(path=directory, keep_owner=keep_owner)
    )
    upload = Upload(Caller(question(request, [found.node_id])))
    hearing = threading.Thread(target=upload.hear, args=(conn,), name="answers", daemon=True)
    hearing.start()
    with contextlib.suppress(BrokenPipeError):  # the node says why it takes no more
        write(upload)
        upload.end()
    hearing.join()
    if upload.failure is not None:
        raise upload.failure


class Upload(io.RawIOBase):
    """A file whose content goes to a node."""

    def __init__(self, caller: Caller) -> None:
        super().__init__()
        self._caller = caller
        self.failure: SwarmError | None = None

    def writable(self) -> bool:
        """Say that it can be written to."""
        return True

    def write(self, data: Any) -> int:
        """Send data as soon as there is room; raises BrokenPipeError when nobody takes it any more."""
        content = bytes(data)
        for at in range(0, len(content), CHUNK_BYTES):
            if not self._caller.put_data(content[at : at + CHUNK_BYTES]):
                raise BrokenPipeError
        return len(content)

    def end(self) -> None:
        """Say that this was all."""
        self._caller.put(ContainerInput(end=True))

    def hear(self, conn: Connection) -> None:
        """Take the answers up to the last; `failure` tells how it went."""
        try:
            for answer in conn.containers.Operate(iter(self._caller), timeout=None):
                if answer.HasField("taken"):
                    self._caller.taken(answer.taken)
        except SwarmError as error:
            self.failure = error
        finally:
            self._caller.close()
