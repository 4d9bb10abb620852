"""Going on from a version: nothing twice, nothing missed, and an honest no when it is too late."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swarm.api.v1.objects_pb2 import Service, Task
from swarm.api.v1.store_pb2 import StoreEntry
from swarm.errors import Compacted
from swarm.manager.store.history import Action, Commit, Event, History
from swarm.manager.store.store import Store
from swarm.manager.store.testing import LocalProposer, ManualClock, store_with
from swarm.manager.store.watch import WatchOverflow


def commit(index: int, events: int = 1, size: int = 1, at_ns: int = 0) -> Commit:
    told = tuple(Event(Action.CREATE, Task(id=f"t{index}.{n}"), None) for n in range(events))
    return Commit(index, told, at_ns, size_bytes=size)


def indexes(commits: list[Commit]) -> list[int]:
    return [one.index for one in commits]


def test_what_is_kept_can_be_gone_on_from():
    history = History()
    for index in (3, 5, 9):
        history.append(commit(index, size=10))
    assert indexes(history.after(0)) == [3, 5, 9]
    assert indexes(history.after(3)) == indexes(history.after(4)) == [5, 9]
    assert history.after(9) == history.after(10) == []


def test_the_number_of_events_is_bounded():
    history = History(events_max=5)
    for index in (1, 2, 3):
        history.append(commit(index, 2))
    assert history.floor == 1
    assert indexes(history.after(1)) == [2, 3]
    with pytest.raises(
        Compacted, match=r"after version 0 .* go on from is 1, the newest 3\. List the objects again"
    ):
        history.after(0)


def test_the_bytes_are_bounded():
    history = History(bytes_max=100)
    for index in (1, 2, 3):
        history.append(commit(index, size=60))
    assert (history.floor, indexes(history.after(2))) == (2, [3])
    history.append(commit(4, size=101))
    assert history.floor == 4
    assert history.after(4) == []


def test_a_time_is_a_version_and_whether_something_of_it_is_gone():
    history = History(events_max=2)
    assert history.since(1) == (0, True)
    for index, at_ns in ((3, 30), (5, 50)):
        history.append(commit(index, at_ns=at_ns))
    assert [history.since(at_ns) for at_ns in (0, 30, 31, 50)] == [
        (0, True),
        (0, True),
        (3, True),
        (3, True),
    ]
    assert history.since(51) == (5, True)
    history.append(commit(9, at_ns=90))
    assert (history.since(30), history.oldest_ns) == ((3, False), 50)
    assert [history.since(at_ns) for at_ns in (31, 90, 91)] == [(3, True), (5, True), (9, True)]


def test_what_was_before_a_snapshot_has_no_time():
    history = History()
    history.restart(7)
    assert (history.since(40), history.oldest_ns) == ((7, False), None)
    history.append(commit(8, at_ns=50))
    assert [history.since(at_ns) for at_ns in (50, 51)] == [(7, False), (8, True)]


def test_a_clock_that_goes_back_hides_nothing():
    history = History()
    for index, at_ns in ((1, 30), (2, 50), (3, 40)):
        history.append(commit(index, at_ns=at_ns))
    assert indexes(history.after(history.since(45)[0])) == [2, 3]


async def test_a_change_on_its_way_is_not_of_the_past_yet():
    clock = ManualClock()
    store = Store(clock, "one")
    proposer = LocalProposer(store)
    store.attach(proposer)
    began_ns = clock.now_ns()
    proposer.pause()
    writing = asyncio.create_task(store.update(lambda tx: tx.create(Service(id="s1"))))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    clock.advance(1)
    assert store.settled_ns == began_ns - 1
    proposer.resume()
    await writing
    assert store.settled_ns == clock.now_ns()
    assert store.since(began_ns) == (0, None)
    store.restore(7, [])
    assert store.since(began_ns) == (7, clock.now_ns())


def test_entries_that_changed_nothing_move_the_version_and_cost_nothing():
    history = History(events_max=1)
    history.append(commit(1))
    for index in range(2, 50):
        history.append(commit(index, 0, 1000))
    assert (history.version, history.floor, indexes(history.after(0))) == (49, 0, [1])


@given(
    st.lists(st.tuples(st.integers(1, 3), st.integers(0, 4), st.integers(1, 40))),
    st.integers(1, 10),
    st.integers(1, 100),
)
def test_a_resumed_reader_hears_all_the_rest_or_is_refused(steps, events_max, bytes_max):
    history, everything, index = History(events_max, bytes_max), [], 0
    for gap, events, size in steps:
        index += gap
        history.append(commit(index, events, size))
        everything += [index] if events else []
    for version in range(index + 2):
        wanted = [at for at in everything if at > version]
        if version >= history.floor:
            assert indexes(history.after(version)) == wanted
        else:
            with pytest.raises(Compacted):
                history.after(version)
    assert history.floor in {0, *everything}


# In the store.


def create(name: str):
    def fn(tx):
        service = Service(id=name)
        service.spec.annotations.name = name
        tx.create(service)

    return fn


async def names(store: Store, after: int) -> list[str]:
    with store.watch(after=after) as watch:
        return [event.object.id for one in watch.drain() for event in one.events]


async def test_a_watch_resumes_behind_the_version_given_and_then_goes_on_live():
    store = store_with()
    for name in "abc":
        await store.update(create(name))
    first, _, third = (commit.index for commit in store.watch(after=0).__enter__().drain())
    with store.watch(Service, after=first) as watch:
        assert [one.events[0].object.id for one in watch.drain()] == ["b", "c"]
        assert watch.caught_up == third
        await store.update(create("d"))
        assert watch.caught_up is None
        assert (await anext(watch)).events[0].object.id == "d"
    assert await names(store, third) == ["d"]


async def test_managers_agree_on_versions_also_after_a_snapshot():
    """The index of a snapshot may be that of an entry that the state machine never sees."""
    leader, follower = Store(ManualClock(), "leader"), Store(ManualClock(), "follower")
    proposer = LocalProposer(leader, follower)
    leader.attach(proposer)
    await leader.update(create("a"))
    version = leader.version
    frozen = leader.freeze()
    follower.restore(frozen.applied_index + 7, frozen.records())
    assert follower.version == version
    proposer.entries.append((frozen.applied_index + 7, b""))
    with follower.watch(after=version) as watch:
        await leader.update(create("b"))
        assert [one.index for one in watch.drain()] == [leader.version]


async def test_what_happened_before_a_snapshot_is_not_known_after_it():
    store = store_with()
    await store.update(create("a"))
    before = store.version
    await store.update(create("b"))
    frozen = store.freeze()
    heir = Store(ManualClock(), "heir")
    heir.restore(frozen.applied_index, frozen.records())
    assert await names(heir, store.version) == []
    with pytest.raises(Compacted):
        await names(heir, before)


async def test_a_refused_resumption_subscribes_nobody():
    store = store_with()
    store._hub.history.restart(5)
    watch = store.watch(after=1)
    with pytest.raises(Compacted):
        watch.__enter__()
    await store.update(create("a"))
    assert watch.drain() == []


async def test_a_long_history_may_exceed_the_queue_of_the_one_who_resumes():
    """Otherwise whoever fell behind could never catch up."""
    store = store_with()
    for name in "abcde":
        await store.update(create(name))
    with store.watch(after=0, limit=2) as watch:
        assert len(watch.drain()) == 5


async def test_a_watcher_ahead_of_this_manager_hears_nothing_twice():
    ahead, behind = Store(ManualClock(), "ahead"), Store(ManualClock(), "behind")
    log = LocalProposer(ahead)
    ahead.attach(log)
    for name in "abc":
        await ahead.update(create(name))
    with behind.watch(after=log.entries[1][0]) as watch:
        for index, entry in log.entries:
            behind.apply(index, entry)
        assert [one.events[0].object.id for one in watch.drain()] == ["c"]


async def test_commits_tell_when_they_were_proposed():
    clock = ManualClock()
    store = store_with(clock=clock)
    with store.watch() as watch:
        clock.advance(5)
        await store.update(create("a"))
        assert (await anext(watch)).at_ns == clock.now_ns()


async def test_falling_behind_is_noticed_by_those_who_wait_for_it_and_says_why():
    store = store_with()
    with store.watch(limit=2) as slow, store.watch() as quick:
        lost = asyncio.create_task(slow.wait_overflow())
        for name in "abcd":
            await store.update(create(name))
        await asyncio.wait_for(lost, 60)
        assert len(slow._commits) == 0
        with pytest.raises(WatchOverflow, match="more than 2 changes waited"):
            await anext(slow)
        assert len(quick.drain()) == 4


async def test_what_waits_is_bounded_in_bytes_too_and_counted_by_what_is_watched():
    store = store_with()

    def create_two(name: str):
        def fn(tx):
            for kind in (Service, Task):
                obj = kind(id=name)
                obj.spec.CopyFrom(kind.DESCRIPTOR.fields_by_name["spec"].message_type._concrete_class())
                if kind is Service:
                    obj.spec.annotations.name = name
                    obj.spec.annotations.labels["pad"] = "x" * 1000
                tx.create(obj)

        return fn

    with store.watch(limit_bytes=2600) as all_kinds, store.watch(Task, limit_bytes=2600) as tasks:
        for name in "abc":
            await store.update(create_two(name))
        with pytest.raises(WatchOverflow, match="more than 2600 bytes"):
            all_kinds.drain()
        assert len(tasks.drain()) == 3
    with store.watch(limit_bytes=10) as lone:
        await store.update(create_two("d"))
        assert len(lone.drain()) == 1
        await store.update(create_two("e"))
        assert len(lone.drain()) == 1


async def test_a_repeated_entry_is_no_news():
    store = store_with()
    proposer = LocalProposer(store)
    store.attach(proposer)
    await store.update(create("a"))
    index, entry = proposer.entries[-1]
    with store.watch(after=0) as watch:
        store.apply(index + 1, entry)
        assert len(watch.drain()) == 1
    assert store.version == index
    assert StoreEntry.FromString(entry).at.seconds > 0


@settings(max_examples=60)
@given(st.data())
def test_readers_that_come_and_go_see_each_change_once(data):
    """Any pattern of writing, leaving and resuming at one of two managers, one of which may lag."""

    async def play() -> None:
        stores = [Store(ManualClock(), "one"), Store(ManualClock(), "two")]
        log = LocalProposer(stores[0])
        stores[0].attach(log)
        version, seen, applied = 0, [], 0
        for step in data.draw(
            st.lists(st.sampled_from(["write", "catch up", "read one", "read two"]), max_size=30)
        ):
            if step == "write":
                await stores[0].update(create(f"s{len(log.entries)}"))
            elif step == "catch up" and applied < len(log.entries):
                stores[1].apply(*log.entries[applied])
                applied += 1
            elif step.startswith("read"):
                with stores[step == "read two"].watch(after=version) as watch:
                    for one in watch.drain():
                        seen += [event.object.id for event in one.events]
                        version = one.index
                    version = watch.caught_up or version
        with stores[0].watch(after=version) as watch:
            seen += [event.object.id for one in watch.drain() for event in one.events]
        assert seen == [f"s{n}" for n in range(len(log.entries))]

    asyncio.run(play())
