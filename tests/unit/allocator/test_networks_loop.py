import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from swarm.errors import NoQuorum
from swarm.manager.allocator.loop import AllocatorLoop, AllocatorSettings
from swarm.manager.store.store import Store
from swarm.manager.store.tables import copy_of
from swarm.manager.store.testing import LocalProposer, ManualClock, store_with
from swarm.manager.store.transaction import Transaction
from swarm.model import task_state
from tests.unit.allocator.making import a_network, a_node, a_service, a_task, held

QUICK = AllocatorSettings(failure_rest_s=0.001, look_again_s=0.0)


@asynccontextmanager
async def allocating(store: Store) -> AsyncIterator[None]:
    running = asyncio.create_task(AllocatorLoop(store, ManualClock(), QUICK).run())
    try:
        yield
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0)


def into(tx: Transaction, task_id: str, state: int, node_id: str = "") -> None:
    task = copy_of(tx.tasks.get(task_id))
    task.status.state = state  # type: ignore[assignment]
    task.node_id = node_id or task.node_id
    tx.update(task)


def pending(store: Store) -> set[str]:
    return {task.id for task in store.view.tasks if task.status.state == task_state.PENDING}


async def test_a_service_without_tasks_gets_its_address_and_loses_it_with_its_network() -> None:
    store = store_with(a_network("front"))
    async with allocating(store):
        await store.update(lambda tx: tx.create(a_service("web", "front")))
        await until(lambda: len(held(store.view)) == 1)

        def leave(tx: Transaction) -> None:
            service = copy_of(tx.services.get("id-web"))
            del service.spec.task.networks[:]
            tx.update(service)

        await store.update(leave)
        await until(lambda: not held(store.view))


async def test_a_task_that_found_no_address_goes_when_another_has_ended() -> None:
    web = a_service("web", "front")
    store = store_with(
        a_network("front", "10.0.0.0/29"), a_node("n1"), web, *(a_task(web, f"t{n}") for n in range(5))
    )
    async with allocating(store):
        await until(lambda: len(pending(store)) == 4)
        (waits,) = {task.id for task in store.view.tasks} - pending(store)
        first = min(pending(store))
        await until(lambda: "no free address" in store.view.tasks.get(waits).status.err)  # type: ignore[union-attr]
        await store.update(lambda tx: into(tx, first, task_state.FAILED))
        await until(lambda: waits in pending(store))


async def test_nodes_join_networks_with_their_tasks_and_leave_with_the_last() -> None:
    web = a_service("web", "front")
    store = store_with(a_network("front"), a_node("n1"), web, a_task(web, "t1"), a_task(web, "t2"))

    def joined() -> bool:
        node = store.view.nodes.get("n1")
        return node is not None and bool(node.networks)

    async with allocating(store):
        await until(lambda: len(pending(store)) == 2)
        assert not joined()
        await store.update(lambda tx: [into(tx, one, task_state.ASSIGNED, "n1") for one in ("t1", "t2")])
        await until(joined)
        await store.update(lambda tx: into(tx, "t1", task_state.COMPLETE))
        await store.update(lambda tx: tx.create(a_task(web, "t3")))
        await until(lambda: pending(store) == {"t3"})
        assert joined()
        await store.update(lambda tx: tx.remove(tx.tasks.get("t2")))
        await until(lambda: not joined())


async def test_nodes_join_the_networks_of_tasks_that_had_a_node_from_the_beginning() -> None:
    web = a_service("web", "front")
    task = a_task(web, "t1")
    task.node_id = "n1"  # as those of global services
    store = store_with(a_network("front"), a_node("n1"), web, task)
    async with allocating(store):
        await until(lambda: pending(store) == {"t1"})
        await store.update(lambda tx: into(tx, "t1", task_state.ASSIGNED))
        await until(lambda: bool(store.view.nodes.get("n1").networks))  # type: ignore[union-attr]


async def test_nodes_join_a_lan_without_an_address_in_it() -> None:
    web = a_service("web", "lan")
    task = a_task(web, "t1")
    task.node_id = "n1"
    store = store_with(a_network("lan", driver="macvlan"), a_node("n1"), web, task)
    async with allocating(store):
        await until(lambda: pending(store) == {"t1"})
        await store.update(lambda tx: into(tx, "t1", task_state.ASSIGNED))
        await until(lambda: bool(store.view.nodes.get("n1").networks))  # type: ignore[union-attr]
        (joined,) = store.view.nodes.get("n1").networks  # type: ignore[union-attr]
        assert (joined.network_id, list(joined.addresses)) == ("id-lan", [])
        await store.update(lambda tx: into(tx, "t1", task_state.COMPLETE))
        await until(lambda: not store.view.nodes.get("n1").networks)  # type: ignore[union-attr]


@pytest.mark.parametrize("fate", ["lost", "late", "committed"])
async def test_a_commit_of_unknown_outcome_gives_nothing_twice(fate: str) -> None:
    web = a_service("web", "front")
    store = store_with(a_network("front"), web, *(a_task(web, f"t{n}") for n in range(3)))
    proposer = LocalProposer(store)
    store.attach(proposer)
    proposer.fail_next(NoQuorum("nobody there"), fate)
    async with allocating(store):
        await until(lambda: len(pending(store)) == 3)
    found = [address for _, address, _ in held(store.view)]
    assert len(found) == len(set(found)) == 4
