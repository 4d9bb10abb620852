"""Decisions in steps: generators that yield, so that a large service holds up nobody."""

from collections.abc import Generator
from typing import TypeVar

R = TypeVar("R")
Steps = Generator[None, None, R]

SLOTS_PER_STEP = 250  # between two yields: a millisecond or two


def complete(steps: Steps[R]) -> R:
    """Run all steps and return the result."""
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            result: R = stop.value
            return result
