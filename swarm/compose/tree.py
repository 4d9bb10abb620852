"""What a Compose file says, with the place where it says it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, TypeAlias

from swarm.errors import InvalidArgument

PROBLEM_CHARACTERS = 1000  # of one error

Scalar: TypeAlias = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands; lines and columns count from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        """Return the place as compilers write it."""
        return f"{self.file}:{self.line}:{self.column}"


def problem_at(place: Place, text: str) -> InvalidArgument:
    """Return an error that says what is wrong at a place, cut where it quotes a file at length."""
    cut = text if len(text) <= PROBLEM_CHARACTERS else f"{text[:PROBLEM_CHARACTERS]}…"
    return InvalidArgument(f"{place}: {cut}")


class Mark(Enum):
    """What a value does to the one of an earlier file."""

    NONE = ""
    RESET = "!reset"  # removes it
    OVERRIDE = "!override"  # replaces it whole


@dataclass(frozen=True, slots=True)
class Tree:
    """A value and where it stands. Never changed; what differs is another tree."""

    value: "Scalar | dict[str, Tree] | list[Tree]"
    place: Place
    key_place: Place | None = None  # of its key, in a mapping
    mark: Mark = Mark.NONE

    def problem(self, text: str) -> InvalidArgument:
        """Return an error that says what is wrong here."""
        return problem_at(self.place, text)

    @property
    def entries(self) -> "dict[str, Tree]":
        """The entries of a mapping; none of anything else."""
        return self.value if isinstance(self.value, dict) else {}

    @property
    def items(self) -> "list[Tree]":
        """The items of a list; none of anything else."""
        return self.value if isinstance(self.value, list) else []

    def get(self, *path: str) -> "Tree | None":
        """Return what stands at a path of keys, None when nothing does."""
        found: Tree | None = self
        for key in path:
            found = found.entries.get(key) if found is not None else None
        return found

    def having(self, value: "Scalar | dict[str, Tree] | list[Tree]") -> "Tree":
        """Return another value at the same place."""
        return replace(self, value=value)

    def plain(self) -> Any:
        """Return the value without places."""
        if isinstance(self.value, dict):
            return {key: entry.plain() for key, entry in self.value.items()}
        if isinstance(self.value, list):
            return [item.plain() for item in self.value]
        return self.value

    def at(self, path: Iterable[str | int]) -> "Tree":
        """Return what stands at a path of keys and indices, or the nearest that is there."""
        found = self
        for step in path:
            below = found.entries.get(step) if isinstance(step, str) else None
            if isinstance(step, int) and step < len(found.items):
                below = found.items[step]
            if below is None:
                break
            found = below
        return found


def walk(tree: Tree, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Tree]]:
    """Yield every entry below `tree` with its path; items of lists are `*` in it."""
    for key, entry in tree.entries.items():
        yield (*path, key), entry
        yield from walk(entry, (*path, key))
    for item in tree.items:
        yield from walk(item, (*path, "*"))
