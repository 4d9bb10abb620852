import asyncio

import pytest

from swarm.api.v1.objects_pb2 import Node, Service, Task
from swarm.api.v1.store_pb2 import StoreAction, StoreEntry, StoreObject, StoreTransaction
from swarm.clock import SystemClock
from swarm.errors import (
    InvalidArgument,
    InvariantBroken,
    NameConflict,
    NoQuorum,
    NotLeader,
    OutcomeUnknown,
    StaleVersion,
)
from swarm.manager.store.store import ATTEMPTS_MAX, Store
from swarm.manager.store.tables import copy_of, wrap
from swarm.manager.store.testing import LocalProposer, ManualClock, store_with
from swarm.manager.store.watch import Action, WatchOverflow


def a_service(service_id: str, name: str) -> Service:
    service = Service(id=service_id)
    service.spec.annotations.name = name
    return service


def scripted(*objects: Service | Node) -> tuple[Store, LocalProposer]:
    store = store_with(*objects)  # its clock stands still: batches are bounded by counts alone
    proposer = LocalProposer(store)
    store.attach(proposer)
    return store, proposer


def bump(tx) -> int:
    service = copy_of(tx.services.get("s1"))
    service.spec_version += 1
    return tx.update(service).spec_version


async def test_a_committed_object_carries_the_index_of_its_entry():
    store, proposer = scripted()
    created = await store.update(lambda tx: tx.create(a_service("s1", "web")).id)
    assert created == "s1"
    assert store.view.services.get("s1").meta.version.index == proposer.entries[-1][0] == store.view.index
    assert store.view.services.by_name("web").id == "s1"


async def test_what_the_function_raises_comes_out_and_leaves_nothing():
    store, proposer = scripted()

    def create_and_fail(tx):
        tx.create(a_service("s1", "web"))
        raise KeyError("no")

    with pytest.raises(KeyError):
        await store.update(create_and_fail)
    assert len(store.view.services) == 0
    assert proposer.entries == []


async def test_a_function_that_only_reads_costs_no_entry():
    store, proposer = scripted(a_service("s1", "web"))
    assert await store.update(lambda tx: len(tx.services)) == 1
    assert proposer.entries == []


async def test_writers_that_wait_are_committed_together_and_see_each_other():
    store, proposer = scripted(a_service("s1", "web"))
    results = await asyncio.gather(*(store.update(bump) for _ in range(20)))
    assert sorted(results) == list(range(1, 21))
    assert store.view.services.get("s1").spec_version == 20
    assert len(proposer.entries) == 1


async def test_a_batch_takes_no_more_than_its_share_of_actions():
    store, proposer = scripted()

    def create_many(prefix):
        return lambda tx: [tx.create(Task(id=f"{prefix}{i}")) for i in range(150)]

    await asyncio.gather(*(store.update(create_many(prefix)) for prefix in "abc"))
    assert [len(StoreEntry.FromString(entry).transactions) for _, entry in proposer.entries] == [2, 1]
    assert len(store.view.tasks) == 450


async def test_a_change_larger_than_an_entry_is_refused_with_its_size():
    store, proposer = scripted()
    big = a_service("s1", "web")
    big.spec.annotations.labels["x"] = "y" * (5 << 20)
    with pytest.raises(InvalidArgument, match=r"52\d+ bytes"):
        await store.update(lambda tx: tx.create(big))
    assert proposer.entries == []


async def test_large_changes_do_not_share_an_entry():
    store, proposer = scripted()

    def create(object_id):
        service = a_service(object_id, object_id)
        service.spec.annotations.labels["x"] = "y" * (3 << 20)
        return lambda tx: tx.create(service)

    small = store.update(lambda tx: tx.create(a_service("s0", "s0")))
    await asyncio.gather(small, store.update(create("s1")), store.update(create("s2")))
    assert [len(StoreEntry.FromString(entry).transactions) for _, entry in proposer.entries] == [2, 1]


async def test_a_name_taken_by_a_change_that_then_failed_is_not_called_taken():
    store, proposer = scripted()
    proposer.fail_next(NoQuorum("none"))
    first = store.update(lambda tx: tx.create(a_service("s1", "web")))
    second = store.update(lambda tx: tx.create(a_service("s2", "web")))
    answers = await asyncio.gather(first, second, return_exceptions=True)
    assert [type(answer) for answer in answers] == [NoQuorum, NoQuorum]
    with pytest.raises(NameConflict):
        await asyncio.gather(
            store.update(lambda tx: tx.create(a_service("s1", "web"))),
            store.update(lambda tx: tx.create(a_service("s2", "web"))),
        )


@pytest.mark.parametrize("error", [NotLeader("a:1"), NoQuorum("none"), OutcomeUnknown("lost")])
async def test_every_writer_of_a_batch_hears_that_it_failed(error):
    store, proposer = scripted(a_service("s1", "web"))
    proposer.fail_next(error)
    answers = await asyncio.gather(*(store.update(bump) for _ in range(3)), return_exceptions=True)
    assert answers == [error] * 3
    assert store.view.services.get("s1").spec_version == 0


async def test_without_a_proposer_nothing_is_written():
    store = Store(ManualClock(), "p")
    with pytest.raises(NotLeader):
        await store.update(lambda tx: tx.create(a_service("s1", "web")))


async def test_a_change_of_unknown_outcome_that_comes_true_later_is_not_done_twice():
    store, proposer = scripted(a_service("s1", "web"))
    proposer.fail_next(OutcomeUnknown("timeout"), fate="late")
    with pytest.raises(OutcomeUnknown):
        await store.update(bump)
    # It was built before the first one came true: refused whole, and its function runs again.
    assert await store.update(bump) == 2
    assert store.view.services.get("s1").spec_version == 2


async def test_a_writer_that_only_read_what_a_late_change_wrote_runs_again_too():
    store, proposer = scripted(a_service("s1", "web"))
    proposer.fail_next(NoQuorum("timeout"), fate="late")
    with pytest.raises(NoQuorum):
        await store.update(lambda tx: tx.remove(tx.services.get("s1")))

    def add_task(tx):
        if "s1" not in tx.services:
            return "service is gone"
        return tx.create(Task(id="t1", service_id="s1")).id

    assert await store.update(add_task) == "service is gone"
    assert len(store.view.tasks) == 0


async def test_a_change_committed_before_the_error_is_seen_by_the_next_writer():
    store, proposer = scripted(a_service("s1", "web"))
    proposer.fail_next(OutcomeUnknown("connection lost"), fate="committed")
    with pytest.raises(OutcomeUnknown):
        await store.update(bump)
    assert await store.update(bump) == 2


async def test_an_entry_that_is_delivered_twice_is_applied_once():
    store, proposer = scripted(a_service("s1", "web"))
    await store.update(bump)
    index, entry = proposer.entries[-1]
    before = list(store.freeze().records())
    store.apply(index + 1, entry)
    assert list(store.freeze().records()) == before
    assert store.view.index == index + 1


async def test_two_managers_that_both_write_do_not_undo_each_other():
    one, other = Store(ManualClock(), "one"), Store(ManualClock(), "other")
    proposer = LocalProposer(one, other)
    one.attach(proposer)
    other.attach(proposer)
    await one.update(lambda tx: tx.create(a_service("s1", "web")))
    await asyncio.gather(*(store.update(bump) for store in (one, other) for _ in range(10)))
    assert one.view.services.get("s1").spec_version == 20
    assert list(one.freeze().records()) == list(other.freeze().records())


async def test_a_writer_that_always_comes_too_late_gives_up():
    store, _proposer = scripted(a_service("s1", "web"))

    class Rival(LocalProposer):
        """Another manager writes just before every entry of ours."""

        async def propose(self, entry, timeout_s):
            rival = Store(SystemClock(), f"rival-{store.view.index}")
            frozen = store.freeze()
            rival.restore(frozen.applied_index, frozen.records())
            rival.attach(LocalProposer(store, rival))
            await rival.update(bump)
            return LocalProposer(store).commit(entry)

    store.attach(Rival(store))
    with pytest.raises(StaleVersion, match=f"{ATTEMPTS_MAX} times"):
        await store.update(bump)
    assert store.view.services.get("s1").spec_version == ATTEMPTS_MAX


async def test_no_answer_from_consensus_becomes_no_quorum_in_time():
    store, proposer = scripted(a_service("s1", "web"))
    proposer.pause()
    flying = asyncio.create_task(store.update(bump, timeout_s=2.0))
    await asyncio.sleep(0)
    waiting = asyncio.create_task(store.update(bump, timeout_s=0.1))
    with pytest.raises(NoQuorum, match="nothing was changed"):
        await waiting
    with pytest.raises(NoQuorum):
        await flying
    proposer.resume()
    assert await store.update(bump) == 2  # the first came true after all, the second never ran


async def test_a_caller_that_gave_up_before_its_turn_changes_nothing():
    store, proposer = scripted(a_service("s1", "web"))
    proposer.pause()
    flying = asyncio.create_task(store.update(bump))
    await asyncio.sleep(0.01)
    given_up = asyncio.create_task(store.update(bump))
    await asyncio.sleep(0.01)
    given_up.cancel()
    proposer.resume()
    assert await flying == 1
    assert await store.update(lambda tx: tx.services.get("s1").spec_version) == 1


async def test_a_confirmed_entry_that_was_not_applied_is_called_a_bug():
    store, _ = scripted()

    class Liar:
        async def propose(self, entry: bytes, timeout_s: float) -> int:
            return 7

    store.attach(Liar())
    with pytest.raises(InvariantBroken):
        await store.update(lambda tx: tx.create(a_service("s1", "web")))
    store.attach(LocalProposer(store))
    await store.update(lambda tx: tx.create(a_service("s1", "web")))


async def test_an_unexpected_error_of_consensus_reaches_the_caller_and_stops_nobody_else():
    store, proposer = scripted(a_service("s1", "web"))
    proposer.fail_next(RuntimeError("boom"))
    with pytest.raises(RuntimeError):
        await store.update(bump)
    assert await store.update(bump) == 1


def of_another_kind() -> StoreEntry:
    unknown = StoreObject.FromString(b"\xaa\x06\x00")  # field 101, empty: a kind that is yet to come
    action = StoreAction(kind=StoreAction.KIND_CREATE, object=unknown)
    return StoreEntry(transactions=[StoreTransaction(actions=[action])])


def changed_in_another_way() -> StoreEntry:
    action = StoreAction(kind=77, object=wrap(a_service("s2", "later")))  # type: ignore[arg-type]
    return StoreEntry(transactions=[StoreTransaction(actions=[action])])


@pytest.mark.parametrize(
    "data",
    [b"\xff\xff\xff", of_another_kind().SerializeToString(), changed_in_another_way().SerializeToString()],
)
async def test_what_this_version_does_not_know_stops_it_and_is_not_skipped(data: bytes):
    store, _ = scripted(a_service("s1", "web"))
    index = store.view.index
    with pytest.raises(InvariantBroken):
        store.apply(index + 1, data)
    assert store.view.index == index
    assert len(store.view.services) == 1


async def test_a_snapshot_restores_equal_tables_and_the_memory_of_entries():
    store, proposer = scripted(a_service("s1", "web"), Node(id="n1"))
    await store.update(bump)
    await store.update(lambda tx: tx.create(Task(id="t1", service_id="s1", slot=1, node_id="n1")))
    frozen = store.freeze()
    other = Store(ManualClock(), "other")
    view = other.view
    other.restore(frozen.applied_index, frozen.records())
    assert view.index == store.view.index
    assert [task.id for task in view.tasks.by_slot("s1", 1)] == ["t1"]
    assert list(other.freeze().records()) == list(store.freeze().records())
    index, entry = proposer.entries[-1]
    other.apply(index + 1, entry)
    assert len(view.tasks) == 1


async def test_a_frozen_state_does_not_see_what_comes_later():
    store, _ = scripted(a_service("s1", "web"))
    frozen = store.freeze()
    before = list(frozen.records())
    await store.update(bump)
    assert list(frozen.records()) == before


async def test_a_broken_snapshot_leaves_the_state_as_it_was():
    store, _ = scripted(a_service("s1", "web"))
    with pytest.raises(InvariantBroken):
        store.restore(99, [b"\xff\xff\xff"])
    assert "s1" in store.view.services
    assert store.view.index == 1


async def test_a_restored_store_goes_on_writing():
    store, _proposer = scripted(a_service("s1", "web"))
    await store.update(bump)
    frozen = store.freeze()
    heir = Store(SystemClock(), "heir")
    heir.restore(frozen.applied_index, frozen.records())
    heir.attach(LocalProposer(heir))
    assert await heir.update(bump) == 2


async def test_watchers_get_one_commit_an_entry_with_what_they_asked_for():
    store, _ = scripted(a_service("s1", "web"))
    with store.watch(Task) as tasks, store.watch() as everything:

        def change(tx):
            bump(tx)
            tx.create(Task(id="t1"))
            tx.create(Task(id="t2"))

        await store.update(change)
        await store.update(bump)
        await store.update(lambda tx: tx.remove(tx.tasks.get("t1")))
        first, last = tasks.drain()
        assert [(event.action, event.object.id) for event in first.events] == [
            (Action.CREATE, "t1"),
            (Action.CREATE, "t2"),
        ]
        assert [(event.action, event.object.id) for event in last.events] == [(Action.REMOVE, "t1")]
        commits = everything.drain()
        assert [len(commit.events) for commit in commits] == [3, 1, 1]
        updated = commits[1].events[0]
        assert (updated.previous.spec_version, updated.object.spec_version) == (1, 2)
        assert updated.object.meta.version.index == commits[1].index


async def test_a_watcher_wakes_up_for_a_commit():
    store, _ = scripted(a_service("s1", "web"))
    with store.watch(Service) as watch:
        waiting = asyncio.create_task(anext(watch))
        await asyncio.sleep(0)
        await store.update(bump)
        commit = await asyncio.wait_for(waiting, 60)
        assert commit.events[0].object.spec_version == 1


async def test_a_watcher_that_lags_must_resync_and_then_goes_on():
    store, _ = scripted(a_service("s1", "web"))
    with store.watch(Service, limit=3) as watch:
        for _ in range(5):
            await store.update(bump)
        with pytest.raises(WatchOverflow):
            await anext(watch)
        await store.update(bump)
        assert (await anext(watch)).events[0].object.spec_version == 6


async def test_a_commit_larger_than_the_queue_is_still_delivered_to_a_watcher_that_keeps_up():
    store, _ = scripted()
    with store.watch(Task, limit=3) as watch:
        await store.update(lambda tx: [tx.create(Task(id=f"t{i}")) for i in range(10)])
        assert len((await anext(watch)).events) == 10


async def test_a_restore_makes_watchers_resync():
    store, _ = scripted(a_service("s1", "web"))
    frozen = store.freeze()
    with store.watch() as watch:
        store.restore(frozen.applied_index, frozen.records())
        with pytest.raises(WatchOverflow):
            watch.drain()


async def test_a_watcher_that_left_hears_nothing():
    store, _ = scripted(a_service("s1", "web"))
    with store.watch() as watch:
        pass
    await store.update(bump)
    assert watch.drain() == []


async def test_waiting_for_an_index_ends_when_it_is_applied():
    store, _ = scripted(a_service("s1", "web"))
    await asyncio.wait_for(store.wait_applied(1), 60)
    waiting = asyncio.create_task(store.wait_applied(3))
    await store.update(bump)
    await asyncio.sleep(0)
    assert not waiting.done()
    await store.update(bump)
    await asyncio.wait_for(waiting, 60)
