"""A disk that fails when it is told to, with the error that it is told."""

import errno
import os
from pathlib import Path

from swarm.manager.raft.disk import Disk, DiskFile


class Trouble:
    """Which files fail from now on, and how; nothing at first."""

    def __init__(self) -> None:
        self.prefix: str | None = None
        self.error = errno.EIO
        self.at_sync = False  # writing succeeds, and the sync does not: what an I/O error looks like

    def check(self, name: str, *, sync: bool) -> None:
        """Raise OSError if this operation on a file of this name fails."""
        if self.prefix is not None and name.startswith(self.prefix) and sync == self.at_sync:
            raise OSError(self.error, os.strerror(self.error))


class FailingDisk(Disk):
    """A real directory, with trouble."""

    trouble: Trouble

    def _open(self, name: str, flags: int) -> DiskFile:
        file = super()._open(name, flags)
        return _FailingFile(file._descriptor, file.path, name, self.trouble)


class _FailingFile(DiskFile):
    def __init__(self, descriptor: int, path: Path, name: str, trouble: Trouble) -> None:
        super().__init__(descriptor, path)
        self._name = name
        self._trouble = trouble

    def append(self, data: bytes) -> None:
        self._trouble.check(self._name, sync=False)
        super().append(data)

    def sync(self) -> None:
        self._trouble.check(self._name, sync=True)
        super().sync()

    def write_again(self, offset: int) -> None:
        self._trouble.check(self._name, sync=True)
        super().write_again(offset)
