"""The collector of a manager."""

import gc
import weakref
from collections.abc import Iterator

import pytest

from swarm.manager.collector import YOUNG, tame_collector


class Thing:
    """Can be part of a cycle."""

    def __init__(self) -> None:
        self.other: object = None


@pytest.fixture
def collector() -> Iterator[None]:
    """The collector as the manager has it, and as it was afterwards."""
    threshold, callbacks = gc.get_threshold(), list(gc.callbacks)
    tame_collector()
    yield
    gc.callbacks[:] = callbacks
    gc.set_threshold(*threshold)
    gc.unfreeze()


def test_what_a_full_collection_finds_alive_is_not_looked_at_again(collector: None) -> None:
    kept = [Thing() for _ in range(100)]
    before = gc.get_freeze_count()
    gc.collect()
    assert gc.get_freeze_count() >= before + len(kept)
    assert gc.get_threshold()[0] == YOUNG


def test_what_was_set_aside_goes_when_nothing_refers_to_it(collector: None) -> None:
    thing = Thing()
    gone = weakref.ref(thing)
    gc.collect()
    del thing
    assert gone() is None


def test_new_cycles_are_collected(collector: None) -> None:
    thing = Thing()
    thing.other = thing
    gone = weakref.ref(thing)
    del thing
    gc.collect()
    assert gone() is None


def test_asking_twice_sets_everything_aside_once(collector: None) -> None:
    callbacks = list(gc.callbacks)
    tame_collector()
    assert gc.callbacks == callbacks
