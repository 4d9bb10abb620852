"""The key with which people unlock managers after a restart, in the form that they keep it.

`SWMKEY-1-<59 digits of base 36>`: 32 random bytes, the number of the key, and two bytes to check, so that
a slip of the hand is called one. The number counts the keys of a cluster: a locked manager, which can ask
nobody, thus knows whether it was given an earlier or a later one.
No error of this module repeats any part of the text it was given.
"""

import hashlib
import re
import secrets
from dataclasses import dataclass, field

from swarm.errors import InvalidArgument
from swarm.ids import base36

PREFIX = "SWMKEY-1"
SECRET_BYTES = 32
VERSION_BYTES = 4
CHECK_BYTES = 2
DIGITS = 59

_SHAPE = re.compile(r"SWMKEY-1-([0-9a-z]{59})")
_BYTES = SECRET_BYTES + VERSION_BYTES + CHECK_BYTES


@dataclass(frozen=True, slots=True)
class UnlockKey:
    """A parsed key; `version` is the number of the change of the cluster that made it."""

    version: int
    secret: bytes = field(repr=False)


def new_key_bytes() -> bytes:
    """Return the secret of a fresh key."""
    return secrets.token_bytes(SECRET_BYTES)


def new_unlock_key(version: int) -> UnlockKey:
    """Return a fresh key."""
    return UnlockKey(version, new_key_bytes())


def format_unlock_key(key: UnlockKey) -> str:
    """Return the text that `parse_unlock_key` reads."""
    data = key.secret + key.version.to_bytes(VERSION_BYTES, "big")
    return f"{PREFIX}-{base36(int.from_bytes(data + _check(data), 'big'), DIGITS)}"


def parse_unlock_key(text: str) -> UnlockKey:
    """Return the key; raises InvalidArgument, never quoting the text."""
    match = _SHAPE.fullmatch(text.strip())
    if match is None:
        raise InvalidArgument(_what_is_wrong(text.strip()))
    number = int(match[1], 36)
    data = number.to_bytes(_BYTES + 1, "big")
    data, check = data[1:-CHECK_BYTES], data[-CHECK_BYTES:]
    if number >> 8 * _BYTES or check != _check(data):
        raise InvalidArgument("the unlock key is mistyped: one or more of its characters are wrong")
    return UnlockKey(int.from_bytes(data[SECRET_BYTES:], "big"), data[:SECRET_BYTES])


def _check(data: bytes) -> bytes:
    return hashlib.sha256(b"swarm unlock key check" + data).digest()[:CHECK_BYTES]


def _what_is_wrong(text: str) -> str:
    """Return a sentence that helps to find the mistake without repeating the key."""
    if not text:
        return "an unlock key is required: swarmctl unlock-key prints it on a manager that is not locked"
    if not text.startswith(PREFIX + "-"):
        return f"this is not an unlock key: it starts with {PREFIX}-"
    return (
        f"the unlock key is malformed: after {PREFIX}- come {DIGITS} small letters and digits; was it copied"
        " completely?"
    )
