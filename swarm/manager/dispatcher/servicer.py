"""Service Dispatcher: the stream between an agent and this manager."""

import asyncio
import functools
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import structlog

from swarm.api.v1.dispatcher_pb2 import (
    AgentMessage,
    AttachRequest,
    AttachResponse,
    DispatcherMessage,
    Hello,
    NodeInfo,
    PassAttachRequest,
)
from swarm.api.v1.dispatcher_pb2_grpc import DispatcherServicer as DispatcherServicerBase
from swarm.api.v1.types_pb2 import Peer
from swarm.clock import SECOND, Clock
from swarm.errors import IdentityInUse, InvalidArgument, NodeRemoved, SwarmError, Unavailable
from swarm.ids import new_id
from swarm.manager.dispatcher.balance import weights
from swarm.manager.dispatcher.forwarder import StatusForwarder
from swarm.manager.dispatcher.leadership import Leadership
from swarm.manager.dispatcher.liveness import heartbeat_period_ns
from swarm.manager.dispatcher.sessions import (
    AgentSession,
    MakeValues,
    RegistrationLimit,
    Sessions,
    identity_in_use,
)
from swarm.manager.dispatcher.statuses import worth_forwarding
from swarm.manager.dispatcher.trust import trust_of
from swarm.manager.dispatcher.usage import SampledServices, UsageGatherer
from swarm.manager.store.store import Store
from swarm.manager.store.tables import ReadView
from swarm.model.compatibility import level_of
from swarm.model.truncate import bounded_description
from swarm.security.identity import Identity
from swarm.security.identity import caller as caller_of

log = structlog.get_logger(__name__)

Context = grpc.aio.ServicerContext[AgentMessage, DispatcherMessage]

PassAttach = Callable[[PassAttachRequest], Awaitable[AttachResponse]]

HELLO_TIMEOUT_S = 5.0
CATCH_UP_TIMEOUT_S = 2.0  # a follower is milliseconds behind unless something is wrong with it


class DispatcherServicer(DispatcherServicerBase):
    """Serves agents from this manager's own copy of the store."""

    def __init__(  # noqa: PLR0913, PLR0917 -- one argument per part of the dispatcher
        self,
        store: Store,
        clock: Clock,
        leadership: Leadership,
        sessions: Sessions,
        forwarder: StatusForwarder,
        limit: RegistrationLimit,
        leaderless: Callable[[], bool],
        usage: UsageGatherer,
        sampled: SampledServices,
        *,
        caller: Callable[[Any], Identity] = caller_of,
        pass_attach: PassAttach | None = None,
        secret_values: MakeValues | None = None,
    ) -> None:
        """`caller` tells which node is at the other end; `leaderless` whether this manager is cut off.

        `pass_attach` has the leader decide what containers of no service get in networks; `secret_values`
        asks the drivers of secrets.
        """
        self._secret_values = secret_values
        self._pass_attach = pass_attach
        self._store = store
        self._clock = clock
        self._leadership = leadership
        self._sessions = sessions
        self._forwarder = forwarder
        self._limit = limit
        self._leaderless = leaderless
        self._usage = usage
        self._sampled = sampled
        self._caller = caller

    async def Session(self, request_iterator: AsyncIterator[AgentMessage], context: Context) -> None:  # type: ignore[override]
        """Serve one agent until its stream ends."""
        node_id = self._caller(context).node_id
        hello = await self._hello(request_iterator)
        admit(self._store.view, node_id)
        self._refuse_older(node_id, hello)
        if not self._limit.allows(node_id, self._clock.monotonic_s()):
            raise Unavailable("this node registers too often; wait a few seconds")
        stream = _Stream(node_id, peer_host(context.peer()))
        reason = "cancelled"
        try:
            await self._begin(stream, hello)
            await self._serve(stream, request_iterator, context)
            reason = "closed by the agent"
        except SwarmError as error:
            reason = str(error)
            raise
        finally:
            self._finish(stream, reason)

    async def Attach(self, request: AttachRequest, context: Any) -> AttachResponse:
        """Take the word of a node about its containers of no service that are in networks."""
        if self._pass_attach is None:
            raise Unavailable("this manager gives containers no networks")
        node_id = self._caller(context).node_id
        return await self._pass_attach(PassAttachRequest(node_id=node_id, request=request))

    async def _begin(self, stream: "_Stream", hello: Hello) -> None:
        """Let the stream be what the agent says: the session, or a standby."""
        if not hello.standby:
            await self._catch_up(hello.applied_index)
        self._refuse_older(stream.node_id, hello)
        now_s = self._clock.monotonic_s()
        session = AgentSession(
            stream.node_id, new_id(), stream.addr, now_s, hello, stream.wake, values=self._secret_values
        )
        self._finish(stream, "a new hello")
        stream.session = session
        self._sessions.open(session)
        if not session.standby:
            log.info("dispatcher.session_opened", node_id=session.node_id, session_id=session.session_id)

    def _refuse_older(self, node_id: str, hello: Hello) -> None:
        """Raise IdentityInUse when a newer agent of this node is alive: it was copied."""
        period_s, now_s = self._period_ns() / SECOND, self._clock.monotonic_s()
        if self._sessions.has_newer(node_id, hello.incarnation, period_s, now_s):
            raise IdentityInUse(identity_in_use(node_id))

    def _finish(self, stream: "_Stream", reason: str) -> None:
        session, stream.session = stream.session, None
        if session is None:
            return
        session.end(None)
        self._sessions.close(session)
        if not session.standby:
            log.info(
                "dispatcher.session_closed",
                node_id=session.node_id,
                session_id=session.session_id,
                reason=reason,
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

    def _period_ns(self) -> int:
        view = self._store.view
        return heartbeat_period_ns(view.cluster, len(view.nodes))

    async def _serve(
        self, stream: "_Stream", messages: AsyncIterator[AgentMessage], context: Context
    ) -> None:
        """Read and write until one of them ends or the session is over."""
        reading = asyncio.ensure_future(self._read(stream, messages))
        writing = asyncio.ensure_future(self._write(stream, context))
        try:
            while not (reading.done() or writing.done()):
                session = stream.session
                assert session is not None
                endings: set[asyncio.Future[Any]] = {reading, writing, session.over}
                await asyncio.wait(endings, return_when=asyncio.FIRST_COMPLETED)
                if session.over.done() and (error := session.over.result()) is not None:
                    raise error
        finally:
            for one in (reading, writing):
                one.cancel()
            await asyncio.gather(reading, writing, return_exceptions=True)
        for one in (reading, writing):
            if not one.cancelled():
                one.result()

    async def _read(self, stream: "_Stream", messages: AsyncIterator[AgentMessage]) -> None:
        async for message in messages:
            session = stream.session
            assert session is not None
            self._hear(session)
            kind = message.WhichOneof("message")
            if kind == "heartbeat":
                session.info_changed()  # the members of Raft change without a commit to the store
                session.acknowledge(0)
            elif kind == "statuses":
                self._take_statuses(session, message)
            elif kind == "usage":
                self._usage.add(self._store.view, session.node_id, message.usage.tasks)
            elif kind == "networks_applied":
                session.networks_applied(message.networks_applied.sequence)
            elif kind == "description":
                session.description = bounded_description(message.description)
                self._sessions.note_change(session.node_id)
            elif kind == "hello":
                await self._begin(stream, message.hello)

    def _hear(self, session: AgentSession) -> None:
        silent_s = self._clock.monotonic_s() - session.heard_s
        session.heard_s += silent_s
        if silent_s * SECOND > self._period_ns():
            self._sessions.note_change(session.node_id)  # the leader may be about to give the node up

    def _take_statuses(self, session: AgentSession, message: AgentMessage) -> None:
        report = message.statuses
        updates = worth_forwarding(self._store.view, session.node_id, report.updates)
        if not updates:
            session.acknowledge(report.sequence)
            return
        committed = functools.partial(session.acknowledge, report.sequence)
        self._forwarder.add(session.node_id, updates, committed)

    async def _write(self, stream: "_Stream", context: Context) -> None:
        while True:
            await stream.wake.wait()
            stream.wake.clear()
            session = stream.session
            assert session is not None
            for message in session.take(
                self._store.view, functools.partial(self._node_info, session.node_id), self._leaderless()
            ):
                await context.write(message)

    def _node_info(self, node_id: str) -> NodeInfo:
        node = self._store.view.nodes.get(node_id)
        leader = self._leadership.leader
        managers = sorted(self._leadership.members, key=lambda member: member.node_id)
        return NodeInfo(
            role=node.role if node is not None else None,
            managers=[Peer(node_id=member.node_id, addr=member.addr) for member in managers],
            heartbeat_period_ns=self._period_ns(),
            manager_weights=weights(
                (member.node_id for member in managers), leader.node_id if leader else ""
            ),
            trust=trust_of(self._store.view),
            sampled_service_ids=self._sampled.on_node(self._store.view, node_id),
            level=level_of(self._store.view.cluster),
        )


class _Stream:
    """What stays the same while an agent says hello again and again."""

    def __init__(self, node_id: str, addr: str) -> None:
        self.node_id = node_id
        self.addr = addr
        self.wake = asyncio.Event()
        self.session: AgentSession | None = None


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
