"""The manager's end of a session, with an agent played by the test."""

import asyncio
from pathlib import Path
from typing import Any

import grpc
import pytest

from swarm.api.status import from_rpc_error
from swarm.api.v1.dispatcher_pb2 import (
    AgentMessage,
    DispatcherMessage,
    Heartbeat,
    Hello,
    StatusReport,
    TaskStatusUpdate,
)
from swarm.api.v1.dispatcher_pb2_grpc import DispatcherStub
from swarm.api.v1.objects_pb2 import Node, Task
from swarm.api.v1.types_pb2 import NODE_ROLE_MANAGER, NODE_STATE_DOWN, NODE_STATE_READY, TaskStatus
from swarm.clock import SECOND
from swarm.errors import IdentityInUse, InvalidArgument, NodeRemoved, SessionExpired, SwarmError, Unavailable
from swarm.manager.dispatcher.servicer import peer_host
from swarm.model.task_state import FAILED, RUNNING, SHUTDOWN
from tests.unit.agent.lab import Lab, a_lab, a_task, until


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """An agent that the test plays sends no heartbeats of its own accord: it may be silent for long."""
    monkeypatch.setattr("tests.unit.agent.lab.PERIOD_NS", 20 * SECOND)
    monkeypatch.setattr("swarm.manager.dispatcher.servicer.CATCH_UP_TIMEOUT_S", 60.0)
    monkeypatch.setattr("swarm.manager.dispatcher.sessions.REGISTRATIONS_WINDOW_S", 60.0)


@pytest.fixture
def _soon(_patient: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests in which silence is noticed."""
    monkeypatch.setattr("tests.unit.agent.lab.PERIOD_NS", SECOND)


class RawAgent:
    """Says exactly what the test says."""

    def __init__(self, lab: Lab, node_id: str = "n1", manager: int = 0) -> None:
        self.channel = lab.dial_as(node_id)(lab.managers[manager].member.addr, ())
        self.call: Any = DispatcherStub(self.channel).Session()

    async def __aenter__(self) -> "RawAgent":
        return self

    async def __aexit__(self, *_: object) -> None:
        self.call.cancel()
        await self.channel.close()

    async def hello(self, applied_index: int = 0, **fields: Any) -> DispatcherMessage:
        await self.call.write(AgentMessage(hello=Hello(applied_index=applied_index, **fields)))
        return await self.read("welcome")

    async def report(self, sequence: int, **states: int) -> None:
        updates = [
            TaskStatusUpdate(task_id=task_id, status=TaskStatus(state=state))
            for task_id, state in states.items()
        ]
        await self.call.write(AgentMessage(statuses=StatusReport(sequence=sequence, updates=updates)))

    async def read(self, kind: str) -> DispatcherMessage:
        """Return the next message of this kind, skipping others; raises what the manager ended with."""
        try:
            async with asyncio.timeout(60):
                while True:
                    message = await self.call.read()
                    if message is grpc.aio.EOF:
                        await self.call
                        raise AssertionError("the stream ended without an error")
                    if message.WhichOneof("message") == kind:
                        return message
        except grpc.RpcError as error:
            raise from_rpc_error(error) from error

    async def ending(self) -> SwarmError:
        try:
            await self.read("nothing")
        except SwarmError as error:
            return error
        raise AssertionError


async def test_a_session_begins_with_welcome_node_info_and_the_complete_set(tmp_path: Path) -> None:
    async with a_lab(tmp_path, managers=2) as lab, RawAgent(lab) as agent:
        await lab.write(a_task("n1"), a_task("n1"), a_task("other"))
        welcome = (await agent.hello()).welcome
        assert len(welcome.session_id) == 25
        assert welcome.heartbeat_period_ns == 20 * SECOND
        info = (await agent.read("node_info")).node_info
        assert [peer.node_id for peer in info.managers] == ["manager1", "manager2"]
        assert dict(info.manager_weights) == {"manager1": 1, "manager2": 2}  # the first one leads
        complete = (await agent.read("assignments")).assignments
        assert (complete.complete, complete.sequence, len(complete.tasks)) == (True, 1, 2)
        assert 2 <= complete.index <= lab.leader.store.view.index


async def test_every_heartbeat_is_answered(tmp_path: Path) -> None:
    async with a_lab(tmp_path) as lab, RawAgent(lab) as agent:
        await agent.hello()
        await agent.read("assignments")
        for _ in range(3):
            await agent.call.write(AgentMessage(heartbeat=Heartbeat()))
            assert (await agent.read("status_ack")).status_ack.sequence == 0


async def test_changes_are_pushed_as_increments_and_a_promotion_as_node_info(tmp_path: Path) -> None:
    async with a_lab(tmp_path) as lab, RawAgent(lab) as agent:
        await agent.hello()
        await agent.read("assignments")
        task = a_task("n1")
        await lab.write(task)
        first = (await agent.read("assignments")).assignments
        assert (first.complete, first.sequence, first.tasks[0].id) == (False, 2, task.id)
        await lab.desire(task.id, SHUTDOWN)
        assert (await agent.read("assignments")).assignments.tasks[0].desired_state == SHUTDOWN
        await lab.remove(Task, task.id)
        assert list((await agent.read("assignments")).assignments.removed_task_ids) == [task.id]
        node = Node()
        node.CopyFrom(lab.node("n1"))
        node.role = NODE_ROLE_MANAGER
        await lab.write(node)
        assert (await agent.read("node_info")).node_info.role == NODE_ROLE_MANAGER


async def test_a_report_is_acknowledged_only_when_it_is_in_the_store(tmp_path: Path) -> None:
    async with a_lab(tmp_path) as lab, RawAgent(lab) as agent:
        task = a_task("n1")
        await lab.write(task)
        await agent.hello()
        await agent.read("assignments")
        lab.proposer.pause()
        await agent.report(1, **{task.id: RUNNING})
        await agent.call.write(AgentMessage(heartbeat=Heartbeat()))
        assert (await agent.read("status_ack")).status_ack.sequence == 0
        lab.proposer.resume()
        assert (await agent.read("status_ack")).status_ack.sequence == 1
        assert lab.task(task.id).status.state == RUNNING


async def test_reports_about_others_tasks_unknown_tasks_and_the_past_are_acknowledged_and_dropped(
    tmp_path: Path,
) -> None:
    async with a_lab(tmp_path) as lab, RawAgent(lab) as agent:
        foreign, own = a_task("n2"), a_task("n1")
        own.status.state = FAILED
        await lab.write(foreign, own)
        await agent.hello()
        await agent.report(1, unknown=RUNNING, **{foreign.id: RUNNING, own.id: RUNNING})
        while (await agent.read("status_ack")).status_ack.sequence != 1:
            pass
        assert lab.task(foreign.id).status.state == foreign.status.state
        assert lab.task(own.id).status.state == FAILED


async def test_reports_through_a_follower_reach_the_store(tmp_path: Path) -> None:
    async with a_lab(tmp_path, managers=2) as lab, RawAgent(lab, manager=1) as agent:
        task = a_task("n1")
        await lab.write(task)
        await agent.hello()
        await agent.report(1, **{task.id: RUNNING})
        while (await agent.read("status_ack")).status_ack.sequence != 1:
            pass
        assert lab.task(task.id).status.state == RUNNING
        await until(lambda: lab.node("n1").status.state == NODE_STATE_READY)


async def test_a_node_that_was_started_again_has_one_session(tmp_path: Path) -> None:
    async with a_lab(tmp_path) as lab, RawAgent(lab) as first, RawAgent(lab) as second:
        await first.hello(incarnation=1)
        await second.hello(incarnation=2)
        assert isinstance(await first.ending(), IdentityInUse)  # in case that it is another machine
        await second.call.write(AgentMessage(heartbeat=Heartbeat()))
        await second.read("status_ack")
        assert len(lab.managers[0].dispatcher.sessions) == 1


async def test_a_standby_is_welcomed_heard_and_told_nothing_else(tmp_path: Path) -> None:
    async with a_lab(tmp_path, managers=2) as lab, RawAgent(lab, manager=1) as agent:
        await lab.write(a_task("n1"))
        assert (await agent.hello(standby=True)).welcome.standby
        for _ in range(3):
            await agent.call.write(AgentMessage(heartbeat=Heartbeat()))
            message = await agent.call.read()
            assert message.WhichOneof("message") == "status_ack"
        assert not len(lab.managers[1].dispatcher.sessions)
        table = lab.leader.dispatcher.leader_servicer.table
        assert table is not None
        await until(lambda: "n1" in table.silences(lab.clock.monotonic_s()))
        assert lab.node("n1").status.state != NODE_STATE_READY


async def test_a_standby_becomes_the_session_and_a_standby_again(tmp_path: Path) -> None:
    async with a_lab(tmp_path) as lab, RawAgent(lab) as agent:
        await lab.write(a_task("n1"))
        ids = {(await agent.hello(standby=True)).welcome.session_id}
        for _ in range(2):
            welcome = (await agent.hello()).welcome
            assert not welcome.standby
            complete = (await agent.read("assignments")).assignments
            assert (complete.complete, complete.sequence, len(complete.tasks)) == (True, 1, 1)
            assert len(lab.managers[0].dispatcher.sessions) == 1
            again = (await agent.hello(standby=True)).welcome
            assert not len(lab.managers[0].dispatcher.sessions)
            ids |= {welcome.session_id, again.session_id}
        assert len(ids) == 5


async def test_the_earlier_session_of_an_agent_goes_on_as_its_standby(tmp_path: Path) -> None:
    async with a_lab(tmp_path) as lab, RawAgent(lab) as first, RawAgent(lab) as second:
        await first.hello(incarnation=1)
        await second.hello(incarnation=1)
        for agent in (first, second):
            await agent.call.write(AgentMessage(heartbeat=Heartbeat()))
            await agent.read("status_ack")
        sessions = lab.managers[0].dispatcher.sessions
        assert [one.standby for one in sessions.streams("n1")] == [False, True]
        # The agent may never have learned that the second one is its session.
        second.call.cancel()
        assert isinstance(await first.ending(), SessionExpired)


async def test_an_earlier_agent_is_refused_while_a_later_one_of_the_same_node_is_heard(
    tmp_path: Path,
) -> None:
    async with (
        a_lab(tmp_path) as lab,
        RawAgent(lab) as later,
        RawAgent(lab) as copy,
        RawAgent(lab) as restarted,
    ):
        await later.hello(incarnation=2, standby=True)
        with pytest.raises(IdentityInUse, match="swarmctl leave --force"):
            await copy.hello(incarnation=1)
        await restarted.hello(incarnation=3)
        assert isinstance(await later.ending(), IdentityInUse)


@pytest.mark.usefixtures("_soon")
async def test_an_agent_whose_clock_was_set_back_waits_no_longer_than_its_earlier_stream_is_heard(
    tmp_path: Path,
) -> None:
    async with a_lab(tmp_path) as lab, RawAgent(lab) as silent:
        await silent.hello(incarnation=2)

        async def admitted() -> bool:
            try:
                async with RawAgent(lab) as again:
                    await again.hello(incarnation=1)
            except IdentityInUse:
                return False
            return True

        async with asyncio.timeout(60):
            while not await admitted():
                await asyncio.sleep(0.1)


@pytest.mark.usefixtures("_soon")
async def test_a_silent_session_of_a_node_that_another_stream_hears_keeps_it_alive(tmp_path: Path) -> None:
    async with (
        a_lab(tmp_path, managers=2) as lab,
        RawAgent(lab) as silent,
        RawAgent(lab, manager=1) as heard,
    ):
        await silent.hello(incarnation=1)
        await heard.hello(incarnation=1, standby=True)
        await until(lambda: lab.node("n1").status.state == NODE_STATE_READY)
        ending = asyncio.create_task(silent.ending())
        while not ending.done():
            await heard.call.write(AgentMessage(heartbeat=Heartbeat()))
            await asyncio.sleep(0.1)
            assert lab.node("n1").status.state != NODE_STATE_DOWN
        assert isinstance(await ending, SessionExpired)


async def test_a_removed_node_loses_its_standbys_as_well(tmp_path: Path) -> None:
    async with a_lab(tmp_path, managers=2) as lab, RawAgent(lab, manager=1) as agent:
        await agent.hello(standby=True)
        await lab.remove(Node, "n1")
        assert isinstance(await agent.ending(), NodeRemoved)


async def test_more_than_six_registrations_in_a_while_are_told_to_slow_down(tmp_path: Path) -> None:
    async with a_lab(tmp_path, nodes=("n1", "n2")) as lab:
        for _ in range(6):
            async with RawAgent(lab) as agent:
                await agent.hello()
        async with RawAgent(lab) as agent:
            with pytest.raises(Unavailable, match="too often"):
                await agent.hello()
        async with RawAgent(lab, "n2") as other:
            await other.hello()


@pytest.mark.usefixtures("_soon")
async def test_a_silent_session_ends_after_three_periods(tmp_path: Path) -> None:
    async with a_lab(tmp_path) as lab, RawAgent(lab) as agent:
        await agent.hello()
        error = await agent.ending()
        assert isinstance(error, SessionExpired)
        assert "nothing was heard" in str(error)
        await until(lambda: not len(lab.managers[0].dispatcher.sessions))


async def test_a_removed_node_is_refused_and_an_unknown_one_told_to_come_again(tmp_path: Path) -> None:
    async with a_lab(tmp_path) as lab:
        async with RawAgent(lab, "stranger") as agent:
            with pytest.raises(Unavailable, match="does not know the node yet"):
                await agent.hello()
        async with RawAgent(lab) as agent:
            await agent.hello()
            await lab.remove(Node, "n1")
            assert isinstance(await agent.ending(), NodeRemoved)


async def test_a_session_must_begin_with_hello(tmp_path: Path) -> None:
    async with a_lab(tmp_path) as lab, RawAgent(lab) as agent:
        await agent.call.write(AgentMessage(heartbeat=Heartbeat()))
        assert isinstance(await agent.ending(), InvalidArgument)


async def test_a_follower_that_is_behind_waits_for_the_entry_the_agent_knows(tmp_path: Path) -> None:
    async with a_lab(tmp_path, managers=2) as lab, RawAgent(lab, manager=1) as agent:
        index = lab.leader.store.view.index
        hello = asyncio.create_task(agent.hello(index + 1))
        await asyncio.sleep(0.1)
        assert not hello.done()
        await lab.write(a_task("n1"))
        await hello
        assert (await agent.read("assignments")).assignments.index >= index + 1


async def test_a_follower_that_stays_behind_refuses_and_the_leader_is_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("swarm.manager.dispatcher.servicer.CATCH_UP_TIMEOUT_S", 0.05)
    async with a_lab(tmp_path, managers=2) as lab:
        async with RawAgent(lab, manager=1) as agent:
            with pytest.raises(Unavailable, match="behind"):
                await agent.hello(1_000_000)
        async with RawAgent(lab, manager=0) as agent:
            await agent.hello(1_000_000)


async def test_when_a_manager_stops_its_agents_are_told(tmp_path: Path) -> None:
    async with a_lab(tmp_path) as lab, RawAgent(lab) as agent:
        await agent.hello()
        lab.managers[0].tasks[0].cancel()
        assert isinstance(await agent.ending(), Unavailable)


@pytest.mark.parametrize(
    ("peer", "host"),
    [
        ("ipv4:10.0.0.5:33412", "10.0.0.5"),
        ("ipv6:[::1]:5", "::1"),
        ("ipv6:%5Bfe80::1%5D:5", "fe80::1"),
        ("unix:", ""),
        ("unix:/run/x.sock", ""),
    ],
)
def test_the_address_of_a_peer_is_its_host(peer: str, host: str) -> None:
    assert peer_host(peer) == host
