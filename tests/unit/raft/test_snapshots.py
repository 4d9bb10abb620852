"""Snapshot files: written whole, checked whole, and what does not fit the log is refused."""

from pathlib import Path

import pytest

from swarm.api.v1.raft_pb2 import RaftMember
from swarm.errors import InvariantBroken
from swarm.manager.raft.compaction import recover
from swarm.manager.raft.disk import Disk
from swarm.manager.raft.entries import data_command
from swarm.manager.raft.journal import DurableJournal
from swarm.manager.raft.membership import membership_of
from swarm.manager.raft.snapshots import DamagedSnapshot, Snapshot, SnapshotStore
from tests.unit.raft.keys import KEYS

MEMBERS = membership_of(RaftMember(raft_id="a", node_id="n1", addr="h:1"))
RECORDS = [b"one", b"", b"three" * 50]


def write(store: SnapshotStore, index: int, term: int = 1, records: list[bytes] = RECORDS) -> Snapshot:
    snapshot = store.write("cluster", index, term, MEMBERS, iter(records))
    store.adopt(snapshot)
    return snapshot


def contents(snapshot: Snapshot) -> bytes:
    """Return what would be sent to another member."""
    file = snapshot.open()
    try:
        return file.read(0, file.size())
    finally:
        file.close()


def journal_with(disk: Disk, last: int, first: int = 1) -> DurableJournal:
    DurableJournal.create(disk, KEYS, "cluster", "a", MEMBERS)
    journal = DurableJournal(disk, KEYS)
    for index in range(2, last + 1):
        journal.add(data_command(b"x"), index, 1)
    journal.setRaftCommitIndex(last)
    if first > 1:
        compaction = journal.begin_compaction(first, MEMBERS)
        compaction.write()
        journal.finish_compaction(compaction)
    journal.sync()
    return journal


def test_a_snapshot_is_read_back_and_the_last_two_are_kept(tmp_path: Path) -> None:
    store = SnapshotStore(Disk(tmp_path), KEYS)
    for index in (10, 20, 30):
        write(store, index)
    assert len(Disk(tmp_path).names()) == 2
    again = SnapshotStore(Disk(tmp_path), KEYS)
    assert again.latest is not None
    assert (again.latest.index, again.latest.term, again.latest.membership) == (30, 1, MEMBERS)
    assert list(again.latest.records()) == RECORDS
    assert again.log_needed_from == 20


def test_a_snapshot_damaged_anywhere_is_noticed_and_the_older_one_is_used(tmp_path: Path) -> None:
    store = SnapshotStore(Disk(tmp_path), KEYS)
    write(store, 10)
    newest = tmp_path / write(store, 20, records=[b"x" * 20, b"y"]).name
    data = newest.read_bytes()
    for at in range(len(data)):
        flipped = bytearray(data)
        flipped[at] ^= 1
        for damaged in (bytes(flipped), data[:at], data + b"\0"):
            newest.write_bytes(damaged)
            store = SnapshotStore(Disk(tmp_path), KEYS)
            assert store.latest is not None
            assert store.latest.index == 10
            assert store.damaged == [newest.name]


def test_records_missing_as_a_whole_are_noticed(tmp_path: Path) -> None:
    store = SnapshotStore(Disk(tmp_path), KEYS)
    data = contents(write(store, 10, records=[b"a" * 9, b"b" * 9, b"c" * 9]))
    at = data.index(b"b" * 9) - 9
    incoming = store.receive("cluster", 10, 1)
    incoming.append(data[:at] + data[at + 18 :])
    with pytest.raises(DamagedSnapshot, match="records are missing"):
        incoming.finish()


def test_a_snapshot_that_could_not_be_written_leaves_nothing(tmp_path: Path) -> None:
    def failing() -> object:
        yield b"one"
        raise OSError("No space left on device")

    store = SnapshotStore(Disk(tmp_path), KEYS)
    with pytest.raises(OSError, match="No space"):
        store.write("cluster", 5, 1, MEMBERS, failing())
    assert Disk(tmp_path).names() == []


def test_what_a_crash_left_half_written_is_removed(tmp_path: Path) -> None:
    store = SnapshotStore(Disk(tmp_path), KEYS)
    incoming = store.receive("cluster", 10, 1)
    incoming.append(b"half")
    assert len(Disk(tmp_path).names()) == 1
    assert SnapshotStore(Disk(tmp_path), KEYS).latest is None
    assert Disk(tmp_path).names() == []


def test_a_snapshot_arrives_in_pieces_of_any_size(tmp_path: Path) -> None:
    source = SnapshotStore(Disk(tmp_path / "source"), KEYS)
    data = contents(write(source, 10))
    for size in (5, 100, len(data)):
        store = SnapshotStore(Disk(tmp_path / f"target-{size}"), KEYS)
        incoming = store.receive("cluster", 10, 1)
        for offset in range(0, len(data), size):
            assert incoming.received == offset
            incoming.append(data[offset : offset + size])
        assert list(incoming.finish().records()) == RECORDS


@pytest.mark.parametrize("what", ["damaged", "another index", "another cluster"])
def test_a_snapshot_that_is_not_what_was_announced_is_refused(tmp_path: Path, what: str) -> None:
    source = SnapshotStore(Disk(tmp_path / "source"), KEYS)
    data = contents(write(source, 10))
    store = SnapshotStore(Disk(tmp_path / "target"), KEYS)
    incoming = {
        "damaged": lambda: store.receive("cluster", 10, 1),
        "another index": lambda: store.receive("cluster", 11, 1),
        "another cluster": lambda: store.receive("elsewhere", 10, 1),
    }[what]()
    incoming.append(data[:-1] + b"?" if what == "damaged" else data)
    with pytest.raises(DamagedSnapshot):
        incoming.finish()
    assert Disk(tmp_path / "target").names() == []


def test_a_start_refuses_a_log_whose_beginning_no_snapshot_covers(tmp_path: Path) -> None:
    disk = Disk(tmp_path)
    journal = journal_with(disk, last=40, first=20)
    with pytest.raises(InvariantBroken, match=r"needs a snapshot of entry 20 or later, but there is none"):
        recover(journal, SnapshotStore(disk, KEYS))
    name = write(SnapshotStore(disk, KEYS), 30).name
    (tmp_path / name).write_bytes(b"gone bad")
    with pytest.raises(InvariantBroken, match=rf"there is none \(damaged: {name}\); remove .* join again"):
        recover(journal, SnapshotStore(disk, KEYS))
    journal._destroy()


def test_a_start_finishes_an_installation_that_was_interrupted(tmp_path: Path) -> None:
    disk = Disk(tmp_path)
    journal = journal_with(disk, last=10)
    write(SnapshotStore(disk, KEYS), 50, term=3)
    recover(journal, SnapshotStore(disk, KEYS))
    assert [entry[1:] for entry in journal[:]] == [(50, 3)]
    journal._destroy()


def test_a_start_keeps_the_log_behind_a_snapshot_that_it_reaches_past(tmp_path: Path) -> None:
    disk = Disk(tmp_path)
    journal = journal_with(disk, last=40)
    write(SnapshotStore(disk, KEYS), 30)
    recover(journal, SnapshotStore(disk, KEYS))
    assert journal[-1][1] == 40
    journal._destroy()


def test_a_start_refuses_a_snapshot_that_contradicts_committed_entries(tmp_path: Path) -> None:
    disk = Disk(tmp_path)
    journal = journal_with(disk, last=40)
    write(SnapshotStore(disk, KEYS), 30, term=7)
    with pytest.raises(InvariantBroken, match="disagree"):
        recover(journal, SnapshotStore(disk, KEYS))
    journal._destroy()
