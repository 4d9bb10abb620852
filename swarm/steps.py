"""Decisions in steps: generators that yield every millisecond or so, so that a large one holds up nobody."""

from collections.abc import Generator
from typing import TypeVar

R = TypeVar("R")
Steps = Generator[None, None, R]


def complete(steps: Steps[R]) -> R:
    """Run all steps at once and return the result."""
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            result: R = stop.value
            return result
