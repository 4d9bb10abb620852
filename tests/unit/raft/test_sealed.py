"""Encrypted files: nothing in clear, nothing can be moved, and a missing key is not called damage."""

import struct
import zlib
from pathlib import Path

import pytest

from swarm.errors import InvariantBroken
from swarm.manager.raft.disk import Disk
from swarm.manager.raft.files import has_log, keys_in_use, read_files
from swarm.manager.raft.journal import DurableJournal
from swarm.manager.raft.sealed import START, Frame, Kind, MissingKey, SealedFile
from swarm.manager.raft.snapshots import SnapshotStore
from swarm.security.keyring import DataKey, KeySet, new_data_key
from tests.unit.raft.keys import KEYS
from tests.unit.raft.test_journal import MEMBERS, create
from tests.unit.raft.test_snapshots import journal_with, write

SECRET = b"hunter2hunter2"


def _damaged(path: Path, offset: int, reason: str) -> InvariantBroken:
    return InvariantBroken(f"{path.name} at {offset}: {reason}")


KIND = Kind(b"test0002", b"test0001", _damaged)
OTHER = Kind(b"rest0002", b"rest0001", _damaged)


def make(directory: Path, *bodies: bytes, name: str = "file", kind: Kind = KIND) -> Path:
    file = SealedFile.create(Disk(directory), name, kind, KEYS)
    for body in bodies:
        file.append(body)
    file.sync()
    file.close()
    return directory / name


def opened(path: Path, kind: Kind = KIND) -> SealedFile:
    return SealedFile.open(Disk(path.parent), path.name, kind, KEYS)


def bodies(path: Path) -> list[bytes]:
    file, offset, found = opened(path), START, []
    try:
        while (frame := file.frame_at(offset)) is not None:
            found.append(frame.body)
            offset = frame.end
    finally:
        file.close()
    return found


def frames(path: Path) -> list[bytes]:
    """Return the frames as they stand on disk."""
    file, data, offset, found = opened(path), path.read_bytes(), START, []
    try:
        while (frame := file.frame_at(offset)) is not None:
            found.append(data[offset : frame.end])
            offset = frame.end
    finally:
        file.close()
    return found


def test_what_was_written_is_read_and_stands_nowhere_in_clear(tmp_path: Path) -> None:
    parts = [SECRET, b"", SECRET * 100, bytes(range(256)) * 50]
    path = make(tmp_path, *parts)
    assert bodies(path) == parts
    assert SECRET not in path.read_bytes()
    file = opened(path)
    whole = b"".join(parts)
    assert file.size() == len(whole)
    for position in (0, 5, 13, 14, 15, 1000, len(whole) - 1, len(whole), len(whole) + 5):
        piece = file.read(position, 40)
        assert piece == whole[position : position + len(piece)]
        assert bool(piece) == (position < len(whole))
    file.close()


def test_the_same_content_never_looks_the_same(tmp_path: Path) -> None:
    one, other = make(tmp_path, SECRET, SECRET), make(tmp_path, SECRET, SECRET, name="other")
    seen = [*frames(one), *frames(other)]
    assert len({frame[24:] for frame in seen}) == 4


def test_frames_that_change_places_are_refused(tmp_path: Path) -> None:
    path = make(tmp_path, b"first!", b"second")
    first, second = frames(path)
    path.write_bytes(path.read_bytes()[:START] + second + first)
    with pytest.raises(InvariantBroken, match="moved, or altered on purpose"):
        bodies(path)


def test_a_frame_of_another_file_is_refused(tmp_path: Path) -> None:
    path, other = make(tmp_path, b"first!"), make(tmp_path, b"forged", name="other")
    path.write_bytes(path.read_bytes()[:START] + frames(other)[0])
    with pytest.raises(InvariantBroken, match="moved, or altered"):
        bodies(path)


def test_a_file_cannot_pass_for_one_of_another_kind(tmp_path: Path) -> None:
    path = make(tmp_path, b"first!", kind=OTHER)
    with pytest.raises(InvariantBroken, match="does not begin like"):
        opened(path)
    data = bytearray(path.read_bytes())
    data[:8] = KIND.magic
    data[32:36] = struct.pack("<I", zlib.crc32(data[:32]))
    path.write_bytes(data)
    with pytest.raises(InvariantBroken, match="moved, or altered"):
        bodies(path)


def test_an_altered_body_with_a_right_checksum_is_refused(tmp_path: Path) -> None:
    path = make(tmp_path, b"first!")
    frame = bytearray(frames(path)[0])
    frame[-1] ^= 1
    frame[4:8] = struct.pack("<I", zlib.crc32(frame[8:]))
    path.write_bytes(path.read_bytes()[:START] + frame)
    with pytest.raises(InvariantBroken, match="altered on purpose"):
        bodies(path)


def test_a_broken_frame_is_no_frame_and_whole_ones_behind_it_are_found(tmp_path: Path) -> None:
    path = make(tmp_path, b"first!", b"second", b"third.")
    first, second, _ = frames(path)
    at_second = START + len(first)
    data = bytearray(path.read_bytes())
    data[at_second + 30] ^= 1
    path.write_bytes(data)
    file = opened(path)
    assert file.frame_at(START) == Frame(b"first!", at_second)
    assert file.frame_at(at_second) is None
    assert file.whole_frame_after(at_second) == at_second + len(second)
    assert file.whole_frame_after(at_second + len(second)) is None
    with pytest.raises(InvariantBroken, match="a wrong checksum"):
        file.read(6, 10)
    file.close()


def test_a_missing_key_is_not_called_damage(tmp_path: Path) -> None:
    create(tmp_path)._destroy()
    before = (tmp_path / "log").read_bytes()
    strangers = KeySet((new_data_key(),))
    with pytest.raises(MissingKey, match="is not in this manager's key file"):
        DurableJournal(Disk(tmp_path), strangers)
    with pytest.raises(MissingKey):
        DurableJournal.owner(Disk(tmp_path), strangers)
    write(SnapshotStore(Disk(tmp_path), KEYS), 10)
    with pytest.raises(MissingKey):
        SnapshotStore(Disk(tmp_path), strangers)
    assert (tmp_path / "log").read_bytes() == before
    both = KeySet((*KEYS.keys, new_data_key()))
    DurableJournal(Disk(tmp_path), both)._destroy()


def test_a_log_from_before_encryption_is_refused_and_not_misread(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"swrmlog1" + bytes(100))
    for read in (DurableJournal, DurableJournal.owner):
        with pytest.raises(InvariantBroken, match=r"not encrypted.*join again"):
            read(Disk(tmp_path), KEYS)
    assert (tmp_path / "log").read_bytes() == b"swrmlog1" + bytes(100)


def test_a_snapshot_under_the_name_of_another_is_damaged(tmp_path: Path) -> None:
    store = SnapshotStore(Disk(tmp_path), KEYS)
    old, new = write(store, 10), write(store, 20)
    (tmp_path / new.name).write_bytes((tmp_path / old.name).read_bytes())
    again = SnapshotStore(Disk(tmp_path), KEYS)
    assert again.damaged == [new.name]
    assert again.latest is not None
    assert again.latest.index == 10


def test_looking_at_the_files_changes_nothing(tmp_path: Path) -> None:
    journal = journal_with(Disk(tmp_path), last=20)
    journal._destroy()
    write(SnapshotStore(Disk(tmp_path), KEYS), 10)
    for name in ("log.new.3", "snapshot-rekeyed.tmp"):
        (tmp_path / name).write_bytes(b"left by a crash")
    with (tmp_path / "log").open("ab") as log:
        log.write(b"torn")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    seen, snapshots = read_files(tmp_path, KEYS)
    assert [entry[1] for entry in seen[:]] == list(range(1, 21))
    assert snapshots.latest is not None
    assert snapshots.latest.index == 10
    seen._destroy()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert not has_log(tmp_path / "elsewhere")
    with pytest.raises(FileNotFoundError):
        read_files(tmp_path / "elsewhere", KEYS)
    assert not (tmp_path / "elsewhere").exists()


class Rotating:
    """Keys of which the newest counts."""

    def __init__(self) -> None:
        self.keys: tuple[DataKey, ...] = (new_data_key(),)

    @property
    def current(self) -> DataKey:
        return self.keys[-1]

    def find(self, key_id: bytes) -> DataKey | None:
        return KeySet(self.keys).find(key_id)


def test_everything_can_be_encrypted_anew_and_reads_the_same(tmp_path: Path) -> None:
    keys = Rotating()
    disk = Disk(tmp_path)
    DurableJournal.create(disk, keys, "cluster", "a", MEMBERS)
    journal, store = DurableJournal(disk, keys), SnapshotStore(disk, keys)
    for index in (10, 20):
        store.adopt(store.write("cluster", index, 1, MEMBERS, iter([SECRET, b"x" * 3_000_000])))
    journal.add(b"\x00" + SECRET, 2, 1)
    journal.setRaftCommitIndex(2)
    journal.sync()
    records = [list(SnapshotStore(disk, keys).read(name).records()) for name in store._complete()]
    entries = journal[:]
    old = keys.current
    under_way = store.latest
    assert under_way is not None
    sent = under_way.open()
    assert sent.read(0, 10)
    keys.keys = (*keys.keys, new_data_key())
    assert keys_in_use(disk) == {old.id}
    store.rekey()
    compaction = journal.begin_compaction(1, MEMBERS)
    compaction.write()
    assert journal.finish_compaction(compaction)
    assert keys_in_use(disk) == {keys.current.id}
    size = sent.size()
    assert sent.read(size - 5, 5)  # a transfer goes on with the file that it has open
    sent.close()
    keys.keys = (keys.current,)
    again = SnapshotStore(disk, keys)
    assert [list(again.read(name).records()) for name in again._complete()] == records
    journal._destroy()
    journal = DurableJournal(disk, keys)
    assert journal[:] == entries
    journal._destroy()
