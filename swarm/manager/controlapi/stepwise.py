"""Answers about many objects, in steps: whoever asks for a long list holds up nobody else.

Objects are values: a list that was begun is that of the moment in which it was begun.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from swarm.steps import Steps

OBJECTS_PER_STEP = 500  # looked at between two yields: about a millisecond

T = TypeVar("T")


def selected(objects: Iterable[T], selects: Callable[[T], bool]) -> Steps[list[T]]:
    """Return those of `objects` that `selects` takes."""
    found: list[T] = []
    for part in parts(tuple(objects)):
        found += filter(selects, part)
        yield
    return found


def parts(objects: Sequence[T]) -> Iterator[Sequence[T]]:
    """Cut a list into what is looked at in one step."""
    for start in range(0, len(objects), OBJECTS_PER_STEP):
        yield objects[start : start + OBJECTS_PER_STEP]
