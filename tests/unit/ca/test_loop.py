"""The role manager at work, with a scripted Raft group and a real store."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from swarm.api.v1.objects_pb2 import Node
from swarm.api.v1.raft_pb2 import RaftMember
from swarm.api.v1.types_pb2 import NODE_ROLE_MANAGER, NODE_ROLE_WORKER
from swarm.clock import SystemClock
from swarm.errors import NoQuorum
from swarm.manager.ca.loop import RoleLoop
from swarm.manager.store.store import Store
from swarm.manager.store.testing import store_with

M, W = NODE_ROLE_MANAGER, NODE_ROLE_WORKER


class Group:
    """A Raft group that does what it is told."""

    def __init__(self, *node_ids: str) -> None:
        self.raft_id = "r" + node_ids[0]
        self.members = [RaftMember(raft_id="r" + item, node_id=item) for item in node_ids]
        self.done: list[str] = []
        self.failures = 0

    def reachable(self, raft_id: str) -> bool:
        return True

    async def remove_member(self, raft_id: str, timeout_s: float) -> None:
        if self.failures:
            self.failures -= 1
            raise NoQuorum("no majority")
        self.done.append(f"remove {raft_id}")
        self.members = [member for member in self.members if member.raft_id != raft_id]

    async def transfer_leadership(self, timeout_s: float) -> None:
        self.done.append("transfer")


@asynccontextmanager
async def running(store: Store, group: Group) -> AsyncIterator[None]:
    task = asyncio.create_task(RoleLoop(store, SystemClock(), group).run())
    yield
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.01)


def node(node_id: str, role: int) -> Node:
    made = Node(id=node_id, role=role)
    made.spec.desired_role = role
    return made


async def wish(store: Store, node_id: str, role: int) -> None:
    def change(tx):  # type: ignore[no-untyped-def]
        made = Node()
        made.CopyFrom(tx.nodes.get(node_id))
        made.spec.desired_role = role
        tx.update(made)

    await store.update(change)


def role(store: Store, node_id: str) -> int:
    found = store.view.nodes.get(node_id)
    assert found is not None
    return found.role


async def test_a_promotion_is_carried_out() -> None:
    store = store_with(node("a", M), node("b", W))
    async with running(store, Group("a")):
        await wish(store, "b", M)
        await until(lambda: role(store, "b") == M)


async def test_a_demotion_is_carried_out_raft_first() -> None:
    store, group = store_with(node("a", M), node("b", M), node("c", M)), Group("a", "b", "c")
    async with running(store, group):
        await wish(store, "b", W)
        await until(lambda: role(store, "b") == W)
    assert group.done == ["remove rb"]


async def test_a_failed_step_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("swarm.manager.ca.loop.RETRY_S", 0.01)
    store, group = store_with(node("a", M), node("b", M), node("c", M)), Group("a", "b", "c")
    group.failures = 3
    async with running(store, group):
        await wish(store, "b", W)
        await until(lambda: role(store, "b") == W)


async def test_a_demoted_leader_asks_another_to_lead() -> None:
    store, group = store_with(node("a", M), node("b", M), node("c", M)), Group("a", "b", "c")
    async with running(store, group):
        await wish(store, "a", W)
        await until(lambda: "transfer" in group.done)
    assert role(store, "a") == M
