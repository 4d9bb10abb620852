"""Streams that are open when the right to them ends: they end as well, on every manager."""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from swarm.api.v1.dispatcher_pb2 import AgentMessage, Hello
from swarm.api.v1.dispatcher_pb2_grpc import DispatcherStub
from swarm.api.v1.logs_pb2 import LogSubscription
from swarm.api.v1.logs_pb2_grpc import LogsStub
from swarm.api.v1.raft_pb2 import RaftBatch, RaftHealthRequest
from swarm.api.v1.raft_pb2_grpc import RaftStub
from swarm.api.v1.types_pb2 import NODE_AVAILABILITY_DRAIN
from swarm.clock import SystemClock
from swarm.dev.cluster import DevCluster
from swarm.errors import InvalidArgument, Unauthenticated, Unavailable
from swarm.manager.raft.links import RAFT_ID_KEY
from swarm.node.joining import obtain_certificate
from swarm.security.bootstrap import find_manager
from swarm.security.tls import NodeCredentials
from swarm.security.tokens import parse_token
from tests.integration.ca.conftest import wait_settled
from tests.integration.operator import Operator

CLOCK = SystemClock()
PATIENCE_S = 60.0


@pytest.fixture(scope="module", autouse=True)
def _patient(operator: Operator) -> None:
    """Nodes that are played here say hello and nothing after it: no manager gives them up for that."""
    operator("update", "--dispatcher-heartbeat", "60s")


def managers(cluster: DevCluster) -> list[str]:
    return [node.peer_addr for node in cluster.plan.nodes if node.is_manager]


async def new_member(cluster: DevCluster, token: str, folder: Path) -> NodeCredentials:
    """A node that joined and has a certificate, played by this test."""
    bundle, _ = await obtain_certificate(
        managers(cluster), parse_token(token), NODE_AVAILABILITY_DRAIN, folder / "key", CLOCK
    )
    return NodeCredentials.create(folder / "node.pem", bundle)


class Open:
    """Streams of a node to every manager, by kind."""

    def __init__(self) -> None:
        self.calls: list[Any] = []

    async def endings(self) -> set[tuple[str, str]]:
        """Status and class of the error of each, as soon as all have ended."""
        async with asyncio.timeout(PATIENCE_S):
            return {
                (
                    (await call.code()).name,
                    str(dict(await call.trailing_metadata() or ()).get("swarm-error", "")),
                )
                for call in self.calls
            }

    def running(self) -> bool:
        return not any(call.done() for call in self.calls)


@asynccontextmanager
async def opened(who: NodeCredentials, addrs: list[str], kind: str) -> AsyncIterator[Open]:
    """Open one stream to each address, and see that it is accepted."""
    streams = Open()
    async with contextlib.AsyncExitStack() as stack:
        for addr in addrs:
            channel = await stack.enter_async_context(who.channel(addr))
            async with asyncio.timeout(PATIENCE_S):
                call = await _OPENERS[kind](channel)
            streams.calls.append(call)
            stack.callback(call.cancel)
        yield streams


async def _session(channel: grpc.aio.Channel) -> Any:
    while True:  # a follower hears of a new node a moment later
        call: Any = DispatcherStub(channel).Session()
        with contextlib.suppress(grpc.aio.AioRpcError):
            await call.write(AgentMessage(hello=Hello(standby=True)))
            if await call.read() is not grpc.aio.EOF:
                return call
        await asyncio.sleep(0.1)


async def _relay(channel: grpc.aio.Channel) -> Any:
    call = LogsStub(channel).Relay(LogSubscription(id=secrets.token_hex(8)))
    # It says nothing by itself. What was asked later on the same connection is answered: it is served.
    await RaftStub(channel).Health(RaftHealthRequest())
    assert not call.done()
    return call


async def _raft(channel: grpc.aio.Channel) -> Any:
    call: Any = RaftStub(channel).Stream(metadata=((RAFT_ID_KEY, secrets.token_hex(8)),))
    await call.write(RaftBatch())
    assert RAFT_ID_KEY in dict(await call.initial_metadata())
    return call


_OPENERS = {"session": _session, "relay": _relay, "raft": _raft}


def test_a_removed_worker_loses_its_sessions_with_every_manager(
    operator: Operator, cluster: DevCluster, tmp_path: Path
) -> None:
    token = operator("join-token", "-q", "worker")

    async def scenario() -> None:
        who = await new_member(cluster, token, tmp_path)
        async with opened(who, managers(cluster), "session") as sessions:
            assert sessions.running()
            await asyncio.to_thread(operator, "node", "rm", "--force", who.identity.node_id)
            assert await sessions.endings() == {("PERMISSION_DENIED", "NodeRemoved")}

    asyncio.run(scenario())


def test_a_demoted_manager_loses_what_is_for_managers_and_a_removed_one_everything(
    operator: Operator, cluster: DevCluster, tmp_path: Path
) -> None:
    token = operator("join-token", "-q", "manager")

    async def scenario() -> None:
        who = await new_member(cluster, token, tmp_path)
        addrs, node_id = managers(cluster), who.identity.node_id
        async with (
            opened(who, addrs, "relay") as relays,
            opened(who, addrs, "raft") as rafts,
            opened(who, addrs, "session") as sessions,
        ):
            await asyncio.to_thread(operator, "node", "demote", node_id)
            assert await relays.endings() == {("PERMISSION_DENIED", "NotPermitted")}
            assert sessions.running()  # a worker has those as well
            await asyncio.to_thread(operator, "node", "rm", "--force", node_id)
            assert await rafts.endings() == {("PERMISSION_DENIED", "NodeRemoved")}
            assert await sessions.endings() == {("PERMISSION_DENIED", "NodeRemoved")}

    asyncio.run(scenario())


def test_a_rotated_token_is_refused_by_every_manager(operator: Operator, cluster: DevCluster) -> None:
    before = operator("join-token", "-q", "worker")
    after = operator("join-token", "--rotate", "-q", "worker")

    async def scenario() -> None:
        for addr in managers(cluster):
            async with asyncio.timeout(PATIENCE_S):
                while not await _refused(addr, before):  # followers hear of it a moment later
                    await asyncio.sleep(0.02)
                while await _refused(addr, after):
                    await asyncio.sleep(0.02)

    asyncio.run(scenario())


async def _refused(addr: str, token: str) -> bool:
    while True:
        try:
            await find_manager(addr, parse_token(token), CLOCK.now_ns())
        except (Unauthenticated, InvalidArgument):
            return True
        except Unavailable:  # a manager that a busy machine keeps from answering
            continue
        return False


def test_after_a_rotation_streams_of_the_old_root_end_and_it_opens_no_connection(
    operator: Operator, cluster: DevCluster, tmp_path: Path
) -> None:
    """The certificate was never used by a node that would renew it: somebody copied it."""
    token = operator("join-token", "-q", "worker")

    async def scenario() -> None:
        who = await new_member(cluster, token, tmp_path)
        async with opened(who, managers(cluster), "session") as sessions:
            await asyncio.to_thread(operator, "ca", "--rotate", "-d")
            assert sessions.running()
            assert who.identity.node_id in await asyncio.to_thread(operator, "ca", "--status")
            # Only its removal lets the rotation finish; what it holds is worth nothing then in two ways.
            await asyncio.to_thread(operator, "node", "rm", "--force", who.identity.node_id)
            await sessions.endings()
        await asyncio.to_thread(wait_settled, operator)
        for addr in managers(cluster):
            async with who.channel(addr) as channel:
                call = DispatcherStub(channel).Session(timeout=60)
                assert await call.code() is grpc.StatusCode.UNAVAILABLE

    asyncio.run(scenario())
