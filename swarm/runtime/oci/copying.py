"""Files out of containers and into them, by a process for each copy (`copier`)."""

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

from swarm.errors import FailedPrecondition, InvalidArgument, NotFound, SwarmError
from swarm.runtime.changes import Change, ChangeKind
from swarm.runtime.oci.binaries import SEARCH_PATH
from swarm.runtime.oci.user_namespaces import IdRange
from swarm.runtime.processes import Process
from swarm.runtime.state import Record

CHUNK_BYTES = 64 * 1024
_SOURCES = str(Path(__file__).parents[3])
_COPIER = "import sys; sys.path.append(sys.argv[1]); from swarm.runtime.oci.copier import main; main()"
_ERRORS: dict[str, type[SwarmError]] = {"NotFound": NotFound, "InvalidArgument": InvalidArgument}


@contextlib.contextmanager
def root_of(record: Record, rootfs: Path) -> Iterator[int]:
    """Open the root of a container: as its process sees it, with all mounts, else what is left of it."""
    fd = _live_root(record)
    if fd < 0:
        try:
            fd = os.open(rootfs, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise FailedPrecondition(f"the container has no files any more: {error.strerror}") from error
    try:
        yield fd
    finally:
        os.close(fd)


def _live_root(record: Record) -> int:
    process = Process.open(record.pid, record.pid_started)
    if process is None:
        return -1
    try:
        fd = os.open(f"/proc/{record.pid}/root", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return -1
    else:
        if process.alive:  # so it was the container's process whose root was opened
            return fd
        os.close(fd)
        return -1
    finally:
        process.close()


async def path_kind(root_fd: int, path: str) -> str:
    """Return what a path leads to, empty for nothing."""
    return b"".join([data async for data in _run(root_fd, {"verb": "kind", "path": path})]).decode()


def copy_from(
    root_fd: int, path: str, *, follow: bool, users: IdRange | None = None
) -> AsyncGenerator[bytes, None]:
    """Yield an archive of what is at a path; `users` are those of the container's own."""
    return _run(root_fd, {"verb": "from", "path": path, "follow": follow, **_owners(users)})


async def copy_to(
    root_fd: int,
    path: str,
    archive: AsyncIterator[bytes],
    *,
    keep_owner: bool,
    users: IdRange | None = None,
) -> None:
    """Unpack an archive into a directory; `users` are those of the container's own."""
    order = {"verb": "to", "path": path, "keep_owner": keep_owner, **_owners(users)}
    async for _ in _run(root_fd, order, archive):
        pass


async def changes(root_fd: int, upper_fd: int, lowers: Sequence[Path]) -> AsyncGenerator[Change, None]:
    """Yield what is not as in the image, whose layers are `lowers`."""
    order = {"verb": "changes", "upper_fd": upper_fd, "lowers": [str(path) for path in lowers]}
    rest = b""
    async with contextlib.aclosing(_run(root_fd, order, more_fds=(upper_fd,))) as chunks:
        async for chunk in chunks:
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                kind, path = json.loads(line)
                yield Change(ChangeKind(kind), os.fsencode(path).decode("utf-8", "replace"))


def layer(root_fd: int, upper_fd: int, users: IdRange | None = None) -> AsyncGenerator[bytes, None]:
    """Yield what a container changed as the layer of an image; `users` are those of the container's own."""
    order = {"verb": "layer", "upper_fd": upper_fd, **_owners(users)}
    return _run(root_fd, order, more_fds=(upper_fd,))


def export(root_fd: int, users: IdRange | None = None) -> AsyncGenerator[bytes, None]:
    """Yield an archive of all files; `users` are those of the container's own."""
    return _run(root_fd, {"verb": "export", **_owners(users)})


def _owners(users: IdRange | None) -> dict[str, list[int]]:
    return {"users": [users.first, users.size]} if users else {}


async def _run(
    root_fd: int,
    order: dict[str, Any],
    archive: AsyncIterator[bytes] | None = None,
    more_fds: Sequence[int] = (),
) -> AsyncGenerator[bytes, None]:
    """Yield what the copier writes; raises what it complains about."""
    pipe = asyncio.subprocess.PIPE
    copier = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-S", "-c", _COPIER, _SOURCES, json.dumps({**order, "root_fd": root_fd})),
        stdin=pipe if archive is not None else asyncio.subprocess.DEVNULL,
        stdout=pipe,
        stderr=pipe,
        pass_fds=(root_fd, *more_fds),
        env={"PATH": SEARCH_PATH, "LC_ALL": "C.UTF-8"},
        cwd="/",
    )
    assert copier.stdout is not None
    assert copier.stderr is not None
    complaining = asyncio.ensure_future(copier.stderr.read())
    feeding = asyncio.ensure_future(_feed(copier, archive))
    try:
        while chunk := await copier.stdout.read(CHUNK_BYTES):
            yield chunk
        complaint = await complaining
        if await copier.wait() != 0:
            raise _error(complaint)
    finally:
        feeding.cancel()
        complaining.cancel()
        if copier.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                copier.kill()
            while await copier.stdout.read(CHUNK_BYTES):  # asyncio knows no end before that
                pass
            await copier.wait()
        await asyncio.gather(feeding, complaining, return_exceptions=True)


async def _feed(copier: asyncio.subprocess.Process, archive: AsyncIterator[bytes] | None) -> None:
    if archive is None or copier.stdin is None:
        return
    async for chunk in archive:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it says why by itself
            copier.stdin.write(chunk)
            await copier.stdin.drain()
    copier.stdin.close()


def _error(complaint: bytes) -> SwarmError:
    try:
        document = json.loads(complaint)
        return _ERRORS.get(document["kind"], FailedPrecondition)(document["reason"])
    except (ValueError, KeyError, TypeError):
        return FailedPrecondition(f"the copying failed: {complaint.decode('utf-8', 'replace')[-300:]}")
