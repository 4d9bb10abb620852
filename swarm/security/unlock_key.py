"""The key with which people unlock managers after a restart, in the form that they keep it.

`SWMKEY-1-<32 random bytes and the number of the key, 56 digits of base 36>`. The number counts the keys of a
cluster: a locked manager, which can ask nobody, thus knows whether it was given an earlier or a later one.
No error of this module repeats any part of the text it was given: it may be a key with a typo in it.
"""

import re
import secrets
from dataclasses import dataclass, field

from swarm.errors import InvalidArgument
from swarm.ids import base36

PREFIX = "SWMKEY-1"
SECRET_BYTES = 32
VERSION_BITS = 32
DIGITS = 56

_SHAPE = re.compile(r"SWMKEY-1-([0-9a-z]{56})")


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
    return f"{PREFIX}-{base36(int.from_bytes(key.secret, 'big') << VERSION_BITS | key.version, DIGITS)}"


def parse_unlock_key(text: str) -> UnlockKey:
    """Return the key; raises InvalidArgument, never quoting the text."""
    match = _SHAPE.fullmatch(text.strip())
    if match is None:
        raise InvalidArgument(_what_is_wrong(text.strip()))
    number = int(match[1], 36)
    if number >> VERSION_BITS >= 1 << SECRET_BYTES * 8:
        raise InvalidArgument("the unlock key is damaged: it holds a number that is too large")
    secret = (number >> VERSION_BITS).to_bytes(SECRET_BYTES, "big")
    return UnlockKey(number & (1 << VERSION_BITS) - 1, secret)


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
