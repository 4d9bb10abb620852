"""Files that survive a power cut: the few operations that the log and the snapshots are made of.

The simulator replaces both classes with ones that forget whatever was not synced.
"""

import os
from pathlib import Path

from swarm.errors import FailedPrecondition
from swarm.file_lock import lock_alone


class DiskFile:
    """An open file that is only appended to."""

    def __init__(self, descriptor: int, path: Path) -> None:
        self._descriptor = descriptor
        self.path = path

    def append(self, data: bytes) -> None:
        """Write `data` at the end; raises OSError (disk full, I/O error), then part of it may be there."""
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]

    def read(self, offset: int, size: int) -> bytes:
        """Return up to `size` bytes from `offset`."""
        return os.pread(self._descriptor, size, offset)

    def size(self) -> int:
        """Return the length in bytes."""
        return os.fstat(self._descriptor).st_size

    def truncate(self, size: int) -> None:
        """Cut the file durably to `size` bytes."""
        os.ftruncate(self._descriptor, size)
        os.fsync(self._descriptor)

    def sync(self) -> None:
        """Return when everything written is on the medium; after an OSError nothing may be relied on."""
        os.fdatasync(self._descriptor)

    def write_again(self, offset: int) -> None:
        """Make durable what can be read behind `offset`, whoever wrote it; raises OSError.

        A killed process may have left it unsynced. After a failed sync the kernel even calls it written and
        shows it, though the medium does not have it: syncing alone would not write it.
        """
        data = self.read(offset, self.size() - offset)
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CLOEXEC)  # ours can only append
        try:
            while data:
                done = os.pwrite(descriptor, data, offset)
                offset, data = offset + done, data[done:]
            os.fdatasync(descriptor)
        finally:
            os.close(descriptor)

    def close(self) -> None:
        """Close the file; does not sync."""
        os.close(self._descriptor)


class Disk:
    """One directory, readable by its owner only."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        directory.chmod(0o700)
        self._lock: int | None = None

    def lock(self) -> None:
        """Keep other processes out until `unlock`; raises FailedPrecondition if one is in."""
        descriptor = os.open(self.directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            lock_alone(descriptor)
        except OSError as error:
            os.close(descriptor)
            raise FailedPrecondition(f"another process uses {self.directory}") from error
        self._lock = descriptor

    def unlock(self) -> None:
        """Let other processes in."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def create(self, name: str) -> DiskFile:
        """Return a new, empty file; one of that name is emptied."""
        return self._open(name, os.O_CREAT | os.O_TRUNC)

    def open(self, name: str) -> DiskFile:
        """Return an existing file; raises FileNotFoundError."""
        return self._open(name, 0)

    def _open(self, name: str, flags: int) -> DiskFile:
        path = self.directory / name
        flags |= os.O_RDWR | os.O_APPEND | os.O_CLOEXEC
        return DiskFile(os.open(path, flags, 0o600), path)

    def rename(self, old: str, new: str) -> None:
        """Give `old` the name `new`, atomically and durably."""
        (self.directory / old).rename(self.directory / new)
        self.sync_names()

    def remove(self, name: str) -> None:
        """Remove a file if it is there."""
        (self.directory / name).unlink(missing_ok=True)

    def names(self) -> list[str]:
        """Return the names of all files."""
        return sorted(path.name for path in self.directory.iterdir())

    def sync_names(self) -> None:
        """Return when the medium has every file under the name that it has now."""
        descriptor = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class ReadOnlyDisk(Disk):
    """A directory that is only looked at: what opening the files would tidy up stays as it is."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def open(self, name: str) -> DiskFile:
        """Return an existing file; raises FileNotFoundError."""
        path = self.directory / name
        return _ReadOnlyFile(os.open(path, os.O_RDONLY | os.O_CLOEXEC), path)

    def remove(self, name: str) -> None:
        """Leave the file where it is."""

    def sync_names(self) -> None:
        """Leave the names as they are."""

    def names(self) -> list[str]:
        """Return the names of all files; none when the directory does not exist."""
        return super().names() if self.directory.is_dir() else []


class _ReadOnlyFile(DiskFile):
    def truncate(self, size: int) -> None:
        """Leave the end as it is."""

    def write_again(self, offset: int) -> None:
        """Leave what is there as it is."""
