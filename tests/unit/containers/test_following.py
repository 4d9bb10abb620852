"""Following events of all nodes: who is lost is said once, and taken up again where it was."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from swarm.api.v1.containers_pb2 import ContainerOutput, ContainerRequest
from swarm.api.v1.plain_pb2 import FollowEvents, PlainEvent
from swarm.clock import SystemClock
from swarm.errors import Unavailable
from swarm.manager.containers import following
from swarm.manager.containers.following import EventFollower


class Calls:
    """Nodes that play what is in a queue each; an error ends a conversation."""

    def __init__(self, *node_ids: str) -> None:
        self.says: dict[str, asyncio.Queue[PlainEvent | Exception]] = {
            one: asyncio.Queue() for one in node_ids
        }
        self.asked: list[tuple[str, FollowEvents]] = []

    async def converse(self, node_id: str, request: ContainerRequest) -> AsyncIterator[ContainerOutput]:
        asked = FollowEvents()
        asked.CopyFrom(request.events)
        self.asked.append((node_id, asked))
        while True:
            said = await self.says[node_id].get()
            if isinstance(said, Exception):
                raise said
            yield ContainerOutput(node_id=node_id, event=said)

    def name(self, node_id: str) -> str:
        return f"node {node_id}"


def an_event(action: str, cursor: str) -> PlainEvent:
    return PlainEvent(action=action, cursor=cursor)


async def test_a_lost_node_is_said_once_and_asked_for_what_came_since(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(following, "AGAIN_S", 0.001)
    calls: Any = Calls("n1", "n2")
    request = ContainerRequest(events=FollowEvents(follow=True, cursors={"n2": "b.7"}))
    outputs = EventFollower(calls, SystemClock(), request).follow(lambda: list(calls.says))
    calls.says["n1"].put_nowait(an_event("start", "a.1"))
    assert (await anext(outputs)).event.action == "start"
    for _ in range(3):
        calls.says["n1"].put_nowait(Unavailable("n1 is away"))
    calls.says["n1"].put_nowait(an_event("die", "a.2"))
    assert "n1 is away; what happens there is told when" in (await anext(outputs)).notice
    assert "is heard again; nothing was missed" in (await anext(outputs)).notice
    assert (await anext(outputs)).event.action == "die"
    assert [asked.after for node_id, asked in calls.asked if node_id == "n1"] == ["", *["a.1"] * 3]
    assert [asked.after for node_id, asked in calls.asked if node_id == "n2"] == ["b.7"]
    await outputs.aclose()  # type: ignore[attr-defined]


async def test_a_node_that_comes_later_is_followed_from_its_beginning(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(following, "AGAIN_S", 0.001)
    calls: Any = Calls("n1", "n2")
    nodes = ["n1"]
    request = ContainerRequest(events=FollowEvents(follow=True))
    outputs = EventFollower(calls, SystemClock(), request).follow(lambda: nodes)
    calls.says["n1"].put_nowait(an_event("start", "a.1"))
    await anext(outputs)
    nodes.append("n2")
    calls.says["n2"].put_nowait(PlainEvent(gap=True))
    assert (await anext(outputs)).event.gap
    assert [asked.since_ns for node_id, asked in calls.asked if node_id == "n2"] == [1]
    await outputs.aclose()  # type: ignore[attr-defined]
