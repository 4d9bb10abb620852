"""The trails of all managers together, and a word for each that cannot answer."""

import asyncio

import grpc
import pytest

from swarm.api.v1.raft_pb2 import RaftMember
from swarm.api.v1.users_pb2 import AuditRecord, ReadAuditRequest
from swarm.api.v1.users_pb2_grpc import add_AuditServicer_to_server
from swarm.manager.audit.files import AuditFiles
from swarm.manager.audit.reading import AuditReading
from swarm.manager.audit.servicer import AuditServicer
from swarm.manager.audit.trail import AuditTrail
from swarm.manager.store.testing import ManualClock


class Silent(AuditServicer):
    def __init__(self):
        pass

    async def Relay(self, request, context):
        await asyncio.Event().wait()
        yield


@pytest.fixture
async def managers(tmp_path):
    """Three managers: m1, which is asked, m2 at a port of its own, m3 that nobody can reach."""
    clock = ManualClock()
    trails = {name: AuditTrail(AuditFiles(tmp_path / name), name, clock) for name in ("m1", "m2")}
    server = grpc.aio.server()
    add_AuditServicer_to_server(AuditServicer(trails["m2"]), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    members = [
        RaftMember(node_id="m1", addr="127.0.0.1:1"),
        RaftMember(node_id="m2", addr=f"127.0.0.1:{port}"),
    ]
    reading = AuditReading(
        "m1",
        trails["m1"],
        lambda: members,
        grpc.aio.insecure_channel,
        lambda one: f"node {one}",
        timeout_s=60,
    )
    yield reading, trails, members, clock
    await server.stop(None)


def note(trails, clock, name, number, outcome="done"):
    clock.advance(1)
    trails[name].note(AuditRecord(id=number, rpc="Control/X", outcome=outcome, user="ann"))


async def read(reading, **request):
    return [one async for one in reading.stream(ReadAuditRequest(**request))]


async def test_records_of_all_managers_come_in_order_of_time_and_each_call_once(managers):
    reading, trails, _, clock = managers
    note(trails, clock, "m2", "a")
    note(trails, clock, "m1", "b")
    note(trails, clock, "m2", "c")
    note(trails, clock, "m1", "c")  # it was passed on
    answers = await read(reading)
    assert [one.record.id for one in answers] == ["a", "b", "c"]
    assert [one.record.id for one in await read(reading, tail=2)] == ["b", "c"]


async def test_a_manager_that_cannot_be_reached_is_named(managers):
    reading, trails, members, clock = managers
    members.append(RaftMember(node_id="m3", addr="127.0.0.1:1"))
    note(trails, clock, "m1", "a")
    notice, record = await read(reading)
    assert notice.notice.startswith("node m3 (127.0.0.1:1): it cannot be asked")
    assert "its records are missing here" in notice.notice
    assert record.record.id == "a"


async def test_a_manager_that_says_nothing_is_given_up(managers, tmp_path):
    _, trails, members, clock = managers
    server = grpc.aio.server()
    add_AuditServicer_to_server(Silent(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    silent = [members[0], RaftMember(node_id="m4", addr=f"127.0.0.1:{port}")]
    reading = AuditReading(
        "m1", trails["m1"], lambda: silent, grpc.aio.insecure_channel, lambda one: one, timeout_s=0.5
    )
    note(trails, clock, "m1", "a")
    answers = await read(reading)
    await server.stop(None)
    assert ["did not answer within" in one.notice for one in answers] == [True, False]


async def test_who_follows_hears_of_every_manager_and_of_each_call_once(managers):
    reading, trails, _, clock = managers
    note(trails, clock, "m1", "old")
    answers = reading.stream(ReadAuditRequest(follow=True))
    async with asyncio.timeout(60):
        assert (await anext(answers)).record.id == "old"
        following = asyncio.create_task(anext(answers))
        note(trails, clock, "m2", "new", "begun")
        assert (await following).record.outcome == "begun"
        following = asyncio.create_task(anext(answers))
        note(trails, clock, "m1", "new", "begun")
        note(trails, clock, "m2", "new", "done")
        assert (await following).record.outcome == "done"
    await answers.aclose()
