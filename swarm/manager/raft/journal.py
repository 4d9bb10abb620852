"""The durable log: an append-only, checksummed file behind pysyncobj's journal interface.

A file is encrypted frames (see `sealed.py`); a frame is what one fsync made durable: records. So a broken
frame with a valid one after it cannot be the trace of a crash, because the later one was only written after
the earlier one was synced: such a file is refused. A broken frame at the end is a crash during the write:
nobody was told of its contents, and it is cut off.
"""

import contextlib
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import NamedTuple, overload

import structlog
from google.protobuf.message import DecodeError
from pysyncobj.journal import Journal

from swarm.api.v1.raft_pb2 import RaftLogBase, RaftMember
from swarm.errors import InvariantBroken
from swarm.manager.raft.disk import Disk
from swarm.manager.raft.entries import FIRST_INDEX, NOOP, Entry, change_of
from swarm.manager.raft.membership import Membership, MembershipHistory, from_message, to_message
from swarm.manager.raft.sealed import START, Kind, SealedFile
from swarm.security.keyring import DataKeys

log = structlog.get_logger(__name__)

NAME = "log"
_NEW_PREFIX = "log.new."

_RECORD = struct.Struct("<BQQI")  # type, two numbers, length of the payload
_COPY_BYTES = 1024 * 1024


class Record(NamedTuple):
    """One record of a frame; what the two numbers are depends on its kind."""

    kind: "RecordKind"
    first: int
    second: int
    payload: bytes


class RecordKind(IntEnum):
    """What a record says."""

    BASE = 1  # whose log it is; first and last index of its first writing
    ENTRY = 2  # index, term
    TRUNCATE = 3  # the entries from this index on are cut off
    HARDSTATE = 4  # term, whether there was a vote
    COMMIT = 5  # index


def records_of(body: bytes) -> Iterator[Record]:
    """Yield the records of a frame; raises ValueError for what is none."""
    position = 0
    while position < len(body):
        if position + _RECORD.size > len(body):
            raise ValueError("a record is too short")
        kind, first, second, length = _RECORD.unpack_from(body, position)
        position += _RECORD.size + length
        if position > len(body):
            raise ValueError("a record is longer than its frame")
        if kind not in _KINDS:
            raise ValueError(f"a record of the unknown type {kind}")
        yield Record(RecordKind(kind), first, second, body[position - length : position])


_KINDS = frozenset(RecordKind)


def _record(kind: int, first: int = 0, second: int = 0, payload: bytes = b"") -> bytes:
    return _RECORD.pack(kind, first, second, len(payload)) + payload


def _hardstate(term: int, vote: str | None) -> bytes:
    return _record(RecordKind.HARDSTATE, term, int(vote is not None), (vote or "").encode())


def _damage(path: Path, offset: int, reason: str) -> InvariantBroken:
    return InvariantBroken(
        f"the Raft log {path} is damaged at offset {offset}: {reason}. Entries that were acknowledged may "
        "be lost, so it is not used; remove this manager's Raft directory and let it join again"
    )


KIND = Kind(b"swrmlog2", b"swrmlog1", _damage)


@dataclass(slots=True)
class Compaction:
    """A shorter log, written next to the old one by a worker thread."""

    disk: Disk
    keys: DataKeys
    name: str
    base: RaftLogBase
    entries: list[Entry]
    term: int
    vote: str | None
    commit: int
    file: SealedFile | None = None

    def write(self) -> None:
        """Write and sync the new file; raises OSError."""
        self.file = SealedFile.create(self.disk, self.name, KIND, self.keys)
        for body in self._bodies():
            self.file.append(body)
        self.file.sync()

    def _bodies(self) -> Iterator[bytes]:
        first = _record(
            RecordKind.BASE, self.entries[0][1], self.entries[-1][1], self.base.SerializeToString()
        )
        records = [first, _hardstate(self.term, self.vote)]
        size = 0
        for command, index, term in self.entries:
            records.append(_record(RecordKind.ENTRY, index, term, command))
            size += len(command)
            if size >= _COPY_BYTES:
                yield b"".join(records)
                records, size = [], 0
        records.append(_record(RecordKind.COMMIT, self.commit))
        yield b"".join(records)

    def put_in_place(self) -> SealedFile:
        """Give the new file the name of the log."""
        assert self.file is not None
        self.disk.rename(self.name, NAME)
        return self.file

    def discard(self) -> None:
        """Remove the new file."""
        if self.file is not None:
            self.file.close()
        self.disk.remove(self.name)


class DurableJournal(Journal):
    """The log of one member, in memory and on disk. One thread only, except for `Compaction.write`."""

    def __init__(self, disk: Disk, keys: DataKeys) -> None:
        """Read the log; raises FileNotFoundError, MissingKey, and InvariantBroken if it is damaged."""
        self._disk = disk
        self._keys = keys
        for name in disk.names():
            if name.startswith(_NEW_PREFIX):  # left by a crash during a compaction
                disk.remove(name)
        self._entries: list[Entry] = []
        self._base_message = RaftLogBase()
        self._term = 0
        self._vote: str | None = None
        self._commit = FIRST_INDEX
        self._written_commit = 0
        self._highest = 0
        self._promised = 0
        self._pending: list[bytes] = []
        self._compaction: Compaction | None = None
        self._compactions = 0
        self._tail: list[bytes] = []  # what was synced since the compaction that is under way began
        self._broken: OSError | None = None
        self.appended_bytes = 0  # of entries, ever, as far as this file tells
        self._file = SealedFile.open(disk, NAME, KIND, keys)
        try:
            self._load()
        except BaseException:
            self._file.close()
            raise
        self.synced_index = self._entries[-1][1]

    @staticmethod
    def exists(disk: Disk) -> bool:
        """Tell whether this directory holds a log."""
        return NAME in disk.names()

    @staticmethod
    def create(disk: Disk, keys: DataKeys, cluster_id: str, raft_id: str, membership: Membership) -> None:
        """Create the log of a new member, atomically; `membership` as far as it is known."""
        base = RaftLogBase(cluster_id=cluster_id, raft_id=raft_id, membership=to_message(membership))
        first: Entry = (NOOP, FIRST_INDEX, 0)
        created = Compaction(disk, keys, f"{_NEW_PREFIX}0", base, [first], 0, None, FIRST_INDEX)
        created.write()
        created.put_in_place().close()

    @staticmethod
    def owner(disk: Disk, keys: DataKeys) -> RaftLogBase | None:
        """Return whose log is in this directory, without reading it all; None if there is none.

        Raises InvariantBroken if it cannot be told, and MissingKey.
        """
        if not DurableJournal.exists(disk):
            return None
        file = SealedFile.open(disk, NAME, KIND, keys)
        try:
            frame = file.frame_at(START)
        finally:
            file.close()
        body = b"" if frame is None else frame.body
        kind, _, _, length = _RECORD.unpack_from(body.ljust(_RECORD.size, b"\0"))
        with contextlib.suppress(DecodeError):
            owner = RaftLogBase.FromString(body[_RECORD.size : _RECORD.size + length])
            if kind == RecordKind.BASE and owner.raft_id:
                return owner
        raise _damage(file.path, 0, "it does not say whose it is")

    @property
    def cluster_id(self) -> str:
        """The cluster that the log belongs to."""
        return self._base_message.cluster_id

    @property
    def raft_id(self) -> str:
        """The member whose log it is."""
        return self._base_message.raft_id

    @property
    def key_id(self) -> bytes:
        """The data key that is needed to read the file."""
        return self._file.key_id

    @property
    def base_membership(self) -> Membership:
        """The membership as of the first entry."""
        return from_message(self._base_message.membership)

    @property
    def contacts(self) -> tuple[RaftMember, ...]:
        """Members that are known although the log up to here does not tell of them."""
        return tuple(self._base_message.contacts)

    def history(self) -> MembershipHistory:
        """Return the membership at every entry: a change counts once appended, also after a restart."""
        history = MembershipHistory(self._entries[0][1], self.base_membership)
        for command, index, _ in self._entries[1:]:
            change = change_of(command)
            if change is not None:
                history.append(index, change)
        return history

    # What is on disk, read back.

    def _load(self) -> None:
        last = offset = START
        while (frame := self._file.frame_at(offset)) is not None:
            self._replay(frame.body, offset)
            last, offset = offset, frame.end
        if not self._entries or self._highest < self._promised or self._commit > self._entries[-1][1]:
            raise self._damaged(offset, "entries that were synced are missing at its end")
        if offset < self._file.end:
            self._cut_tail(offset)
        # From now on all of this is promised. But the process before may have been killed, or its disk may
        # have failed, between writing the last frame or giving this file its name and syncing that.
        self._file.write_again(last)
        self._disk.sync_names()

    def _cut_tail(self, offset: int) -> None:
        later = self._file.whole_frame_after(offset)
        if later is not None:
            raise self._damaged(offset, f"a broken frame, with a valid one after it at offset {later}")
        log.warning("raft.log_tail_cut", offset=offset, cut_bytes=self._file.end - offset)
        self._file.truncate(offset)

    def _damaged(self, offset: int, reason: str) -> InvariantBroken:
        return _damage(self._file.path, offset, reason)

    def _replay(self, body: bytes, offset: int) -> None:
        try:
            for record in records_of(body):
                self._replay_record(record, offset)
        except ValueError as error:
            raise self._damaged(offset, str(error)) from error

    def _replay_record(self, record: Record, offset: int) -> None:
        kind, first, second, payload = record
        if kind == RecordKind.ENTRY:
            if not self._base_message.raft_id or (self._entries and first != self._entries[-1][1] + 1):
                raise self._damaged(offset, f"entry {first} does not follow the one before it")
            self._entries.append((payload, first, second))
            self._highest = max(self._highest, first)
            self.appended_bytes += len(payload)
        elif kind == RecordKind.TRUNCATE:
            if not self._entries or first <= self._entries[0][1]:
                raise self._damaged(offset, "it cuts its own first entry")
            del self._entries[first - self._entries[0][1] :]
        elif kind == RecordKind.HARDSTATE:
            self._term, self._vote = first, payload.decode() if second else None
        elif kind == RecordKind.COMMIT:
            self._commit = self._written_commit = first
        else:
            try:
                self._base_message = RaftLogBase.FromString(payload)
            except DecodeError as error:
                raise self._damaged(offset, "its first record cannot be read") from error
            self._promised = second

    # Writing: records are collected, and one sync makes them durable together.

    @property
    def is_dirty(self) -> bool:
        """Whether something waits for `sync`."""
        return bool(self._pending)

    def sync(self) -> None:
        """Make everything durable that was written so far; raises OSError, and from then on always."""
        if self._broken is not None:
            raise self._broken
        if not self._pending:
            return
        if self._commit != self._written_commit:
            self._pending.append(_record(RecordKind.COMMIT, self._commit))
        body = b"".join(self._pending)
        try:
            self._file.append(body)
            self._file.sync()
        except OSError as error:
            self._broken = error  # the kernel may have dropped the pages: a retry could lie
            raise
        self._pending.clear()
        self._written_commit = self._commit
        self.synced_index = self._entries[-1][1]
        if self._compaction is not None:
            self._tail.append(body)

    def add(self, command: bytes, idx: int, term: int) -> None:
        """Append an entry; its index must follow the last one."""
        if idx != self._entries[-1][1] + 1:
            raise InvariantBroken(f"entry {idx} was appended after {self._entries[-1][1]}")
        self._entries.append((command, idx, term))
        self._pending.append(_record(RecordKind.ENTRY, idx, term, command))
        self.appended_bytes += len(command)

    def deleteEntriesFrom(self, entryFrom: int) -> None:  # noqa: N802, N803  # pysyncobj's name
        """Cut the log at a position; the first entry always stays."""
        if entryFrom < 1:
            raise InvariantBroken("the first entry of the log cannot be cut")
        if entryFrom < len(self._entries):
            self._pending.append(_record(RecordKind.TRUNCATE, self._entries[entryFrom][1]))
            del self._entries[entryFrom:]
            self.synced_index = min(self.synced_index, self._entries[-1][1])

    def setCurrentTerm(self, term: int, votedForNodeId: str | None) -> None:  # noqa: N802, N803
        """Note term and vote."""
        if (term, votedForNodeId) != (self._term, self._vote):
            self._term, self._vote = term, votedForNodeId
            self._pending.append(_hardstate(term, votedForNodeId))

    def setRaftCommitIndex(self, raftCommitIndex: int) -> None:  # noqa: N802, N803
        """Note the commit index; it goes to disk with something else, or a moment later (turn.py)."""
        self._commit = raftCommitIndex

    def onOneSecondTimer(self) -> None:  # noqa: N802
        """Write the commit index if it has moved."""
        self.write_commit_index()

    @property
    def is_commit_behind(self) -> bool:
        """Whether the commit index has moved since it was written."""
        return self._commit != self._written_commit

    def write_commit_index(self) -> None:
        """Write the commit index with the next sync, if it has moved."""
        if self.is_commit_behind and not self._pending:
            self._pending.append(_record(RecordKind.COMMIT, self._commit))

    # Reading.

    @overload
    def __getitem__(self, item: int) -> Entry: ...
    @overload
    def __getitem__(self, item: slice) -> list[Entry]: ...
    def __getitem__(self, item: int | slice) -> Entry | list[Entry]:
        return self._entries[item]

    def __len__(self) -> int:
        return len(self._entries)

    def getRaftCommitIndex(self) -> int:  # noqa: N802
        """Return the commit index as last noted."""
        return self._commit

    def getCurrentTerm(self) -> int:  # noqa: N802
        """Return the term."""
        return self._term

    def getVotedForNodeId(self) -> str | None:  # noqa: N802
        """Return whom this member voted for in the term."""
        return self._vote

    # Cutting the front off.

    def begin_compaction(self, index: int, membership: Membership) -> Compaction:
        """Return the work of rewriting the log with the entry at `index` as its first one.

        `Compaction.write` may run in another thread while this log goes on; then `finish_compaction`.
        """
        self.sync()
        keep = self._entries[index - self._entries[0][1] :]
        self._tail.clear()
        self._compaction = self._rewrite(membership, keep, self._commit)
        return self._compaction

    def finish_compaction(self, compaction: Compaction) -> bool:
        """Put the rewritten log in place of this one, with everything that was synced meanwhile.

        Returns False, and leaves the log as it is, when the log was reset meanwhile. Raises OSError.
        """
        self.sync()
        if self._compaction is not compaction or compaction.file is None:
            self.abandon_compaction(compaction)
            return False
        for body in self._tail:
            compaction.file.append(body)
        compaction.file.sync()
        self._adopt(compaction)
        del self._entries[: compaction.entries[0][1] - self._entries[0][1]]
        return True

    def abandon_compaction(self, compaction: Compaction) -> None:
        """Drop a compaction that failed or came too late."""
        compaction.discard()
        if self._compaction is compaction:
            self._compaction = None
            self._tail.clear()

    def reset(
        self, index: int, term: int, membership: Membership, contacts: Iterable[RaftMember] = ()
    ) -> None:
        """Forget all entries: the log starts anew behind a snapshot of the state at `index`."""
        compaction = self._rewrite(membership, [(NOOP, index, term)], index)
        del compaction.base.contacts[:]
        compaction.base.contacts.extend(contacts)
        compaction.write()
        self._adopt(compaction)
        self._entries = list(compaction.entries)
        self._pending.clear()
        self._commit = self._written_commit = self.synced_index = index

    def hand_on(self, raft_id: str, term: int, added: Sequence[Entry]) -> None:
        """Make this the log of the member `raft_id`, with `added` at its end and all of it committed.

        It takes the place of the log in one step.
        """
        entries = [*self._entries, *added]
        compaction = self._rewrite(self.base_membership, entries, entries[-1][1])
        compaction.base.raft_id, compaction.term, compaction.vote = raft_id, term, None
        del compaction.base.contacts[:]
        compaction.write()
        self._adopt(compaction)
        self._entries, self._term, self._vote = entries, term, None
        self._pending.clear()
        self._commit = self._written_commit = self.synced_index = entries[-1][1]

    def _rewrite(self, membership: Membership, entries: list[Entry], commit: int) -> Compaction:
        base = RaftLogBase(
            cluster_id=self.cluster_id,
            raft_id=self.raft_id,
            membership=to_message(membership),
            contacts=self._base_message.contacts,
        )
        self._compactions += 1
        name = f"{_NEW_PREFIX}{self._compactions}"
        return Compaction(self._disk, self._keys, name, base, entries, self._term, self._vote, commit)

    def _adopt(self, compaction: Compaction) -> None:
        file = compaction.put_in_place()
        self._file.close()
        self._file = file
        self._base_message = compaction.base
        self._compaction = None
        self._tail.clear()

    def _destroy(self) -> None:
        try:
            if self._broken is None:
                self.sync()
        finally:
            self._file.close()
