"""A backup file is whole or refused, and opens for one secret only."""

import io
from pathlib import Path

import pytest

from swarm.errors import FailedPrecondition, InvalidArgument
from swarm.security.backup_file import (
    DamagedBackup,
    NewFile,
    Passphrase,
    key_of,
    passphrase_of,
    read_header,
    seal,
    unseal,
)

PIECES = [b"first piece", b"", b"the last one"]
KEY = key_of(bytes(range(32)))


def sealed(secret: Passphrase = KEY) -> bytes:
    out = io.BytesIO()
    seal(out, {"cluster": "c1"}, secret, PIECES)
    return out.getvalue()


def opened(path: Path, content: bytes, secret: Passphrase = KEY) -> list[bytes]:
    path.write_bytes(content)
    return list(unseal(path, secret))


@pytest.mark.parametrize("secret", [KEY, passphrase_of("correct horse")])
def test_what_was_sealed_comes_out(tmp_path: Path, secret: Passphrase) -> None:
    path = tmp_path / "b"
    assert opened(path, sealed(secret), secret) == PIECES
    assert read_header(path).public == {"cluster": "c1"}


def test_nothing_of_the_content_stands_in_the_file() -> None:
    content = sealed()
    assert not any(piece in content for piece in PIECES if piece)
    assert sealed() != content


def test_another_secret_opens_nothing(tmp_path: Path) -> None:
    with pytest.raises(DamagedBackup, match="another one"):
        opened(tmp_path / "b", sealed(), key_of(bytes(32)))
    with pytest.raises(InvalidArgument, match="key file"):
        opened(tmp_path / "b", sealed(), passphrase_of("correct horse"))


def test_damage_of_any_byte_is_noticed(tmp_path: Path) -> None:
    content = sealed()
    for place in range(len(content)):
        broken = bytearray(content)
        broken[place] ^= 0x01
        with pytest.raises((FailedPrecondition, InvalidArgument)):
            opened(tmp_path / "b", bytes(broken))


def test_a_file_cut_off_anywhere_is_noticed(tmp_path: Path) -> None:
    content = sealed()
    for length in range(len(content)):
        with pytest.raises(FailedPrecondition):
            opened(tmp_path / "b", content[:length])


def test_what_follows_the_end_is_noticed(tmp_path: Path) -> None:
    with pytest.raises(DamagedBackup, match="follows its end"):
        opened(tmp_path / "b", sealed() + b"x")


def test_pieces_that_changed_places_are_noticed(tmp_path: Path) -> None:
    content = sealed()
    start = len(read_of(tmp_path / "b", content))
    first = 4 + len(PIECES[0]) + 16
    second = 4 + len(PIECES[1]) + 16
    one, two = content[start : start + first], content[start + first : start + first + second]
    with pytest.raises(DamagedBackup):
        opened(tmp_path / "b", content[:start] + two + one + content[start + first + second :])


def read_of(path: Path, content: bytes) -> bytes:
    path.write_bytes(content)
    return read_header(path).encoded


def test_secrets_that_are_too_short_are_refused() -> None:
    with pytest.raises(InvalidArgument, match="8 characters"):
        passphrase_of("short")
    with pytest.raises(InvalidArgument, match="32 bytes"):
        key_of(b"short")


def test_a_new_file_replaces_nothing_and_appears_whole(tmp_path: Path) -> None:
    path = tmp_path / "b"
    new = NewFile(path)
    with new.open() as out:
        out.write(b"content")
    assert not path.exists()
    path.write_text("of somebody else")
    with pytest.raises(FailedPrecondition, match="exists already"):
        new.keep()
    new.discard()
    assert [one.name for one in tmp_path.iterdir()] == ["b"]
    assert path.read_text() == "of somebody else"
