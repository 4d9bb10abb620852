"""Three managers over real connections on this machine, one of which leads."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import grpc
import pytest

from swarm.api.status import ErrorInterceptor, from_rpc_error
from swarm.api.v1 import control_pb2 as c
from swarm.api.v1.control_pb2_grpc import ControlStub, add_ControlServicer_to_server
from swarm.clock import SystemClock
from swarm.errors import NameConflict, NoQuorum, NotFound, OutcomeUnknown, SwarmError
from swarm.manager.controlapi import forward, routing
from swarm.manager.controlapi.forward import STALE_KEY
from swarm.manager.controlapi.routing import Router
from swarm.manager.controlapi.servicer import ControlServicer
from swarm.manager.store.store import Store
from swarm.manager.store.testing import LocalProposer
from swarm.security.authorization import AuthorizationInterceptor, local_caller
from tests.unit.controlapi.fakes import FakeImages, FakeLogs, FakeRaft, a_node, a_spec


class Manager:
    """One manager: a store, a picture of who leads, a server and a client that talks to it."""

    def __init__(self, number: int, waits: Mapping[str, float]) -> None:
        self.store = Store(SystemClock(), f"p{number}")
        self.raft = FakeRaft(raft_id=f"r{number}")
        self.images = FakeImages()
        self.servicer = ControlServicer(
            self.store,
            SystemClock(),
            self.raft,
            self.images,
            FakeLogs(),
            f"m{number}",
            grpc.aio.insecure_channel,
            router=Router(SystemClock(), self.raft, grpc.aio.insecure_channel, **waits),
        )
        self.server = grpc.aio.server(
            interceptors=[ErrorInterceptor(), AuthorizationInterceptor(local_caller)]
        )
        self.port = self.server.add_insecure_port("127.0.0.1:0")
        add_ControlServicer_to_server(self.servicer, self.server)
        self.channel = grpc.aio.insecure_channel(f"127.0.0.1:{self.port}")
        self.stub = ControlStub(self.channel)

    async def stop(self) -> None:
        await self.channel.close()
        await self.servicer.close()
        await self.server.stop(None)


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """For tests in which an answer comes in the end, on a busy machine later than people wait."""
    monkeypatch.setattr(routing, "READ_TRY_S", 60.0)
    return {"total_s": 60.0, "leaderless_s": 60.0}


@asynccontextmanager
async def managers(waits: Mapping[str, float] | None = None) -> AsyncIterator[list[Manager]]:
    all_of_them = [Manager(number, waits or {}) for number in (1, 2, 3)]
    proposer = LocalProposer(*(manager.store for manager in all_of_them))
    addrs = {f"r{n}": f"127.0.0.1:{manager.port}" for n, manager in enumerate(all_of_them, 1)}
    for manager in all_of_them:
        manager.store.attach(proposer)
        manager.raft.members = FakeRaft(addrs=addrs).members
        manager.raft.leader_id = "r1"
        await manager.server.start()
    try:
        await all_of_them[0].store.update(
            lambda tx: [tx.create(a_node(f"m{n}", manager=True)) for n in (1, 2, 3)]
        )
        yield all_of_them
    finally:
        for manager in all_of_them:
            await manager.stop()


def elect(everybody: list[Manager], leader: str | None) -> None:
    for manager in everybody:
        manager.raft.leader_id = leader


def create(manager: Manager, name: str, **options):
    request = c.CreateServiceRequest(spec=a_spec(name), skip_image_resolution=True)
    return manager.stub.CreateService(request, **options)


async def error_of(call) -> SwarmError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return from_rpc_error(caught.value)


async def test_a_follower_passes_writes_and_reads_to_the_leader(patience):
    async with managers(patience) as (leader, follower, _):
        # Only the leader's own store may be asked: this follower's stays behind.
        follower.store.attach(LocalProposer(follower.store))
        created = (await create(follower, "web")).service
        assert created.id in leader.store.view.services
        follower.store.restore(1, [])
        listed = await follower.stub.ListServices(c.ListServicesRequest())
        assert [service.id for service in listed.services] == [created.id]
        assert (await follower.stub.GetService(c.GetServiceRequest(ref="web"))).service == created
        nodes = await follower.stub.ListNodes(c.ListNodesRequest())
        assert nodes.self_id == "m2"
        assert [node.id for node in nodes.nodes if node.manager_status.leader] == ["m1"]
        assert (await follower.stub.GetNode(c.GetNodeRequest(ref="self"))).node.id == "m2"
        await follower.stub.RemoveImage(c.RemoveImageRequest(ref="web:1"))
        assert leader.images.removed == ["web:1"]
        assert follower.images.removed == []


async def test_errors_of_the_leader_arrive_as_they_are(patience):
    async with managers(patience) as (_, follower, _):
        await create(follower, "web")
        assert type(await error_of(create(follower, "web"))) is NameConflict
        assert type(await error_of(follower.stub.GetTask(c.GetTaskRequest(ref="nope")))) is NotFound


async def test_archives_and_logs_are_served_by_whoever_was_asked(patience):
    async with managers(patience) as (_, follower, _):

        async def chunks():
            yield c.LoadImageRequest(chunk=b"abc")

        assert (await follower.stub.LoadImage(chunks())).images[0].size_bytes == 3
        notices = [line.notice async for line in follower.stub.ServiceLogs(c.ServiceLogsRequest())]
        assert len(notices) == 3


async def test_a_request_follows_the_leadership(patience):
    async with managers(patience) as everybody:
        _first, follower, second = everybody
        await create(follower, "one")
        elect(everybody, "r3")
        await create(follower, "two")
        # This one still believes in the old leader, which says that it is none.
        follower.raft.leader_id = "r1"
        asyncio.get_running_loop().call_later(0.3, setattr, follower.raft, "leader_id", "r3")
        await create(follower, "three")
        assert len(second.store.view.services) == 3


async def test_a_dead_leader_is_waited_out(patience):
    async with managers(patience) as everybody:
        leader, follower, _ = everybody
        await create(follower, "one")
        await leader.server.stop(None)
        asyncio.get_running_loop().call_later(0.5, elect, everybody, "r3")
        await create(follower, "two")
        listed = await follower.stub.ListServices(c.ListServicesRequest())
        assert len(listed.services) == 2


async def test_a_leader_that_refuses_connections_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, patience
):
    monkeypatch.setattr(forward, "CONNECT_S", 60.0)
    async with managers(patience) as everybody:
        leader, follower, _ = everybody
        await leader.server.stop(None)
        asyncio.get_running_loop().call_later(0.1, elect, everybody, "r3")
        await create(follower, "one")
        await create(follower, "two")


async def test_a_write_cut_off_while_the_leader_works_on_it_is_of_unknown_outcome_and_not_repeated(patience):
    async with managers(patience) as everybody:
        leader, follower, _ = everybody
        proposer = LocalProposer(leader.store)
        leader.store.attach(proposer)
        proposer.pause()
        call = create(follower, "web")
        waiting = asyncio.create_task(error_of(call))
        async with asyncio.timeout(60):
            while leader.store._in_flight_ns is None:
                await asyncio.sleep(0.01)
        await leader.server.stop(None)
        assert type(await waiting) is OutcomeUnknown
        assert proposer.entries == []
        proposer.resume()


async def test_a_leader_that_took_a_write_and_hangs_is_named_and_the_outcome_said_to_be_unknown(
    monkeypatch: pytest.MonkeyPatch,
):
    async def hang(router: Router, timeout_s: float) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(Router, "_wait_for_quorum", hang)
    async with managers() as everybody:
        leader, follower, _ = everybody
        error = await error_of(create(follower, "web"))
        assert type(error) is OutcomeUnknown
        assert f"the leader at 127.0.0.1:{leader.port} took the request and did not answer" in str(error)


async def test_a_write_that_a_replaced_leader_never_answers_is_of_unknown_outcome(
    monkeypatch: pytest.MonkeyPatch, patience: dict[str, float]
):
    asked, wait_for_quorum = asyncio.Event(), Router._wait_for_quorum

    async def hang_first(router: Router, timeout_s: float) -> None:
        if not asked.is_set():
            asked.set()
            await asyncio.Event().wait()
        await wait_for_quorum(router, timeout_s)

    monkeypatch.setattr(Router, "_wait_for_quorum", hang_first)
    monkeypatch.setattr(forward, "CLOSING_S", 0.1)
    async with managers(patience) as everybody, asyncio.timeout(60):
        waiting = asyncio.create_task(error_of(create(everybody[1], "web")))
        await asked.wait()
        elect(everybody, "r3")
        await create(everybody[1], "shop")  # sees the new leader
        error = await waiting
        assert type(error) is OutcomeUnknown
        assert "was replaced before it answered" in str(error)


async def test_a_read_cut_off_is_repeated_and_in_the_end_answered_stale():
    async with managers() as everybody:
        leader, follower, _ = everybody
        await create(follower, "web")

        async def hang(timeout_s: float) -> int:
            await asyncio.sleep(timeout_s)
            return await asyncio.Event().wait()

        leader.raft.barrier = hang
        call = follower.stub.ListServices(c.ListServicesRequest())
        listed = await call
        assert len(listed.services) == 1
        assert dict(await call.trailing_metadata())[STALE_KEY] == "1"


async def test_without_a_leader_a_write_fails_within_five_seconds_and_succeeds_when_there_is_one():
    async with managers() as everybody:
        _, follower, _ = everybody
        elect(everybody, None)
        follower.raft.lost = {"r1", "r3"}
        started = time.monotonic()
        error = await error_of(create(follower, "web"))
        assert time.monotonic() - started < 5 + 25  # a busy machine
        assert type(error) is NoQuorum
        assert "1 of 3 managers reachable" in str(error)
        call = follower.stub.ListNodes(c.ListNodesRequest())
        assert len((await call).nodes) == 3
        assert dict(await call.trailing_metadata())[STALE_KEY] == "1"
        elect(everybody, "r1")
        await create(follower, "web")


async def test_an_isolated_leader_tells_a_follower_why_it_cannot_write():
    async with managers() as everybody:
        leader, follower, _ = everybody
        leader.raft.lost = {"r2", "r3"}
        error = await error_of(create(follower, "web"))
        assert type(error) is NoQuorum
        assert "writes need 2" in str(error)
        call = follower.stub.ListNodes(c.ListNodesRequest())
        await call
        assert dict(await call.trailing_metadata())[STALE_KEY] == "1"
