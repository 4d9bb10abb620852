"""Which processors or memory nodes does a list such as `0-3,6` name?"""

import re
from collections.abc import Iterable

from swarm.errors import InvalidArgument

NUMBER_MAX = 8191  # no kernel is built for more

_PART = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?")


def parse_cpuset(text: str) -> frozenset[int]:
    """Return the numbers that a list names; raises InvalidArgument."""
    numbers: set[int] = set()
    for part in text.split(","):
        found = _PART.fullmatch(part)
        first, last = (int(found[1]), int(found[2] or found[1])) if found else (1, 0)
        if not first <= last <= NUMBER_MAX:
            raise InvalidArgument(f'"{text}" is not a list of numbers such as 0-3,6')
        numbers.update(range(first, last + 1))
    return frozenset(numbers)


def format_cpuset(numbers: Iterable[int]) -> str:
    """Return numbers as `parse_cpuset` reads them, the shortest way."""
    ranges: list[list[int]] = []
    for number in sorted(numbers):
        if ranges and ranges[-1][1] == number - 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in ranges)
