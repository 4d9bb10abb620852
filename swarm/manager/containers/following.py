"""Following what happens to the containers of no service, on all nodes, for as long as somebody looks.

A node that cannot be heard is asked again and again, from the last event that was heard of it; nodes that
come are followed too.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence

import structlog

from swarm.api.v1.containers_pb2 import ContainerOutput, ContainerRequest
from swarm.clock import Clock
from swarm.errors import SwarmError
from swarm.manager.containers.calls import ContainerCalls

log = structlog.get_logger(__name__)

AGAIN_S = 1.0
ANSWERS = 256


class EventFollower:
    """One person who looks."""

    def __init__(self, calls: ContainerCalls, clock: Clock, request: ContainerRequest) -> None:
        """`request` says from where on."""
        self._calls = calls
        self._clock = clock
        self._request = request
        self._answers: asyncio.Queue[ContainerOutput | None] = asyncio.Queue(ANSWERS)
        self._asking: dict[str, asyncio.Task[None]] = {}

    async def follow(self, nodes: Callable[[], Sequence[str]]) -> AsyncIterator[ContainerOutput]:
        """Yield what the nodes tell, which `nodes` returns at the moment, until closed."""
        finding = asyncio.create_task(self._find(nodes), name="containers-find-nodes")
        try:
            while True:
                answer = await self._answers.get()
                if answer is None:
                    finding.result()  # it failed
                    return
                yield answer
        finally:
            tasks = [finding, *self._asking.values()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _find(self, nodes: Callable[[], Sequence[str]]) -> None:
        first = True
        try:
            while True:
                wanted = nodes()
                for node_id in set(wanted) - self._asking.keys():
                    # Of a node that comes later everything is news.
                    since_ns = self._request.events.since_ns if first else 1
                    asking = self._ask(node_id, since_ns)
                    self._asking[node_id] = asyncio.create_task(asking, name="containers-follow")
                for node_id in self._asking.keys() - set(wanted):
                    self._asking.pop(node_id).cancel()
                first = False
                await asyncio.sleep(AGAIN_S)
        finally:
            with contextlib.suppress(asyncio.QueueFull):
                self._answers.put_nowait(None)

    async def _ask(self, node_id: str, since_ns: int) -> None:
        request, began_ns, silent = of_node(self._request, node_id), self._clock.now_ns(), False
        request.events.since_ns = since_ns
        while True:
            try:
                async with contextlib.aclosing(
                    self._calls.converse(node_id, request)  # type: ignore[type-var]
                ) as outputs:
                    async for output in outputs:
                        if not output.HasField("event"):
                            continue
                        if silent and not output.event.gap:
                            await self._say(node_id, "is heard again; nothing was missed")
                        silent = False
                        request.events.after = output.event.cursor or request.events.after
                        await self._answers.put(output)
            except SwarmError as error:
                if not silent:
                    await self._say(node_id, f"{error}; what happens there is told when it is heard again")
                silent = True
            except Exception as error:  # one node's answer must not end all others'
                log.exception("containers.following_failed", node_id=node_id)
                await self._say(node_id, f"{error}; what happens there is not told")
                return
            request.events.since_ns = request.events.since_ns or began_ns
            await asyncio.sleep(AGAIN_S)

    async def _say(self, node_id: str, text: str) -> None:
        name = self._calls.name(node_id)
        await self._answers.put(ContainerOutput(node_id=node_id, notice=f"{name}: {text}"))


def of_node(request: ContainerRequest, node_id: str) -> ContainerRequest:
    """Return a request for events as one node is asked: with the place that was heard of it last."""
    asked = ContainerRequest()
    asked.CopyFrom(request)
    asked.events.after = request.events.cursors.get(node_id, "")
    asked.events.ClearField("cursors")
    return asked
