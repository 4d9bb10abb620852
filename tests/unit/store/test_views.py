"""What watchers are told is exactly what changed, whatever happens to the entries and to other watchers."""

import asyncio
import random

from hypothesis import given, settings
from hypothesis import strategies as st

from swarm.api.v1.objects_pb2 import Node, Service, Task
from swarm.manager.store.history import Action, Commit
from swarm.manager.store.store import Store
from swarm.manager.store.tables import KINDS, Kind, Object, kind_name, table_of
from swarm.manager.store.testing import ManualClock
from swarm.manager.store.watch import Watch, WatchOverflow
from tests.unit.store.test_apply import replay, run_history

Picture = dict[tuple[str, str], bytes]  # kind and id → the object

some_kinds = st.sampled_from([(), (Task,), (Service, Node), KINDS])


def picture_of(store: Store, kinds: tuple[Kind, ...]) -> Picture:
    """Return all that there is of these kinds."""
    found = [obj for kind in kinds or KINDS for obj in table_of(store.view, kind)]
    return {key_of(obj): bytes_of(obj) for obj in found}


def key_of(obj: Object) -> tuple[str, str]:
    return kind_name(type(obj)), obj.id


def bytes_of(obj: Object) -> bytes:
    return obj.SerializeToString(deterministic=True)


def follow(picture: Picture, commits: list[Commit]) -> None:
    """Bring a picture up to date, and check that each event fits what it is about."""
    for commit in commits:
        for event in commit.events:
            key, before = key_of(event.object), picture.get(key_of(event.object))
            assert (before is None) == (event.action is Action.CREATE)
            assert before == (bytes_of(event.previous) if event.previous is not None else None)
            if event.action is Action.REMOVE:
                del picture[key]
            else:
                picture[key] = bytes_of(event.object)
                assert event.object.meta.version.index == commit.index


@settings(max_examples=30)
@given(st.integers(0, 2**32), st.floats(0, 1), some_kinds)
def test_watching_from_a_version_tells_the_difference_of_the_views(seed, where, kinds):
    """Entries are lost, late, refused and repeated; the list is read at one manager, the rest at another."""
    _, entries = asyncio.run(run_history(seed))
    cut = int(len(entries) * where)
    early, late = replay(entries[:cut]), replay(entries)
    picture = picture_of(early, kinds)
    with late.watch(*kinds, after=early.version) as watch:
        follow(picture, watch.drain())
        assert watch.caught_up == late.version
    assert picture == picture_of(late, kinds)


class Reader:
    """Keeps a picture by watching; reads everything anew when it is told to."""

    def __init__(self, store: Store, kinds: tuple[Kind, ...], limit: int) -> None:
        self._store, self._kinds = store, kinds
        self.watch: Watch = store.watch(*kinds, limit=limit)
        self.picture: Picture = {}
        self.overflows = 0

    def read(self) -> None:
        try:
            follow(self.picture, self.watch.drain())
        except WatchOverflow:
            self.overflows += 1
            self.picture = picture_of(self._store, self._kinds)

    @property
    def is_right(self) -> bool:
        return self.picture == picture_of(self._store, self._kinds)


@settings(max_examples=30)
@given(st.integers(0, 2**32), st.lists(st.tuples(some_kinds, st.integers(0, 6)), min_size=1, max_size=5))
def test_readers_of_any_pace_are_right_whenever_they_have_read_and_disturb_nobody(seed, paces):
    """Each has its own bound: who keeps up is never cut off, whatever the others do."""
    _, entries = asyncio.run(run_history(seed))
    store, dice = Store(ManualClock(), "q"), random.Random(seed)
    readers = [Reader(store, kinds, limit) for kinds, limit in paces]
    eager = Reader(store, (), 0)
    for reader in (*readers, eager):
        reader.watch.__enter__()
    for index, entry in entries:
        store.apply(index, entry)
        eager.read()
        assert eager.is_right
        for reader in readers:
            if dice.random() < 0.3:
                reader.read()
                assert reader.is_right
    assert eager.overflows == 0
    for reader in readers:
        reader.read()
        assert reader.is_right


@settings(max_examples=30)
@given(st.integers(0, 2**32), st.sets(st.integers(0, 20), max_size=5))
def test_snapshots_at_any_places_one_after_another_change_nothing(seed, cuts):
    """A manager that is restored again and again is as one that saw every entry."""
    original, entries = asyncio.run(run_history(seed))
    store = Store(ManualClock(), "r")
    for number, (index, entry) in enumerate(entries):
        store.apply(index, entry)
        if number in cuts:
            frozen = store.freeze()
            store = Store(ManualClock(), f"r{number}")
            store.restore(frozen.applied_index, frozen.records())
    assert picture_of(store, ()) == picture_of(original, ())
    assert store.version == original.version
