"""Users of a container's own: which ids of the node they are, and mounts that show files as theirs. Blocks.

Nothing is copied or given to other owners: the image's layers, volumes and binds are shown through a map of
owners (idmapped mounts; below overlayfs since Linux 5.19). They are shown below a directory that everybody
may pass: the container's first process has no privileges on the node when it looks for them.
"""

import ctypes
import os
import re
import struct
import subprocess
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from swarm.errors import InvalidArgument, TaskRejected
from swarm.runtime.oci.overlay import unmount

STAGES = Path("/run/swarm-users")  # outside of the node's own directories, which are closed to others
OLDEST_KERNEL = (5, 19)
_NEWNET = 0x40000000
_OPEN_TREE, _MOVE_MOUNT, _MOUNT_SETATTR = 428, 429, 442  # the same numbers on every architecture
_AT_FDCWD, _AT_EMPTY_PATH = -100, 0x1000
_CLONE_TREE, _FROM_DESCRIPTOR, _ATTR_IDMAP = 1, 4, 0x00100000

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


@dataclass(frozen=True, slots=True)
class IdRange:
    """User and group ids of the node, which are 0 and up in a container."""

    first: int
    size: int


def parse_range(text: str) -> IdRange:
    """Return the range that `FIRST:SIZE` means; raises InvalidArgument."""
    found = re.fullmatch(r"(\d{1,10}):(\d{1,10})", text, re.ASCII)
    if not found or int(found[1]) < 1 or int(found[2]) < 1 or int(found[1]) + int(found[2]) > 2**32 - 1:
        raise InvalidArgument(f'subordinate ids "{text}": write FIRST:SIZE, e.g. 1879048192:268435456')
    return IdRange(int(found[1]), int(found[2]))


def free_range(pool: IdRange, taken: Iterable[IdRange], size: int) -> IdRange:
    """Return the first ids of the pool that nobody has; raises TaskRejected when there are too few. Pure."""
    first = pool.first
    for one in sorted(taken, key=lambda one: one.first):
        if one.first >= first + size:
            break
        first = max(first, one.first + one.size)
    if first + size > pool.first + pool.size:
        raise TaskRejected(
            f"no {size} user ids are left on this node for a user namespace: its setting subordinate_ids "
            f"has {pool.size}"
        )
    return IdRange(first, size)


def obstacle(kernel: str, max_namespaces: str) -> str:
    """Return why containers cannot have users of their own on a node, empty when they can. Pure."""
    found = re.match(r"(\d+)\.(\d+)", kernel)
    if found and (int(found[1]), int(found[2])) < OLDEST_KERNEL:
        return f"its kernel {kernel} cannot show an image's files to other users: needs Linux 5.19"
    if max_namespaces.strip() in {"", "0"}:
        return "its kernel makes no user namespaces (user.max_user_namespaces)"
    return ""


def stage_of(container_id: str) -> Path:
    """Return where a container's files are shown as those of its users."""
    return STAGES / container_id


@contextmanager
def mapped_users(users: IdRange) -> Iterator[int]:
    """Yield a descriptor of a user namespace in which the range begins at 0; raises OSError."""
    # Another program, for a fork of this process would be one of many threads.
    command = ("unshare", "--user", "sh", "-c", "echo; exec cat")
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        try:
            if holder.stdout is None or holder.stdout.readline() != b"\n":
                raise OSError(0, "cannot make a user namespace")
            for name in ("uid_map", "gid_map"):
                (Path("/proc") / str(holder.pid) / name).write_text(
                    f"0 {users.first} {users.size}\n", "ascii"
                )
            fd = os.open(f"/proc/{holder.pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
            try:
                yield fd
            finally:
                os.close(fd)
        finally:
            holder.kill()


def show(source: Path, target: Path, users_fd: int | None) -> None:
    """Mount `source` at the new `target`, its files owned by the users of a namespace; None: as they are.

    Raises TaskRejected where the file system cannot do that, OSError.
    """
    if source.is_dir():
        target.mkdir(parents=True)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch()
    tree = _syscall(_OPEN_TREE, source, _AT_FDCWD, bytes(source), _CLONE_TREE | os.O_CLOEXEC)
    try:
        if users_fd is not None:
            attributes = struct.pack("=QQQQ", _ATTR_IDMAP, 0, 0, users_fd)
            _map_owners(tree, source, attributes)
        _syscall(_MOVE_MOUNT, target, tree, b"", _AT_FDCWD, bytes(target), _FROM_DESCRIPTOR)
    finally:
        os.close(tree)


def _map_owners(tree: int, source: Path, attributes: bytes) -> None:
    size = ctypes.c_size_t(len(attributes))
    try:
        _syscall(_MOUNT_SETATTR, source, tree, b"", _AT_EMPTY_PATH, attributes, size)
    except OSError as error:
        raise TaskRejected(
            f"the owners of {source} cannot be mapped for a user namespace: "
            f"this node's kernel cannot do it on that file system ({error.strerror})"
        ) from error


def clear(container_id: str) -> None:
    """Take away what is shown for a container, if anything; raises OSError when something stays."""
    stage = stage_of(container_id)
    if not stage.is_dir():
        return
    for directory, names, files in os.walk(stage):
        for name in [*names, *files]:
            while unmount(Path(directory) / name):
                pass
    # Never by a recursive removal: that would reach through a mount that stayed.
    for directory, names, files in os.walk(stage, topdown=False):
        for name in files:
            (Path(directory) / name).unlink()
        for name in names:
            (Path(directory) / name).rmdir()
    stage.rmdir()
    with suppress(OSError):  # others are there
        STAGES.rmdir()


def set_network_sysctls(netns: str, values: Mapping[str, str]) -> None:
    """Set parameters of a network namespace; raises TaskRejected with the one that would not be set.

    The container's own users may not: the namespace is the node's.
    """
    problems: list[str] = []

    def inside() -> None:
        try:
            fd = os.open(netns, os.O_RDONLY | os.O_CLOEXEC)
            try:
                if _libc.setns(fd, _NEWNET):
                    raise OSError(ctypes.get_errno(), "cannot join the network namespace")
            finally:
                os.close(fd)
            for key, value in values.items():
                (Path("/proc/sys") / key.replace(".", "/")).write_text(value, "ascii")
        except OSError as error:
            problems.append(f"cannot set a sysctl of the container's network: {error}")

    # A thread of its own, that ends: what has joined a namespace is no use for anything else.
    thread = threading.Thread(target=inside, name="netns")
    thread.start()
    thread.join()
    for problem in problems:
        raise TaskRejected(problem)


def _syscall(number: int, about: Path, *arguments: object) -> int:
    result: int = _libc.syscall(ctypes.c_long(number), *arguments)
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error), str(about))
    return result
