"""Going to the managers that call this node, and answering there.

A call only says where to go. So it may come twice, or late: at the manager it is answered once or not at
all. The connection is the conversation's own: the node's session may move meanwhile.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import grpc
import structlog

from swarm.agent.connection import CHANNEL_OPTIONS
from swarm.agent.containers.conversation import Conversation
from swarm.api.status import name_of
from swarm.api.v1.containers_pb2 import ContainerCall, ContainerError, ContainerOutput, ContainerRequest
from swarm.api.v1.containers_pb2_grpc import ContainersStub
from swarm.api.v1.types_pb2 import Peer
from swarm.errors import SwarmError, Unavailable

log = structlog.get_logger(__name__)

CONVERSATIONS_MAX = 256  # of one node at once
KNOWN_CALLS = 1024  # ids, to tell a call that comes twice

Answer = Callable[[ContainerRequest, Conversation], Awaitable[None]]


class CallAnswerer:
    """All conversations of this node."""

    def __init__(
        self,
        channel: Callable[[str, Sequence[tuple[str, int | str]]], grpc.aio.Channel],
        managers: Callable[[], Sequence[Peer]],
        answer: Answer,
    ) -> None:
        """`channel(addr, options)` dials, `managers` returns those known; `answer` does what is asked."""
        self._channel = channel
        self._managers = managers
        self._answer = answer
        self._known: OrderedDict[str, None] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        """Return how many conversations there are."""
        return len(self._tasks)

    def take(self, call: ContainerCall) -> None:
        """Answer a call, unless that was begun before and the manager was reached."""
        if call.id in self._known:
            return
        self._known[call.id] = None
        while len(self._known) > KNOWN_CALLS:
            self._known.popitem(last=False)
        task = asyncio.create_task(self._go(call), name="agent-container-call")
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    async def close(self) -> None:
        """End every conversation."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.warning("agent.container_call_failed", reason=str(error))

    def _addr(self, manager: Peer) -> str:
        known = (peer.addr for peer in self._managers() if peer.node_id == manager.node_id)
        return next(known, manager.addr)

    async def _go(self, call: ContainerCall) -> None:
        channel = self._channel(self._addr(call.manager), CHANNEL_OPTIONS)
        stream: Any = ContainersStub(channel).Answer()
        try:
            conversation = Conversation(stream)
            await conversation.send(ContainerOutput(call_id=call.id))
            await self._converse(conversation)
        except Unavailable as error:
            self._known.pop(call.id, None)  # nothing was asked yet: who still waits calls again
            log.info("agent.container_call_given_up", reason=str(error))
        finally:
            stream.cancel()
            await channel.close()

    async def _converse(self, conversation: Conversation) -> None:
        """Answer until it is answered or nobody listens any more."""
        request = await conversation.question()
        answering = asyncio.create_task(self._answered(request, conversation))
        hearing = asyncio.create_task(conversation.hear())
        try:
            await asyncio.wait((answering, hearing), return_when=asyncio.FIRST_COMPLETED)
            if answering.done():
                await hearing  # the manager hangs up when all of it has arrived
        finally:
            for task in (answering, hearing):
                task.cancel()
            await asyncio.gather(answering, hearing, return_exceptions=True)

    async def _answered(self, request: ContainerRequest, conversation: Conversation) -> None:
        if len(self._tasks) > CONVERSATIONS_MAX:
            reason = f"this node answers {CONVERSATIONS_MAX} others already; try again later"
            await _tell(conversation, "Unavailable", reason)
            return
        try:
            await self._answer(request, conversation)
        except SwarmError as error:
            await _tell(conversation, name_of(error), str(error))
        except Exception as error:  # whatever a driver raises must cost one answer, not the node
            log.exception("agent.container_request_failed", verb=request.WhichOneof("verb"))
            await _tell(conversation, "SwarmError", f"{type(error).__name__}: {error}")


async def _tell(conversation: Conversation, kind: str, message: str) -> None:
    await conversation.send(ContainerOutput(error=ContainerError(kind=kind, message=message)))
