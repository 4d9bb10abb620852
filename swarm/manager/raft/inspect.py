"""What is on a manager's disk, damage included: read frame by frame, and never changed."""

from collections.abc import Iterator
from dataclasses import dataclass
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

    offset: int
    reason: str
    is_torn_end: bool = False  # what a crash leaves: a start of swarmd cuts it off, nothing is lost


@dataclass(frozen=True, slots=True)
class Item:
    """One record of the log and where its frame begins."""

    offset: int
    record: Record


def read_log(directory: Path, keys: DataKeys) -> Iterator[Item | Damage]:
    """Yield everything in the log that can be read, in order, and every place that cannot.

    Raises FailedPrecondition when there is no log or its key is missing, InvariantBroken when its beginning
    is damaged.
    """
    try:
        file = SealedFile.open(ReadOnlyDisk(directory), NAME, KIND, keys)
    except FileNotFoundError:
        raise FailedPrecondition(f"there is no Raft log in {directory}") from None
    try:
        yield from _frames(file)
    finally:
        file.close()


def _frames(file: SealedFile) -> Iterator[Item | Damage]:
    offset = START
    while offset < file.end:
        try:
            frame = file.frame_at(offset)
            reason = "a broken frame"
        except InvariantBroken as error:
            frame, reason = None, str(error)
        if frame is not None:
            yield from _items(frame.body, offset)
            offset = frame.end
            continue
        later = file.whole_frame_after(offset)
        if later is None:
            yield Damage(
                offset, f"{file.end - offset} bytes at the end are no whole frame", is_torn_end=True
            )
            return
        yield Damage(offset, f"{reason}; the next whole one is at {later}")
        offset = later


def _items(body: bytes, offset: int) -> Iterator[Item | Damage]:
    try:
        for record in records_of(body):
            yield Item(offset, record)
    except ValueError as error:
        yield Damage(offset, str(error))


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
