"""Tar archives of files of this machine, and from a container onto it.

What comes from a container may be hostile. Every directory on the way to a file is opened one by one without
following links, so nothing is ever written outside of the destination.
"""

import contextlib
import errno
import io
import os
import stat
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from swarm.errors import InvalidArgument
from swarm.runtime.images.shown import shown
from swarm.runtime.images.tarheaders import BadArchive
from swarm.runtime.images.tarreader import TarReader

CHUNK_BYTES = 1 << 18
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def pack(source: Path, name: str, sink: IO[bytes] | io.RawIOBase) -> list[str]:
    """Write an archive of a file or directory under another name; without a name, of what is in it.

    Returns what was left out; raises InvalidArgument if that is all.
    """
    kind = source.lstat().st_mode
    if not (stat.S_ISREG(kind) or stat.S_ISDIR(kind) or stat.S_ISLNK(kind)):
        raise InvalidArgument(f"nothing was copied: {_unknown(str(source))}")
    with _Packer.open(fileobj=sink, mode="w|", format=tarfile.PAX_FORMAT) as tar:
        for one in [source] if name else sorted(source.iterdir()):
            tar.add(one, name or one.name)
    return tar.left_out


class _Packer(tarfile.TarFile):
    """An archive that takes what can be copied, and remembers what cannot: pipes, sockets, devices."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        self.left_out: list[str] = []
        super().__init__(*arguments, **more)

    def gettarinfo(self, *arguments: Any, **more: Any) -> tarfile.TarInfo:
        entry: tarfile.TarInfo | None = super().gettarinfo(*arguments, **more)
        if entry is None or not (entry.isreg() or entry.isdir() or entry.issym() or entry.islnk()):
            self.left_out.append(_unknown(str(arguments[0])))
            entry = None
        return entry  # type: ignore[return-value]  # `add` passes over None


def _unknown(name: str) -> str:
    return f"{shown(name)} is neither a file, a directory nor a link: left out"


@dataclass(frozen=True, slots=True)
class Destination:
    """Where an archive goes: a directory that exists, and what its topmost entry is called there."""

    directory: Path
    name: str | None  # None: what is in the topmost entry goes into the directory itself

    @classmethod
    def choose(cls, target: Path, text: str, *, contents: bool) -> "Destination":
        """Return the place for a copy to `target`; raises InvalidArgument."""
        if target.is_dir():
            return cls(target, None if contents else "")
        if target.parent.is_dir() and not text.endswith("/"):
            return cls(target.parent, target.name)
        raise InvalidArgument(f"there is no directory {target if text.endswith('/') else target.parent}")

    def place(self, name: str) -> str:
        """Return where an entry of the archive goes; empty for the directory itself."""
        parts = [part for part in name.split("/") if part not in {"", "."}]
        if not parts or ".." in parts:
            raise InvalidArgument(f"the archive has an entry {shown(name)}: it would leave {self.directory}")
        if self.name is None:
            parts = parts[1:]
        elif self.name:
            parts[0] = self.name
        return "/".join(parts)


class _Reader(io.RawIOBase):
    """The chunks of a stream as a file."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        super().__init__()
        self._chunks = chunks
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest:
            found = next(self._chunks, None)
            if found is None:
                return 0
            self._rest = found
        part, self._rest = self._rest[: len(buffer)], self._rest[len(buffer) :]
        buffer[: len(part)] = part
        return len(part)


def extract(chunks: Iterator[bytes], destination: Destination, keep_owner: bool) -> list[str]:
    """Write the files of an archive; return what was left out. Raises InvalidArgument if that is all."""
    warnings: list[str] = []
    entries = 0
    root = os.open(destination.directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    reader = io.BufferedReader(_Reader(chunks), CHUNK_BYTES)
    try:
        tar = TarReader(reader)
        while (entry := tar.next()) is not None:
            entries += 1
            warnings += _write(tar, entry, destination.place(entry.name), root, keep_owner=keep_owner)
        while reader.read(CHUNK_BYTES):  # so that an error of the other side is heard
            pass
    except BadArchive as error:
        raise InvalidArgument(f"what came is no archive: {error}") from error
    except OSError as error:
        where = shown(error.filename) if error.filename else destination.directory
        raise InvalidArgument(f"cannot write {where}: {error.strerror}") from error
    finally:
        os.close(root)
    if entries and len(warnings) == entries:
        raise InvalidArgument(f"nothing was copied: {warnings[0]}")
    return warnings


def _write(tar: TarReader, entry: tarfile.TarInfo, place: str, root: int, *, keep_owner: bool) -> list[str]:
    if not place:
        return []
    *parents, name = place.split("/")
    with _folder(root, parents) as folder:
        if entry.isdir():
            _make_folder(folder, name)
        elif entry.issym():
            _clear(folder, name)
            os.symlink(entry.linkname, name, dir_fd=folder)
        elif entry.isreg():
            _write_file(tar, entry, folder, name)
        else:
            return [_unknown(entry.name)]
        if keep_owner and os.geteuid() == 0:
            os.chown(name, entry.uid, entry.gid, dir_fd=folder, follow_symlinks=False)
    return []


@contextlib.contextmanager
def _folder(root: int, parts: list[str]) -> Iterator[int]:
    """Open a directory below `root`, none on the way a link; make those that are missing."""
    current = os.dup(root)
    try:
        for part in parts:
            _make_folder(current, part)
            inner = os.open(part, _FOLDER, dir_fd=current)
            os.close(current)
            current = inner
        yield current
    finally:
        os.close(current)


def _make_folder(folder: int, name: str) -> None:
    with contextlib.suppress(FileExistsError):
        os.mkdir(name, 0o755, dir_fd=folder)
    if not stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), name)


def _clear(folder: int, name: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(name, dir_fd=folder)


def _write_file(tar: TarReader, entry: tarfile.TarInfo, folder: int, name: str) -> None:
    _clear(folder, name)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(name, flags, 0o600, dir_fd=folder)
    with os.fdopen(descriptor, "wb") as file:
        for offset, piece in tar.pieces(CHUNK_BYTES):
            file.seek(offset)
            file.write(piece)
        file.truncate(entry.size)
        os.fchmod(descriptor, entry.mode & 0o777)  # no set-user-id program comes from a container
        os.utime(descriptor, (entry.mtime, entry.mtime))
