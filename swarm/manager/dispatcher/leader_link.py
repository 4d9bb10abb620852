"""How a manager reaches the leader: directly when it is the leader, else over one kept connection."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from typing import TYPE_CHECKING

import grpc

from swarm.api.status import from_rpc_error
from swarm.api.v1.dispatcher_pb2 import (
    AttachResponse,
    PassAttachRequest,
    ReportSessionsRequest,
    ReportTaskStatusesRequest,
    SessionOrder,
)
from swarm.api.v1.dispatcher_pb2_grpc import LeaderStub
from swarm.endings import asked_to_end
from swarm.errors import NotLeader, Unavailable
from swarm.manager.dispatcher.leader_servicer import LeaderServicer
from swarm.manager.dispatcher.leadership import Leadership

if TYPE_CHECKING:
    from swarm.api.v1.dispatcher_pb2_grpc import LeaderAsyncStub

SESSIONS_TIMEOUT_S = 2.0
STATUSES_TIMEOUT_S = 8.0  # more than the leader's own time limit for a commit

_GIVEN_UP = "the connection to the leader was given up"


class LeaderLink:
    """Sends reports to whoever leads. Raises NotLeader, NoQuorum, OutcomeUnknown or Unavailable."""

    def __init__(
        self,
        node_id: str,
        leadership: Leadership,
        dial: Callable[[str], grpc.aio.Channel],
        local: LeaderServicer,
    ) -> None:
        """`node_id` is this manager's; `local` takes the reports while this manager leads."""
        self._node_id = node_id
        self._leadership = leadership
        self._dial = dial
        self._local = local
        self._addr = ""
        self._channel: grpc.aio.Channel | None = None

    def target(self) -> tuple[str, int]:
        """Return what changes with the leader: its Raft id and the term."""
        leader = self._leadership.leader
        return (leader.raft_id if leader else "", self._leadership.term)

    async def report_sessions(self, request: ReportSessionsRequest) -> Sequence[SessionOrder]:
        """Tell the leader which nodes are connected here; return what is to become of their sessions."""
        if self._leadership.is_leader:
            return self._local.take_sessions(self._node_id, request).orders
        async with self._stub() as stub:
            return (await stub.ReportSessions(request, timeout=SESSIONS_TIMEOUT_S)).orders

    async def report_statuses(self, request: ReportTaskStatusesRequest) -> None:
        """Have the leader write statuses of tasks; returns when they are committed."""
        if self._leadership.is_leader:
            await self._local.take_statuses(request)
            return
        async with self._stub() as stub:
            await stub.ReportTaskStatuses(request, timeout=STATUSES_TIMEOUT_S)

    async def pass_attach(self, request: PassAttachRequest) -> AttachResponse:
        """Have the leader decide what containers of a node get in networks; returns when it is committed."""
        if self._leadership.is_leader:
            return await self._local.take_attachments(request)
        async with self._stub() as stub:
            return await stub.PassAttach(request, timeout=STATUSES_TIMEOUT_S)

    async def close(self) -> None:
        """Close the connection."""
        channel, self._channel, self._addr = self._channel, None, ""
        if channel is not None:
            await channel.close()

    @contextlib.asynccontextmanager
    async def _stub(self) -> AsyncIterator["LeaderAsyncStub"]:
        leader = self._leadership.leader
        if leader is None or not leader.addr:
            raise NotLeader
        if self._channel is None or self._addr != leader.addr:
            await self.close()
            self._addr, self._channel = leader.addr, self._dial(leader.addr)
        try:
            yield LeaderStub(self._channel)
        except asyncio.CancelledError as error:
            # The other report saw a new leader first and closed the connection, with the calls on it.
            if asked_to_end():
                raise
            raise Unavailable(_GIVEN_UP) from error
        except grpc.RpcError as error:
            raise from_rpc_error(error) from error
        except grpc.aio.UsageError as error:  # or before the call began
            raise Unavailable(_GIVEN_UP) from error
