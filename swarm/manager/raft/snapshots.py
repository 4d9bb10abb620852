"""Snapshots of the state machine as files: written once, checked whenever read, the last two kept.

A file is a magic number and frames of kind, length, checksum and payload: a header, the state machine's
records, and an end that counts them and chains their checksums. It gets its name only when it is durable,
so a file that has its name and fails the check was damaged afterwards.
"""

import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import structlog
from google.protobuf.message import DecodeError

from swarm.api.v1.raft_pb2 import RaftSnapshotHeader
from swarm.errors import InvariantBroken
from swarm.manager.raft.disk import Disk, DiskFile
from swarm.manager.raft.membership import Membership, from_message, to_message

log = structlog.get_logger(__name__)

KEPT = 2
_PREFIX = "snapshot-"
_TEMPORARY = ".tmp"

_MAGIC = b"swrmsnp1"
_FRAME = struct.Struct("<BII")  # kind, length, CRC-32
_END_PAYLOAD = struct.Struct("<QI")  # number of records, chained checksum
_HEADER, _RECORD, _END = 1, 2, 3
_BUFFER_BYTES = 1024 * 1024


class DamagedSnapshot(InvariantBroken):
    """A snapshot file that does not pass its checks."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A complete snapshot file: the state as of the entry at `index`."""

    disk: Disk
    name: str
    cluster_id: str
    index: int
    term: int
    membership: Membership

    def records(self) -> Iterator[bytes]:
        """Yield the state machine's records; raises DamagedSnapshot."""
        file = self.disk.open(self.name)
        try:
            yield from _records(_Reader(file, self.name))
        finally:
            file.close()

    def open(self) -> DiskFile:
        """Return the file, to be sent elsewhere; it stays readable when the snapshot is removed."""
        return self.disk.open(self.name)


class _Reader:
    """Frames of a file, read in large pieces."""

    def __init__(self, file: DiskFile, name: str) -> None:
        self._file = file
        self._name = name
        self._size = file.size()
        self._offset = 0
        self._buffer = b""
        self._at = 0
        if self._take(len(_MAGIC)) != _MAGIC:
            raise self.damaged("it does not begin like a snapshot of this version")

    def damaged(self, reason: str) -> DamagedSnapshot:
        """Return the error that says what is wrong where."""
        position = self._offset - len(self._buffer) + self._at
        return DamagedSnapshot(f"the snapshot {self._name} is damaged at offset {position}: {reason}")

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


def _write(file: DiskFile, header: RaftSnapshotHeader, records: Iterable[bytes]) -> None:
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


class IncomingSnapshot:
    """A snapshot that arrives in pieces, in order."""

    def __init__(self, store: "SnapshotStore", cluster_id: str, index: int, term: int) -> None:
        self.key = (index, term)
        self.received = 0
        self._store = store
        self._cluster_id = cluster_id
        self._name = f"incoming-{_name(index, term)}{_TEMPORARY}"
        self._file = store.disk.create(self._name)

    def append(self, chunk: bytes) -> None:
        """Write the next piece durably; raises OSError."""
        self._file.append(chunk)
        self._file.sync()
        self.received += len(chunk)

    def finish(self) -> Snapshot:
        """Check the whole and keep it; raises DamagedSnapshot if it is not what was announced."""
        self._file.close()
        try:
            found = self._store.read(self._name)
        except DamagedSnapshot:
            self._store.disk.remove(self._name)
            raise
        if (found.cluster_id, found.index, found.term) != (self._cluster_id, *self.key):
            self._store.disk.remove(self._name)
            raise DamagedSnapshot(f"a snapshot of entry {found.index} came for that of {self.key[0]}")
        return self._store.keep(self._name, found.index, found.term)

    def abort(self) -> None:
        """Drop what has arrived."""
        self._file.close()
        self._store.disk.remove(self._name)


class SnapshotStore:
    """The snapshots in one directory."""

    def __init__(self, disk: Disk) -> None:
        """Find the newest snapshot that passes its checks; reads the whole file."""
        self.disk = disk
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
        names = [name for name in self.disk.names() if name.startswith(_PREFIX)]
        return [name for name in names if not name.endswith(_TEMPORARY)]

    @property
    def log_needed_from(self) -> int:
        """Index up to which the log may be cut so that the older snapshot would do as well; 0: nothing."""
        names = self._complete()
        return min(_index(name) for name in names) if len(names) >= KEPT else 0

    def read(self, name: str) -> Snapshot:
        """Check a whole file and return its description; raises DamagedSnapshot."""
        file = self.disk.open(name)
        try:
            header = _header(_Reader(file, name))
            for _ in _records(_Reader(file, name)):
                pass
        finally:
            file.close()
        membership = from_message(header.membership)
        return Snapshot(self.disk, name, header.cluster_id, header.index, header.term, membership)

    def write(
        self, cluster_id: str, index: int, term: int, membership: Membership, records: Iterable[bytes]
    ) -> Snapshot:
        """Write a snapshot durably; for a worker thread. Raises OSError, and then leaves nothing behind."""
        header = RaftSnapshotHeader(
            cluster_id=cluster_id, index=index, term=term, membership=to_message(membership)
        )
        temporary = f"{_PREFIX}{_name(index, term)}{_TEMPORARY}"
        file = self.disk.create(temporary)
        try:
            _write(file, header, records)
        except BaseException:
            file.close()
            self.disk.remove(temporary)
            raise
        file.close()
        return self.keep(temporary, index, term)

    def keep(self, temporary: str, index: int, term: int) -> Snapshot:
        """Give a complete file its name."""
        name = f"{_PREFIX}{_name(index, term)}"
        self.disk.rename(temporary, name)
        file = self.disk.open(name)
        try:
            header = _header(_Reader(file, name))
        finally:
            file.close()
        return Snapshot(self.disk, name, header.cluster_id, index, term, from_message(header.membership))

    def adopt(self, snapshot: Snapshot) -> None:
        """Make this the newest one unless there is a newer one, and remove all but the last two."""
        if self.latest is None or snapshot.index > self.latest.index:
            self.latest = snapshot
        names = self._complete()
        for name in [*self.damaged, *names[:-KEPT]]:
            self.disk.remove(name)
        self.damaged.clear()

    def receive(self, cluster_id: str, index: int, term: int) -> IncomingSnapshot:
        """Return where to put the pieces of a snapshot that another member sends."""
        return IncomingSnapshot(self, cluster_id, index, term)


def _name(index: int, term: int) -> str:
    return f"{index:016x}-{term:016x}"


def _index(name: str) -> int:
    return int(name.removeprefix(_PREFIX).split("-")[0], 16)
