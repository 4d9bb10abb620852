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


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody goes on without the others because the machine is busy."""
    for name in ("PATIENCE_S", "FIRST_S", "WITHDRAW_S"):
        monkeypatch.setattr(feed_module, name, 60.0)


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
        monkeypatch.setattr(feed_module, "PATIENCE_S", 60.0)
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
    async with a_feed(tmp_path, listener) as feed, asyncio.timeout(60):
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


async def test_keys_that_nodes_share_are_not_written_to_disk(tmp_path: Path) -> None:
    peer = OverlayPeer(node_id="n2", tunnel_key=b"public" * 5, preshared_key=b"recognisable" * 3)
    async with a_feed(tmp_path, Listener()) as feed:
        feed.take(_news(_shop(network=SHOP, peers=[peer]), complete=True))
        await feed.settled()
        assert feed.state.networks["shop"].peers["n2"] == peer
    async with a_feed(tmp_path, Listener()) as feed:
        kept = feed.state.networks["shop"].peers["n2"]
    assert kept.tunnel_key == peer.tunnel_key
    assert not kept.preshared_key
    assert not any(b"recognisable" in path.read_bytes() for path in tmp_path.iterdir())


async def test_what_was_heard_is_in_force_when_every_listener_is_done_with_it(tmp_path: Path) -> None:
    one, other = Listener(), Listener()
    said: list[int] = []
    async with a_feed(tmp_path, one, other) as feed, asyncio.timeout(60):
        feed.on_applied = said.append
        first = feed.take(_news(_shop(network=SHOP), complete=True))
        while feed.applied < first:
            await asyncio.sleep(0)
        other.may_go_on.clear()
        second = feed.take(_news(_shop(endpoints=[OverlayEndpoint(task_id="a")])))
        third = feed.take(_news(_shop(endpoints=[OverlayEndpoint(task_id="b")])))
        while len(other.heard) < 2:
            await asyncio.sleep(0)
        assert feed.applied == first < second < third
        other.may_go_on.set()
        while feed.applied < third:
            await asyncio.sleep(0)
        fourth = feed.take(_news())  # of tasks only
        while feed.applied < fourth:
            await asyncio.sleep(0)
    assert said == sorted(set(said))
    assert said[-1] == fourth


async def test_what_fails_is_not_in_force(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_module, "RETRY_S", 0.01)
    listener = Listener()
    listener.failures = 3
    async with a_feed(tmp_path, listener) as feed, asyncio.timeout(60):
        heard = feed.take(_news(_shop(network=SHOP), complete=True))
        while listener.failures:
            assert feed.applied == 0
            await asyncio.sleep(0)
        while feed.applied < heard:
            await asyncio.sleep(0.001)


async def test_names_are_told_when_the_network_is_as_they_say(tmp_path: Path) -> None:
    network, names = Listener(), Listener()
    async with a_feed(tmp_path, network, names) as feed, asyncio.timeout(60):
        feed.take(_news(_shop(network=SHOP), complete=True))
        await feed.settled()
        network.may_go_on.clear()
        heard = feed.take(_news(_shop(endpoints=[OverlayEndpoint(task_id="a")])))
        while len(network.heard) < 2:
            await asyncio.sleep(0)
        assert len(names.heard) == 1
        network.may_go_on.set()
        while feed.applied < heard:
            await asyncio.sleep(0)
    assert names.heard[1] == (Touched("shop", task_ids=frozenset({"a"})),)


class Names(Listener):
    """Leads into networks; notes what it is asked in the story of all listeners."""

    def __init__(self, story: list[str]) -> None:
        super().__init__()
        self.story = story
        self.withdrawn = asyncio.Event()
        self.withdrawn.set()

    async def withdraw(self, state: OverlayState, touched: Sequence[Touched]) -> None:
        self.story += sorted(f"asked not to say {task}" for one in touched for task in one.task_ids)
        await self.withdrawn.wait()
        self.story.append("says it no more")


class Packets(Listener):
    def __init__(self, story: list[str]) -> None:
        super().__init__()
        self.story = story

    async def apply(self, state: OverlayState, touched: Sequence[Touched]) -> None:
        await super().apply(state, touched)
        self.story += [f"leads to {sorted(state.networks['shop'].endpoints)}" for one in touched]


async def test_packets_change_their_way_when_names_lead_no_more_to_what_was_there(tmp_path: Path) -> None:
    story: list[str] = []
    network, names = Packets(story), Names(story)
    async with a_feed(tmp_path, network, names) as feed, asyncio.timeout(60):
        feed.take(_news(_shop(network=SHOP, endpoints=[OverlayEndpoint(task_id="a")]), complete=True))
        await feed.settled()
        story.clear()
        names.withdrawn.clear()
        feed.take(_news(_shop(removed_task_ids=["a"])))
        while not story:
            await asyncio.sleep(0)
        feed.take(_news(_shop(endpoints=[OverlayEndpoint(task_id="b")])))  # meanwhile
        await asyncio.sleep(0.01)
        assert story == ["asked not to say a"]
        names.withdrawn.set()
        await feed.settled()
    assert story == [
        "asked not to say a",
        "says it no more",
        "asked not to say b",
        "says it no more",
        "leads to ['b']",
    ]


async def test_names_that_are_silent_keep_no_packet_from_its_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed_module, "WITHDRAW_S", 0.01)
    story: list[str] = []
    names = Names(story)
    names.withdrawn.clear()
    async with a_feed(tmp_path, Packets(story), names) as feed, asyncio.timeout(60):
        heard = feed.take(_news(_shop(network=SHOP), complete=True))
        while feed.applied < heard:
            await asyncio.sleep(0.001)
    assert story == ["leads to []"]
