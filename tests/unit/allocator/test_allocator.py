import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from swarm.api.v1.objects_pb2 import Node, Service, Task
from swarm.api.v1.types_pb2 import NodeState
from swarm.errors import NoQuorum, NotLeader
from swarm.manager.allocator.loop import AllocatorLoop, AllocatorSettings
from swarm.manager.allocator.plan import AllocationPlan, commit_allocation, plan_allocation
from swarm.manager.store.look import look_at
from swarm.manager.store.store import Store
from swarm.manager.store.tables import Tables, copy_of
from swarm.manager.store.testing import LocalProposer, ManualClock, store_with
from swarm.manager.store.transaction import Transaction
from swarm.model import task_state
from swarm.model.dependencies import Gate

QUICK = AllocatorSettings(failure_rest_s=0.001, look_again_s=0.0)


def a_task(task_id: str = "t1", state: int = task_state.NEW, desired: int = task_state.RUNNING) -> Task:
    task = Task(id=task_id, service_id="s", slot=1, desired_state=desired)
    task.status.state = state
    return task


@asynccontextmanager
async def allocating(store: Store, settings: AllocatorSettings = QUICK) -> AsyncIterator[asyncio.Task[None]]:
    running = asyncio.create_task(AllocatorLoop(store, ManualClock(), settings).run())
    try:
        yield running
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0)


def pending(store: Store) -> int:
    return sum(task.status.state == task_state.PENDING for task in store.view.tasks)


def test_only_new_tasks_that_are_wanted_are_allocated() -> None:
    tasks = [
        a_task("new"),
        a_task("held", desired=task_state.READY),
        a_task("cancelled", desired=task_state.SHUTDOWN),
        a_task("pending", state=task_state.PENDING),
        a_task("running", state=task_state.RUNNING),
    ]
    gate = Gate(look_at(Tables()), 0)
    assert plan_allocation(tasks, gate).task_ids == ("new", "held")


async def test_a_plan_leaves_alone_what_changed_since() -> None:
    store = store_with(a_task("t1"), a_task("t2", state=task_state.RUNNING))
    plan = AllocationPlan(("t1", "t2", "gone"))
    assert await store.update(lambda tx: commit_allocation(tx, plan, 5).tasks) == 1
    task = store.view.tasks.get("t1")
    assert task is not None
    assert task.status.state == task_state.PENDING
    assert task.status.message
    assert [status.state for status in task.history] == [task_state.NEW]


async def test_tasks_that_are_there_and_tasks_that_come_are_allocated_in_bounded_commits() -> None:
    store = store_with(*(a_task(f"old{number}") for number in range(7)))
    async with allocating(store, AllocatorSettings(tasks_per_commit=3)):
        await until(lambda: pending(store) == 7)
        assert store.view.index == 1 + 3
        await store.update(lambda tx: [tx.create(a_task(f"new{number}")) for number in range(3)])
        await until(lambda: pending(store) == 10)


async def test_a_task_deleted_in_between_holds_up_nobody() -> None:
    store = store_with()
    async with allocating(store):
        await store.update(lambda tx: tx.create(a_task("t1")))
        await store.update(lambda tx: tx.remove(tx.tasks.get("t1")))
        await store.update(lambda tx: tx.create(a_task("t2")))
        await until(lambda: pending(store) == 1)


@pytest.mark.parametrize("fate", ["lost", "late", "committed"])
async def test_a_commit_without_quorum_is_made_up_for(fate: str) -> None:
    store = store_with(a_task())
    proposer = LocalProposer(store)
    store.attach(proposer)
    proposer.fail_next(NoQuorum("nobody there"), fate)
    async with allocating(store):
        await until(lambda: pending(store) == 1)


async def test_the_loss_of_leadership_ends_the_loop() -> None:
    store = store_with(a_task())
    proposer = LocalProposer(store)
    store.attach(proposer)
    proposer.fail_next(NotLeader())
    async with allocating(store) as running:
        with pytest.raises(NotLeader):
            await asyncio.wait_for(running, 60)


async def test_a_replaced_state_is_read_anew() -> None:
    other = store_with(a_task("from the snapshot"))
    frozen = other.freeze()
    store = store_with(a_task())
    async with allocating(store):
        await until(lambda: pending(store) == 1)
        store.restore(frozen.applied_index, frozen.records())
        await until(lambda: pending(store) == 1 and "from the snapshot" in store.view.tasks)


def a_service(name: str, *needs: str) -> Service:
    service = Service(id=name, spec_version=1)
    service.spec.annotations.name = name
    for needed in needs:
        service.spec.depends_on.add(service=needed)
    return service


def a_task_of(name: str, state: int = task_state.NEW, **more: str) -> Task:
    task = Task(id=f"t-{name}", service_id=name, slot=1, desired_state=task_state.RUNNING, **more)
    task.status.state = state
    return task


async def test_a_task_waits_for_another_service_until_that_runs() -> None:
    node = Node(id="n1")
    node.status.state = NodeState.NODE_STATE_READY
    store = store_with(node, a_service("web", "db"), a_task_of("web"), a_task("other"))
    async with allocating(store):
        await until(lambda: pending(store) == 1)
        await store.update(lambda tx: tx.create(a_service("db")))
        await store.update(lambda tx: tx.create(a_task_of("db", task_state.STARTING, node_id="n1")))
        await asyncio.sleep(0)
        assert pending(store) == 1

        def run(tx: Transaction) -> None:
            task = copy_of(tx.tasks.get("t-db"))
            task.status.state = task_state.RUNNING
            tx.update(task)

        await store.update(run)
        await until(lambda: pending(store) == 2)


async def test_a_task_that_waits_is_let_go_when_its_service_depends_on_nobody_any_more() -> None:
    store = store_with(a_service("web", "db"), a_task_of("web"), a_task("other"))
    async with allocating(store):
        await until(lambda: pending(store) == 1)

        def cut(tx: Transaction) -> None:
            service = copy_of(tx.services.get("web"))
            del service.spec.depends_on[:]
            tx.update(service)

        await store.update(cut)
        await until(lambda: pending(store) == 2)
