"""How much of a disk is used, and by what? Everything here blocks."""

import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

BLOCK_BYTES = 512  # the unit of st_blocks, whatever the file system's own is


@dataclass(frozen=True, slots=True)
class DiskSpace:
    """A file system, as a program without privileges may use it."""

    path: Path
    total_bytes: int
    free_bytes: int
    total_inodes: int  # 0: it has no fixed number
    free_inodes: int

    @property
    def used_share(self) -> float:
        """Return how full it is, of bytes or inodes what is scarcer, 0 to 1."""
        return max(_used(self.total_bytes, self.free_bytes), _used(self.total_inodes, self.free_inodes))

    @property
    def lacks_inodes(self) -> bool:
        """Whether it has less left of inodes than of bytes."""
        bytes_used = _used(self.total_bytes, self.free_bytes)
        return _used(self.total_inodes, self.free_inodes) > bytes_used


def read_space(path: Path) -> DiskSpace:
    """Return the space of the file system that `path` is on; raises OSError."""
    found = os.statvfs(path)
    reserved = found.f_bfree - found.f_bavail  # for root: nothing of it is ours to plan with
    return DiskSpace(
        path,
        (found.f_blocks - reserved) * found.f_frsize,
        found.f_bavail * found.f_frsize,
        found.f_files,
        found.f_favail,
    )


def tree_bytes(folder: Path, skip: Collection[str] = ()) -> int:
    """Return what the files below a folder take on the disk; `skip` names entries of the folder itself.

    What vanishes meanwhile counts nothing, nor does what is mounted there; no link is followed, and a file
    with several names counts once.
    """
    seen: set[tuple[int, int]] = set()
    total = 0
    device = _device(folder)
    for path, folders, files in os.walk(folder, onerror=None):
        if Path(path) == folder:
            folders[:] = [name for name in folders if name not in skip]
        folders[:] = [name for name in folders if _device(f"{path}/{name}") == device]
        for name in (*files, "."):
            try:
                found = os.lstat(f"{path}/{name}")
            except OSError:
                continue
            if found.st_nlink == 1 or name == "." or (found.st_dev, found.st_ino) not in seen:
                total += found.st_blocks * BLOCK_BYTES
                seen.add((found.st_dev, found.st_ino))
    return total


def _device(folder: Path | str) -> int:
    try:
        return os.lstat(folder).st_dev
    except OSError:
        return -1


def _used(total: int, free: int) -> float:
    return 1 - free / total if total else 0.0
