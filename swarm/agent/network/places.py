"""Which interface of a task leads to which network? What it does not leave stays in its place. Pure."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from swarm.agent.network.base import TaskNetwork


def placed(networks: Iterable[TaskNetwork], taken: Iterable[int] = ()) -> tuple[TaskNetwork, ...]:
    """Return the networks, each with its place: those without one get the lowest that are free."""
    wanted = tuple(networks)
    used = {*taken, *(one.position for one in wanted)}
    free = (number for number in range(len(wanted) + len(used)) if number not in used)
    return tuple(one if one.position >= 0 else replace(one, position=next(free)) for one in wanted)


def with_places(networks: Iterable[TaskNetwork]) -> Iterator[tuple[int, TaskNetwork]]:
    """Yield the networks with their places; in books of older agents they stand in their order."""
    for number, one in enumerate(networks):
        yield (one.position if one.position >= 0 else number), one
