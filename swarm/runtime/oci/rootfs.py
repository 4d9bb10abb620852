"""What do the files inside an image say? Reads them without ever leaving the container's file system.

An image may hold any symbolic link, device or pipe where a plain file is expected. The kernel resolves every
name as if the container's root were ours (openat2 with RESOLVE_IN_ROOT), so no link leads out.
"""

import ctypes
import os
import stat
from pathlib import Path

_SYS_OPENAT2 = 437  # the same number on every architecture
_RESOLVE_IN_ROOT = 0x10
_RESOLVE_NO_MAGICLINKS = 0x02
# Opening a pipe that the image put there must not hang.
_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_MAX_BYTES = 4 * 1024 * 1024

_libc = ctypes.CDLL(None, use_errno=True)


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


def read_text_inside(root: Path, name: str) -> str:
    """Return the text of a file of a container, empty when there is no such plain file.

    `name` is its path inside the container. Blocks; reads at most 4 MiB.
    """
    root_fd = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fd = _open_inside(root_fd, name, _READ)
    except OSError:
        return ""
    finally:
        os.close(root_fd)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):  # before anything else: open() raises for directories
            return ""
        with open(fd, "rb", closefd=False) as file:
            return file.read(_MAX_BYTES).decode("utf-8", "replace")
    finally:
        os.close(fd)


def open_directory_inside(root: Path, name: str) -> int:
    """Return a descriptor of a directory of a container; raises OSError when there is none. Blocks."""
    root_fd = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return _open_inside(root_fd, name, _READ | os.O_DIRECTORY)
    finally:
        os.close(root_fd)


def open_part(root: Path, name: str) -> int:
    """Return a descriptor that names a directory or file of a tree, to be mounted; raises OSError. Blocks.

    Links in `name` lead somewhere inside of `root`. What is there is not opened: it may be a pipe.
    """
    root_fd = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return _open_inside(root_fd, name, os.O_PATH | os.O_CLOEXEC)
    finally:
        os.close(root_fd)


def _open_inside(root_fd: int, name: str, flags: int) -> int:
    how = _OpenHow(flags, 0, _RESOLVE_IN_ROOT | _RESOLVE_NO_MAGICLINKS)
    fd: int = _libc.syscall(
        ctypes.c_long(_SYS_OPENAT2),
        ctypes.c_int(root_fd),
        name.encode(),
        ctypes.byref(how),
        ctypes.c_size_t(ctypes.sizeof(how)),
    )
    if fd < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error), name)
    return fd
