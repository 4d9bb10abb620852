"""Encrypted files: a header, then frames, each with a checksum over what is on disk.

The header says which of the manager's data keys the file needs; the file's own key is derived from that one
and a random id, so no two files share a key. A frame is encrypted with AES-256-GCM under a random nonce (a
frame that a crash cut off is written again at the same place) and is bound to its place in the file. The
checksum tells what a crash or a bad disk did; a frame that passes it and still cannot be decrypted was moved
or altered by somebody. Frames begin with a mark, so that whole ones are found behind a broken one.
"""

import hmac
import os
import struct
import zlib
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from swarm.errors import FailedPrecondition, InvariantBroken
from swarm.manager.raft.disk import Disk, DiskFile
from swarm.security.keyring import DataKey, DataKeys

_HEADER = struct.Struct("<8s8s16sI")  # magic, id of the key, id of the file, CRC-32 of these
_FRAME = struct.Struct("<4sII12s")  # mark, CRC-32 of all that follows, length of the rest, nonce
_CHECKED = struct.Struct("<I12s")
_PLACE = struct.Struct("<Q")
_MARK = b"\xf5swf"
_TAG_BYTES = 16

START = _HEADER.size
OVERHEAD = _FRAME.size + _TAG_BYTES  # of a frame


class MissingKey(FailedPrecondition):
    """The file needs a key that this manager does not have; the file itself may be fine."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What is in a file: its magic number, that of its unencrypted ancestor, and how its damage is told."""

    magic: bytes
    open_magic: bytes
    damaged: Callable[[Path, int, str], InvariantBroken]


@dataclass(frozen=True, slots=True)
class Frame:
    """What was appended in one go, and where the next frame begins."""

    body: bytes
    end: int


class _Cipher:
    """The key of one file."""

    def __init__(self, magic: bytes, key: DataKey, file_id: bytes) -> None:
        self.key_id = key.id
        self._aead = AESGCM(hmac.digest(key.secret, magic + file_id, "sha256"))

    def seal(self, offset: int, body: bytes) -> bytes:
        """Return the frame for this place."""
        nonce = os.urandom(12)
        sealed = self._aead.encrypt(nonce, body, _PLACE.pack(offset))
        checksum = zlib.crc32(sealed, zlib.crc32(_CHECKED.pack(len(sealed), nonce)))
        return _FRAME.pack(_MARK, checksum, len(sealed), nonce) + sealed

    def unseal(self, offset: int, nonce: bytes, sealed: bytes) -> bytes:
        """Return the body; raises InvalidTag."""
        return self._aead.decrypt(nonce, sealed, _PLACE.pack(offset))


def _is_whole(header: bytes, sealed: bytes) -> bool:
    mark, checksum, length, nonce = _FRAME.unpack(header)
    if mark != _MARK or length != len(sealed) or length < _TAG_BYTES:
        return False
    return bool(zlib.crc32(sealed, zlib.crc32(_CHECKED.pack(length, nonce))) == checksum)


class SealedFile:
    """An open encrypted file. Appends and reads in clear; one thread at a time."""

    def __init__(self, file: DiskFile, kind: Kind, cipher: _Cipher) -> None:
        """Made by `create` and `open`."""
        self._file = file
        self._kind = kind
        self._cipher = cipher
        self._end = file.size()
        self._frames: list[tuple[int, int]] = []  # where each begins: in clear, on disk
        self._clear_size = 0
        self._indexed = START
        self._cached = (-1, b"")  # offset of a frame, its body

    @classmethod
    def create(cls, disk: Disk, name: str, kind: Kind, keys: DataKeys) -> "SealedFile":
        """Return a new, empty file, encrypted with the current key."""
        key, file_id = keys.current, os.urandom(16)
        header = kind.magic + key.id + file_id
        file = disk.create(name)
        try:
            file.append(header + struct.pack("<I", zlib.crc32(header)))
        except BaseException:
            file.close()
            raise
        return cls(file, kind, _Cipher(kind.magic, key, file_id))

    @classmethod
    def open(cls, disk: Disk, name: str, kind: Kind, keys: DataKeys) -> "SealedFile":
        """Return an existing file; raises FileNotFoundError, the kind's error for damage, and MissingKey."""
        file = disk.open(name)
        try:
            return cls(file, kind, _read_header(file, kind, keys))
        except BaseException:
            file.close()
            raise

    @property
    def path(self) -> Path:
        """Where the file was when it was opened."""
        return self._file.path

    @property
    def key_id(self) -> bytes:
        """The data key that is needed to read this file."""
        return self._cipher.key_id

    @property
    def end(self) -> int:
        """Where the next frame goes."""
        return self._end

    def append(self, body: bytes) -> None:
        """Write a frame at the end; raises OSError, then part of it may be there."""
        frame = self._cipher.seal(self._end, body)
        self._file.append(frame)
        self._end += len(frame)

    def sync(self) -> None:
        """Return when everything written is on the medium."""
        self._file.sync()

    def close(self) -> None:
        """Close the file; does not sync."""
        self._file.close()

    def write_again(self, offset: int) -> None:
        """Make the frames from `offset` on durable, if they are not; raises OSError."""
        self._file.write_again(offset)

    def truncate(self, offset: int) -> None:
        """Cut the file durably at the beginning of a frame."""
        self._file.truncate(offset)
        self._end = offset

    # Frame by frame, for files whose end may be torn.

    def frame_at(self, offset: int) -> Frame | None:
        """Return the frame that begins at `offset`, None if there is no whole one.

        Raises the kind's error for a whole frame that does not belong there.
        """
        header = self._file.read(offset, _FRAME.size)
        if len(header) < _FRAME.size:
            return None
        _, _, length, nonce = _FRAME.unpack(header)
        if length > self._end - offset - _FRAME.size:
            return None
        sealed = self._file.read(offset + _FRAME.size, length)
        if not _is_whole(header, sealed):
            return None
        try:
            body = self._cipher.unseal(offset, nonce, sealed)
        except InvalidTag as error:
            raise self._damaged(
                offset, "a whole frame that was not written there: it was moved, or altered on purpose"
            ) from error
        return Frame(body, offset + _FRAME.size + length)

    def whole_frame_after(self, offset: int) -> int | None:
        """Return where behind `offset` a whole frame begins, None if nowhere; reads all the rest."""
        data = self._file.read(offset, self._end - offset)
        at = data.find(_MARK, 1)
        while at >= 0:
            body = at + _FRAME.size
            if body <= len(data):
                length = _FRAME.unpack_from(data, at)[2]
                if _is_whole(data[at:body], data[body : body + length]):
                    return offset + at
            at = data.find(_MARK, at + 1)
        return None

    # As a whole, for files that are complete: positions count what was appended, in clear.

    def size(self) -> int:
        """Return how many bytes were appended; raises the kind's error unless all frames are complete."""
        while self._indexed < self._end:
            header = self._file.read(self._indexed, _FRAME.size)
            length = _FRAME.unpack(header)[2] if len(header) == _FRAME.size else 0
            end = self._indexed + _FRAME.size + length
            if length < _TAG_BYTES or end > self._end:
                raise self._damaged(self._indexed, "an incomplete frame")
            self._frames.append((self._clear_size, self._indexed))
            self._clear_size += length - _TAG_BYTES
            self._indexed = end
        return self._clear_size

    def read(self, position: int, size: int) -> bytes:
        """Return up to `size` of the bytes from `position`, at least one unless it is the end."""
        if position >= self.size():
            return b""
        start, offset = self._frame_with(position)
        if self._cached[0] != offset:
            frame = self.frame_at(offset)
            if frame is None:
                raise self._damaged(offset, "a wrong checksum")
            self._cached = (offset, frame.body)
        return self._cached[1][position - start : position - start + size]

    def _frame_with(self, position: int) -> tuple[int, int]:
        return self._frames[bisect_right(self._frames, position, key=lambda frame: frame[0]) - 1]

    def _damaged(self, offset: int, reason: str) -> InvariantBroken:
        return self._kind.damaged(self.path, offset, reason)


def key_id_of(file: DiskFile) -> bytes | None:
    """Return the data key that an open file needs, None when its header is not readable."""
    header = file.read(0, _HEADER.size)
    if len(header) < _HEADER.size or zlib.crc32(header[: _HEADER.size - 4]) != _HEADER.unpack(header)[3]:
        return None
    key_id: bytes = _HEADER.unpack(header)[1]
    return key_id


def _read_header(file: DiskFile, kind: Kind, keys: DataKeys) -> _Cipher:
    """Return the cipher of a file."""
    header = file.read(0, _HEADER.size)
    if header.startswith(kind.open_magic):
        reason = "it is not encrypted: a version of swarm before the first release wrote it"
        raise kind.damaged(file.path, 0, reason)
    if not header.startswith(kind.magic) or len(header) < _HEADER.size:
        raise kind.damaged(file.path, 0, "it does not begin like a file of this version")
    magic, key_id, file_id, checksum = _HEADER.unpack(header)
    if zlib.crc32(header[: _HEADER.size - 4]) != checksum:
        raise kind.damaged(file.path, 0, "a wrong checksum of its header")
    key = keys.find(key_id)
    if key is None:
        raise MissingKey(
            f"{file.path} is encrypted with the key {key_id.hex()}, which is not in this manager's key file:"
            " were the files of different times or managers mixed?"
        )
    return _Cipher(magic, key, file_id)
