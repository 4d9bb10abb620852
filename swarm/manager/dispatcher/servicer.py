"""Service Dispatcher: the stream between an agent and this manager."""

import asyncio
import functools
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import structlog

from swarm.api.v1.dispatcher_pb2 import AgentMessage, DispatcherMessage, Hello, NodeInfo, Welcome
from swarm.api.v1.dispatcher_pb2_grpc import DispatcherServicer as DispatcherServicerBase
from swarm.api.v1.types_pb2 import Peer
from swarm.clock import Clock
from swarm.errors import InvalidArgument, NodeRemoved, SwarmError, Unavailable
from swarm.ids import new_id
from swarm.manager.dispatcher.forwarder import StatusForwarder
from swarm.manager.dispatcher.leadership import Leadership
from swarm.manager.dispatcher.liveness import heartbeat_period_ns
from swarm.manager.dispatcher.sessions import AgentSession, RegistrationLimit, Sessions
from swarm.manager.dispatcher.statuses import worth_forwarding
from swarm.manager.store.store import Store
from swarm.manager.store.tables import ReadView
from swarm.security.identity import Identity
from swarm.security.identity import caller as caller_of

log = structlog.get_logger(__name__)

Context = grpc.aio.ServicerContext[AgentMessage, DispatcherMessage]

HELLO_TIMEOUT_S = 5.0
CATCH_UP_TIMEOUT_S = 2.0  # a follower is milliseconds behind unless something is wrong with it


class DispatcherServicer(DispatcherServicerBase):
    """Serves agents from this manager's own copy of the store."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        leadership: Leadership,
        sessions: Sessions,
        forwarder: StatusForwarder,
        limit: RegistrationLimit,
        leaderless: Callable[[], bool],
        *,
        caller: Callable[[Any], Identity] = caller_of,
    ) -> None:
        """`caller` tells which node is at the other end; `leaderless` whether this manager is cut off."""
        self._store = store
        self._clock = clock
        self._leadership = leadership
        self._sessions = sessions
        self._forwarder = forwarder
        self._limit = limit
        self._leaderless = leaderless
        self._caller = caller

    async def Session(self, request_iterator: AsyncIterator[AgentMessage], context: Context) -> None:  # type: ignore[override]
        """Serve one agent until its stream ends."""
        node_id = self._caller(context).node_id
        hello = await self._hello(request_iterator)
        admit(self._store.view, node_id)
        now_s = self._clock.monotonic_s()
        if not self._limit.allows(node_id, now_s):
            raise Unavailable("this node registers too often; wait a few seconds")
        await self._catch_up(hello.applied_index)
        session = AgentSession(node_id, new_id(), peer_host(context.peer()), self._clock.monotonic_s())
        session.description = hello.description if hello.HasField("description") else None
        self._sessions.open(session)
        log.info("dispatcher.session_opened", node_id=node_id, session_id=session.session_id)
        reason = "cancelled"
        try:
            await context.write(DispatcherMessage(welcome=self._welcome(session)))
            await self._serve(session, request_iterator, context)
            reason = "closed by the agent"
        except SwarmError as error:
            reason = str(error)
            raise
        finally:
            self._sessions.close(session)
            log.info(
                "dispatcher.session_closed", node_id=node_id, session_id=session.session_id, reason=reason
            )

    async def _hello(self, messages: AsyncIterator[AgentMessage]) -> Hello:
        try:
            async with asyncio.timeout(HELLO_TIMEOUT_S):
                first = await anext(messages)
        except (TimeoutError, StopAsyncIteration):
            raise Unavailable("the agent said nothing") from None
        if first.WhichOneof("message") != "hello":
            raise InvalidArgument("the first message of a session must be hello")
        return first.hello

    async def _catch_up(self, index: int) -> None:
        """Wait until this manager knows what the agent already acted on; raises Unavailable.

        The leader alone may know less: after the cluster was restored from an older state. It asks a
        majority whether it still is the leader before it answers from the past.
        """
        if self._store.view.index >= index:
            return
        try:
            if self._leadership.is_leader:
                await self._leadership.barrier(CATCH_UP_TIMEOUT_S)
                return
            async with asyncio.timeout(CATCH_UP_TIMEOUT_S):
                await self._store.wait_applied(index)
        except (TimeoutError, SwarmError) as error:
            raise Unavailable("this manager is behind what the node already knows") from error

    def _welcome(self, session: AgentSession) -> Welcome:
        return Welcome(
            session_id=session.session_id,
            heartbeat_period_ns=self._period_ns(),
            leaderless=self._leaderless(),
        )

    def _period_ns(self) -> int:
        view = self._store.view
        return heartbeat_period_ns(view.cluster, len(view.nodes))

    async def _serve(
        self, session: AgentSession, messages: AsyncIterator[AgentMessage], context: Context
    ) -> None:
        """Read and write until one of them ends or the session is over."""
        reading = asyncio.ensure_future(self._read(session, messages))
        writing = asyncio.ensure_future(self._write(session, context))
        try:
            endings: set[asyncio.Future[Any]] = {reading, writing, session.over}
            await asyncio.wait(endings, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in (reading, writing):
                one.cancel()
            await asyncio.gather(reading, writing, return_exceptions=True)
        if session.over.done():
            error = session.over.result()
            if error is not None:
                raise error
        for one in (reading, writing):
            if not one.cancelled():
                one.result()

    async def _read(self, session: AgentSession, messages: AsyncIterator[AgentMessage]) -> None:
        async for message in messages:
            session.heard_s = self._clock.monotonic_s()
            kind = message.WhichOneof("message")
            if kind == "heartbeat":
                session.info_changed()  # the members of Raft change without a commit to the store
                session.acknowledge(0)
            elif kind == "statuses":
                self._take_statuses(session, message)
            elif kind == "description":
                session.description = message.description
                self._sessions.note_change(session.node_id)

    def _take_statuses(self, session: AgentSession, message: AgentMessage) -> None:
        report = message.statuses
        updates = worth_forwarding(self._store.view, session.node_id, report.updates)
        if not updates:
            session.acknowledge(report.sequence)
            return
        committed = functools.partial(session.acknowledge, report.sequence)
        self._forwarder.add(session.node_id, updates, committed)

    async def _write(self, session: AgentSession, context: Context) -> None:
        while True:
            await session.wake.wait()
            session.wake.clear()
            for message in session.take(
                self._store.view, lambda: self._node_info(session.node_id), self._leaderless()
            ):
                await context.write(message)

    def _node_info(self, node_id: str) -> NodeInfo:
        node = self._store.view.nodes.get(node_id)
        managers = sorted(self._leadership.members, key=lambda member: member.node_id)
        return NodeInfo(
            role=node.role if node is not None else None,
            managers=[Peer(node_id=member.node_id, addr=member.addr) for member in managers],
            heartbeat_period_ns=self._period_ns(),
        )


def admit(view: ReadView, node_id: str) -> None:
    """Raise NodeRemoved for a node that was removed, Unavailable for one that is not known here yet."""
    if view.cluster is not None and node_id in view.cluster.removed_nodes:
        raise NodeRemoved("this node was removed from the cluster")
    if view.nodes.get(node_id) is None:
        raise Unavailable("this manager does not know the node yet")


def peer_host(peer: str) -> str:
    """Return the address in what gRPC calls the peer (ipv4:1.2.3.4:5, ipv6:[::1]:5), empty for others."""
    kind, _, rest = peer.partition(":")
    if kind not in {"ipv4", "ipv6"}:
        return ""
    host = rest.rpartition(":")[0].replace("%5B", "[").replace("%5D", "]")
    return host.strip("[]")
