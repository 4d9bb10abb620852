"""Unlock keys: what people type is read, slips are called slips, and nothing is ever repeated."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarm.errors import InvalidArgument
from swarm.security.unlock_key import UnlockKey, format_unlock_key, new_unlock_key, parse_unlock_key


@given(st.integers(0, 2**32 - 1), st.binary(min_size=32, max_size=32))
def test_what_is_printed_is_read_again(version: int, secret: bytes) -> None:
    text = format_unlock_key(UnlockKey(version, secret))
    assert text.startswith("SWMKEY-1-")
    assert parse_unlock_key(f"  {text}\n") == UnlockKey(version, secret)


def test_keys_are_never_the_same_and_do_not_show_themselves() -> None:
    one, other = new_unlock_key(1), new_unlock_key(1)
    assert one.secret != other.secret
    assert one.secret.hex() not in repr(one)
    assert str(one.secret) not in repr(one)


def test_a_slip_of_the_hand_is_called_one() -> None:
    text = format_unlock_key(new_unlock_key(3))
    head, digits = text[:9], text[9:]
    noticed = 0
    for at in range(len(digits)):
        other = "b" if digits[at] == "a" else "a"
        with contextlib.suppress(InvalidArgument):
            parse_unlock_key(head + digits[:at] + other + digits[at + 1 :])
            continue
        noticed += 1
    assert noticed >= len(digits) - 1  # one in 65,536 may get through


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "required"),
        ("   ", "required"),
        ("secret-something", "starts with SWMKEY-1-"),
        ("SWMKEY-2-abc", "starts with SWMKEY-1-"),
        ("SWMKEY-1-abc", "copied completely"),
        ("SWMKEY-1-" + "Z" * 59, "small letters"),
        ("SWMKEY-1-" + "z" * 59, "mistyped"),
    ],
)
def test_what_is_no_key_is_refused_without_repeating_it(text: str, said: str) -> None:
    with pytest.raises(InvalidArgument, match=said) as refused:
        parse_unlock_key(text)
    tail = text[9:]
    assert not tail or tail not in str(refused.value)
