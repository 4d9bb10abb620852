"""The order of names in lists: web-2 comes before web-10, as with Docker."""

import re

_PARTS = re.compile(r"[0-9]+|[^0-9]")


def natural(name: str) -> list[tuple[int, int]]:
    """Return what to sort by: runs of digits count as numbers, where letters would stand."""
    parts = _PARTS.findall(name)
    return [(ord("0"), int(one)) if one.isdigit() else (ord(one), 0) for one in parts]
