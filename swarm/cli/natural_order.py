"""The order of names in lists: web-2 comes before web-10, as with Docker."""

import re

_DIGITS = re.compile(r"(\d+)", re.ASCII)


def natural(name: str) -> list[str | int]:
    """Return what to sort by: runs of digits count as numbers."""
    return [int(part) if at % 2 else part for at, part in enumerate(_DIGITS.split(name))]
