"""The agent's end of a session, with managers played by the test."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import pytest

from swarm.agent.fake_network import FakeNetwork
from swarm.agent.links import Role
from swarm.agent.main import Agent
from swarm.agent.session import Session
from swarm.api.status import ErrorInterceptor, error_metadata, to_status
from swarm.api.v1.dispatcher_pb2 import (
    AgentMessage,
    Assignments,
    DispatcherMessage,
    Hello,
    Move,
    StatusAck,
    StatusReport,
    Welcome,
)
from swarm.api.v1.dispatcher_pb2_grpc import DispatcherServicer, add_DispatcherServicer_to_server
from swarm.api.v1.types_pb2 import Peer
from swarm.clock import SystemClock
from swarm.errors import NodeRemoved, NotPermitted, SwarmError, Unavailable
from swarm.runtime.base import Capabilities, ContainerState
from swarm.runtime.fake import FakeDriver
from swarm.runtime.fake_images import FakeImages
from tests.unit.agent.lab import a_task, until

QUICK_NS = 300_000_000  # the period of heartbeats where their absence is to be noticed
STEADY_NS = 10 * QUICK_NS  # elsewhere: on a slow machine shorter ones end sessions by themselves


class Stream:
    """One session as the scripted manager sees it."""

    def __init__(self, context: Any) -> None:
        self.context = context
        self.messages: list[AgentMessage] = []
        self.ended = False
        self.standby = False
        self.closing = asyncio.Event()
        self._turn = asyncio.Lock()  # the test and the answers to heartbeats may both want to write

    def reports(self) -> list[StatusReport]:
        return [one.statuses for one in self.messages if one.WhichOneof("message") == "statuses"]

    async def send(self, **message: Any) -> None:
        async with self._turn:
            await self.context.write(DispatcherMessage(**message))


class ScriptedManager(DispatcherServicer):
    """Welcomes, answers heartbeats unless told to be silent, and otherwise says what the test says."""

    def __init__(self, period_ns: int) -> None:
        self.period_ns = period_ns
        self.streams: list[Stream] = []
        self.silent = False
        self.refusal: Exception | None = None
        self.refused = 0
        self.leaderless = False
        self.server = grpc.aio.server(interceptors=[ErrorInterceptor()])
        add_DispatcherServicer_to_server(self, self.server)
        self.addr = f"127.0.0.1:{self.server.add_insecure_port('127.0.0.1:0')}"

    async def Session(self, request_iterator: Any, context: Any) -> None:  # type: ignore[override]
        if self.refusal is not None:
            self.refused += 1
            raise self.refusal
        stream = Stream(context)
        works = [
            asyncio.create_task(self._answer(stream, request_iterator)),
            asyncio.create_task(stream.closing.wait()),
        ]
        try:
            await asyncio.wait(works, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stream.ended = True
            for work in works:
                work.cancel()
            await asyncio.gather(*works, return_exceptions=True)

    async def _answer(self, stream: Stream, messages: AsyncIterator[AgentMessage]) -> None:
        async for message in messages:
            stream.messages.append(message)
            if message.WhichOneof("message") == "hello":
                stream.standby = message.hello.standby
                welcome = Welcome(
                    heartbeat_period_ns=self.period_ns, leaderless=self.leaderless, standby=stream.standby
                )
                await stream.send(welcome=welcome)
                if stream not in self.streams:
                    self.streams.append(stream)
            elif not self.silent:
                await stream.send(status_ack=StatusAck(leaderless=self.leaderless))


class Node:
    def __init__(self, folder: Path, managers: Callable[[], list[Peer]]) -> None:
        self.driver = FakeDriver()
        settings: Any = SimpleNamespace(
            run_dir=folder,
            agent_dir=folder,
            volumes_dir=folder / "volumes",
            plain_dir=folder / "plain",
            state_dir=folder,
            images_dir=folder,
            containers_dir=folder,
            node_subnet="172.30.0.0/16",
            data_path_addr="",
            disk_soft_percent=85,
            disk_hard_percent=95,
            csi_dir=folder / "csi",
            cluster_volumes_dir=folder / "cluster-volumes",
            hostname="host",
            engine_labels={},
            node_generic_resource=(),
        )
        self.agent = Agent(
            settings,
            "n1",
            None,  # type: ignore[arg-type]
            managers,
            self.driver,
            FakeImages(),
            FakeNetwork(),
            SystemClock(),
            lambda info: None,
            lambda: None,
            capabilities=Capabilities(driver="fake", isolated=False),
            dial=lambda addr, options: grpc.aio.insecure_channel(addr, options=list(options)),
        )


@contextlib.asynccontextmanager
async def connected(
    folder: Path, count: int = 1, period_ns: int = STEADY_NS
) -> AsyncIterator[tuple[Node, list[ScriptedManager]]]:
    managers = [ScriptedManager(period_ns) for _ in range(count)]
    for manager in managers:
        await manager.server.start()
    node = Node(folder, lambda: [Peer(node_id=one.addr, addr=one.addr) for one in managers])
    running = asyncio.create_task(node.agent.run())
    try:
        await until(lambda: settled(node, managers))
        yield node, managers
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        for manager in managers:
            await manager.server.stop(0)


def settled(node: Node, managers: list[ScriptedManager]) -> bool:
    """Whether there is one session, and nothing under way that may become another one (on slow machines)."""
    links = node.agent._connection._links.values()
    opening = any(link.role is Role.OPENING and not link._wanted_standby for link in links)
    return node.agent.connected and len(sessions(*managers)) == 1 and not opening


def sessions(*managers: ScriptedManager) -> list[Stream]:
    """The streams that are the node's session, as the managers see it."""
    return [stream for one in managers for stream in one.streams if not stream.ended and not stream.standby]


def standbys(*managers: ScriptedManager) -> list[Stream]:
    """The streams that only keep the node heard."""
    return [stream for one in managers for stream in one.streams if not stream.ended and stream.standby]


def hello(stream: Stream) -> Hello:
    """What the agent said of itself last."""
    return [one.hello for one in stream.messages if one.WhichOneof("message") == "hello"][-1]


def holder(managers: list[ScriptedManager], node: Node) -> ScriptedManager:
    return next(one for one in managers if node.agent.manager and one.addr == node.agent.manager.addr)


async def test_a_gap_in_the_assignments_opens_a_new_session_and_stops_nothing(tmp_path: Path) -> None:
    async with connected(tmp_path) as (node, (manager,)):
        task = a_task("n1")
        first = sessions(manager)[0]
        await first.send(assignments=Assignments(complete=True, sequence=1, tasks=[task], index=7))
        await until(lambda: node.driver.ids(ContainerState.RUNNING) == {task.id})
        await first.send(assignments=Assignments(sequence=3, removed_task_ids=[task.id], index=9))
        await until(lambda: first.ended and sessions(manager))
        assert hello(sessions(manager)[0]).applied_index == 7
        assert node.driver.ids(ContainerState.RUNNING) == {task.id}


async def test_repeated_assignments_are_carried_out_once(tmp_path: Path) -> None:
    async with connected(tmp_path) as (node, (manager,)):
        task, stream = a_task("n1"), sessions(manager)[0]
        for _ in range(3):
            await stream.send(assignments=Assignments(complete=True, sequence=1, tasks=[task]))
        await until(lambda: node.driver.ids(ContainerState.RUNNING) == {task.id})
        await stream.send(assignments=Assignments(sequence=2, removed_task_ids=[task.id]))
        await stream.send(assignments=Assignments(complete=True, sequence=1, tasks=[task]))
        await until(lambda: node.driver.calls["remove"] >= 1 and not node.driver.ids())
        await asyncio.sleep(0.1)
        assert not node.agent.containers()
        assert sessions(manager) == [stream]


async def test_statuses_are_said_again_to_the_next_manager_until_one_acknowledges(tmp_path: Path) -> None:
    async with connected(tmp_path, 1, QUICK_NS) as (node, (manager,)):
        manager.silent = True
        task = a_task("n1")
        first = sessions(manager)[0]
        await first.send(assignments=Assignments(complete=True, sequence=1, tasks=[task]))
        await until(first.reports)
        assert len(first.reports()) == 1  # one under way at a time
        await until(lambda: any(stream.reports() for stream in manager.streams if stream is not first))
        manager.silent = False
        await until(lambda: len(sessions(manager)) == 1 and sessions(manager)[0].reports())
        (stream,) = sessions(manager)
        report = stream.reports()[-1]
        assert report.updates[0].task_id == task.id
        await stream.send(status_ack=StatusAck(sequence=report.sequence))
        node.driver.exit(task.id, 1)
        await until(lambda: stream.reports()[-1].sequence > report.sequence)
        assert stream.reports()[-1].updates[0].status.container.exit_code == 1


async def test_a_manager_that_falls_silent_is_left_for_another(tmp_path: Path) -> None:
    async with connected(tmp_path, 2, QUICK_NS) as (node, managers):
        first = holder(managers, node)
        first.silent = True
        await until(lambda: node.agent.connected and holder(managers, node) is not first)
        await until(lambda: not sessions(first))
        await until(lambda: sessions(*managers) == sessions(holder(managers, node)))


async def test_a_second_manager_hears_the_node_too_and_is_told_nothing_of_its_tasks(tmp_path: Path) -> None:
    async with connected(tmp_path, 3) as (node, managers):
        await until(lambda: settled(node, managers) and len(standbys(*managers)) == 1)
        (standby,), (session,) = standbys(*managers), sessions(*managers)
        task = a_task("n1")
        await standby.send(assignments=Assignments(complete=True, sequence=1, tasks=[a_task("n1")]))
        await session.send(assignments=Assignments(complete=True, sequence=1, tasks=[task]))
        await until(lambda: node.driver.ids(ContainerState.RUNNING) == {task.id})
        await until(lambda: len(standby.messages) >= 3)
        assert {one.WhichOneof("message") for one in standby.messages[1:]} == {"heartbeat"}
        assert not standby.reports()


async def test_when_the_manager_of_the_session_dies_the_standby_becomes_the_session(tmp_path: Path) -> None:
    async with connected(tmp_path, 2) as (node, managers):
        await until(lambda: all(one.streams for one in managers))
        first = holder(managers, node)
        other = next(one for one in managers if one is not first)
        (standby,) = other.streams
        await first.server.stop(0)
        await until(lambda: not standby.standby)
        await until(lambda: node.agent.manager is not None and holder(managers, node) is other)
        assert other.streams == [standby]
        assert hello(standby).HasField("description")
        assert hello(standby).incarnation


async def test_a_session_moves_where_its_manager_wants_it_and_is_never_missing(tmp_path: Path) -> None:
    async with connected(tmp_path, 3) as (node, managers):
        first = holder(managers, node)
        for target in [one for one in managers if one is not first]:
            await sessions(holder(managers, node))[0].send(move=Move(manager_id=target.addr))
            await until(lambda: not node.agent.connected or holder(managers, node) is target, 60)  # noqa: B023
            assert node.agent.connected
            await until(lambda: settled(node, managers))


async def test_a_wish_to_move_to_a_manager_that_refuses_changes_nothing(tmp_path: Path) -> None:
    async with connected(tmp_path, 3) as (node, managers):
        await until(lambda: len([one for one in managers if one.streams]) == 2)
        (target,) = [one for one in managers if not one.streams]
        target.refusal = Unavailable("this manager stops")
        (session,) = sessions(*managers)
        await session.send(move=Move(manager_id=target.addr))
        await until(lambda: target.refused, 60)
        assert sessions(*managers) == [session]
        assert node.agent.connected


async def test_a_silent_manager_is_kept_while_no_other_welcomes(tmp_path: Path) -> None:
    async with connected(tmp_path, 2, QUICK_NS) as (node, managers):
        first = holder(managers, node)
        other = next(one for one in managers if one is not first)
        other.refusal = NotPermitted("no")
        first.silent = True
        await asyncio.sleep(4 * 0.3)
        assert node.agent.connected
        assert len(sessions(first)) == 1
        assert holder(managers, node) is first


async def test_a_manager_without_leader_is_better_than_none_and_worse_than_one_with(tmp_path: Path) -> None:
    async with connected(tmp_path, 2, QUICK_NS) as (node, managers):
        for manager in managers:
            manager.leaderless = True
        await until(lambda: len(managers[0].streams) + len(managers[1].streams) >= 2)  # it looks around
        assert node.agent.connected
        first = holder(managers, node)
        other = next(one for one in managers if one is not first)
        other.leaderless = False
        await until(lambda: node.agent.connected and holder(managers, node) is other)


async def test_a_refusal_that_is_no_removal_stops_no_container(tmp_path: Path) -> None:
    async with connected(tmp_path) as (node, (manager,)):
        task = a_task("n1")
        stream = sessions(manager)[0]
        await stream.send(assignments=Assignments(complete=True, sequence=1, tasks=[task]))
        await until(lambda: node.driver.ids(ContainerState.RUNNING) == {task.id})
        manager.refusal = NotPermitted("Session is not for you")
        stream.closing.set()
        await asyncio.sleep(0.5)
        assert node.driver.ids(ContainerState.RUNNING) == {task.id}


class ClosedCall:
    """A stream that its manager has closed, before the reader heard of it."""

    def __init__(self, error: SwarmError) -> None:
        self._status, self._metadata = to_status(error), error_metadata(error)

    def done(self) -> bool:
        return True

    async def write(self, _message: AgentMessage) -> None:
        raise asyncio.InvalidStateError("RPC already finished.")

    async def code(self) -> grpc.StatusCode:
        return self._status[0]

    async def details(self) -> str:
        return self._status[1]

    async def initial_metadata(self) -> tuple[()]:
        return ()

    async def trailing_metadata(self) -> tuple[tuple[str, str], ...]:
        return self._metadata


async def test_who_cannot_write_any_more_says_why_the_manager_closed_the_stream() -> None:
    session = Session(Peer(), None, SystemClock(), lambda _: Hello(), lambda _: None)  # type: ignore[arg-type]
    session._call = ClosedCall(NodeRemoved("this node was removed from the cluster"))
    session.ask(standby=False)
    with pytest.raises(NodeRemoved, match="this node was removed"):
        await session._send(None, lambda low, _: low)  # type: ignore[arg-type]


async def test_what_is_in_force_is_said_by_the_number_of_the_last_message_of_it() -> None:
    session = Session(Peer(), None, SystemClock(), lambda _: Hello(), lambda _: None)  # type: ignore[arg-type]
    session.role = Role.SESSION
    session._taken.extend([(11, 1), (12, 2), (14, 3)])

    def said() -> list[int]:
        idle = SimpleNamespace(next_report=lambda: None)
        return [one.networks_applied.sequence for one in session._messages(idle)]  # type: ignore[arg-type]

    session.networks_applied(10)
    assert said() == []
    session.networks_applied(13)
    assert said() == [2]
    assert said() == []
    session.networks_applied(20)
    assert said() == [3]
