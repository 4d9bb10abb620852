"""Files as a tar that keeps what images have: owners, hard links, holes, attributes such as capabilities.

Part of the copying process (`copier`): what is imported here is imported before it is confined. Every file
is reached through a descriptor of its directory, and no link is followed: the container may change any of it
meanwhile, and no name of it can lead anywhere else. What vanishes meanwhile is left out.
"""

import errno
import os
import stat
import struct
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO

from swarm.runtime.images.tarheaders import XATTR

DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_BLOCK = tarfile.BLOCKSIZE
_CAPABILITY = "security.capability"
_WITH_ROOT, _PLAIN = (
    0x03000000,
    0x02000000,
)  # versions of a capability: with the root that it counts for, not
_REVISION = 0xFF000000


@contextmanager
def opened(name: str, folder: int) -> Iterator[int]:
    """Open a directory in a directory; -1 when there is none (any more)."""
    try:
        fd = os.open(name, DIRECTORY, dir_fd=folder)
    except OSError as error:
        if error.errno not in {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}:
            raise
        yield -1
        return
    try:
        yield fd
    finally:
        os.close(fd)


class TreeArchive:
    """A tar on its way to `sink`."""

    def __init__(self, sink: IO[bytes], entry_of: Callable[[str, os.stat_result], tarfile.TarInfo]) -> None:
        """`entry_of` makes the header of a file, with the owners that the container knows."""
        self._tar = tarfile.open(  # noqa: SIM115 -- `close` does it
            fileobj=sink, mode="w|", format=tarfile.PAX_FORMAT, encoding="utf-8", errors="surrogateescape"
        )
        self._entry_of = entry_of
        self._names: dict[tuple[int, int], str] = {}  # of files with several

    def close(self) -> None:
        """Write the end."""
        self._tar.close()

    def tree(self, folder: int, name: str) -> None:
        """Add all that is in a directory; `name` is what the archive calls that, empty for its top."""
        for one in sorted(os.listdir(folder)):
            inside = f"{name}/{one}" if name else one
            if not self.file(folder, one, inside):
                with opened(one, folder) as child:
                    if child >= 0:
                        self.directory(child, inside)
                        self.tree(child, inside)

    def directory(self, fd: int, name: str) -> None:
        """Add a directory itself."""
        entry = self._entry_of(name, os.fstat(fd))
        entry.pax_headers = _attributes(fd)
        self._tar.addfile(entry)

    def empty(self, name: str) -> None:
        """Add a file without content: a mark."""
        self._tar.addfile(tarfile.TarInfo(name))

    def file(self, folder: int, one: str, name: str) -> bool:
        """Add what is no directory; False for one. Only regular files are opened: pipes may not answer."""
        try:
            found = os.stat(one, dir_fd=folder, follow_symlinks=False)
            if stat.S_ISDIR(found.st_mode):
                return False
            key = (found.st_dev, found.st_ino)
            if key in self._names:
                self._link(name, self._names[key], found)
            elif stat.S_ISREG(found.st_mode):
                self._regular(os.open(one, _FILE, dir_fd=folder), name)
            elif not stat.S_ISSOCK(found.st_mode):  # archives have no sockets
                entry = self._entry_of(name, found)
                if stat.S_ISLNK(found.st_mode):
                    entry.linkname = os.readlink(one, dir_fd=folder)
                self._tar.addfile(entry)
                self._remember(found, name)
        except FileNotFoundError:
            pass
        except OSError as error:
            if error.errno not in {errno.ELOOP, errno.ENXIO}:  # it is something else by now
                raise
        return True

    def _remember(self, found: os.stat_result, name: str) -> None:
        if found.st_nlink > 1:
            self._names[(found.st_dev, found.st_ino)] = name

    def _link(self, name: str, target: str, found: os.stat_result) -> None:
        entry = self._entry_of(name, found)
        entry.type, entry.linkname, entry.size = tarfile.LNKTYPE, target, 0
        self._tar.addfile(entry)

    def _regular(self, fd: int, name: str) -> None:
        with os.fdopen(fd, "rb", buffering=0) as file:
            found = os.fstat(fd)
            if not stat.S_ISREG(found.st_mode):
                return
            entry = self._entry_of(name, found)
            entry.pax_headers = attributes = _attributes(fd)
            areas = _areas(fd, found)
            if areas is None:
                self._tar.addfile(entry, _Areas(file, b"", [(0, found.st_size)]))  # type: ignore[arg-type]
            else:
                self._sparse(entry, file, areas, attributes)
            self._remember(found, name)

    def _sparse(
        self,
        entry: tarfile.TarInfo,
        file: IO[bytes],
        areas: list[tuple[int, int]],
        attributes: dict[str, str],
    ) -> None:
        """Add a file with holes as archives have it: its map first, then what is not a hole."""
        numbers = [len(areas), *(number for area in areas for number in area)]
        head = "".join(f"{number}\n" for number in numbers).encode()
        head += bytes(-len(head) % _BLOCK)
        entry.pax_headers = attributes | {
            "GNU.sparse.major": "1",
            "GNU.sparse.minor": "0",
            "GNU.sparse.name": entry.name,
            "GNU.sparse.realsize": str(entry.size),
        }
        entry.size = len(head) + sum(size for _, size in areas)
        self._tar.addfile(entry, _Areas(file, head, areas))  # type: ignore[arg-type]


class _Areas:
    """Parts of a file, each as large as it was said to be, whoever writes to it or cuts it meanwhile."""

    def __init__(self, file: IO[bytes], head: bytes, areas: list[tuple[int, int]]) -> None:
        self._file, self._head, self._areas = file, head, list(reversed(areas))

    def read(self, size: int) -> bytes:
        """Return exactly so many of the next bytes; zeros where the file ended before its time."""
        pieces, self._head = [self._head[:size]], self._head[size:]
        missing = size - len(pieces[0])
        while missing:
            offset, left = self._areas.pop()
            wanted = min(missing, left)
            pieces.append(os.pread(self._file.fileno(), wanted, offset).ljust(wanted, b"\0"))
            if wanted < left:
                self._areas.append((offset + wanted, left - wanted))
            missing -= wanted
        return b"".join(pieces)


def _areas(fd: int, found: os.stat_result) -> list[tuple[int, int]] | None:
    """Return where a file has content, None when it has no holes worth the trouble."""
    if found.st_blocks * _BLOCK >= found.st_size:
        return None
    areas, at = [], 0
    while at < found.st_size:
        try:
            start = os.lseek(fd, at, os.SEEK_DATA)
            at = min(os.lseek(fd, start, os.SEEK_HOLE), found.st_size)
        except OSError:  # a hole up to the end, or it was cut
            break
        if start < at:
            areas.append((start, at - start))
    return areas


def _attributes(fd: int) -> dict[str, str]:
    """Return what images keep of the attributes of a file, in the form that archives have."""
    found = {}
    try:
        names = os.listxattr(fd)
    except OSError:  # the file system has none
        return {}
    for name in names:
        if name == _CAPABILITY or name.startswith("user."):
            try:
                value = os.getxattr(fd, name)
            except OSError:
                continue
            value = plain_capability(value) if name == _CAPABILITY else value
            found[XATTR + name] = value.decode("utf-8", "surrogateescape")
    return found


def plain_capability(value: bytes) -> bytes:
    """Return a file's capabilities without the user namespace that they count in: an image has none."""
    if len(value) != 24:
        return value
    (version,) = struct.unpack_from("<I", value)
    if version & _REVISION != _WITH_ROOT:
        return value
    return struct.pack("<I", version & ~_REVISION | _PLAIN) + value[4:20]
