"""Reports on their way to the leader while another manager takes over."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import grpc
import pytest

from swarm.api.v1.dispatcher_pb2 import (
    ReportSessionsRequest,
    ReportSessionsResponse,
    ReportTaskStatusesRequest,
    ReportTaskStatusesResponse,
    TaskStatusUpdate,
)
from swarm.api.v1.dispatcher_pb2_grpc import LeaderServicer, add_LeaderServicer_to_server
from swarm.api.v1.raft_pb2 import RaftMember
from swarm.errors import Unavailable
from swarm.manager.dispatcher.forwarder import StatusForwarder
from swarm.manager.dispatcher.leader_link import LeaderLink


class Leader(LeaderServicer):
    """Takes reports; while it hangs, no status of a task is answered."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.hangs = False
        self.statuses: set[str] = set()

    async def ReportSessions(self, request, context):  # type: ignore[no-untyped-def, override]
        return ReportSessionsResponse()

    async def ReportTaskStatuses(self, request, context):  # type: ignore[no-untyped-def, override]
        self.asked.set()
        if self.hangs:
            await asyncio.Event().wait()
        self.statuses |= {one.task_id for node in request.nodes for one in node.updates}
        return ReportTaskStatusesResponse()


@dataclass
class Seen:
    """Who leads, as this manager sees it."""

    leader: RaftMember
    is_leader: bool = False
    term: int = 1


@asynccontextmanager
async def served(leader: Leader) -> AsyncIterator[RaftMember]:
    server = grpc.aio.server()
    add_LeaderServicer_to_server(leader, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield RaftMember(raft_id=str(port), addr=f"127.0.0.1:{port}")
    finally:
        await server.stop(None)


@asynccontextmanager
async def one_that_hangs_and_the_next() -> AsyncIterator[
    tuple[Leader, Leader, Seen, RaftMember, LeaderLink]
]:
    before, after = Leader(), Leader()
    before.hangs = True
    async with served(before) as first, served(after) as second:
        seen = Seen(first)
        link = LeaderLink("m1", seen, grpc.aio.insecure_channel, None)  # type: ignore[arg-type]
        try:
            yield before, after, seen, second, link
        finally:
            await link.close()


async def test_statuses_under_way_to_a_leader_that_hangs_go_to_the_next_one() -> None:
    async with asyncio.timeout(60), one_that_hangs_and_the_next() as (before, after, seen, second, link):
        forwarder, committed = StatusForwarder(link.report_statuses), asyncio.Event()
        running = asyncio.create_task(forwarder.run())
        try:
            forwarder.add("n1", [TaskStatusUpdate(task_id="t1")], committed.set)
            await before.asked.wait()
            seen.leader = second
            await link.report_sessions(ReportSessionsRequest())  # sees it first, and connects to it
            await committed.wait()
            assert after.statuses == {"t1"}
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


async def test_who_is_cancelled_while_it_reports_is_cancelled() -> None:
    async with asyncio.timeout(60), one_that_hangs_and_the_next() as (before, _, _, _, link):
        reporting = asyncio.create_task(link.report_statuses(ReportTaskStatusesRequest()))
        await before.asked.wait()
        reporting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reporting


async def test_a_connection_that_is_given_up_is_said_to_be() -> None:
    async with asyncio.timeout(60), one_that_hangs_and_the_next() as (before, _, _, _, link):
        reporting = asyncio.create_task(link.report_statuses(ReportTaskStatusesRequest()))
        await before.asked.wait()
        await link.close()
        with pytest.raises(Unavailable, match="given up"):
            await reporting
