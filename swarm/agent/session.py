"""One stream to one manager."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any, Protocol

import grpc
import structlog

from swarm.agent.assignments import AssignmentStream, Changes
from swarm.api.status import from_rpc_error
from swarm.api.v1.dispatcher_pb2 import (
    AgentMessage,
    DispatcherMessage,
    Heartbeat,
    Hello,
    NodeInfo,
    StatusReport,
)
from swarm.api.v1.dispatcher_pb2_grpc import DispatcherStub
from swarm.api.v1.logs_pb2 import LogSubscription
from swarm.api.v1.types_pb2 import NodeDescription, Peer
from swarm.clock import SECOND, Clock
from swarm.errors import SessionExpired, SwarmError, Unavailable

log = structlog.get_logger(__name__)

WELCOME_TIMEOUT_S = 5.0
HEARTBEATS_PER_PERIOD = 2


class Node(Protocol):
    """What a session does to its node."""

    def held_ids(self) -> frozenset[str]:
        """Return the tasks this node holds."""

    def apply(self, changes: Changes, index: int, complete: bool) -> None:
        """Carry out assignments."""

    def take_node_info(self, info: NodeInfo) -> None:
        """Hear who the managers are."""

    def subscribe_logs(self, subscription: LogSubscription) -> None:
        """Begin or end a log subscription."""

    def next_report(self) -> StatusReport | None:
        """Return a report to send now."""

    def acknowledge(self, sequence: int) -> None:
        """Hear that reports are committed."""


class Session:
    """`connect`, then `run`; `close` in any case. Raises SwarmErrors."""

    def __init__(self, peer: Peer, channel: grpc.aio.Channel, clock: Clock) -> None:
        """Own `channel` from now on."""
        self.peer = peer
        self.channel = channel
        self.session_id = ""
        self.period_s = 0.0
        self.leaderless = False  # the manager reaches no leader
        self.heard_s = clock.monotonic_s()
        self._clock = clock
        self._call: Any = None
        self._outgoing = asyncio.Event()
        self._description: NodeDescription | None = None

    async def connect(self, hello: Hello) -> None:
        """Open the stream and wait for the manager's welcome."""
        try:
            async with asyncio.timeout(WELCOME_TIMEOUT_S):
                self._call = DispatcherStub(self.channel).Session()
                await self._call.write(AgentMessage(hello=hello))
                message = await self._read()
        except TimeoutError:
            raise Unavailable(f"the manager said nothing for {WELCOME_TIMEOUT_S:g} s") from None
        except asyncio.InvalidStateError:
            raise await _error_of(self._call) from None
        except grpc.RpcError as error:
            raise from_rpc_error(error) from error
        if message.WhichOneof("message") != "welcome":
            raise Unavailable("the manager did not welcome this node")
        self.session_id = message.welcome.session_id
        self.period_s = message.welcome.heartbeat_period_ns / SECOND
        self.leaderless = message.welcome.leaderless
        self._heard()

    async def run(self, node: Node, uniform: Callable[[float, float], float]) -> None:
        """Serve the stream; returns never, raises when it ended."""
        reading = asyncio.ensure_future(self._receive(node))
        writing = asyncio.ensure_future(self._send(node, uniform))
        try:
            done, _ = await asyncio.wait({reading, writing}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in (reading, writing):
                one.cancel()
            await asyncio.gather(reading, writing, return_exceptions=True)
        # The reader's error is the manager's reason; a failing write only says that there is one.
        for one in (reading, writing):
            if one in done and not one.cancelled():
                one.result()
        raise Unavailable("the session ended")

    def wake(self) -> None:
        """There is something to send."""
        self._outgoing.set()

    def describe(self, description: NodeDescription) -> None:
        """Send what the node is like now."""
        self._description = description
        self._outgoing.set()

    async def close(self) -> None:
        """End the stream."""
        if self._call is not None:
            self._call.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.channel.close()

    def _heard(self) -> None:
        self.heard_s = self._clock.monotonic_s()

    async def _read(self) -> DispatcherMessage:
        message = await self._call.read()
        if message is grpc.aio.EOF:
            # The status of the call has the reason.
            code = await self._call.code()
            if code is grpc.StatusCode.OK:
                raise Unavailable("the manager closed the stream")
            raise await _error_of(self._call)
        assert isinstance(message, DispatcherMessage)
        return message

    async def _receive(self, node: Node) -> None:
        stream = AssignmentStream()
        try:
            while True:
                message = await self._read()
                self._heard()
                self._take(message, node, stream)
        except grpc.RpcError as error:
            raise from_rpc_error(error) from error

    def _take(self, message: DispatcherMessage, node: Node, stream: AssignmentStream) -> None:
        match message.WhichOneof("message"):
            case "assignments":
                changes = stream.take(message.assignments, node.held_ids())
                if changes is not None:
                    node.apply(changes, message.assignments.index, message.assignments.complete)
            case "status_ack":
                self.leaderless = message.status_ack.leaderless
                node.acknowledge(message.status_ack.sequence)
            case "node_info":
                if message.node_info.heartbeat_period_ns:
                    self.period_s = message.node_info.heartbeat_period_ns / SECOND
                node.take_node_info(message.node_info)
            case "log_subscription":
                node.subscribe_logs(message.log_subscription)

    async def _send(self, node: Node, uniform: Callable[[float, float], float]) -> None:
        try:
            while True:
                for message in self._messages(node):
                    await self._call.write(message)
                pause_s = uniform(0.9, 1.0) * self.period_s / HEARTBEATS_PER_PERIOD
                if not await _woken(self._outgoing, pause_s):
                    await self._call.write(AgentMessage(heartbeat=Heartbeat()))
        except grpc.RpcError as error:
            raise from_rpc_error(error) from error
        except asyncio.InvalidStateError:
            raise SessionExpired("the stream is closed") from None

    def _messages(self, node: Node) -> list[AgentMessage]:
        messages: list[AgentMessage] = []
        if self._description is not None:
            messages.append(AgentMessage(description=self._description))
            self._description = None
        report = node.next_report()
        if report is not None:
            messages.append(AgentMessage(statuses=report))
        return messages


async def _woken(event: asyncio.Event, timeout_s: float) -> bool:
    try:
        async with asyncio.timeout(timeout_s):
            await event.wait()
    except TimeoutError:
        return False
    event.clear()
    return True


async def _error_of(call: Any) -> SwarmError:
    return from_rpc_error(
        grpc.aio.AioRpcError(
            await call.code(),
            await call.initial_metadata(),
            await call.trailing_metadata(),
            details=await call.details(),
        )
    )
