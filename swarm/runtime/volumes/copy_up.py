"""Fills an empty volume with what the image has at the place where it is mounted. Blocks.

The image is not to be trusted, and somebody may use the volume meanwhile: every directory is opened without
following links, relative to the one above it, so that nothing leads out of either side. A file appears
under its name when it is whole. How far it came stands in a file beside the volume: what a crash cut off
goes on at the next use, before any other container sees it.
"""

import ctypes
import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from swarm.errors import TaskRejected
from swarm.runtime.oci.rootfs import open_directory_inside

TEMPORARY = ".swarm-copy-up"  # a file on its way to its name
DEPTH_MAX = 128  # each level keeps two descriptors open
_CHUNK = 8 << 20
_BEGUN = b"begun\n"
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

_libc = ctypes.CDLL(None, use_errno=True)


def copy_up(root: Path, target: str, volume: Path, progress: Path) -> None:
    """Fill `volume` with what the container whose file system is at `root` has at `target`.

    Nothing is done for a volume that has something in it already. `progress` is the file that says how far
    this came. Raises TaskRejected when the image has a file there, OSError.
    """
    with _locked(progress) as record, _opened(volume, os.O_RDONLY | os.O_DIRECTORY) as to:
        begun = os.pread(record, len(_BEGUN), 0) == _BEGUN
        if not begun and os.listdir(to):  # noqa: PTH208 -- a descriptor
            return
        try:
            source = open_directory_inside(root, target)
        except FileNotFoundError:
            return
        except NotADirectoryError:
            raise TaskRejected(f"the image has a file at {target}, where no volume can be mounted") from None
        try:
            if not begun:
                os.pwrite(record, _BEGUN, 0)
                os.fsync(record)
            _copy_directory(source, to, _Filling(to))
            _sync(to)
            os.ftruncate(record, 0)
            os.fsync(record)
        finally:
            os.close(source)


@dataclass(frozen=True, slots=True)
class _Filling:
    """Where a copy is, and the first names of files that have several."""

    top: int
    path: tuple[str, ...] = ()  # below the volume
    first: dict[tuple[int, int], tuple[str, ...]] = field(default_factory=dict)


@contextmanager
def _opened(path: Path, flags: int) -> Iterator[int]:
    fd = os.open(path, flags | os.O_CLOEXEC, 0o600)
    try:
        yield fd
    finally:
        os.close(fd)


@contextmanager
def _locked(path: Path) -> Iterator[int]:
    """Open a file that one at a time has; closing it, or being killed, lets it go."""
    with _opened(path, os.O_RDWR | os.O_CREAT) as fd:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield fd


def _sync(directory: int) -> None:
    """Bring the file system of a directory to the disk: one call for thousands of files."""
    if _libc.syncfs(ctypes.c_int(directory)):
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


def _copy_directory(source: int, to: int, filling: _Filling) -> None:
    if len(filling.path) > DEPTH_MAX:
        raise TaskRejected(f"the image has more than {DEPTH_MAX} directories in each other there")
    with suppress(FileNotFoundError):  # of a copy that was cut off
        os.unlink(TEMPORARY, dir_fd=to)
    for name in sorted(os.listdir(source)):
        _copy(source, to, name, replace(filling, path=(*filling.path, name)))
    _dress(source, to, os.fstat(source))


def _copy(source: int, to: int, name: str, filling: _Filling) -> None:
    found = os.stat(name, dir_fd=source, follow_symlinks=False)
    if stat.S_ISDIR(found.st_mode):
        with suppress(FileExistsError):
            os.mkdir(name, 0o700, dir_fd=to)
        with _child(source, name, _DIRECTORY) as below, _child(to, name, _DIRECTORY) as new:
            _copy_directory(below, new, filling)
        return
    several = stat.S_ISREG(found.st_mode) and found.st_nlink > 1
    first = filling.first.setdefault((found.st_dev, found.st_ino), filling.path) if several else filling.path
    if _exists(to, name) or stat.S_ISSOCK(found.st_mode):
        return
    if first != filling.path and _link(filling.top, first, to):
        pass
    elif stat.S_ISREG(found.st_mode):
        _copy_file(source, to, name, found)
    elif stat.S_ISLNK(found.st_mode):
        os.symlink(os.readlink(name, dir_fd=source), TEMPORARY, dir_fd=to)
        os.chown(TEMPORARY, found.st_uid, found.st_gid, dir_fd=to, follow_symlinks=False)
    else:
        _copy_special(to, found)
    os.rename(TEMPORARY, name, src_dir_fd=to, dst_dir_fd=to)


@contextmanager
def _child(directory: int, name: str, flags: int) -> Iterator[int]:
    fd = os.open(name, flags, 0o600, dir_fd=directory)
    try:
        yield fd
    finally:
        os.close(fd)


def _exists(directory: int, name: str) -> bool:
    try:
        os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _link(top: int, first: tuple[str, ...], to: int) -> bool:
    """Give a file of the volume one more name; False when somebody has taken it away meanwhile."""
    with ExitStack() as opened, suppress(FileNotFoundError, NotADirectoryError):
        directory = top
        for name in first[:-1]:
            directory = opened.enter_context(_child(directory, name, _DIRECTORY))
        os.link(first[-1], TEMPORARY, src_dir_fd=directory, dst_dir_fd=to, follow_symlinks=False)
        if stat.S_ISREG(os.stat(TEMPORARY, dir_fd=to, follow_symlinks=False).st_mode):
            return True
        os.unlink(TEMPORARY, dir_fd=to)
    return False


def _copy_special(to: int, found: os.stat_result) -> None:
    """Make a pipe or a device."""
    os.mknod(TEMPORARY, stat.S_IFMT(found.st_mode) | 0o600, found.st_rdev, dir_fd=to)
    with _child(to, TEMPORARY, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC) as made:
        if stat.S_IFMT(os.fstat(made).st_mode) != stat.S_IFMT(found.st_mode):
            raise TaskRejected("somebody changes the volume while it is being filled")
        itself = Path(f"/proc/self/fd/{made}")  # not its name, which may be a link by now
        os.chown(itself, found.st_uid, found.st_gid)
        itself.chmod(stat.S_IMODE(found.st_mode))


def _copy_file(source: int, to: int, name: str, found: os.stat_result) -> None:
    flags = os.O_NOFOLLOW | os.O_CLOEXEC
    create = os.O_WRONLY | os.O_CREAT | os.O_EXCL | flags
    with (
        _child(source, name, os.O_RDONLY | os.O_NONBLOCK | flags) as old,
        _child(to, TEMPORARY, create) as new,
    ):
        while os.sendfile(new, old, None, _CHUNK):
            pass
        _dress(old, new, found)


def _dress(old: int, new: int, found: os.stat_result) -> None:
    """Give a file or directory the owner, permissions, extended attributes and times of another one."""
    os.fchown(new, found.st_uid, found.st_gid)
    os.fchmod(new, stat.S_IMODE(found.st_mode))
    for attribute in os.listxattr(old):
        with suppress(OSError):  # one that this file system does not have
            os.setxattr(new, attribute, os.getxattr(old, attribute))
    os.utime(new, ns=(found.st_atime_ns, found.st_mtime_ns))
