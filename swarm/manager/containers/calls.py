"""Conversations between people at this manager and nodes, wherever those have their sessions.

The node comes to this very manager, so a session that moves or a leader that changes touches no
conversation. What is asked travels only on that stream: a call that arrives twice is answered once.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Protocol

import grpc
import structlog

from swarm.api.status import from_name, from_rpc_error
from swarm.api.v1.containers_pb2 import (
    ContainerCall,
    ContainerInput,
    ContainerOutput,
    ContainerQuestion,
    ContainerRequest,
    DeliverRequest,
)
from swarm.api.v1.containers_pb2_grpc import ContainersStub
from swarm.api.v1.raft_pb2 import RaftMember
from swarm.api.v1.types_pb2 import NODE_STATE_DOWN, Peer
from swarm.errors import InvalidArgument, NotFound, OutcomeUnknown, Unavailable
from swarm.ids import new_id
from swarm.manager.containers.pipe import Pipe
from swarm.manager.store.store import Store

log = structlog.get_logger(__name__)

PIPE_MESSAGES = 32  # each way; a message has at most 64 KiB
CALL_AGAIN_S = 1.0  # a session may have ended with the call on its way
ANSWER_TIMEOUT_S = 5.0  # a node that has not come by then is given up
LAST_WORDS = frozenset({"exit_code", "done"})

Inputs = AsyncIterator[ContainerInput]
Write = Callable[[ContainerInput], Awaitable[None]]


class AgentSessions(Protocol):
    """The sessions of this manager, as the dispatcher has them."""

    def send_container_call(self, node_id: str, call: ContainerCall) -> bool:
        """Pass a call on; False when the node has no session here."""


class _Conversation:
    def __init__(self, node_id: str) -> None:
        self.node_id = node_id
        self.joined = asyncio.Event()
        self.inputs: Pipe[ContainerInput] = Pipe(PIPE_MESSAGES)
        self.outputs: Pipe[ContainerOutput] = Pipe(PIPE_MESSAGES)

    def end(self) -> None:
        self.inputs.end()
        self.outputs.end()


class ContainerCalls:
    """All conversations at this manager."""

    def __init__(
        self,
        node_id: str,
        store: Store,
        sessions: AgentSessions,
        members: Callable[[], Sequence[RaftMember]],
        dial: Callable[[str], grpc.aio.Channel],
    ) -> None:
        """`node_id` is this manager's; `members` returns all managers, `dial` reaches one."""
        self._node_id = node_id
        self._store = store
        self._sessions = sessions
        self._members = members
        self._dial = dial
        self._open: dict[str, _Conversation] = {}
        self._stopping = False

    def __len__(self) -> int:
        """Return how many conversations there are."""
        return len(self._open)

    async def converse(
        self, node_id: str, request: ContainerRequest, inputs: Inputs | None = None
    ) -> AsyncIterator[ContainerOutput]:
        """Yield what the node answers, its last word too; raises what it raised.

        Raises NotFound and Unavailable for a node that cannot be asked, OutcomeUnknown for one that went
        away. Closing the iterator ends the conversation, and with it what the node does.
        """
        call_id, conversation = new_id(), _Conversation(node_id)
        self._open[call_id] = conversation
        feeding: asyncio.Task[None] | None = None
        try:
            await self._reach(call_id, conversation)
            await conversation.inputs.put(ContainerInput(question=ContainerQuestion(request=request)))
            if inputs is not None:
                feeding = asyncio.create_task(_feed(conversation, inputs), name="container-inputs")
            async for output in conversation.outputs:
                kind = output.WhichOneof("output")
                if kind == "error":
                    raise from_name(output.error.kind, output.error.message)
                output.node_id = node_id
                yield output
                if kind in LAST_WORDS:
                    return
            if self._stopping:
                raise OutcomeUnknown(
                    "this manager stops before the node has answered; another one may be asked"
                )
            raise OutcomeUnknown(f"{self.name(node_id)} went away before it had answered")
        finally:
            del self._open[call_id]
            conversation.end()
            if feeding is not None:
                feeding.cancel()
                await asyncio.gather(feeding, return_exceptions=True)

    async def answer(self, node_id: str, outputs: AsyncIterator[ContainerOutput], write: Write) -> None:
        """Serve a node that came; raises NotFound when nobody asks it anything (any more)."""
        try:
            first = await anext(outputs)
        except StopAsyncIteration:
            return
        conversation = self._open.get(first.call_id)
        if conversation is None or conversation.node_id != node_id or conversation.joined.is_set():
            raise NotFound("nobody asks this any more")
        conversation.joined.set()
        taking = asyncio.create_task(_take(conversation, outputs), name="container-outputs")
        try:
            async for message in conversation.inputs:
                await write(message)
        finally:
            conversation.end()
            taking.cancel()
            await asyncio.gather(taking, return_exceptions=True)

    def end_all(self) -> None:
        """End every conversation, because this manager stops."""
        self._stopping = True
        for conversation in self._open.values():
            conversation.end()

    def deliver(self, node_id: str, call: ContainerCall) -> bool:
        """Pass a call on if the node's session is here."""
        return self._sessions.send_container_call(node_id, call)

    def name(self, node_id: str) -> str:
        """Return what people call a node."""
        node = self._store.view.nodes.get(node_id)
        return f"node {node.description.hostname or node_id}" if node is not None else f"node {node_id}"

    async def _reach(self, call_id: str, conversation: _Conversation) -> None:
        node = self._store.view.nodes.get(conversation.node_id)
        if node is None:
            raise NotFound(f"there is no node {conversation.node_id}")
        if node.status.state == NODE_STATE_DOWN:
            raise Unavailable(f"{self.name(node.id)} is down")
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                await self._call_until_joined(call_id, conversation)
        except TimeoutError:
            raise Unavailable(f"{self.name(node.id)} does not answer") from None

    async def _call_until_joined(self, call_id: str, conversation: _Conversation) -> None:
        members = tuple(self._members())
        addr = next((one.addr for one in members if one.node_id == self._node_id), "")
        call = ContainerCall(id=call_id, manager=Peer(node_id=self._node_id, addr=addr))
        others = [one for one in members if one.node_id != self._node_id]
        while not conversation.joined.is_set():
            if not self.deliver(conversation.node_id, call):
                await asyncio.gather(*(self._ask(one, conversation, call) for one in others))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CALL_AGAIN_S):
                    await conversation.joined.wait()

    async def _ask(self, member: RaftMember, conversation: _Conversation, call: ContainerCall) -> None:
        request = DeliverRequest(call=call, node_id=conversation.node_id)
        channel = self._dial(member.addr)
        try:
            await ContainersStub(channel).Deliver(request, timeout=CALL_AGAIN_S)
        except grpc.RpcError as error:
            reason = str(from_rpc_error(error))
            log.info("containers.manager_not_reached", node_id=member.node_id, reason=reason)
        finally:
            await channel.close()


async def _feed(conversation: _Conversation, inputs: Inputs) -> None:
    async for message in inputs:
        if message.HasField("question"):
            raise InvalidArgument("one question at a time")
        if not await conversation.inputs.put(message):
            return


async def _take(conversation: _Conversation, outputs: AsyncIterator[ContainerOutput]) -> None:
    try:
        async for message in outputs:
            if not await conversation.outputs.put(message):
                return
    finally:
        conversation.end()
