"""Network namespaces as files: made, entered and removed by system calls, without helper programs.

A namespace lives as long as a process is in it or a file is its mount. Ours are files in folders of our
own, never in /run/netns, so that nothing shows up among the user's own namespaces.

Entering a namespace changes the calling *thread* only (Python 3.11 has no os.setns). A process started
by that thread begins its life in the namespace.
"""

import ctypes
import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CLONE_NEWNET = 0x40000000
MS_BIND = 4096
MNT_DETACH = 2
OWN = Path("/proc/thread-self/ns/net")

_libc = ctypes.CDLL(None, use_errno=True)


def is_namespace(path: Path) -> bool:
    """Return whether `path` is a mounted namespace, not merely the file left of one."""
    try:
        return path.stat().st_dev == OWN.stat().st_dev
    except (FileNotFoundError, NotADirectoryError):
        return False


def inode(path: Path) -> int:
    """Return the number by which the kernel knows the namespace, as in /proc/PID/ns/net."""
    return path.stat().st_ino


def create(path: Path) -> bool:
    """Make the namespace of that name; return False when it was there already."""
    if is_namespace(path):
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o444)
    with _back_afterwards():
        _check(_libc.unshare(CLONE_NEWNET), "unshare the network namespace")
        _bind(OWN, path)
    return True


def remove(path: Path) -> None:
    """Unmount and delete the file; the namespace itself goes when its last process has ended."""
    while is_namespace(path):
        _check(_libc.umount2(os.fsencode(path), MNT_DETACH), f"unmount {path}")
    path.unlink(missing_ok=True)


@contextmanager
def entered(path: Path) -> Iterator[None]:
    """Let the calling thread be in the namespace for the duration of the block."""
    with path.open("rb") as target, _back_afterwards():
        enter(target.fileno())
        yield


def enter(fd: int) -> None:
    """Move the calling thread into the namespace behind `fd`, for good."""
    _check(_libc.setns(fd, CLONE_NEWNET), "enter the network namespace")


@contextmanager
def _back_afterwards() -> Iterator[None]:
    with OWN.open("rb") as own:
        try:
            yield
        finally:
            enter(own.fileno())


def _bind(source: Path, target: Path) -> None:
    flags = ctypes.c_ulong(MS_BIND)
    result = _libc.mount(os.fsencode(source), os.fsencode(target), None, flags, None)
    _check(result, f"mount {target}")


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno() or errno.EINVAL
        raise OSError(number, f"cannot {what}: {os.strerror(number)}")
