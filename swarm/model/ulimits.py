"""Limits of single processes (`ulimit`): what are they called, and is one that is asked for sound?"""

from collections.abc import Iterable, Iterator

from swarm.api.v1.types_pb2 import Ulimit
from swarm.errors import InvalidArgument

UNLIMITED = -1
DIGITS_MAX = 20  # Python itself refuses thousands of them
# The kernel's numbers for them.
NUMBERS = {
    "cpu": 0,
    "fsize": 1,
    "data": 2,
    "stack": 3,
    "core": 4,
    "rss": 5,
    "nproc": 6,
    "nofile": 7,
    "memlock": 8,
    "as": 9,
    "locks": 10,
    "sigpending": 11,
    "msgqueue": 12,
    "nice": 13,
    "rtprio": 14,
    "rttime": 15,
}


def parse_ulimit(text: str) -> Ulimit:
    """Return what `--ulimit` says: NAME=SOFT[:HARD], -1 or `unlimited` for no limit; raises
    InvalidArgument."""
    name, _, values = text.partition("=")
    soft, colon, hard = values.partition(":")
    try:
        found = Ulimit(name=name, soft=_value(soft), hard=_value(hard if colon else soft))
    except ValueError:
        raise InvalidArgument(f'ulimit "{text}": write NAME=SOFT[:HARD], e.g. nofile=1024:2048') from None
    for problem in ulimit_problems([found]):
        raise InvalidArgument(problem)
    return found


def ulimit_text(limit: Ulimit) -> str:
    """Return a limit as `--ulimit` takes it."""
    return f"{limit.name}={limit.soft}:{limit.hard}"


def is_over(value: int, most: int) -> bool:
    """Tell whether one limit is larger than another."""
    return most != UNLIMITED and (value == UNLIMITED or value > most)


def ulimit_problems(limits: Iterable[Ulimit]) -> Iterator[str]:
    """Yield what is wrong with the limits of a container's processes."""
    seen: set[str] = set()
    for one in limits:
        if one.name not in NUMBERS:
            yield f'"{one.name}" is not a ulimit; known are {", ".join(sorted(NUMBERS))}'
        elif one.name in seen:
            yield f"the ulimit {one.name} is given twice"
        if min(one.soft, one.hard) < UNLIMITED:
            yield f"the ulimit {ulimit_text(one)} is negative; -1 stands for no limit"
        elif is_over(one.soft, one.hard):
            yield f"the ulimit {ulimit_text(one)} has a soft limit above its hard limit"
        seen.add(one.name)


def _value(text: str) -> int:
    if len(text) > DIGITS_MAX:
        raise ValueError(text)
    number = UNLIMITED if text == "unlimited" else int(text)
    if not UNLIMITED <= number < 2**63:
        raise ValueError(text)
    return number
