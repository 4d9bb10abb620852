"""What a node makes of what it hears of its overlay networks."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from swarm.agent.assignments import NetworkChanges
from swarm.agent.database import Database
from swarm.agent.network.base import LocalSubnet, TaskNetwork
from swarm.agent.overlay import feed as feed_module
from swarm.agent.overlay.feed import OverlayFeed
from swarm.agent.overlay.state import OverlayState, Touched
from swarm.api.v1.objects_pb2 import Task
from swarm.api.v1.overlay_pb2 import OverlayChanges, OverlayEndpoint, OverlayNetwork, OverlayPeer
from swarm.errors import TransientError

SHOP = OverlayNetwork(id="shop", name="shop", router_addresses=["10.0.0.2"])


def _shop(**what: object) -> OverlayChanges:
    return OverlayChanges(network_id="shop", **what)  # type: ignore[arg-type]


def _news(*changes: OverlayChanges, complete: bool = False) -> NetworkChanges:
    return NetworkChanges(changes, complete)


def _a_task() -> Task:
    task = Task(id="t1")
    task.networks.add(network_id="shop", addresses=["10.0.0.9"])
    return task


class Listener:
    def __init__(self) -> None:
        self.heard: list[tuple[Touched, ...]] = []
        self.may_go_on = asyncio.Event()
        self.may_go_on.set()
        self.failures = 0

    async def apply(self, state: OverlayState, touched: Sequence[Touched]) -> None:
        self.heard.append(tuple(touched))
        await self.may_go_on.wait()
        if self.failures:
            self.failures -= 1
            raise OSError("no such device")


@contextlib.asynccontextmanager
async def a_feed(folder: Path, *listeners: Listener) -> AsyncIterator[OverlayFeed]:
    database = Database(folder / "tasks.db")
    stored = await database.open("n1", 0)
    feed = OverlayFeed(database, listeners)
    feed.resume(stored.overlays, complete=not stored.rebuilt)
    tasks = [asyncio.create_task(feed.run()), asyncio.create_task(database.run())]
    try:
        yield feed
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await database.close()


async def test_everybody_hears_of_changes_in_order(tmp_path: Path) -> None:
    one, other = Listener(), Listener()
    async with a_feed(tmp_path, one, other) as feed:
        feed.take(_news(_shop(network=SHOP), complete=True))
        await feed.settled()
        feed.take(_news(_shop(endpoints=[OverlayEndpoint(task_id="a")])))
        await feed.settled()
    expected = [(Touched("shop", network=True),), (Touched("shop", task_ids=frozenset({"a"})),)]
    assert one.heard == other.heard == expected


async def test_what_changes_during_a_call_is_gathered(tmp_path: Path) -> None:
    slow = Listener()
    async with a_feed(tmp_path, slow) as feed:
        slow.may_go_on.clear()
        feed.take(_news(_shop(network=SHOP), complete=True))
        while not slow.heard:
            await asyncio.sleep(0)
        for task_id in "abc":
            feed.take(_news(_shop(endpoints=[OverlayEndpoint(task_id=task_id)])))
        slow.may_go_on.set()
        await feed.settled()
    assert slow.heard[1:] == [(Touched("shop", task_ids=frozenset("abc")),)]


async def test_a_call_that_fails_is_made_again_with_everything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed_module, "RETRY_S", 0.01)
    listener = Listener()
    listener.failures = 2
    async with a_feed(tmp_path, listener) as feed:
        feed.take(_news(_shop(network=SHOP), complete=True))
        networks = await feed.join(_a_task())
    assert networks == (TaskNetwork("shop", ("10.0.0.9",)),)
    assert listener.heard == [(Touched("shop", network=True),)] * 3


async def test_a_task_waits_until_its_node_has_joined_and_says_for_what(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listener = Listener()
    async with a_feed(tmp_path, listener) as feed:
        monkeypatch.setattr(feed_module, "PATIENCE_S", 0.01)
        with pytest.raises(TransientError, match="waits for an address of this node in network shop"):
            await feed.join(_a_task())
        listener.may_go_on.clear()
        feed.take(_news(_shop(network=SHOP), complete=True))
        with pytest.raises(TransientError, match="network shop is not there on this node yet: it is being"):
            await feed.join(_a_task())
        monkeypatch.setattr(feed_module, "PATIENCE_S", 30.0)
        joining = asyncio.create_task(feed.join(_a_task()))
        await asyncio.sleep(0.01)
        assert not joining.done()
        listener.may_go_on.set()
        await joining


async def test_why_a_network_cannot_be_made_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_module, "PATIENCE_S", 0.01)
    listener = Listener()
    listener.failures = 1
    async with a_feed(tmp_path, listener) as feed:
        feed.take(_news(_shop(network=SHOP), complete=True))
        await feed.settled()
        with pytest.raises(TransientError, match="no such device"):
            await feed.join(_a_task())


async def test_a_task_without_networks_waits_for_nothing(tmp_path: Path) -> None:
    async with a_feed(tmp_path, Listener()) as feed:
        assert await feed.join(Task(id="t1")) == ()


async def test_what_is_known_survives_the_agent(tmp_path: Path) -> None:
    peer = OverlayPeer(node_id="n2", address="192.0.2.2")
    endpoints = [OverlayEndpoint(task_id=one, serving=True) for one in "abc"]
    async with a_feed(tmp_path, Listener()) as feed:
        feed.take(_news(_shop(network=SHOP, peers=[peer], endpoints=endpoints), complete=True))
        gone = OverlayChanges(network_id="back", network=OverlayNetwork(id="back"))
        feed.take(_news(gone, _shop(removed_task_ids=["b"])))
        feed.take(_news(OverlayChanges(network_id="back", removed=True)))
        known = feed.state.networks
    listener = Listener()
    async with a_feed(tmp_path, listener) as again:
        await again.settled()
        assert again.state.networks == known
        assert again.state.networks["shop"].endpoints.keys() == {"a", "c"}
        assert listener.heard == [(Touched("shop", True, frozenset({"n2"}), frozenset({"a", "c"})),)]
        again.take(_news(*again.state.everything(), complete=True))
        assert len(listener.heard) == 1, "a manager said nothing new"


async def test_nothing_is_left_of_networks_that_a_complete_set_does_not_name(tmp_path: Path) -> None:
    async with a_feed(tmp_path, Listener()) as feed:
        feed.take(_news(_shop(network=SHOP, endpoints=[OverlayEndpoint(task_id="a")]), complete=True))
        feed.take(_news(complete=True))
    async with a_feed(tmp_path, Listener()) as again:
        assert not again.state.networks


async def test_the_first_call_comes_with_a_complete_state_even_when_there_is_nothing_in_it(
    tmp_path: Path,
) -> None:
    listener = Listener()
    async with a_feed(tmp_path, listener) as feed:
        feed.take(_news(_shop(endpoints=[OverlayEndpoint(task_id="a")])))
        await feed.settled()
        assert listener.heard == [], "of a lost database nothing follows"
        feed.take(_news(complete=True))
        await feed.settled()
        assert listener.heard == [()]
    listener = Listener()
    async with a_feed(tmp_path, listener) as feed:
        await feed.settled()
        assert listener.heard == [()]


async def test_now_and_then_all_is_to_be_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_module, "CHECK_S", 0.01)
    listener = Listener()
    async with a_feed(tmp_path, listener) as feed, asyncio.timeout(30):
        feed.take(_news(complete=True))
        while listener.heard[:3] != [(), (), ()]:
            await asyncio.sleep(0.01)


async def test_a_task_joins_its_networks_in_the_order_of_its_spec(tmp_path: Path) -> None:
    task = _a_task()
    own = task.spec.networks.add(network_id="own", driver="bridge")
    own.local.subnets.add(subnet="10.9.0.0/24", reserved=["10.9.0.1"])
    own.local.internal = own.local.ipv6 = True
    task.spec.networks.add(network_id="shop", driver="overlay")
    async with a_feed(tmp_path, Listener()) as feed:
        feed.take(_news(_shop(network=SHOP), complete=True))
        subnets = (LocalSubnet("10.9.0.0/24", "", ("10.9.0.1",)),)
        assert await feed.join(task) == (
            TaskNetwork("own", (), "bridge", subnets, (4, 6), internal=True),
            TaskNetwork("shop", ("10.0.0.9",)),
        )
