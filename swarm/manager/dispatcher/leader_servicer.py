"""Service Leader: what managers that hold sessions tell the leader, over the wire or in the same process."""

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import grpc

from swarm.api.v1.dispatcher_pb2 import (
    AttachResponse,
    PassAttachRequest,
    ReportSessionsRequest,
    ReportSessionsResponse,
    ReportTaskStatusesRequest,
    ReportTaskStatusesResponse,
    SessionOrder,
    TaskStatusUpdate,
)
from swarm.api.v1.dispatcher_pb2_grpc import LeaderServicer as LeaderServicerBase
from swarm.clock import Clock
from swarm.errors import NotLeader
from swarm.manager.dispatcher.attaching import AttachRules, settle
from swarm.manager.dispatcher.liveness import LivenessTable
from swarm.manager.dispatcher.settled import UNKNOWN, Progress, Reached, is_settled
from swarm.manager.dispatcher.statuses import batches, write_statuses
from swarm.manager.dispatcher.usage import UsageTable
from swarm.manager.store.store import Store
from swarm.security.identity import Identity
from swarm.security.identity import caller as caller_of

Context = grpc.aio.ServicerContext[Any, Any]


class LeaderServicer(LeaderServicerBase):
    """Takes reports while this manager leads; raises NotLeader at any other time."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        caller: Callable[[Context], Identity] = caller_of,
        attach_rules: AttachRules | None = None,
    ) -> None:
        """`caller` tells which manager sends a request; `attach_rules` what containers get in networks."""
        self._store = store
        self._attach_rules = attach_rules
        self._clock = clock
        self._caller = caller
        self.table: LivenessTable | None = None  # while this manager leads
        self.usage = UsageTable()  # a new one in each term
        self.progress = Progress()
        self.reported = asyncio.Event()  # there is news in the table
        self.orders: dict[str, list[SessionOrder]] = {}  # for managers, to be told when they report

    @contextlib.contextmanager
    def leading(self, table: LivenessTable) -> Iterator[None]:
        """Take session reports into `table` within the block."""
        self.table, self.orders = table, {}
        self.progress.forget()
        try:
            yield
        finally:
            self.table = None

    async def ReportSessions(  # noqa: N802 -- gRPC names its methods in CamelCase
        self, request: ReportSessionsRequest, context: Context
    ) -> ReportSessionsResponse:
        """Take a manager's sessions; the consequences are written by the liveness loop."""
        return self.take_sessions(self._caller(context).node_id, request)

    async def ReportTaskStatuses(  # noqa: N802
        self, request: ReportTaskStatusesRequest, context: Context
    ) -> ReportTaskStatusesResponse:
        """Write statuses of tasks; answered when committed."""
        await self.take_statuses(request)
        return ReportTaskStatusesResponse()

    async def PassAttach(self, request: PassAttachRequest, context: Context) -> AttachResponse:  # noqa: N802
        """Decide what containers of no service get in networks; answered when committed."""
        return await self.take_attachments(request)

    async def take_attachments(self, request: PassAttachRequest) -> AttachResponse:
        """Do what `PassAttach` does."""
        return await settle(self._store, self._attach_rules, request)

    def take_sessions(self, manager_id: str, request: ReportSessionsRequest) -> ReportSessionsResponse:
        """Do what `ReportSessions` does, for the manager with this node id."""
        if self.table is None:
            raise NotLeader
        now_s = self._clock.monotonic_s()
        self.table.report(manager_id, request.complete, request.sessions, now_s)
        lag = {one.node_id: one.index for one in request.networks_lag}
        self.progress.report(manager_id, Reached(request.networks_index, lag))
        self.usage.take(request.usage, now_s)
        self.reported.set()
        return ReportSessionsResponse(orders=self.orders.pop(manager_id, ()))

    def is_settled(self, network_id: str, index: int) -> bool:
        """Whether all nodes in a network have in force what the entry `index` says of it."""
        return is_settled(self._store.view, (network_id,), index, self.networks_reached)

    def networks_reached(self, node_id: str) -> int:
        """Return up to which entry what the store says of networks is in force on a node."""
        if self.table is None:
            return UNKNOWN
        return self.progress.of(node_id, self.table.holder(node_id))

    async def take_statuses(self, request: ReportTaskStatusesRequest) -> None:
        """Do what `ReportTaskStatuses` does."""
        now_ns = self._clock.now_ns()
        # Not a TaskGroup: it would wrap the error, and the rest may well be committed.
        await asyncio.gather(*(self._write(batch, now_ns) for batch in batches(request)))

    async def _write(self, batch: list[tuple[str, TaskStatusUpdate]], now_ns: int) -> None:
        await self._store.update(lambda transaction: write_statuses(transaction, batch, now_ns))
