"""The scheduler over a real store."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from swarm.api.v1.objects_pb2 import Cluster as StoredCluster
from swarm.api.v1.objects_pb2 import Node, Service, Task
from swarm.api.v1.types_pb2 import NodeAvailability, PlacementStrategy
from swarm.clock import SystemClock
from swarm.errors import NoQuorum, NotLeader, OutcomeUnknown
from swarm.manager.scheduler.commit import commit_assignments, commit_nominations, commit_reasons
from swarm.manager.scheduler.loop import SchedulerLoop, SchedulerSettings
from swarm.manager.scheduler.plan import Assignment, Nominee
from swarm.manager.store.store import Store
from swarm.manager.store.tables import copy_of
from swarm.manager.store.testing import LocalProposer, store_with
from swarm.model import task_state
from tests.unit.scheduler.cluster import Cluster, a_node

QUICK = SchedulerSettings(failure_rest_s=0.001, reason_period_s=0.02)


def waiting(number: int, service: str = "s", **needs: object) -> list[Task]:
    tasks = Cluster().new_tasks(number, service, **needs)
    for task in tasks:
        task.id = f"{service}-{task.id}"
    return tasks


@asynccontextmanager
async def scheduling(store: Store, settings: SchedulerSettings = QUICK) -> AsyncIterator[asyncio.Task[None]]:
    running = asyncio.create_task(SchedulerLoop(store, SystemClock(), settings).run())
    try:
        yield running
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.001)


def assigned(store: Store) -> list[str]:
    return sorted(task.node_id for task in store.view.tasks if task.status.state == task_state.ASSIGNED)


def task_of(store: Store, task_id: str) -> Task:
    task = store.view.tasks.get(task_id)
    assert task is not None
    return task


async def change_node(store: Store, node_id: str, change: Callable[[Node], None]) -> None:
    def write(tx) -> None:
        node = copy_of(tx.nodes.get(node_id))
        change(node)
        tx.update(node)

    await store.update(write)


async def test_tasks_that_wait_and_tasks_that_come_are_assigned_at_once() -> None:
    store = store_with(a_node("n1"), a_node("n2"), *waiting(2))
    async with scheduling(store):
        await until(lambda: assigned(store) == ["n1", "n2"])
        await store.update(lambda tx: [tx.create(task) for task in waiting(4, "other")])
        await until(lambda: len(assigned(store)) == 6)
    task = next(iter(store.view.tasks))
    assert task.status.message == "scheduler assigned task to node"
    assert task.history[-1].state == task_state.PENDING


async def test_many_small_groups_share_a_commit() -> None:
    tasks = [task for number in range(20) for task in waiting(1, f"s{number}")]
    store = store_with(a_node("n1", cpus=64), *tasks)
    async with scheduling(store):
        await until(lambda: len(assigned(store)) == 20)
    assert store.view.index == 2


async def test_a_task_that_fits_nowhere_says_why_and_since_when_it_waits() -> None:
    store = store_with(a_node("n1", cpus=1), *waiting(1, cpus=2))
    before = next(iter(store.view.tasks))
    async with scheduling(store):
        await until(lambda: bool(task_of(store, before.id).status.err))
        task = task_of(store, before.id)
        assert task.status.err == (
            "no suitable node (insufficient resources on 1 node): needs 2 CPUs, the most free is 1 CPU on n1"
        )
        assert task.status.state == task_state.PENDING
        assert task.status.timestamp == before.status.timestamp
        index = store.view.index
        await store.update(lambda tx: tx.create(a_node("n9", cpus=4)))
        await until(lambda: assigned(store) == ["n9"])
        assert task_of(store, before.id).status.err == ""
        assert store.view.index == index + 2


async def test_a_reason_is_written_only_when_it_changed() -> None:
    store = store_with(a_node("n1", cpus=1), *waiting(3, cpus=2))
    async with scheduling(store):
        await until(lambda: all(task.status.err for task in store.view.tasks))
        index = store.view.index
        for number in range(5):
            label = {"number": str(number)}
            await change_node(
                store, "n1", lambda node, label=label: node.spec.annotations.labels.update(label)
            )
            await asyncio.sleep(0.01)
        assert store.view.index == index + 5
        await change_node(
            store,
            "n1",
            lambda node: setattr(node.spec, "availability", NodeAvailability.NODE_AVAILABILITY_DRAIN),
        )
        reason = "no suitable node (1 node not available for new tasks)"
        await until(lambda: all(task.status.err == reason for task in store.view.tasks))


async def test_room_that_a_task_leaves_is_given_to_the_next() -> None:
    first, second = waiting(2, cpus=1)
    store = store_with(a_node("n1", cpus=1), first, second)
    async with scheduling(store):
        await until(lambda: len(assigned(store)) == 1)
        placed = next(task for task in store.view.tasks if task.node_id)

        def finish(tx) -> None:
            done = copy_of(tx.tasks.get(placed.id))
            done.status.state = task_state.COMPLETE
            tx.update(done)

        await store.update(finish)
        await until(lambda: len(assigned(store)) == 1)


async def test_a_task_of_a_global_service_is_confirmed_on_its_node_when_there_is_room() -> None:
    store = store_with(a_node("n1", cpus=1), a_node("n2"), *waiting(1, cpus=2, node_id="n1"))
    async with scheduling(store):
        await until(lambda: all(task.status.err for task in store.view.tasks))
        await change_node(
            store, "n1", lambda node: setattr(node.description.resources, "nano_cpus", 4 * 10**9)
        )
        await until(lambda: assigned(store) == ["n1"])


async def test_a_task_cancelled_while_it_waits_is_left_alone() -> None:
    store = store_with(*waiting(2))
    async with scheduling(store):
        await until(lambda: all(task.status.err for task in store.view.tasks))
        cancelled = next(iter(store.view.tasks)).id

        def cancel(tx) -> None:
            task = copy_of(tx.tasks.get(cancelled))
            task.desired_state = task_state.SHUTDOWN
            tx.update(task)

        await store.update(cancel)
        await store.update(lambda tx: tx.create(a_node("n1")))
        await until(lambda: assigned(store) == ["n1"])
    assert task_of(store, cancelled).node_id == ""


@pytest.mark.parametrize("error", [NoQuorum("nobody there"), OutcomeUnknown("leadership was lost")])
@pytest.mark.parametrize("fate", ["lost", "late", "committed"])
async def test_a_commit_that_failed_is_made_up_for_and_nothing_is_placed_twice(
    error: Exception, fate: str
) -> None:
    store = store_with(a_node("n1", cpus=2), a_node("n2", cpus=2), *waiting(4, cpus=1))
    proposer = LocalProposer(store)
    store.attach(proposer)
    proposer.fail_next(error, fate)
    async with scheduling(store):
        await until(lambda: assigned(store) == ["n1", "n1", "n2", "n2"])


async def test_the_loss_of_leadership_ends_the_loop() -> None:
    store = store_with(a_node("n1"), *waiting(1))
    proposer = LocalProposer(store)
    store.attach(proposer)
    proposer.fail_next(NotLeader())
    async with scheduling(store) as running:
        with pytest.raises(NotLeader):
            await asyncio.wait_for(running, 60)


async def test_a_replaced_state_is_read_anew() -> None:
    other = store_with(a_node("n9"), *waiting(1, "restored"))
    frozen = other.freeze()
    store = store_with(a_node("n1"), *waiting(1))
    async with scheduling(store):
        await until(lambda: assigned(store) == ["n1"])
        store.restore(frozen.applied_index, frozen.records())
        await until(lambda: assigned(store) == ["n9"])


# What a commit checks.


async def test_a_commit_in_doubt_counts_again_what_is_left_for_others_may_have_come_in_between() -> None:
    store = store_with(a_node("n1", cpus=3), *waiting(2, cpus=2), *waiting(1, "small", cpus=1))
    first, second = (task.id for task in store.view.tasks.by_service("s"))
    (small,) = (task.id for task in store.view.tasks.by_service("small"))
    version = next(iter(store.view.nodes)).meta.version.index
    await store.update(lambda tx: commit_assignments(tx, [Assignment(first, "n1", version)], 0))
    planned_before = [Assignment(one, "n1", version) for one in (second, small)]
    refused = await store.update(lambda tx: commit_assignments(tx, planned_before, 0, recount=True))
    assert refused == (second,)
    assert task_of(store, small).node_id == "n1", "there is room for it"


async def test_a_commit_in_doubt_does_not_count_the_room_that_is_kept_for_the_task_itself() -> None:
    (task,) = waiting(1, cpus=2)
    task.node_id = task.nomination.node_id = "n1"
    store = store_with(a_node("n1", cpus=2), task)
    version = next(iter(store.view.nodes)).meta.version.index
    kept = [Assignment(task.id, "n1", version)]
    assert await store.update(lambda tx: commit_assignments(tx, kept, 0, recount=True)) == ()


async def test_a_node_that_changed_since_the_plan_gets_nothing() -> None:
    store = store_with(a_node("n1"), *waiting(1))
    task, node = next(iter(store.view.tasks)), next(iter(store.view.nodes))
    stale = [Assignment(task.id, "n1", node.meta.version.index)]
    await change_node(store, "n1", lambda node: setattr(node.status, "state", 1))
    assert await store.update(lambda tx: commit_assignments(tx, stale, 0)) == (task.id,)
    gone = [Assignment(task.id, "n9", 1), Assignment("nobody", "n1", store.view.index)]
    assert await store.update(lambda tx: commit_assignments(tx, gone, 0)) == (task.id, "nobody")
    assert assigned(store) == []


async def test_an_assignment_refused_because_its_node_changed_is_planned_again() -> None:
    store = store_with(a_node("n1"))
    proposer = LocalProposer(store)
    store.attach(proposer)
    async with scheduling(store):
        await asyncio.sleep(0.01)
        # Both in one commit queue: the node changes right before the assignment is checked.
        proposer.pause()
        creating = asyncio.create_task(store.update(lambda tx: [tx.create(task) for task in waiting(1)]))
        await asyncio.sleep(0.01)
        changing = asyncio.create_task(
            change_node(store, "n1", lambda node: node.spec.annotations.labels.update(a="b"))
        )
        await asyncio.sleep(0.01)
        proposer.resume()
        await creating
        await changing
        await until(lambda: assigned(store) == ["n1"])


async def test_a_reason_comes_too_late_for_a_task_that_has_a_node() -> None:
    store = store_with(a_node("n1"), *waiting(1))
    task, node = next(iter(store.view.tasks)), next(iter(store.view.nodes))
    right = [Assignment(task.id, "n1", node.meta.version.index)]
    assert await store.update(lambda tx: commit_assignments(tx, right, 0)) == ()
    await store.update(lambda tx: commit_reasons(tx, [(task.id, "too late"), ("nobody", "")]))
    assert task_of(store, task.id).status.err == ""


async def test_a_service_that_waits_for_another_goes_after_it() -> None:
    store = store_with(a_node("n1"), a_node("n2"), *waiting(2, "web", affinity="service==db"))
    async with scheduling(store):
        await until(lambda: all(task.status.err for task in store.view.tasks))
        reason = "no suitable node (affinity service==db not satisfied on 2 nodes)"
        assert {task.status.err for task in store.view.tasks} == {reason}
        await store.update(lambda tx: tx.create(*waiting(1, "db")))
        await until(lambda: len(set(assigned(store))) == 1 and len(assigned(store)) == 3)


async def test_a_global_service_that_waits_for_another_is_confirmed_after_it() -> None:
    bound = waiting(1, "agent", affinity="service==db", node_id="n2")
    store = store_with(a_node("n1", cpus=1), a_node("n2"), *bound)
    async with scheduling(store):
        await until(lambda: all(task.status.err for task in store.view.tasks))
        await store.update(lambda tx: tx.create(*waiting(1, "db", cpus=2)))
        await until(lambda: assigned(store) == ["n2", "n2"])


async def test_what_a_task_was_given_is_written_with_its_node() -> None:
    store = store_with(a_node("n1", generic="gpu=a,gpu=b"), *waiting(2, generic="gpu=1"))
    async with scheduling(store):
        await until(lambda: len(assigned(store)) == 2)
    given = [[one.named for one in task.assigned_generic] for task in store.view.tasks]
    assert sorted(given) == [["a"], ["b"]]


async def test_the_strategy_of_the_cluster_counts_from_the_moment_it_changes() -> None:
    cluster = StoredCluster(id="c1")
    cluster.spec.placement_strategy = PlacementStrategy.PLACEMENT_STRATEGY_BINPACK
    store = store_with(cluster, a_node("n1"), a_node("n2"), *waiting(4, cpus=1))

    def spread(tx) -> None:
        changed = copy_of(tx.clusters.get("c1"))
        changed.spec.placement_strategy = PlacementStrategy.PLACEMENT_STRATEGY_SPREAD
        tx.update(changed)

    async with scheduling(store):
        await until(lambda: assigned(store) == ["n1"] * 4)
        await store.update(spread)
        await store.update(lambda tx: [tx.create(task) for task in waiting(4, "other", cpus=1)])
        await until(lambda: len(assigned(store)) == 8)
    others = [task.node_id for task in store.view.tasks if task.service_id == "other"]
    assert sorted(others) == ["n1", "n1", "n2", "n2"]


def low_and_high(store: Store) -> tuple[Task, Task]:
    return task_of(store, "low-t1"), task_of(store, "high-t1")


async def test_room_is_kept_and_taken_by_whichever_leader_there_is() -> None:
    store = store_with(a_node("n1", cpus=1), *waiting(1, "low", cpus=1))
    async with scheduling(store):
        await until(lambda: assigned(store) == ["n1"])
        (high,) = waiting(1, "high", cpus=1, priority=10, preempt=True)
        await store.update(lambda tx: tx.create(high))
        await until(lambda: task_of(store, "high-t1").HasField("nomination"))
    low, high = low_and_high(store)
    assert list(high.nomination.victims) == ["low-t1"]
    assert high.nomination.decided_at.seconds
    assert high.status.err.startswith("waits for room on node n1: 1 task of low")
    async with scheduling(store):  # the next one
        await store.update(lambda tx: tx.create(waiting(1, "other", cpus=1)[0]))
        stopped = copy_of(low)
        stopped.status.state, stopped.desired_state = task_state.SHUTDOWN, task_state.SHUTDOWN
        await store.update(lambda tx: tx.update(stopped))
        await until(lambda: task_of(store, "high-t1").status.state == task_state.ASSIGNED)
        assert not task_of(store, "high-t1").HasField("nomination")
        await until(lambda: bool(task_of(store, "other-t1").status.err))
        assert task_of(store, "other-t1").status.state == task_state.PENDING


async def test_a_node_that_goes_away_takes_the_nomination_along_and_another_one_is_found() -> None:
    store = store_with(a_node("n1", cpus=1), a_node("n2", cpus=1), *waiting(2, "low", cpus=1))
    async with scheduling(store):
        await until(lambda: assigned(store) == ["n1", "n2"])
        await store.update(lambda tx: tx.create(waiting(1, "high", cpus=1, priority=10, preempt=True)[0]))
        await until(lambda: task_of(store, "high-t1").HasField("nomination"))
        first = task_of(store, "high-t1").nomination.node_id
        (second,) = {"n1", "n2"} - {first}
        await change_node(store, first, lambda node: setattr(node.status, "state", 1))
        await until(lambda: task_of(store, "high-t1").nomination.node_id == second)
        await change_node(store, second, lambda node: setattr(node.status, "state", 1))
        await until(lambda: not task_of(store, "high-t1").HasField("nomination"))
        await until(lambda: "not available" in task_of(store, "high-t1").status.err)


async def test_a_priority_that_a_service_is_given_later_counts_for_tasks_that_wait() -> None:
    low, high = waiting(1, "low", cpus=1), waiting(1, "high", cpus=1)
    service = Service(id="high")
    store = store_with(a_node("n1", cpus=1), service, *low)
    async with scheduling(store):
        await until(lambda: assigned(store) == ["n1"])
        await store.update(lambda tx: tx.create(high[0]))
        await until(lambda: bool(task_of(store, "high-t1").status.err))

        def raise_it(tx) -> None:
            changed = copy_of(tx.services.get("high"))
            changed.spec.task.priority, changed.spec.task.preempt = 1, True
            tx.update(changed)

        await store.update(raise_it)
        await until(lambda: list(task_of(store, "high-t1").nomination.victims) == ["low-t1"])


async def test_a_nomination_whose_victim_went_between_plan_and_commit_is_made_anew() -> None:
    nominee = Nominee("high-t1", "n1", 1, ("gone",), 10, "why")
    store = store_with(a_node("n1", cpus=1), *waiting(1, "high", cpus=1))
    version = store.view.nodes.get("n1").meta.version.index
    for refused in (nominee, replace(nominee, victims=(), node_version=version + 1)):
        result = await store.update(lambda tx, one=refused: commit_nominations(tx, {"high-t1": one}, 0))
        assert result == ("high-t1",)
    right = replace(nominee, victims=(), node_version=version)
    assert await store.update(lambda tx: commit_nominations(tx, {"high-t1": right}, 0)) == ()
    assert await store.update(lambda tx: commit_nominations(tx, {"high-t1": None, "x": None}, 0)) == ()
    assert not task_of(store, "high-t1").HasField("nomination")
