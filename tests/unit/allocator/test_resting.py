"""Which free addresses have to wait for their next owner, and for how long?"""

import asyncio

from swarm.api.v1.objects_pb2 import Attachment, Network, Task
from swarm.api.v1.specs_pb2 import NetworkSpec
from swarm.api.v1.types_pb2 import TaskState
from swarm.clock import SECOND, timestamp
from swarm.manager.allocator.loop import AllocatorLoop, AllocatorSettings
from swarm.manager.allocator.resting import CLIENT_NS, REST_NS, Resting
from swarm.manager.controlapi.networks import create_network
from swarm.manager.store.store import Store
from swarm.manager.store.tables import copy_of
from swarm.manager.store.testing import LocalProposer, ManualClock
from swarm.manager.store.watch import Action, Event
from swarm.model.task_state import COMPLETE, NEW, RUNNING

NOW = 1_700_000_000 * SECOND


def a_task(task_id: str = "t1", state: "TaskState" = RUNNING, address: str = "10.0.0.2") -> Task:
    task = Task(id=task_id)
    task.status.state = state
    task.status.timestamp.CopyFrom(timestamp(NOW))
    task.networks.add(network_id="shop", addresses=[address])
    return task


class Stage:
    """What became free, and which nodes have heard of it."""

    def __init__(self) -> None:
        self.store = Store(ManualClock(), "m1")
        self.store.attach(LocalProposer(self.store))
        self.heard = 0
        self.resting = Resting(lambda network_id, index: index <= self.heard)

    async def create(self, *objects: Network | Task) -> None:
        for one in objects:
            await self.store.update(lambda tx, one=one: tx.create(one))

    def rests(self, after_ns: int) -> bool:
        self.resting.look(self.store.view, NOW + after_ns)
        return self.resting("shop", "10.0.0.2")


async def test_an_address_rests_until_all_have_heard_and_clients_have_forgotten() -> None:
    stage = Stage()
    await stage.create(Network(id="shop"))
    stage.resting.note(Event(Action.UPDATE, a_task(state=COMPLETE), a_task()), 8, lambda: NOW)
    stage.heard = 7
    assert stage.rests(0)
    assert stage.rests(5 * SECOND)
    stage.heard = 8
    assert stage.rests(6 * SECOND)
    assert stage.rests(6 * SECOND + CLIENT_NS - 1)
    assert not stage.rests(6 * SECOND + CLIENT_NS)
    assert not stage.resting


async def test_a_node_that_never_answers_is_waited_for_only_so_long() -> None:
    stage = Stage()
    await stage.create(Network(id="shop"))
    stage.resting.note(Event(Action.REMOVE, a_task(), None), 8, lambda: NOW)
    assert stage.rests(REST_NS - 1)
    assert not stage.rests(REST_NS)


async def test_what_moves_to_another_state_frees_nothing_and_what_is_gone_does() -> None:
    stage = Stage()
    await stage.create(Network(id="shop"))
    stage.resting.note(Event(Action.UPDATE, a_task(), a_task(state=NEW)), 8, lambda: NOW)
    stage.resting.note(Event(Action.CREATE, a_task(), None), 8, lambda: NOW)
    stage.resting.note(Event(Action.REMOVE, a_task(state=COMPLETE), None), 9, lambda: NOW)
    assert not stage.resting
    left = Attachment(id="a")
    left.networks.add(network_id="shop", addresses=["10.0.0.2"])
    stage.resting.note(Event(Action.REMOVE, left, left), 9, lambda: NOW)
    assert stage.rests(0)


async def test_a_new_leader_lets_rest_what_became_free_before_it() -> None:
    stage = Stage()
    old = a_task("old", COMPLETE, "10.0.0.3")
    old.status.timestamp.CopyFrom(timestamp(NOW - REST_NS))
    await stage.create(Network(id="shop"), a_task(state=COMPLETE), old)
    stage.resting.begin(stage.store.view, NOW)
    assert stage.rests(0)
    assert not stage.resting("shop", "10.0.0.3")


async def test_nothing_rests_of_a_network_that_is_gone() -> None:
    stage = Stage()
    stage.resting.note(Event(Action.REMOVE, a_task(), None), 8, lambda: NOW)
    assert not stage.rests(0)


async def test_a_task_waits_for_the_last_address_to_have_rested() -> None:
    clock, heard = ManualClock(), asyncio.Event()
    store = Store(clock, "m1")
    store.attach(LocalProposer(store))
    loop = AllocatorLoop(
        store, clock, AllocatorSettings(look_again_s=0.01), settled=lambda network_id, index: heard.is_set()
    )
    running = asyncio.create_task(loop.run())

    async def task_has(task_id: str, address: str) -> None:
        while True:
            task = store.view.tasks.get(task_id)
            if task is not None and [list(one.addresses) for one in task.networks] == [[address]]:
                return
            clock.advance(0.01)
            await asyncio.sleep(0.001)

    def new_task(task_id: str) -> Task:
        task = Task(id=task_id, desired_state=RUNNING)
        task.status.state = NEW
        task.spec.networks.add(network_id="tiny")
        return task

    try:
        async with asyncio.timeout(60):
            spec = NetworkSpec()
            spec.annotations.name = "tiny"
            spec.subnets.add(subnet="10.99.0.0/30")  # the gateway, and one more
            await store.update(lambda tx: create_network(tx, spec, "tiny"))
            await store.update(lambda tx: tx.create(new_task("t1")))
            await task_has("t1", "10.99.0.2")
            ended = copy_of(store.view.tasks.get("t1") or Task())
            ended.status.state = COMPLETE
            await store.update(lambda tx: tx.update(ended))
            await store.update(lambda tx: tx.create(new_task("t2")))
            while "no free address" not in (store.view.tasks.get("t2") or Task()).status.err:
                await asyncio.sleep(0.001)
            heard.set()
            await task_has("t2", "10.99.0.2")
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
