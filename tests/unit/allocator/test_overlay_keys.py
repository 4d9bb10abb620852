import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from swarm.api.v1.objects_pb2 import Cluster, Network
from swarm.errors import NoQuorum
from swarm.manager.allocator import overlay_keys
from swarm.manager.allocator.overlay_keys import OverlayKeyLoop, renew
from swarm.manager.store.store import Store
from swarm.manager.store.tables import copy_of
from swarm.manager.store.testing import LocalProposer, ManualClock, store_with
from swarm.manager.store.transaction import Transaction
from tests.unit.allocator.making import a_network

DAY_NS = 24 * 3600 * 10**9


def encrypted() -> Network:
    network = a_network("vault")
    network.spec.driver_options["encrypted"] = ""
    return network


@asynccontextmanager
async def leading(store: Store) -> AsyncIterator[None]:
    running = asyncio.create_task(OverlayKeyLoop(store, ManualClock()).run())
    try:
        yield
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0)


def version(store: Store) -> int:
    return store.view.cluster.overlay_key.version if store.view.cluster is not None else 0


def rotate(tx: Transaction) -> None:
    cluster = copy_of(tx.cluster) if tx.cluster is not None else Cluster()
    cluster.spec.overlay_key_rotation += 1
    tx.update(cluster)


async def test_the_key_comes_with_the_first_encrypted_network_and_another_when_asked_for() -> None:
    store = store_with(Cluster(id="c"), a_network("plain"))
    async with leading(store):
        await asyncio.sleep(0)
        assert version(store) == 0
        await store.update(lambda tx: tx.create(encrypted()))
        await until(lambda: version(store) == 1)
        await store.update(rotate)
        await until(lambda: version(store) == 2)


async def test_a_new_leader_leaves_a_key_that_is_good() -> None:
    store = store_with(Cluster(id="c"), encrypted())
    for _ in range(2):
        async with leading(store):
            await until(lambda: version(store) == 1)
            for _ in range(20):
                await asyncio.sleep(0)
    assert version(store) == 1


async def test_a_write_that_fails_is_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overlay_keys, "RETRY_S", 0.001)
    store = store_with(Cluster(id="c"), encrypted())
    proposer = LocalProposer(store)
    proposer.fail_next(NoQuorum("no majority"))
    store.attach(proposer)
    async with leading(store), asyncio.timeout(60):
        while version(store) != 1:
            await asyncio.sleep(0.001)


async def test_a_key_that_is_old_is_changed_once() -> None:
    store = store_with(Cluster(id="c"), encrypted())
    now_ns = ManualClock().now_ns()
    assert await store.update(lambda tx: renew(tx, b"1" * 32, now_ns))
    assert not await store.update(lambda tx: renew(tx, b"2" * 32, now_ns + DAY_NS // 3))
    assert await store.update(lambda tx: renew(tx, b"3" * 32, now_ns + DAY_NS))
    assert not await store.update(lambda tx: renew(tx, b"4" * 32, now_ns + DAY_NS))
    assert version(store) == 2
