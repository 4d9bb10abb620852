"""The log on disk: whatever a crash leaves behind is read back as some prefix, and damage is refused."""

import contextlib
import copy
import errno
import os
import random
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from swarm.api.v1.raft_pb2 import MembershipChange, RaftMember
from swarm.errors import FailedPrecondition, InvariantBroken
from swarm.manager.raft.disk import Disk, DiskFile
from swarm.manager.raft.entries import NOOP, change_command, data_command
from swarm.manager.raft.journal import DurableJournal
from swarm.manager.raft.membership import membership_of
from tests.simulation.raft.disk import PowerCut, SimDisk
from tests.unit.raft.keys import KEYS

MEMBERS = membership_of(RaftMember(raft_id="a", node_id="n1", addr="h:1"), RaftMember(raft_id="b"))


def create(directory: Path) -> DurableJournal:
    disk = Disk(directory)
    DurableJournal.create(disk, KEYS, "cluster", "a", MEMBERS)
    return DurableJournal(disk, KEYS)


def reopen(journal: DurableJournal) -> DurableJournal:
    journal._destroy()
    return DurableJournal(journal._disk, KEYS)


def log_of(directory: Path) -> Path:
    return directory / "log"


def contents(journal: DurableJournal) -> tuple[object, ...]:
    return journal[:], journal.getCurrentTerm(), journal.getVotedForNodeId()


def test_a_new_log_holds_one_empty_entry_and_the_first_members(tmp_path: Path) -> None:
    journal = create(tmp_path)
    assert journal[:] == [(NOOP, 1, 0)]
    assert (journal.raft_id, journal.cluster_id) == ("a", "cluster")
    assert journal.base_membership == MEMBERS
    assert log_of(tmp_path).stat().st_mode & 0o777 == 0o600
    assert tmp_path.stat().st_mode & 0o777 == 0o700
    journal._destroy()
    owner = DurableJournal.owner(Disk(tmp_path), KEYS)
    assert owner is not None
    assert (owner.raft_id, owner.cluster_id) == ("a", "cluster")


def test_what_was_synced_is_read_back(tmp_path: Path) -> None:
    journal = create(tmp_path)
    journal.setCurrentTerm(3, "b")
    for index in range(2, 20):
        journal.add(data_command(b"x" * index), index, 3)
    journal.sync()
    journal.deleteEntriesFrom(10)
    journal.add(data_command(b"other"), 11, 4)
    journal.setCurrentTerm(4, None)
    journal.setRaftCommitIndex(8)
    journal.sync()
    expected = contents(journal)
    again = reopen(journal)
    assert contents(again) == expected
    assert again[-1] == (data_command(b"other"), 11, 4)
    assert again.getRaftCommitIndex() == 8
    assert again.getVotedForNodeId() is None
    again._destroy()


def test_what_was_not_synced_is_not_promised(tmp_path: Path) -> None:
    journal = create(tmp_path)
    journal.add(data_command(b"x"), 2, 1)
    assert journal.synced_index == 1
    assert DurableJournal(Disk(tmp_path), KEYS).synced_index == 1
    journal.sync()
    assert journal.synced_index == 2
    journal._destroy()


def build(directory: Path) -> tuple[bytes, dict[int, tuple[object, ...]]]:
    """Return a log file, and what it must hold when it is cut at each of its frames."""
    journal = create(directory)
    states = {log_of(directory).stat().st_size: contents(journal)}
    index = 1
    for step in range(12):
        for _ in range(step % 3 + 1):
            index += 1
            journal.add(data_command(bytes([step]) * (step * 7)), index, 1 + step // 4)
        if step % 5 == 4:
            journal.deleteEntriesFrom(len(journal) - 2)
            index -= 2
        journal.setCurrentTerm(1 + step // 4, "b" if step % 2 else None)
        journal.sync()
        states[log_of(directory).stat().st_size] = contents(journal)
    journal._destroy()
    return log_of(directory).read_bytes(), states


def equal_bytes(one: bytes, other: bytes) -> int:
    pairs = zip(one, other, strict=False)
    return next((at for at, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))


@pytest.mark.parametrize("tail", ["nothing", "zeros", "garbage"])
def test_a_log_cut_at_any_byte_holds_what_was_synced_before(
    tmp_path: Path, tail: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for call in ("fsync", "fdatasync"):  # thousands of them, and nobody cuts the power here
        monkeypatch.setattr(os, call, lambda _: None)
    data, states = build(tmp_path / "whole")
    first = min(states)
    directory = tmp_path / "cut"
    disk = Disk(directory)
    for length in range(0, len(data), 1 if tail == "nothing" else 5):
        ending = {"nothing": b"", "zeros": bytes(40), "garbage": os.urandom(40)}[tail]
        log_of(directory).write_bytes(data[:length] + ending)
        cut = equal_bytes(data, data[:length] + ending)  # the ending may be what was there
        if cut < first:  # written as a whole before it got its name: no crash leaves that
            with pytest.raises(InvariantBroken, match="is damaged at offset"):
                DurableJournal(disk, KEYS)
            continue
        journal = DurableJournal(disk, KEYS)
        assert contents(journal) == states[max(size for size in states if size <= cut)]
        if length % 7:
            journal._destroy()
            continue
        # It goes on from there.
        journal.add(data_command(b"next"), journal[-1][1] + 1, 9)
        journal.sync()
        again = reopen(journal)
        assert again[-1][0] == data_command(b"next")
        again._destroy()


def test_a_flipped_bit_in_the_middle_is_refused_with_file_and_offset(tmp_path: Path) -> None:
    data, states = build(tmp_path / "whole")
    boundaries = sorted(states)
    directory = tmp_path / "flipped"
    disk = Disk(directory)
    for start, end in pairwise(boundaries[:-1]):
        for at in {start, start + 5, (start + end) // 2, end - 1}:
            flipped = bytearray(data)
            flipped[at] ^= 0x10
            log_of(directory).write_bytes(flipped)
            with pytest.raises(InvariantBroken) as refused:
                DurableJournal(disk, KEYS)
            assert f"{log_of(directory)} is damaged at offset {start}" in str(refused.value)
            assert "join again" in str(refused.value)
    assert log_of(directory).read_bytes() == bytes(flipped)  # nothing was cut off


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    for data in (b"", b"swrmlog", b"\x00" * 100, b"swrmlog2" + bytes(50)):
        log_of(tmp_path).write_bytes(data)
        with pytest.raises(InvariantBroken, match="damaged at offset"):
            DurableJournal(Disk(tmp_path), KEYS)
        with pytest.raises(InvariantBroken, match="damaged at offset"):
            DurableJournal.owner(Disk(tmp_path), KEYS)
    log_of(tmp_path).unlink()
    assert DurableJournal.owner(Disk(tmp_path), KEYS) is None


def test_the_membership_at_every_entry_survives_a_restart_and_a_cut(tmp_path: Path) -> None:
    journal = create(tmp_path)
    member = RaftMember(raft_id="c")
    add = MembershipChange(kind=MembershipChange.KIND_ADD, member=member)
    remove = MembershipChange(kind=MembershipChange.KIND_REMOVE, member=RaftMember(raft_id="b"))
    journal.add(change_command(add), 2, 1)
    journal.add(data_command(b"x"), 3, 1)
    journal.add(change_command(remove), 4, 1)
    journal = reopen(journal)
    history = journal.history()
    assert history.current.voters == ("a", "c")
    assert history.at(3).voters == ("a", "b", "c")
    journal.deleteEntriesFrom(3)
    assert reopen(journal).history().current.voters == ("a", "b", "c")


def test_a_compaction_keeps_what_was_written_while_it_ran(tmp_path: Path) -> None:
    journal = create(tmp_path)
    for index in range(2, 50):
        journal.add(data_command(b"%d" % index), index, 1)
    journal.sync()
    before = log_of(tmp_path).stat().st_size
    compaction = journal.begin_compaction(40, MEMBERS)
    journal.add(data_command(b"during"), 50, 2)
    journal.setCurrentTerm(2, "b")
    journal.sync()
    compaction.write()
    journal.add(data_command(b"not synced yet"), 51, 2)
    assert journal.finish_compaction(compaction)
    assert (journal[0][1], journal[-1][1]) == (40, 51)
    assert log_of(tmp_path).stat().st_size < before
    journal.add(data_command(b"after"), 52, 2)
    again = reopen(journal)
    assert [entry[1] for entry in again[:]] == list(range(40, 53))
    assert (again.getCurrentTerm(), again.getVotedForNodeId()) == (2, "b")
    again._destroy()
    assert Disk(tmp_path).names() == ["log"]


def test_a_crash_during_a_compaction_leaves_the_old_log(tmp_path: Path) -> None:
    journal = create(tmp_path)
    for index in range(2, 50):
        journal.add(data_command(b"%d" % index), index, 1)
    compaction = journal.begin_compaction(40, MEMBERS)
    compaction.write()
    again = DurableJournal(Disk(tmp_path), KEYS)  # as if killed here
    assert (again[0][1], again[-1][1]) == (1, 49)
    assert Disk(tmp_path).names() == ["log"]
    again._destroy()


def test_a_reset_makes_a_running_compaction_void(tmp_path: Path) -> None:
    journal = create(tmp_path)
    for index in range(2, 50):
        journal.add(data_command(b"%d" % index), index, 1)
    compaction = journal.begin_compaction(40, MEMBERS)
    journal.setCurrentTerm(5, "b")
    journal.reset(100, 4, MEMBERS, [RaftMember(raft_id="z")])
    compaction.write()
    assert not journal.finish_compaction(compaction)
    again = reopen(journal)
    assert again[:] == [(NOOP, 100, 4)]
    assert (again.getCurrentTerm(), again.getVotedForNodeId()) == (5, "b")
    assert again.getRaftCommitIndex() == 100
    assert [contact.raft_id for contact in again.contacts] == ["z"]
    again._destroy()


def test_a_compacted_log_that_lost_its_end_is_refused(tmp_path: Path) -> None:
    journal = create(tmp_path)
    for index in range(2, 50):
        journal.add(data_command(b"%d" % index * 100_000), index, 1)
    compaction = journal.begin_compaction(10, MEMBERS)
    compaction.write()
    journal.finish_compaction(compaction)
    journal._destroy()
    data = log_of(tmp_path).read_bytes()
    log_of(tmp_path).write_bytes(data[:-1])
    with pytest.raises(InvariantBroken, match="entries that were synced are missing"):
        DurableJournal(Disk(tmp_path), KEYS)


class Dying:
    """Lets a process die before the `at`th operation on its disk; what the kernel has is still there."""

    def __init__(self, at: int) -> None:
        self.left = at

    def __call__(self) -> bool:
        self.left -= 1
        return self.left < 0


def write_and_compact(disk: Any) -> None:
    journal = DurableJournal(disk, KEYS)
    for index in range(2, 6):
        journal.add(data_command(b"%d" % index), index, 2)
        journal.setCurrentTerm(index, "b")
        journal.sync()
    compaction = journal.begin_compaction(4, MEMBERS)
    compaction.write()
    journal.finish_compaction(compaction)
    journal.add(data_command(b"behind"), 6, 6)
    journal.sync()


@pytest.mark.parametrize("at", range(20))
@pytest.mark.parametrize("writes", [False, True])
def test_what_a_restarted_process_finds_is_there_after_a_power_cut_as_well(at: int, writes: bool) -> None:
    """It counts as confirmed from then on, and the process before may have died before it was synced."""
    disk: Any = SimDisk()
    DurableJournal.create(disk, KEYS, "cluster", "a", MEMBERS)
    disk.cut_now = Dying(at)
    with contextlib.suppress(PowerCut):
        write_and_compact(disk)
        assert at == 19, "it died too late, or there are more operations to die before"
    disk.cut_now = Dying(10**6)
    disk.process_died()
    again = DurableJournal(disk, KEYS)
    if writes:
        again.add(data_command(b"more"), again[-1][1] + 1, 7)
        again.sync()
    found = contents(again)
    for seed in range(8):
        after = copy.deepcopy(disk)
        after.cut_power(random.Random(seed))
        assert contents(DurableJournal(after, KEYS)) == found


def test_a_start_writes_the_last_frame_again_because_a_failed_sync_may_have_dropped_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = create(tmp_path)
    journal.add(data_command(b"first"), 2, 1)
    journal.sync()
    begin = log_of(tmp_path).stat().st_size
    journal.add(data_command(b"last"), 3, 1)
    journal.sync()
    journal._destroy()
    content = log_of(tmp_path).read_bytes()
    written: list[tuple[int, bytes]] = []
    real = os.pwrite

    def pwrite(descriptor: int, data: bytes, offset: int) -> int:
        written.append((offset, bytes(data)))
        return real(descriptor, data[:10], offset)  # the kernel may take less than it is given

    monkeypatch.setattr(os, "pwrite", pwrite)
    DurableJournal(Disk(tmp_path), KEYS)._destroy()
    assert written[0] == (begin, content[begin:])
    assert written[-1][0] + 10 >= len(content)
    assert log_of(tmp_path).read_bytes() == content


class FullDisk(Disk):
    """A disk that takes only so much."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.left = 10**9

    def _open(self, name: str, flags: int) -> DiskFile:
        file = super()._open(name, flags)
        return _FullFile(file._descriptor, file.path, self)


class _FullFile(DiskFile):
    def __init__(self, descriptor: int, path: Path, disk: FullDisk) -> None:
        super().__init__(descriptor, path)
        self._disk = disk

    def append(self, data: bytes) -> None:
        super().append(data[: self._disk.left])
        self._disk.left = max(0, self._disk.left - len(data))
        if not self._disk.left:
            raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_fails_the_sync_for_good_and_loses_nothing_that_was_synced(tmp_path: Path) -> None:
    disk = FullDisk(tmp_path)
    DurableJournal.create(disk, KEYS, "cluster", "a", MEMBERS)
    journal = DurableJournal(disk, KEYS)
    journal.add(data_command(b"kept"), 2, 1)
    journal.sync()
    disk.left = 10
    journal.add(data_command(b"lost"), 3, 1)
    for _ in range(2):
        with pytest.raises(OSError, match="No space left"):
            journal.sync()
        disk.left = 10**9  # room again: a retry could still lie
    assert journal.synced_index == 2
    journal._destroy()
    again = DurableJournal(Disk(tmp_path), KEYS)
    assert again[-1][0] == data_command(b"kept")
    again._destroy()


def test_a_full_disk_during_a_compaction_leaves_the_log_as_it_is(tmp_path: Path) -> None:
    disk = FullDisk(tmp_path)
    DurableJournal.create(disk, KEYS, "cluster", "a", MEMBERS)
    journal = DurableJournal(disk, KEYS)
    for index in range(2, 50):
        journal.add(data_command(b"%d" % index), index, 1)
    compaction = journal.begin_compaction(10, MEMBERS)
    disk.left = 100
    with pytest.raises(OSError, match="No space left"):
        compaction.write()
    journal.abandon_compaction(compaction)
    disk.left = 10**9
    journal.add(data_command(b"goes on"), 50, 1)
    again = reopen(journal)
    assert (again[0][1], again[-1][1]) == (1, 50)
    again._destroy()
    assert Disk(tmp_path).names() == ["log"]


def test_two_processes_cannot_use_one_directory(tmp_path: Path) -> None:
    disk = Disk(tmp_path)
    disk.lock()
    with pytest.raises(FailedPrecondition, match="another process uses"):
        Disk(tmp_path).lock()
    disk.unlock()
    other = Disk(tmp_path)
    other.lock()
    other.unlock()


def test_gaps_are_never_written(tmp_path: Path) -> None:
    journal = create(tmp_path)
    with pytest.raises(InvariantBroken, match="entry 5 was appended after 1"):
        journal.add(data_command(b"x"), 5, 1)
    with pytest.raises(InvariantBroken, match="cannot be cut"):
        journal.deleteEntriesFrom(0)
    journal._destroy()
