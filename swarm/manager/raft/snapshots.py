"""Snapshots of the state machine as files: written once, checked whenever read, the last few kept.

What a file says is a magic number and frames of kind, length, checksum and payload: a header, the state
machine's records, and an end that counts them and chains their checksums. That is also what travels to
other members, in pieces. On disk it is encrypted (see `sealed.py`) with a key of this manager. A file gets
its name only when it is durable, so one that has its name and fails the check was damaged afterwards.
"""

import contextlib
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import structlog
from google.protobuf.message import DecodeError

from swarm.api.v1.raft_pb2 import RaftSnapshotHeader
from swarm.errors import InvariantBroken
from swarm.manager.raft.disk import Disk
from swarm.manager.raft.membership import Membership, from_message, to_message
from swarm.manager.raft.sealed import Kind, SealedFile
from swarm.security.keyring import DataKeys

log = structlog.get_logger(__name__)

KEPT = 2  # the log reaches back to the older one: either may be damaged
_PREFIX = "snapshot-"
_TEMPORARY = ".tmp"

_MAGIC = b"swrmsnp1"
_FRAME = struct.Struct("<BII")  # kind, length, CRC-32
_END_PAYLOAD = struct.Struct("<QI")  # number of records, chained checksum
_HEADER, _RECORD, _END = 1, 2, 3
_BUFFER_BYTES = 1024 * 1024


class DamagedSnapshot(InvariantBroken):
    """A snapshot file that does not pass its checks."""


def _damage(path: Path, offset: int, reason: str) -> DamagedSnapshot:
    return DamagedSnapshot(f"the snapshot {path.name} is damaged at offset {offset}: {reason}")


_KIND = Kind(b"swrmsnp2", b"swrmsnp1", _damage)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A complete snapshot file: the state as of the entry at `index`."""

    disk: Disk
    keys: DataKeys = field(repr=False)
    name: str
    cluster_id: str
    index: int
    term: int
    membership: Membership

    def records(self) -> Iterator[bytes]:
        """Yield the state machine's records; raises DamagedSnapshot."""
        file = self.open()
        try:
            yield from _records(_Reader(file))
        finally:
            file.close()

    def open(self) -> SealedFile:
        """Return the file, to be sent elsewhere; it stays readable when the snapshot is removed."""
        return SealedFile.open(self.disk, self.name, _KIND, self.keys)


class _Reader:
    """Frames of a file, read in large pieces."""

    def __init__(self, file: SealedFile) -> None:
        self._file = file
        self._size = file.size()
        self._offset = 0
        self._buffer = b""
        self._at = 0
        if self._take(len(_MAGIC)) != _MAGIC:
            raise self.damaged("it does not begin like a snapshot of this version")

    def damaged(self, reason: str) -> DamagedSnapshot:
        """Return the error that says what is wrong where."""
        position = self._offset - len(self._buffer) + self._at
        return _damage(self._file.path, position, reason)

    def frame(self) -> tuple[int, int, bytes]:
        """Return kind, checksum and payload of the next frame."""
        kind, length, checksum = _FRAME.unpack(self._take(_FRAME.size))
        if length > self._size:
            raise self.damaged("a length beyond its end")
        payload = self._take(length)
        if zlib.crc32(payload) != checksum:
            raise self.damaged("a wrong checksum")
        return kind, checksum, payload

    def at_end(self) -> bool:
        """Tell whether everything was read."""
        return self._offset == self._size and self._at == len(self._buffer)

    def _take(self, count: int) -> bytes:
        while len(self._buffer) - self._at < count:
            piece = self._file.read(self._offset, max(_BUFFER_BYTES, count))
            if not piece:
                raise self.damaged("it ends too early")
            self._buffer = self._buffer[self._at :] + piece
            self._at = 0
            self._offset += len(piece)
        self._at += count
        return self._buffer[self._at - count : self._at]


def _header(reader: _Reader) -> RaftSnapshotHeader:
    kind, _, payload = reader.frame()
    try:
        if kind == _HEADER:
            return RaftSnapshotHeader.FromString(payload)
    except DecodeError:
        pass
    raise reader.damaged("no readable header")


def _records(reader: _Reader) -> Iterator[bytes]:
    _header(reader)
    count = chain = 0
    while True:
        kind, checksum, payload = reader.frame()
        if kind == _END:
            if payload != _END_PAYLOAD.pack(count, chain) or not reader.at_end():
                raise reader.damaged("records are missing or follow its end")
            return
        if kind != _RECORD:
            raise reader.damaged(f"a frame of the unknown kind {kind}")
        yield payload
        count += 1
        chain = _chained(chain, checksum)


def _chained(chain: int, checksum: int) -> int:
    return zlib.crc32(checksum.to_bytes(4, "little"), chain)


def _frame(kind: int, payload: bytes) -> bytes:
    return _FRAME.pack(kind, len(payload), zlib.crc32(payload)) + payload


def _write(file: SealedFile, header: RaftSnapshotHeader, records: Iterable[bytes]) -> None:
    buffer = bytearray(_MAGIC)
    buffer += _frame(_HEADER, header.SerializeToString(deterministic=True))
    count = chain = 0
    for record in records:
        checksum = zlib.crc32(record)
        buffer += _FRAME.pack(_RECORD, len(record), checksum)
        buffer += record
        count += 1
        chain = _chained(chain, checksum)
        if len(buffer) >= _BUFFER_BYTES:
            file.append(bytes(buffer))
            file.sync()  # little by little: one large sync would hold up those of the log
            buffer.clear()
    buffer += _frame(_END, _END_PAYLOAD.pack(count, chain))
    file.append(bytes(buffer))
    file.sync()


def _copy(source: SealedFile, target: SealedFile) -> None:
    position = 0
    while piece := source.read(position, _BUFFER_BYTES):
        target.append(piece)
        target.sync()
        position += len(piece)


class IncomingSnapshot:
    """A snapshot that arrives in pieces, in order."""

    def __init__(self, store: "SnapshotStore", cluster_id: str, index: int, term: int) -> None:
        self.key = (index, term)
        self.received = 0
        self._store = store
        self._cluster_id = cluster_id
        self._name = f"incoming-{_name(index, term)}{_TEMPORARY}"
        self._file = SealedFile.create(store.disk, self._name, _KIND, store.keys)

    def append(self, chunk: bytes) -> None:
        """Write the next piece durably; raises OSError."""
        self._file.append(chunk)
        self._file.sync()
        self.received += len(chunk)

    def finish(self) -> Snapshot:
        """Check the whole and keep it; raises DamagedSnapshot if it is not what was announced."""
        self._file.close()
        try:
            header = self._announced(self._store.check(self._name))
        except DamagedSnapshot:
            self._store.disk.remove(self._name)
            raise
        return self._store.keep(self._name, header)

    def _announced(self, header: RaftSnapshotHeader) -> RaftSnapshotHeader:
        if (header.cluster_id, header.index, header.term) != (self._cluster_id, *self.key):
            raise DamagedSnapshot(f"a snapshot of entry {header.index} came for that of {self.key[0]}")
        return header

    def abort(self) -> None:
        """Drop what has arrived."""
        self._file.close()
        self._store.disk.remove(self._name)


class SnapshotStore:
    """The snapshots in one directory."""

    def __init__(self, disk: Disk, keys: DataKeys) -> None:
        """Find the newest snapshot that passes its checks; reads the whole file. Raises MissingKey."""
        self.disk = disk
        self.keys = keys
        self.kept = KEPT
        self.damaged: list[str] = []
        for name in disk.names():
            if name.endswith(_TEMPORARY):
                disk.remove(name)
        self.latest: Snapshot | None = None
        for name in reversed(self._complete()):
            try:
                self.latest = self.read(name)
                break
            except DamagedSnapshot as error:
                log.error("raft.snapshot_damaged", reason=str(error))  # noqa: TRY400  # the reason says it all
                self.damaged.append(name)

    def _complete(self) -> list[str]:
        return complete_snapshots(self.disk)

    @property
    def log_needed_from(self) -> int:
        """Index up to which the log may be cut so that the older snapshot would do as well; 0: nothing."""
        names = self._complete()
        return _index(names[-KEPT]) if len(names) >= KEPT else 0

    def read(self, name: str) -> Snapshot:
        """Check a whole file and return its description; raises DamagedSnapshot."""
        return read_snapshot(self.disk, self.keys, name)

    def check(self, name: str) -> RaftSnapshotHeader:
        """Check a whole file, whatever its name, and return its header; raises DamagedSnapshot."""
        return _checked(self.disk, self.keys, name)

    def write(
        self, cluster_id: str, index: int, term: int, membership: Membership, records: Iterable[bytes]
    ) -> Snapshot:
        """Write a snapshot durably; for a worker thread. Raises OSError, and then leaves nothing behind."""
        header = RaftSnapshotHeader(
            cluster_id=cluster_id, index=index, term=term, membership=to_message(membership)
        )
        temporary = f"{_PREFIX}{_name(index, term)}{_TEMPORARY}"
        self._fill(temporary, lambda file: _write(file, header, records))
        return self.keep(temporary, header)

    def _fill(self, temporary: str, write: Callable[[SealedFile], None]) -> None:
        file = SealedFile.create(self.disk, temporary, _KIND, self.keys)
        try:
            write(file)
        except BaseException:
            file.close()
            self.disk.remove(temporary)
            raise
        file.close()

    def keep(self, temporary: str, header: RaftSnapshotHeader) -> Snapshot:
        """Give a complete file its name."""
        name = f"{_PREFIX}{_name(header.index, header.term)}"
        self.disk.rename(temporary, name)
        return _described(self.disk, self.keys, name, header)

    def adopt(self, snapshot: Snapshot) -> None:
        """Make this the newest one unless there is a newer one, and remove all but the last few."""
        if self.latest is None or snapshot.index > self.latest.index:
            self.latest = snapshot
        names = self._complete()
        for name in [*self.damaged, *names[: -self.kept]]:
            self.disk.remove(name)
        self.damaged.clear()

    def rekey(self) -> None:
        """Encrypt anew what needs another key than the current one; for a worker thread.

        Raises OSError and DamagedSnapshot; what was done by then stays done.
        """
        for name in (*self.damaged,):
            self.disk.remove(name)
        for name in self._complete():
            with contextlib.suppress(FileNotFoundError):  # a newer one came meanwhile
                self._rekey(name)

    def _rekey(self, name: str) -> None:
        file = SealedFile.open(self.disk, name, _KIND, self.keys)
        try:
            if file.key_id != self.keys.current.id:
                temporary = f"{_PREFIX}rekeyed{_TEMPORARY}"
                self._fill(temporary, lambda copy: _copy(file, copy))
                self.disk.rename(temporary, name)
        finally:
            file.close()

    def receive(self, cluster_id: str, index: int, term: int) -> IncomingSnapshot:
        """Return where to put the pieces of a snapshot that another member sends."""
        return IncomingSnapshot(self, cluster_id, index, term)


def complete_snapshots(disk: Disk) -> list[str]:
    """Return the names of the snapshots in a directory, oldest first."""
    names = [name for name in disk.names() if name.startswith(_PREFIX)]
    return [name for name in names if not name.endswith(_TEMPORARY)]


def read_snapshot(disk: Disk, keys: DataKeys, name: str) -> Snapshot:
    """Check a whole file and return its description.

    Raises DamagedSnapshot, MissingKey, FileNotFoundError.
    """
    header = _checked(disk, keys, name)
    if name != f"{_PREFIX}{_name(header.index, header.term)}":
        raise DamagedSnapshot(f"the snapshot {name} is that of entry {header.index}, term {header.term}")
    return _described(disk, keys, name, header)


def _checked(disk: Disk, keys: DataKeys, name: str) -> RaftSnapshotHeader:
    file = SealedFile.open(disk, name, _KIND, keys)
    try:
        header = _header(_Reader(file))
        for _ in _records(_Reader(file)):
            pass
    finally:
        file.close()
    return header


def _described(disk: Disk, keys: DataKeys, name: str, header: RaftSnapshotHeader) -> Snapshot:
    membership = from_message(header.membership)
    return Snapshot(disk, keys, name, header.cluster_id, header.index, header.term, membership)


def _name(index: int, term: int) -> str:
    return f"{index:016x}-{term:016x}"


def _index(name: str) -> int:
    return int(name.removeprefix(_PREFIX).split("-")[0], 16)
