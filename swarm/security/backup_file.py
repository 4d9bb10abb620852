"""A backup as a file: a header in clear, then sealed pieces, each bound to the header and to its place.

A piece is its length and an AES-256-GCM ciphertext. The nonce is the number of the piece and whether it is
the last, so none can be left out, swapped, repeated or cut off unnoticed. The key comes from a passphrase
(scrypt, with a salt of this file) or from a key file (HKDF, salted as well), so no two files share one.
"""

import hashlib
import json
import os
import secrets
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from swarm.errors import FailedPrecondition, InvalidArgument
from swarm.security.keyfiles import sync_directory

MAGIC = b"swrmbak1"
FORMAT = 1
KEY_BYTES = 32
PASSPHRASE_CHARACTERS_MIN = 8
HEADER_BYTES_MAX = 64 * 1024
PIECE_BYTES_MAX = 16 * 1024 * 1024  # one object of the store and what is around it, with room
_SCRYPT_COST = 2**15  # 32 MiB of memory and about 0.1 s
_SCRYPT_COST_MAX = 2**20  # a file that asks for more is refused, before it takes the memory
_SALT_BYTES = 16
_LENGTH = struct.Struct(">I")
_NONCE = struct.Struct(">QB3x")


@dataclass(frozen=True, slots=True)
class Passphrase:
    """What opens a backup, or seals one: words of a person, or the content of a key file."""

    secret: bytes = field(repr=False)
    is_key: bool = False


def passphrase_of(text: str) -> Passphrase:
    """Return what a person typed; raises InvalidArgument when it is too short."""
    if len(text) < PASSPHRASE_CHARACTERS_MIN:
        raise InvalidArgument(f"the passphrase must have {PASSPHRASE_CHARACTERS_MIN} characters or more")
    return Passphrase(text.encode())


def key_of(content: bytes) -> Passphrase:
    """Return what a key file holds; raises InvalidArgument when that is too little."""
    if len(content) < KEY_BYTES:
        raise InvalidArgument(
            f"the key file must hold {KEY_BYTES} bytes or more: head -c {KEY_BYTES} /dev/urandom makes them"
        )
    return Passphrase(content, is_key=True)


@dataclass(frozen=True, slots=True)
class PublicHeader:
    """What anybody may read of a backup; `public` is what its maker put there."""

    public: dict[str, Any]
    kdf: str
    salt: bytes
    cost: int
    encoded: bytes  # everything before the first piece

    def key(self, passphrase: Passphrase) -> bytes:
        """Return the key of the pieces; raises InvalidArgument for the wrong kind of secret."""
        if passphrase.is_key != (self.kdf == "hkdf"):
            wanted = "a key file (--key-file)" if self.kdf == "hkdf" else "a passphrase"
            raise InvalidArgument(f"this backup was sealed with {wanted}")
        if passphrase.is_key:
            derived = HKDF(SHA256(), KEY_BYTES, self.salt, b"swarm backup").derive(passphrase.secret)
        else:
            derived = Scrypt(self.salt, KEY_BYTES, self.cost, 8, 1).derive(passphrase.secret)
        return derived


class DamagedBackup(FailedPrecondition):
    """A file that is no whole backup, or not openable with this passphrase."""


def _damaged(path: Path, reason: str) -> DamagedBackup:
    return DamagedBackup(f"{path} is no usable backup: {reason}")


def seal(file: BinaryIO, public: dict[str, Any], passphrase: Passphrase, pieces: Iterable[bytes]) -> None:
    """Write a backup; raises OSError, and InvalidArgument for what no backup holds."""
    header = _new_header(public, passphrase)
    cipher, bound = AESGCM(header.key(passphrase)), hashlib.sha256(header.encoded).digest()
    file.write(header.encoded)
    number, before = 0, None
    for piece in pieces:
        if len(piece) > PIECE_BYTES_MAX:
            raise InvalidArgument(
                f"a part of the state has {len(piece)} bytes: the most is {PIECE_BYTES_MAX}"
            )
        if before is not None:
            _write_piece(file, cipher, bound, number, before, last=False)
            number += 1
        before = piece
    _write_piece(file, cipher, bound, number, before or b"", last=True)


def _new_header(public: dict[str, Any], passphrase: Passphrase) -> PublicHeader:
    kdf = "hkdf" if passphrase.is_key else "scrypt"
    salt = secrets.token_bytes(_SALT_BYTES)
    record = {"format": FORMAT, "kdf": kdf, "salt": salt.hex(), "cost": _SCRYPT_COST, "public": public}
    text = json.dumps(record).encode()
    return PublicHeader(public, kdf, salt, _SCRYPT_COST, MAGIC + _LENGTH.pack(len(text)) + text)


def _write_piece(
    file: BinaryIO, cipher: AESGCM, bound: bytes, number: int, piece: bytes, *, last: bool
) -> None:
    sealed = cipher.encrypt(_NONCE.pack(number, last), piece, bound)
    file.write(_LENGTH.pack(len(sealed)) + sealed)


def read_header(path: Path) -> PublicHeader:
    """Return what stands in clear in a backup, unchecked; raises DamagedBackup and OSError."""
    with path.open("rb") as file:
        return _header(path, file)


def _header(path: Path, file: BinaryIO) -> PublicHeader:
    start = file.read(len(MAGIC) + _LENGTH.size)
    if len(start) < len(MAGIC) + _LENGTH.size or not start.startswith(MAGIC):
        raise _damaged(path, "it does not begin like one of this version")
    (length,) = _LENGTH.unpack(start[len(MAGIC) :])
    if length > HEADER_BYTES_MAX:
        raise _damaged(path, "its header is damaged")
    text = file.read(length)
    try:
        record = json.loads(text)
        known = record["format"] == FORMAT
        header = PublicHeader(
            dict(record["public"]),
            str(record["kdf"]),
            bytes.fromhex(record["salt"]),
            int(record["cost"]),
            start + text,
        )
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise _damaged(path, "its header is damaged") from error
    if not known or header.kdf not in ("hkdf", "scrypt"):
        raise _damaged(path, "it was made by another version of swarm")
    cost = header.cost
    if len(text) != length or cost < 2 or cost > _SCRYPT_COST_MAX or cost & (cost - 1):
        raise _damaged(path, "its header is damaged")
    return header


def unseal(path: Path, passphrase: Passphrase) -> Iterator[bytes]:
    """Yield the pieces of a backup, each checked; the end is only an end when this returns.

    Raises DamagedBackup for a file that is not whole, or another passphrase; OSError.
    """
    with path.open("rb") as file:
        header = _header(path, file)
        cipher, bound = AESGCM(header.key(passphrase)), hashlib.sha256(header.encoded).digest()
        number, last = 0, False
        while not last:
            sealed = _read_piece(path, file, number)
            piece, last = _open_piece(path, cipher, bound, number, sealed)
            yield piece
            number += 1
        if file.read(1):
            raise _damaged(path, "something follows its end")


def _read_piece(path: Path, file: BinaryIO, number: int) -> bytes:
    start = file.read(_LENGTH.size)
    if len(start) < _LENGTH.size:
        raise _damaged(path, f"it is cut off after {number} parts")
    (length,) = _LENGTH.unpack(start)
    if length > PIECE_BYTES_MAX + 16:
        raise _damaged(path, f"part {number + 1} is damaged")
    sealed = file.read(length)
    if len(sealed) < length:
        raise _damaged(path, f"it is cut off, or damaged, in part {number + 1}")
    return sealed


def _open_piece(path: Path, cipher: AESGCM, bound: bytes, number: int, sealed: bytes) -> tuple[bytes, bool]:
    for last in (False, True):
        try:
            return cipher.decrypt(_NONCE.pack(number, last), sealed, bound), last
        except (InvalidTag, ValueError):
            continue
    if number == 0:
        raise _damaged(path, "the passphrase or key is another one, or its beginning is damaged")
    raise _damaged(path, f"part {number + 1} is damaged")


class NewFile:
    """A file that gets its name only when it is whole and durable, and never replaces another."""

    def __init__(self, path: Path) -> None:
        """Refuse a name that is taken: FailedPrecondition."""
        if path.exists() or path.is_symlink():
            raise taken(path)
        self._path = path
        self.temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.new")

    def open(self) -> BinaryIO:
        """Create it, readable by its owner only; raises OSError."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        return os.fdopen(os.open(self.temporary, flags, 0o600), "wb")

    def keep(self) -> None:
        """Give it its name, durably; raises FailedPrecondition when that was taken meanwhile."""
        try:
            os.link(self.temporary, self._path)
        except FileExistsError:
            raise taken(self._path) from None
        self.temporary.unlink()
        sync_directory(self._path.parent)

    def discard(self) -> None:
        """Remove what has no name yet."""
        self.temporary.unlink(missing_ok=True)


def taken(path: Path) -> FailedPrecondition:
    """Return the refusal to overwrite a file."""
    return FailedPrecondition(f"{path} exists already: a backup replaces no file, choose another name")
