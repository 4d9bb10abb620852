"""When is a task told that nobody is led to it any more?"""

import asyncio
from collections.abc import AsyncIterator

import pytest

from swarm.api.v1.objects_pb2 import Node, Task
from swarm.api.v1.types_pb2 import NodeState, TaskState
from swarm.errors import NoQuorum
from swarm.manager.dispatcher import withdrawal
from swarm.manager.dispatcher.withdrawal import WithdrawalLoop, waits
from swarm.manager.store.store import Store
from swarm.manager.store.tables import copy_of
from swarm.manager.store.testing import LocalProposer, ManualClock
from swarm.model.task_state import ASSIGNED, RUNNING, SHUTDOWN


def a_task(desired: "TaskState" = SHUTDOWN, state: "TaskState" = RUNNING) -> Task:
    task = Task(id="t1", node_id="n1", desired_state=desired)
    task.status.state = state
    task.networks.add(network_id="shop", addresses=["10.0.0.9"])
    return task


class Stage:
    """A leader's loop over a cluster of two nodes."""

    def __init__(self) -> None:
        self.store = Store(ManualClock(), "m1")
        self.proposer = LocalProposer(self.store)
        self.store.attach(self.proposer)
        self.reached: dict[str, int] = {}
        self.changed = asyncio.Event()

    def say(self, node_id: str, index: int) -> None:
        self.reached[node_id] = index
        self.changed.set()

    @property
    def withdrawn(self) -> bool:
        task = self.store.view.tasks.get("t1")
        return task is not None and task.withdrawn

    async def until_withdrawn(self) -> None:
        async with asyncio.timeout(60):
            while not self.withdrawn:
                await asyncio.sleep(0.001)

    async def stop_task(self) -> int:
        """Tell the task to stop; return the entry in which that is."""

        def stop() -> Task:
            task = self.store.view.tasks.get("t1")
            assert task is not None
            changed = copy_of(task)
            changed.desired_state = SHUTDOWN
            return changed

        await self.store.update(lambda tx: tx.update(stop()))
        return self.store.view.index

    def lead(self) -> asyncio.Task[None]:
        loop = WithdrawalLoop(self.store, lambda node_id: self.reached.get(node_id, 0), self.changed)
        return asyncio.create_task(loop.run())


@pytest.fixture
async def stage(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stage]:
    monkeypatch.setattr(withdrawal, "RETRY_S", 0.001)
    monkeypatch.setattr(withdrawal, "LOOK_S", 0.001)
    stage = Stage()
    for node_id in ("n1", "n2"):
        node = Node(id=node_id)
        node.status.state = NodeState.NODE_STATE_READY
        node.networks.add(network_id="shop")
        await stage.store.update(lambda tx, node=node: tx.create(node))
    await stage.store.update(lambda tx: tx.create(a_task(RUNNING)))
    leading = stage.lead()
    yield stage
    leading.cancel()
    await asyncio.gather(leading, return_exceptions=True)


def test_only_what_runs_in_networks_and_is_to_stop_waits() -> None:
    assert waits(a_task())
    assert not waits(a_task(desired=RUNNING))
    assert not waits(a_task(state=SHUTDOWN))
    assert not waits(a_task(state=ASSIGNED))
    alone, told = a_task(), a_task()
    del alone.networks[:]
    told.withdrawn = True
    assert not waits(alone)
    assert not waits(told)


async def test_a_task_is_withdrawn_when_the_last_node_says_so(stage: Stage) -> None:
    index = await stage.stop_task()
    stage.say("n1", index)
    stage.say("n2", index - 1)
    for _ in range(50):
        await asyncio.sleep(0.001)
    assert not stage.withdrawn
    stage.say("n2", index)
    await stage.until_withdrawn()


async def test_what_could_not_be_written_is_written_again(stage: Stage) -> None:
    index = await stage.stop_task()
    stage.proposer.fail_next(NoQuorum("no majority"))
    for node_id in ("n1", "n2"):
        stage.say(node_id, index)
    await stage.until_withdrawn()


async def test_a_new_leader_goes_on_with_what_waits(stage: Stage) -> None:
    await stage.stop_task()
    another = stage.lead()
    try:
        for node_id in ("n1", "n2"):
            stage.say(node_id, stage.store.view.index)
        await stage.until_withdrawn()
    finally:
        another.cancel()
        await asyncio.gather(another, return_exceptions=True)
