"""Values of a Compose file as what they mean; each may be written as text as well."""

import math
import re
import shlex
from collections.abc import Callable
from typing import Any

from swarm.compose.tree import Tree
from swarm.errors import InvalidArgument
from swarm.model.limits import shown
from swarm.model.units import parse_bytes, parse_cpus, parse_duration

NUMBER_MAX = 2**32 - 1  # what is counted, and ids of users, are not larger
AMOUNT_MAX = 2**63 - 1  # nanoseconds and bytes

DIGITS_MAX = 64  # of what is read as an amount; Python itself refuses thousands of them

_TRUTHS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


def _amount(tree: Tree, read: Callable[[str], int]) -> int:
    found = text(tree)
    try:
        amount = read(found) if len(found) <= DIGITS_MAX else AMOUNT_MAX + 1
    except InvalidArgument as problem:
        raise tree.problem(str(problem)) from None
    if amount > AMOUNT_MAX:
        raise tree.problem(f'"{shown(found)}" is too large')
    return amount


def text(tree: Tree) -> str:
    """Return text; numbers and truths as Docker writes what YAML made of them: 1.50 is 1.5, 1e3 is 1000."""
    if isinstance(tree.value, bool):
        return "true" if tree.value else "false"
    if isinstance(tree.value, float):
        return _shortest(tree.value)
    return "" if tree.value is None else str(tree.value)


def _shortest(value: float) -> str:
    """Return as few digits as tell a number from all others, with an exponent from a million on."""
    digits = next((n for n in range(6, 17) if float(f"{value:.{n}g}") == value), 17)
    return f"{value:.{digits - 1}e}" if digits > 6 and abs(value) >= 1e6 else f"{value:.{digits}g}"


def truth(tree: Tree) -> bool:
    """Return true or false."""
    found = _TRUTHS.get(text(tree).lower())
    if found is None:
        raise tree.problem(f'"{tree.value}" is neither true nor false')
    return found


def number(tree: Tree) -> int:
    """Return a whole number that is not negative."""
    found = text(tree)
    if not (found.isascii() and found.isdigit()):
        raise tree.problem(f'"{shown(found)}" is no whole number')
    if len(found) > DIGITS_MAX or int(found) > NUMBER_MAX:
        raise tree.problem(f'"{shown(found)}" is too large: at most {NUMBER_MAX}')
    return int(found)


def integer(tree: Tree) -> int:
    """Return a whole number that may be negative."""
    found = text(tree)
    if not re.fullmatch(r"[-+]?[0-9]+", found):
        raise tree.problem(f'"{shown(found)}" is no whole number')
    if len(found) > DIGITS_MAX or abs(int(found)) >= 2**31:
        raise tree.problem(f'"{shown(found)}" is too large: less than {2**31}')
    return int(found)


def real(tree: Tree) -> float:
    """Return a number."""
    try:
        found = float(text(tree))
    except ValueError:
        found = math.nan
    if not math.isfinite(found):
        raise tree.problem(f'"{tree.value}" is no number')
    return found


def duration_ns(tree: Tree) -> int:
    """Return nanoseconds."""
    return _amount(tree, parse_duration)


def size_bytes(tree: Tree) -> int:
    """Return bytes."""
    return _amount(tree, parse_bytes)


def nano_cpus(tree: Tree) -> int:
    """Return billionths of a CPU."""
    return _amount(tree, parse_cpus)


def words(tree: Tree) -> list[str]:
    """Return the words of a command, which is a list or as one writes it in a shell."""
    if isinstance(tree.value, list):
        return [text(item) for item in tree.value]
    try:
        return shlex.split(text(tree))
    except ValueError as problem:
        raise tree.problem(f"cannot split it into words: {problem}") from None


def texts(tree: Tree | None) -> list[str]:
    """Return a list of text; nothing for nothing."""
    return [text(item) for item in tree.items] if tree is not None else []


def mapping(tree: Tree | None) -> dict[str, str]:
    """Return a mapping of text; nothing for nothing."""
    return {key: text(entry) for key, entry in tree.entries.items()} if tree is not None else {}


def word(tree: Tree, kind: Any, prefix: str) -> Any:
    """Return the number of a word in an enumeration of protobuf, whose names begin with `prefix`."""
    known = {name.removeprefix(prefix).lower().replace("_", "-"): number for name, number in kind.items()}
    found = known.get(text(tree))
    if found is None:
        raise tree.problem(f'"{tree.value}" is not one of {", ".join(known)}')
    return found


def permissions(tree: Tree) -> int:
    """Return permissions of a file: a number as YAML reads it, text as octal digits."""
    if isinstance(tree.value, int) and not isinstance(tree.value, bool):
        found = tree.value
    else:
        digits = text(tree)
        found = int(digits, 8) if re.fullmatch("(0o)?[0-7]{1,8}", digits) else -1
    if not 0 <= found <= 0o7777:
        raise tree.problem(f'"{shown(text(tree))}" are no permissions such as 0440')
    return found
