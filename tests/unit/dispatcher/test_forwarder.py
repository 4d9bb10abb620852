"""Statuses on their way to the leader."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from swarm.api.v1.dispatcher_pb2 import ReportTaskStatusesRequest, TaskStatusUpdate
from swarm.api.v1.types_pb2 import TaskStatus
from swarm.errors import NotLeader
from swarm.manager.dispatcher.forwarder import REQUEST_UPDATES, StatusForwarder, requests


class Leader:
    """Takes requests when open; fails as often as told."""

    def __init__(self) -> None:
        self.requests: list[dict[str, str]] = []
        self.open = asyncio.Event()
        self.open.set()
        self.failures = 0

    async def take(self, request: ReportTaskStatusesRequest) -> None:
        await self.open.wait()
        if self.failures:
            self.failures -= 1
            raise NotLeader
        self.requests.append(
            {update.task_id: update.status.message for node in request.nodes for update in node.updates}
        )


@contextlib.asynccontextmanager
async def forwarding(leader: Leader) -> AsyncIterator[StatusForwarder]:
    forwarder = StatusForwarder(leader.take)
    running = asyncio.create_task(forwarder.run())
    try:
        yield forwarder
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def update(task_id: str, message: str) -> TaskStatusUpdate:
    return TaskStatusUpdate(task_id=task_id, status=TaskStatus(message=message))


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_an_idle_forwarder_sends_at_once_and_acknowledges_after_the_commit() -> None:
    leader, done = Leader(), []
    async with forwarding(leader) as forwarder:
        leader.open.clear()
        forwarder.add("n1", [update("a", "1")], lambda: done.append(1))
        await settle()
        assert done == []
        leader.open.set()
        await settle()
        assert leader.requests == [{"a": "1"}]
        assert done == [1]


async def test_while_one_request_is_under_way_the_newest_statuses_are_gathered() -> None:
    leader, done = Leader(), []
    async with forwarding(leader) as forwarder:
        leader.open.clear()
        forwarder.add("n1", [update("a", "1")], lambda: done.append(1))
        await settle()
        forwarder.add("n1", [update("a", "2")], lambda: done.append(2))
        forwarder.add("n2", [update("b", "1")], lambda: done.append(3))
        forwarder.add("n1", [update("a", "3")], lambda: done.append(4))
        leader.open.set()
        await settle()
        assert leader.requests == [{"a": "1"}, {"a": "3", "b": "1"}]
        assert done == [1, 2, 3, 4]


async def test_what_failed_is_sent_again_without_undoing_what_is_newer() -> None:
    leader, done = Leader(), []
    async with forwarding(leader) as forwarder:
        leader.failures = 1
        forwarder.add("n1", [update("a", "1"), update("b", "1")], lambda: done.append(1))
        await settle()
        forwarder.add("n1", [update("a", "2")], lambda: done.append(2))
        async with asyncio.timeout(60):
            while len(done) < 2:
                await asyncio.sleep(0.01)
        assert leader.requests == [{"a": "2", "b": "1"}]
        assert done == [1, 2]


def test_requests_have_a_bounded_size() -> None:
    updates = [("n1", update(str(number), "x")) for number in range(REQUEST_UPDATES + 1)]
    sizes = [sum(len(node.updates) for node in request.nodes) for request in requests(updates)]
    assert sizes == [REQUEST_UPDATES, 1]
