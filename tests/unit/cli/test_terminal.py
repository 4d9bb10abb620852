"""The keys that detach, found in what is typed, however it comes in pieces."""

import pytest

from swarm.cli.terminal import DetachKeys, parse_keys
from swarm.errors import InvalidArgument


@pytest.mark.parametrize(
    ("text", "keys"),
    [("ctrl-p,ctrl-q", b"\x10\x11"), ("a,ctrl-@,ctrl-[", b"a\x00\x1b"), ("ctrl-Z", b"\x1a"), ("", b"")],
)
def test_keys_are_written_as_for_docker(text: str, keys: bytes) -> None:
    assert parse_keys(text) == keys


@pytest.mark.parametrize("text", ["ctrl-", "ctrl-1", "ab", "ctrl-p,,x", "ä"])
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument, match="--detach-keys"):
        parse_keys(text)


@pytest.mark.parametrize(
    ("pieces", "passed", "found"),
    [
        ([b"ls\r"], b"ls\r", False),
        ([b"\x10\x11"], b"", True),
        ([b"x\x10", b"\x11y"], b"x", True),
        ([b"\x10", b"z"], b"\x10z", False),
        ([b"\x10\x10\x11"], b"\x10", True),
        ([b"\x11\x10"], b"\x11", False),  # the beginning of the sequence is held back
    ],
)
def test_the_sequence_is_found_and_all_else_passed_on(
    pieces: list[bytes], passed: bytes, found: bool
) -> None:
    keys = DetachKeys(b"\x10\x11")
    assert b"".join(keys.take(piece) for piece in pieces) == passed
    assert keys.found is found


def test_without_a_sequence_everything_is_passed_on() -> None:
    assert DetachKeys(b"").take(b"\x10\x11") == b"\x10\x11"
