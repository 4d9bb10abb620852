"""What is on a manager's disk, damage included: read frame by frame, and never changed."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from swarm.errors import FailedPrecondition, InvariantBroken
from swarm.manager.raft.disk import ReadOnlyDisk
from swarm.manager.raft.entries import Entry
from swarm.manager.raft.journal import KIND, NAME, Record, RecordKind, records_of
from swarm.manager.raft.sealed import START, SealedFile
from swarm.manager.raft.snapshots import DamagedSnapshot, Snapshot, complete_snapshots, read_snapshot
from swarm.security.keyring import DataKeys


@dataclass(frozen=True, slots=True)
class Damage:
    """A place that cannot be read; `offset` is in bytes from the beginning of the file."""

    path: Path
    offset: int
    reason: str
    is_torn_end: bool = False  # what a crash leaves: a start of swarmd cuts it off, nothing is lost

    def __str__(self) -> str:
        """Return file, place and reason."""
        return f"the Raft log {self.path} is damaged at offset {self.offset}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Item:
    """One record of the log and where its frame begins."""

    offset: int
    record: Record


class _Damaged(InvariantBroken):
    """Carries what `SealedFile` says of a place."""

    def __init__(self, path: Path, offset: int, reason: str) -> None:
        super().__init__(reason)
        self.damage = Damage(path, offset, reason)


_INSPECTED = replace(KIND, damaged=_Damaged)


def read_log(directory: Path, keys: DataKeys) -> Iterator[Item | Damage]:
    """Return everything in the log that can be read, in order, and every place that cannot.

    Raises FailedPrecondition when there is no log or its key is missing.
    """
    try:
        file = SealedFile.open(ReadOnlyDisk(directory), NAME, _INSPECTED, keys)
    except FileNotFoundError:
        raise FailedPrecondition(f"there is no Raft log in {directory}") from None
    except _Damaged as error:
        return iter((error.damage,))
    return _all(file)


def _all(file: SealedFile) -> Iterator[Item | Damage]:
    order = _Order()
    try:
        for one in _frames(file):
            problem = order.forget() if isinstance(one, Damage) else order.problem(one.record)
            if problem:
                assert isinstance(one, Item)
                yield Damage(file.path, one.offset, problem)
            yield one
        if order.missing:
            yield Damage(file.path, file.end, order.missing)
    finally:
        file.close()


class _Order:
    """Whether the records belong behind each other, and whether the last ones are there."""

    def __init__(self) -> None:
        self._last = 0  # 0: not known
        self._highest = self._promised = self._commit = 0
        self._begun = False  # the first record says whose log it is

    def problem(self, record: Record) -> str:
        """Return what is wrong with the next record."""
        kind, first, second, _ = record
        expected = self._last + 1
        if kind == RecordKind.ENTRY:
            gap = self._last and first != expected
            self._last = first
            self._highest = max(self._highest, first)
            return f"entry {first} where entry {expected} belongs" if gap else ""
        if kind == RecordKind.TRUNCATE:
            self._last = min(self._last, first - 1)
        elif kind == RecordKind.COMMIT:
            self._commit = first
        elif kind == RecordKind.BASE:
            self._begun, self._promised = True, second
        return ""

    def forget(self) -> str:
        """Go on behind a place that cannot be read."""
        self._last = 0
        return ""

    @property
    def missing(self) -> str:
        """What was synced and is not there."""
        if not self._begun:
            return "it does not say whose it is"
        wanted = max(self._promised, self._commit)
        if self._highest >= wanted:
            return ""
        return f"it ends with entry {self._highest}, and entries up to {wanted} were synced"


def _frames(file: SealedFile) -> Iterator[Item | Damage]:
    offset = START
    while offset < file.end:
        try:
            frame = file.frame_at(offset)
            reason = "a broken frame"
        except _Damaged as error:
            frame, reason = None, error.damage.reason
        if frame is not None:
            yield from _items(file.path, frame.body, offset)
            offset = frame.end
            continue
        later = file.whole_frame_after(offset)
        if later is None:
            left = f"{file.end - offset} bytes at the end are no whole frame"
            yield Damage(file.path, offset, left, is_torn_end=True)
            return
        yield Damage(file.path, offset, f"{reason}; the next whole one is at {later}")
        offset = later


def _items(path: Path, body: bytes, offset: int) -> Iterator[Item | Damage]:
    try:
        for record in records_of(body):
            yield Item(offset, record)
    except ValueError as error:
        yield Damage(path, offset, str(error))


def surviving_entries(found: Iterator[Item | Damage]) -> tuple[list[Entry], list[Damage]]:
    """Return the entries that the log holds in the end, up to the first gap, and all damage."""
    entries: list[Entry] = []
    damage: list[Damage] = []
    for one in found:
        if isinstance(one, Damage):
            damage.append(one)
            continue
        kind, first, second, payload = one.record
        if kind == RecordKind.TRUNCATE and entries:
            del entries[max(first - entries[0][1], 0) :]
        elif kind == RecordKind.ENTRY and (not entries or first == entries[-1][1] + 1):
            entries.append((payload, first, second))
    return entries, damage


def read_snapshots(directory: Path, keys: DataKeys) -> Iterator[Snapshot | DamagedSnapshot]:
    """Yield the complete snapshot files, oldest first, and an error for each that cannot be read."""
    disk = ReadOnlyDisk(directory)
    for name in complete_snapshots(disk):
        try:
            yield read_snapshot(disk, keys, name)
        except DamagedSnapshot as error:
            yield error
        except FileNotFoundError:  # swarmd runs, and has written a newer one
            continue
