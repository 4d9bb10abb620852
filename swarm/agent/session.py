"""One stream to one manager."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

import grpc
import structlog

from swarm.agent.assignments import AssignmentStream, Changes
from swarm.agent.links import HEARTBEATS_PER_PERIOD, Role
from swarm.api.status import from_rpc_error
from swarm.api.v1.containers_pb2 import ContainerCall
from swarm.api.v1.dispatcher_pb2 import (
    AgentMessage,
    DispatcherMessage,
    Heartbeat,
    Hello,
    NetworksApplied,
    NodeInfo,
    StatusReport,
    UsageReport,
    Welcome,
)
from swarm.api.v1.dispatcher_pb2_grpc import DispatcherStub
from swarm.api.v1.logs_pb2 import LogSubscription
from swarm.api.v1.types_pb2 import NodeDescription, Peer
from swarm.clock import SECOND, Clock
from swarm.errors import SessionExpired, SwarmError, Unavailable

log = structlog.get_logger(__name__)

WELCOME_TIMEOUT_S = 5.0


class Node(Protocol):
    """What a session does to its node."""

    def held_ids(self) -> frozenset[str]:
        """Return the tasks this node holds."""

    def apply(self, changes: Changes, index: int, complete: bool) -> int:
        """Carry out assignments; return how `networks_applied` will call what they say of networks."""

    def take_node_info(self, info: NodeInfo) -> None:
        """Hear who the managers are."""

    def subscribe_logs(self, subscription: LogSubscription) -> None:
        """Begin or end a log subscription."""

    def take_container_call(self, call: ContainerCall) -> None:
        """Go to a manager and answer what is asked there."""

    def next_report(self) -> StatusReport | None:
        """Return a report to send now."""

    def acknowledge(self, sequence: int) -> None:
        """Hear that reports are committed."""


class Session:
    """`run` it; it is a standby or the session as soon as its manager says so. Raises SwarmErrors."""

    def __init__(
        self,
        peer: Peer,
        channel: grpc.aio.Channel,
        clock: Clock,
        hello: Callable[[bool], Hello],
        on_welcome: Callable[["Session"], None],
    ) -> None:
        """Own `channel` from now on. `hello(standby)` makes the greeting."""
        self.peer = peer
        self.channel = channel
        self.role = Role.OPENING
        self.session_id = ""
        self.period_s = 0.0
        self.leaderless_s: float | None = None  # since when the manager says that it reaches no leader
        self.move_to = ""  # node id of the manager that should have the session
        self.move_asked_s = 0.0
        self.began_s = self.heard_s = clock.monotonic_s()
        self.asked_s: float | None = None  # since when it should be the session
        self._clock = clock
        self._hello = hello
        self._on_welcome = on_welcome
        self._call: Any = None
        self._outgoing = asyncio.Event()
        self._wanted_standby: bool | None = None
        self._greeting_due = False
        self._description: NodeDescription | None = None
        self._usage: UsageReport | None = None
        self._taken: deque[tuple[int, int]] = deque()  # what the node calls it, and the message
        self._networks_applied = 0  # the last message that is in force, until that is said
        self._assignments = AssignmentStream()

    def ask(self, *, standby: bool) -> None:
        """Ask the manager to take this stream for a standby, or for the session of this node."""
        self.asked_s = None if standby else self._clock.monotonic_s()
        self._wanted_standby = standby
        self._greeting_due = True
        if self.role is Role.SESSION:
            self.role = Role.STANDBY  # what its manager still says of assignments counts no more
        self._outgoing.set()

    async def run(self, node: Node, uniform: Callable[[float, float], float]) -> None:
        """Open the stream and serve it; returns never, raises when it ended."""
        try:
            self._call = DispatcherStub(self.channel).Session()
            works = (self._receive(node), self._send(node, uniform), self._welcomed())
            await _first(*works)
        finally:
            if self._call is not None:
                self._call.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self.channel.close()

    def wake(self) -> None:
        """There is something to send."""
        self._outgoing.set()

    def describe(self, description: NodeDescription) -> None:
        """Send what the node is like now."""
        self._description = description
        self._outgoing.set()

    def networks_applied(self, taken: int) -> None:
        """Say that networks are as the messages up to this one want them."""
        while self._taken and self._taken[0][0] <= taken:
            _, self._networks_applied = self._taken.popleft()
            self._outgoing.set()

    def report_usage(self, usage: UsageReport) -> None:
        """Send what tasks use; of several reports that wait only the last one."""
        self._usage = usage
        self._outgoing.set()

    async def _welcomed(self) -> None:
        """Raise when nobody welcomes this node in time."""
        await asyncio.sleep(WELCOME_TIMEOUT_S)
        if self.role is Role.OPENING:
            raise Unavailable(f"the manager said nothing for {WELCOME_TIMEOUT_S:g} s")
        await asyncio.get_running_loop().create_future()

    async def _read(self) -> DispatcherMessage:
        message = await self._call.read()
        if message is grpc.aio.EOF:
            raise await _error_of(self._call)
        assert isinstance(message, DispatcherMessage)
        return message

    async def _receive(self, node: Node) -> None:
        try:
            while True:
                message = await self._read()
                self.heard_s = self._clock.monotonic_s()
                self._take(message, node)
        except grpc.RpcError as error:
            raise from_rpc_error(error) from error
        except asyncio.InvalidStateError:
            raise await _error_of(self._call) from None

    def _take(self, message: DispatcherMessage, node: Node) -> None:
        kind = message.WhichOneof("message")
        if kind == "welcome":
            self._take_welcome(message.welcome)
        elif kind == "status_ack":
            self._take_leaderless(message.status_ack.leaderless)
        if self.role is Role.SESSION:
            self._take_news(message, node)

    def _take_welcome(self, welcome: Welcome) -> None:
        if welcome.standby != self._wanted_standby:
            return  # another greeting is on its way
        self.session_id = welcome.session_id
        self.period_s = welcome.heartbeat_period_ns / SECOND
        self._take_leaderless(welcome.leaderless)
        self.asked_s = None
        self.move_to = ""
        self.role = Role.STANDBY if welcome.standby else Role.SESSION
        self._assignments = AssignmentStream()
        self._taken.clear()
        self._networks_applied = 0
        self._outgoing.set()
        self._on_welcome(self)

    def _take_leaderless(self, leaderless: bool) -> None:
        if not leaderless:
            self.leaderless_s = None
        elif self.leaderless_s is None:
            self.leaderless_s = self._clock.monotonic_s()

    def _take_news(self, message: DispatcherMessage, node: Node) -> None:
        match message.WhichOneof("message"):
            case "assignments":
                changes = self._assignments.take(message.assignments, node.held_ids())
                if changes is not None:
                    said = message.assignments
                    self._taken.append((node.apply(changes, said.index, said.complete), said.sequence))
            case "status_ack":
                node.acknowledge(message.status_ack.sequence)
            case "node_info":
                if message.node_info.heartbeat_period_ns:
                    self.period_s = message.node_info.heartbeat_period_ns / SECOND
                    self._outgoing.set()  # whoever waits for the next heartbeat may have less time by now
                node.take_node_info(message.node_info)
            case "log_subscription":
                node.subscribe_logs(message.log_subscription)
            case "container_call":
                node.take_container_call(message.container_call)
            case "move":
                self.move_to, self.move_asked_s = message.move.manager_id, self._clock.monotonic_s()

    async def _send(self, node: Node, uniform: Callable[[float, float], float]) -> None:
        try:
            while True:
                for message in self._messages(node):
                    await self._call.write(message)
                heartbeats = HEARTBEATS_PER_PERIOD[self.role is Role.STANDBY]
                pause_s = uniform(0.9, 1.0) * self.period_s / heartbeats if self.period_s else None
                if not await _woken(self._outgoing, pause_s):
                    await self._call.write(AgentMessage(heartbeat=Heartbeat()))
        except grpc.RpcError as error:
            raise from_rpc_error(error) from error
        except asyncio.InvalidStateError:
            # Whoever reads may not have heard yet why.
            closed = (
                await _error_of(self._call) if self._call.done() else SessionExpired("nothing can be sent")
            )
            raise closed from None

    def _messages(self, node: Node) -> list[AgentMessage]:
        messages: list[AgentMessage] = []
        if self._greeting_due:
            self._greeting_due = False
            messages.append(AgentMessage(hello=self._hello(bool(self._wanted_standby))))
        if self.role is not Role.SESSION:
            return messages
        if self._description is not None:
            messages.append(AgentMessage(description=self._description))
            self._description = None
        if self._usage is not None:
            messages.append(AgentMessage(usage=self._usage))
            self._usage = None
        if self._networks_applied:
            messages.append(AgentMessage(networks_applied=NetworksApplied(sequence=self._networks_applied)))
            self._networks_applied = 0
        report = node.next_report()
        if report is not None:
            messages.append(AgentMessage(statuses=report))
        return messages


async def _first(*works: Coroutine[Any, Any, None]) -> None:
    """Run until one of them ends and raise its error; of several the first one's."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    # The reader's error is the manager's reason; a failing write only says that there is one.
    for task in tasks:
        if task in done and not task.cancelled():
            task.result()


async def _woken(event: asyncio.Event, timeout_s: float | None) -> bool:
    try:
        async with asyncio.timeout(timeout_s):
            await event.wait()
    except TimeoutError:
        return False
    event.clear()
    return True


async def _error_of(call: Any) -> SwarmError:
    """Return why a call has ended: the manager's reason, if it gave one."""
    if await call.code() is grpc.StatusCode.OK:
        return Unavailable("the manager closed the stream")
    return from_rpc_error(
        grpc.aio.AioRpcError(
            await call.code(),
            await call.initial_metadata(),
            await call.trailing_metadata(),
            details=await call.details(),
        )
    )
