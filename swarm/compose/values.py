"""Values of a Compose file as what they mean; each may be written as text as well."""

import shlex
from collections.abc import Callable
from typing import Any, TypeVar

from swarm.compose.tree import Tree
from swarm.errors import InvalidArgument
from swarm.model.units import parse_bytes, parse_cpus, parse_duration

T = TypeVar("T")

_TRUTHS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


def _read(tree: Tree, read: Callable[[str], T]) -> T:
    try:
        return read(text(tree))
    except InvalidArgument as problem:
        raise tree.problem(str(problem)) from None


def text(tree: Tree) -> str:
    """Return text; numbers and truths as they are written."""
    if isinstance(tree.value, bool):
        return "true" if tree.value else "false"
    return "" if tree.value is None else str(tree.value)


def truth(tree: Tree) -> bool:
    """Return true or false."""
    found = _TRUTHS.get(text(tree).lower())
    if found is None:
        raise tree.problem(f'"{tree.value}" is neither true nor false')
    return found


def number(tree: Tree) -> int:
    """Return a whole number that is not negative."""
    found = text(tree)
    if not found.isdigit():
        raise tree.problem(f'"{found}" is no whole number')
    return int(found)


def real(tree: Tree) -> float:
    """Return a number."""
    try:
        return float(text(tree))
    except ValueError:
        raise tree.problem(f'"{tree.value}" is no number') from None


def duration_ns(tree: Tree) -> int:
    """Return nanoseconds."""
    return _read(tree, parse_duration)


def size_bytes(tree: Tree) -> int:
    """Return bytes."""
    return _read(tree, parse_bytes)


def nano_cpus(tree: Tree) -> int:
    """Return billionths of a CPU."""
    return _read(tree, parse_cpus)


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
        return tree.value
    try:
        return int(text(tree), 8)
    except ValueError:
        raise tree.problem(f'"{tree.value}" are no permissions such as 0440') from None
