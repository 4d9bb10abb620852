"""The keys that a manager's files are encrypted with: one small file, in clear or sealed.

Data keys never leave the manager that made them. Each is known by an id that is computed from it, so a
damaged one is noticed. While the cluster is not auto-locked, the file is in clear and readable by its owner
only; else it is sealed with the unlock key, and says with which one: a wrong key is told from damage.
Everything about locks is decided by this file alone: it changes in one step, whatever else has to follow.
"""

import base64
import hashlib
import json
import os
import threading
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from swarm.errors import FailedPrecondition
from swarm.security.keyfiles import write_private
from swarm.security.unlock_key import UnlockKey

FORMAT = 1
KEY_BYTES = 32
KEY_ID_BYTES = 8
NONCE_BYTES = 12


class Locked(FailedPrecondition):
    """The key file is sealed, and no key was given."""


class WrongUnlockKey(FailedPrecondition):
    """The key given is not the one that the file is sealed with."""


class DamagedKeyFile(FailedPrecondition):
    """The key file cannot be read."""


@dataclass(frozen=True, slots=True)
class DataKey:
    """A key that files are encrypted with; `id` stands in the clear at their beginning."""

    secret: bytes = field(repr=False)

    @property
    def id(self) -> bytes:
        """Which key this is; tells nothing about the key."""
        return hashlib.sha256(b"swarm data key" + self.secret).digest()[:KEY_ID_BYTES]


def new_data_key() -> DataKey:
    """Return a fresh key."""
    return DataKey(os.urandom(KEY_BYTES))


class DataKeys(Protocol):
    """What encrypted files are read and written with; may be asked from any thread."""

    @property
    def current(self) -> DataKey:
        """The key for everything that is written from now on."""

    def find(self, key_id: bytes) -> DataKey | None:
        """Return a key by its id."""


@dataclass(frozen=True, slots=True)
class KeySet:
    """Some keys, oldest first."""

    keys: tuple[DataKey, ...]

    @property
    def current(self) -> DataKey:
        """The newest key."""
        return self.keys[-1]

    def find(self, key_id: bytes) -> DataKey | None:
        """Return a key by its id."""
        return next((key for key in self.keys if key.id == key_id), None)


@dataclass(frozen=True, slots=True)
class Contents:
    """What the file says; `version` counts the changes of the cluster's lock that were followed."""

    keys: KeySet
    version: int = 0
    unlock_key: UnlockKey | None = None


class Keyring:
    """The keys of this manager. Every change is on disk before it counts; OSError leaves all as it was."""

    def __init__(self, path: Path, contents: Contents) -> None:
        """`contents` are what is to be found at `path`."""
        self.path = path
        self._contents = contents
        self._changing = threading.Lock()

    @property
    def current(self) -> DataKey:
        """The key for everything that is written from now on."""
        return self._contents.keys.current

    def find(self, key_id: bytes) -> DataKey | None:
        """Return a key by its id."""
        return self._contents.keys.find(key_id)

    @property
    def ids(self) -> frozenset[bytes]:
        """All keys that can still be needed."""
        return frozenset(key.id for key in self._contents.keys.keys)

    @property
    def version(self) -> int:
        """Up to which change the cluster's lock was followed; 0: none yet."""
        return self._contents.version

    @property
    def is_sealed(self) -> bool:
        """Whether the file needs the unlock key after a restart."""
        return self._contents.unlock_key is not None

    def follow(self, version: int, unlock_key: UnlockKey | None) -> None:
        """Seal the file with `unlock_key`, or put it in clear (None): the cluster's change `version`.

        A new seal comes with a new data key, because the ones before may have leaked with the seal before.
        Changes that were followed already are ignored.
        """
        with self._changing:
            before = self._contents
            if version <= before.version:
                return
            keys = before.keys if unlock_key is None else KeySet((*before.keys.keys, new_data_key()))
            self._write(Contents(keys, version, unlock_key))

    def renew(self) -> None:
        """Write everything from now on with a new key."""
        with self._changing:
            keys = KeySet((*self._contents.keys.keys, new_data_key()))
            self._write(replace(self._contents, keys=keys))

    def keep_only(self, needed: Collection[bytes]) -> None:
        """Forget all keys but the current one and those `needed`."""
        with self._changing:
            keys = self._contents.keys
            kept = KeySet(tuple(key for key in keys.keys if key.id in needed or key is keys.current))
            if kept != keys:
                self._write(replace(self._contents, keys=kept))

    def _write(self, contents: Contents) -> None:
        write_private(self.path, encode(contents))
        self._contents = contents


def create_keyring(path: Path) -> Keyring:
    """Make the key file of a new manager, in clear, in place of whatever is there."""
    contents = Contents(KeySet((new_data_key(),)))
    path.parent.mkdir(mode=0o711, parents=True, exist_ok=True)
    write_private(path, encode(contents))
    return Keyring(path, contents)


def open_keyring(path: Path, unlock_key: UnlockKey | None = None) -> Keyring:
    """Read the key file; changes nothing on disk. Raises FileNotFoundError.

    Raises Locked when it is sealed and no key is given, WrongUnlockKey when another one is needed, and
    FailedPrecondition when it is damaged.
    """
    return Keyring(path, _decode(path, path.read_bytes(), unlock_key))


def is_sealed(path: Path) -> bool:
    """Tell whether there is a key file that needs the unlock key; raises FailedPrecondition if damaged."""
    try:
        return "sealed" in _record(path, path.read_bytes())
    except FileNotFoundError:
        return False


# The file: JSON, with the keys in clear or sealed.


def encode(contents: Contents) -> bytes:
    """Return what stands in the file."""
    keys = [{"id": key.id.hex(), "key": _text(key.secret)} for key in contents.keys.keys]
    record: dict[str, Any] = {"format": FORMAT, "version": contents.version}
    lock = contents.unlock_key
    if lock is None:
        record["keys"] = keys
    else:
        nonce = os.urandom(NONCE_BYTES)
        sealed = AESGCM(lock.secret).encrypt(nonce, json.dumps(keys).encode(), _bound(contents.version))
        record["unlock_key"] = {"id": _lock_id(lock), "version": lock.version}
        record["sealed"] = _text(nonce + sealed)
    return json.dumps(record, indent=1).encode() + b"\n"


def _decode(path: Path, text: bytes, unlock_key: UnlockKey | None) -> Contents:
    record = _record(path, text)
    try:
        version = int(record["version"])
        if "sealed" not in record:
            return Contents(_keys(record["keys"]), version)
        key = _check_lock(path, record["unlock_key"], unlock_key)
        sealed = base64.b64decode(record["sealed"], validate=True)
        clear = AESGCM(key.secret).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], _bound(version))
        return Contents(_keys(json.loads(clear)), version, key)
    except (KeyError, TypeError, ValueError, IndexError, InvalidTag) as error:
        raise _damaged(path) from error


def _record(path: Path, text: bytes) -> Mapping[str, Any]:
    try:
        record = json.loads(text)
        known = record["format"] == FORMAT
    except (ValueError, KeyError, TypeError) as error:
        raise _damaged(path) from error
    if not known:
        raise FailedPrecondition(f"{path} was written by another version of swarm")
    assert isinstance(record, Mapping)
    return record


def _keys(items: list[Mapping[str, str]]) -> KeySet:
    keys = tuple(DataKey(base64.b64decode(item["key"], validate=True)) for item in items)
    if not keys or any(key.id.hex() != item["id"] for key, item in zip(keys, items, strict=True)):
        raise ValueError("a key does not fit its id")
    return KeySet(keys)


def _check_lock(path: Path, lock: Mapping[str, Any], given: UnlockKey | None) -> UnlockKey:
    """Return the key given if it is the right one."""
    wanted = int(lock["version"])
    if given is None:
        raise Locked(f"{path} is sealed with unlock key number {wanted}")
    if _lock_id(given) == lock["id"]:
        return given
    if given.version > wanted:
        raise WrongUnlockKey(
            f"this is a later unlock key (number {given.version}) than the one that locks this manager"
            f" (number {wanted}): this manager was away when the key was rotated. Unlock it with the key"
            " that was valid before; it takes the later one by itself then"
        )
    if given.version < wanted:
        raise WrongUnlockKey(
            f"this is an earlier unlock key (number {given.version}) than the one that locks this manager"
            f" (number {wanted}): swarmctl unlock-key on a manager that is not locked prints the current one"
        )
    raise WrongUnlockKey("this is not the unlock key of this manager: is it that of another cluster?")


def _damaged(path: Path) -> DamagedKeyFile:
    return DamagedKeyFile(
        f"the key file {path} is damaged: restore it from a backup, or take this manager out of its cluster"
        " (swarmctl leave --force here, swarmctl node rm on another manager) and let it join again"
    )


def _lock_id(key: UnlockKey) -> str:
    return hashlib.sha256(b"swarm unlock key" + key.secret).hexdigest()[: 2 * KEY_ID_BYTES]


def _bound(version: int) -> bytes:
    return f"swarm key file {FORMAT} {version}".encode()


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
