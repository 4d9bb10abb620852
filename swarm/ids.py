"""The only source of random identifiers."""

import secrets

ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"
ID_LENGTH = 25


def new_id() -> str:
    """Return a new object id: 25 characters of base 36, about 129 random bits."""
    return base36(secrets.randbits(129), ID_LENGTH)


def new_raft_id() -> str:
    """Return a new Raft member id: 64 random bits in hexadecimal, never used twice."""
    return f"{secrets.randbits(64):016x}"


def base36(number: int, length: int) -> str:
    """Return `number` in base 36, padded with zeros on the left to `length` characters."""
    digits: list[str] = []
    while number:
        number, digit = divmod(number, 36)
        digits.append(ALPHABET[digit])
    return "".join(reversed(digits)).rjust(length, "0")
