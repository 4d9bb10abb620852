"""A disk under virtual power: what was not synced may be gone, or half there, after a cut."""

import random
from collections.abc import Callable
from pathlib import PurePosixPath

from swarm.security.keyring import DataKey, KeySet

KEYS = KeySet((DataKey(bytes(32)),))  # of every member: a key of its own would change nothing here


class PowerCut(BaseException):
    """The machine goes dark in the middle of an operation: no cleaning up, whatever the code intends."""


class Inode:
    """The contents of a file, and how much of it is on the medium."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.synced = 0


class SimFile:
    """An open file; the interface of `swarm.manager.raft.disk.DiskFile`."""

    def __init__(self, disk: "SimDisk", inode: Inode, name: str) -> None:
        self._disk = disk
        self._inode = inode
        self.path = PurePosixPath(name)

    def append(self, data: bytes) -> None:
        self._disk.operate()
        self._inode.data += data

    def read(self, offset: int, size: int) -> bytes:
        return bytes(self._inode.data[offset : offset + size])

    def size(self) -> int:
        return len(self._inode.data)

    def truncate(self, size: int) -> None:
        self._disk.operate()
        del self._inode.data[size:]
        self._inode.synced = min(self._inode.synced, size)

    def sync(self) -> None:
        self._disk.operate()
        self._inode.synced = len(self._inode.data)

    def write_again(self, offset: int) -> None:
        self.sync()

    def close(self) -> None:
        pass


class SimDisk:
    """One directory; the interface of `swarm.manager.raft.disk.Disk`."""

    directory = PurePosixPath("/simulated")

    def __init__(self, cut_now: Callable[[], bool] = lambda: False) -> None:
        """`cut_now` decides before every operation whether the power goes."""
        self.cut_now = cut_now
        self._dark = False
        self._names: dict[str, Inode] = {}
        self._durable_names: dict[str, Inode] = {}

    def operate(self) -> None:
        """Raise PowerCut if the power goes now, or has gone."""
        if self._dark or self.cut_now():
            self._dark = True
            raise PowerCut

    def create(self, name: str) -> SimFile:
        self.operate()
        self._names[name] = Inode()
        return SimFile(self, self._names[name], name)

    def open(self, name: str) -> SimFile:
        return SimFile(self, self._names[name], name)

    def rename(self, old: str, new: str) -> None:
        self.operate()
        self._names[new] = self._names.pop(old)
        self.sync_names()  # if the power goes now, the name has changed only in memory

    def sync_names(self) -> None:
        self.operate()
        self._durable_names = dict(self._names)

    def remove(self, name: str) -> None:
        self.operate()
        self._names.pop(name, None)

    def names(self) -> list[str]:
        return sorted(self._names)

    def process_died(self) -> None:
        """Make an operation that was cut off the end of the process only: all that was written is there."""
        self._dark = False

    def cut_power(self, rng: random.Random) -> None:
        """Lose what was not synced; of the end of each file, any part may have made it, or be zeros."""
        self._dark = False
        self._names = dict(self._durable_names)
        for inode in self._names.values():
            kept = rng.randint(inode.synced, len(inode.data))
            lost = len(inode.data) - kept
            del inode.data[kept:]
            if rng.random() < 0.3:
                inode.data += bytes(rng.randint(0, lost))
            inode.synced = len(inode.data)
