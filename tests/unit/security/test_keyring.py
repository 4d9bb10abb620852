"""The key file: in clear or sealed, a wrong key told from damage, and old or new whatever happens."""

import json
import os
import re
from pathlib import Path

import pytest

from swarm.errors import FailedPrecondition
from swarm.security import keyring as keyring_module
from swarm.security.keyring import (
    DataKey,
    Keyring,
    KeySet,
    Locked,
    WrongUnlockKey,
    create_keyring,
    is_sealed,
    new_data_key,
    open_keyring,
)
from swarm.security.unlock_key import UnlockKey, new_unlock_key

FIRST, SECOND = new_unlock_key(1), new_unlock_key(2)


def keys_of(keyring: Keyring) -> tuple[DataKey, ...]:
    return keyring._contents.keys.keys


def test_a_new_key_file_is_in_clear_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    keyring = create_keyring(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert not is_sealed(path)
    assert (keyring.version, keyring.is_sealed) == (0, False)
    assert keys_of(open_keyring(path)) == keys_of(keyring)
    assert keys_of(create_keyring(path)) != keys_of(keyring)


def test_a_sealed_file_holds_no_key_in_clear_and_opens_with_its_unlock_key_only(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    keyring = create_keyring(path)
    keyring.follow(1, FIRST)
    assert is_sealed(path)
    text = path.read_text()
    for key in (*keys_of(keyring), FIRST):
        assert key.secret.hex() not in text
        assert keyring_module._text(key.secret) not in text
    with pytest.raises(Locked):
        open_keyring(path)
    assert keys_of(open_keyring(path, FIRST)) == keys_of(keyring)
    with pytest.raises(WrongUnlockKey, match="another cluster"):
        open_keyring(path, UnlockKey(1, SECOND.secret))


def test_a_manager_that_was_away_says_which_key_it_wants(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    create_keyring(path).follow(2, SECOND)
    with pytest.raises(WrongUnlockKey, match=r"earlier unlock key \(number 1\).*\(number 2\)"):
        open_keyring(path, FIRST)
    third = new_unlock_key(3)
    with pytest.raises(WrongUnlockKey, match=r"away when the key was rotated.*valid before"):
        open_keyring(path, third)
    keyring = open_keyring(path, SECOND)
    keyring.follow(3, third)
    assert keys_of(open_keyring(path, third)) == keys_of(keyring)


def test_a_seal_comes_with_a_new_data_key_and_its_removal_with_none(tmp_path: Path) -> None:
    keyring = create_keyring(tmp_path / "keys")
    clear = keyring.current
    keyring.follow(1, FIRST)
    assert keyring.current != clear
    assert keyring.find(clear.id) == clear  # files need it still
    sealed = keyring.current
    keyring.follow(2, None)
    assert keyring.current == sealed
    assert not is_sealed(tmp_path / "keys")
    assert open_keyring(tmp_path / "keys").version == 2


def test_changes_that_were_followed_are_ignored(tmp_path: Path) -> None:
    keyring = create_keyring(tmp_path / "keys")
    keyring.follow(2, SECOND)
    before = (tmp_path / "keys").read_bytes()
    keyring.follow(2, SECOND)
    keyring.follow(1, None)
    assert (tmp_path / "keys").read_bytes() == before


def test_only_what_is_needed_is_kept(tmp_path: Path) -> None:
    keyring = create_keyring(tmp_path / "keys")
    first = keyring.current
    keyring.renew()
    second = keyring.current
    keyring.renew()
    keyring.keep_only({first.id})
    assert keys_of(keyring) == (first, keyring.current)
    assert keyring.find(second.id) is None
    keyring.keep_only(())
    assert keys_of(open_keyring(tmp_path / "keys")) == (keyring.current,)


@pytest.mark.parametrize("sealed", [False, True])
def test_every_flipped_bit_is_noticed_or_harmless(tmp_path: Path, sealed: bool) -> None:
    path = tmp_path / "keys"
    keyring = create_keyring(path)
    if sealed:
        keyring.follow(1, FIRST)
    expected, data = keys_of(keyring), path.read_bytes()
    for at in range(len(data)):
        flipped = bytearray(data)
        flipped[at] ^= 1
        path.write_bytes(flipped)
        try:
            found = open_keyring(path, FIRST if sealed else None)
        except FailedPrecondition:
            continue
        assert keys_of(found) == expected
    for length in range(len(data) - 2):
        path.write_bytes(data[:length])
        with pytest.raises(FailedPrecondition, match="damaged"):
            open_keyring(path, FIRST)


@pytest.mark.parametrize("text", ["[]", "7", '"x"', "{}", '{"format": 1}', '{"format": 1, "version": "x"}'])
def test_what_is_no_key_file_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "keys").write_text(text)
    with pytest.raises(FailedPrecondition, match="damaged"):
        open_keyring(tmp_path / "keys")


def test_the_file_of_a_later_version_is_refused(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text(json.dumps({"format": 2}))
    with pytest.raises(FailedPrecondition, match="another version"):
        is_sealed(tmp_path / "keys")


def test_a_change_that_is_cut_short_leaves_the_old_file_or_the_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "keys"
    keyring = create_keyring(path)
    before = keys_of(keyring)
    for target, call in ((os, "fsync"), (Path, "rename")):
        monkeypatch.setattr(target, call, _full)
        with pytest.raises(OSError, match="no space"):
            keyring.follow(1, FIRST)
        monkeypatch.undo()
        assert (keyring.version, keys_of(keyring)) == (0, before)
        assert keys_of(open_keyring(path)) == before
    keyring.follow(1, FIRST)
    assert open_keyring(path, FIRST).version == 1


def _full(*_: object) -> None:
    raise OSError("no space")


def test_keys_do_not_show_themselves() -> None:
    key = new_data_key()
    assert not re.search(re.escape(repr(key.secret)[2:-1]), repr(KeySet((key,))))
