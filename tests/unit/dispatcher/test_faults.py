"""Real agents on several real managers, when leaders die, managers are cut off and machines are copied."""

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from swarm.api.v1.types_pb2 import NODE_STATE_DOWN, NODE_STATE_READY
from swarm.clock import SECOND, SystemClock
from swarm.model.task_state import FAILED, RUNNING
from tests.unit.agent.lab import AgentHandle, Lab, Manager, a_lab, a_task, until


def manager_of(lab: Lab, handle: AgentHandle) -> Manager | None:
    peer = handle.agent.manager
    return next((one for one in lab.managers if peer and one.node_id == peer.node_id), None)


def session_ids(lab: Lab) -> dict[str, str]:
    return {
        session.node_id: session.session_id
        for manager in lab.managers
        if manager.server is not None
        for session in manager.dispatcher.sessions
    }


async def agents(lab: Lab, *node_ids: str) -> list[AgentHandle]:
    handles = [await lab.agent(node_id) for node_id in node_ids]
    await until(lambda: all(lab.node(node_id).status.state == NODE_STATE_READY for node_id in node_ids))
    return handles


NODES = [f"n{number}" for number in range(6)]


async def test_a_leaders_death_interrupts_no_agent_of_another_manager(tmp_path: Path) -> None:
    async with a_lab(tmp_path, managers=3, nodes=NODES) as lab:
        handles = await agents(lab, *NODES)
        tasks = [a_task(node_id) for node_id in NODES]
        await lab.write(*tasks)
        await until(lambda: all(lab.task(task.id).status.state == RUNNING for task in tasks))
        first, second = lab.managers[0], lab.managers[1]
        before = session_ids(lab)
        elsewhere = {one.node_id for one in handles if manager_of(lab, one) not in {None, first}}
        lab.leader = None
        await first.stop()
        # While nobody leads a container ends; the new leader must hear of it.
        ended = next((one for one in handles if one.node_id in elsewhere), handles[0])
        ended.driver.exit(next(task.id for task in tasks if task.node_id == ended.node_id), 3)
        await until(lambda: all(manager_of(lab, one) not in {None, first} for one in handles))
        await lab.elect(second)
        await until(
            lambda: all(
                lab.task(task.id).status.state == (FAILED if task.node_id == ended.node_id else RUNNING)
                for task in tasks
            ),
            60,
        )
        after = session_ids(lab)
        assert {one: before[one] for one in elsewhere} == {one: after[one] for one in elsewhere}
        await asyncio.sleep(0.5)
        assert {lab.node(node_id).status.state for node_id in NODES} == {NODE_STATE_READY}


async def test_agents_leave_a_manager_that_is_cut_off_from_the_leader_and_stay_alive(tmp_path: Path) -> None:
    async with a_lab(tmp_path, managers=3, nodes=NODES) as lab:
        handles = await agents(lab, *NODES)
        cut = lab.managers[2]
        cut.leadership.cut_off = True
        await until(lambda: all(manager_of(lab, one) not in {None, cut} for one in handles))
        assert {lab.node(node_id).status.state for node_id in NODES} == {NODE_STATE_READY}


async def test_agents_keep_their_sessions_while_nobody_leads(tmp_path: Path) -> None:
    async with a_lab(tmp_path, managers=2, nodes=["n1"]) as lab:
        (handle,) = await agents(lab, "n1")
        leader, lab.leader = lab.leader, None
        assert leader is not None
        leader.tasks.pop().cancel()
        for _ in range(30):
            await asyncio.sleep(0.05)
            assert handle.agent.connected
        await lab.elect(lab.managers[1])
        links = handle.agent._connection._links
        await until(lambda: all(link.leaderless_s is None for link in links.values()))
        assert lab.node("n1").status.state != NODE_STATE_DOWN


async def test_a_manager_that_joins_gets_its_share_of_the_agents_without_a_moment_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("swarm.manager.dispatcher.liveness.SETTLE_PERIODS", 1.0)
    async with a_lab(tmp_path, managers=3, nodes=NODES) as lab:
        late = lab.managers[2]
        port = late.port
        await late.stop()
        handles = await agents(lab, *NODES)
        tasks = [a_task(node_id) for node_id in NODES]
        await lab.write(*tasks)
        await until(lambda: all(lab.task(task.id).status.state == RUNNING for task in tasks))
        await late.start(port)
        await until(lambda: sum(manager_of(lab, one) is late for one in handles) >= 1, 60)
        assert all(one.agent.connected for one in handles)
        assert {lab.node(node_id).status.state for node_id in NODES} == {NODE_STATE_READY}
        moved = next(one for one in handles if manager_of(lab, one) is late)
        task = next(task for task in tasks if task.node_id == moved.node_id)
        moved.driver.exit(task.id, 3)
        await until(lambda: lab.task(task.id).status.state == FAILED)
        assert moved.driver.calls["create"] == 1


@contextlib.asynccontextmanager
async def a_copy_of(handle: AgentHandle) -> AsyncIterator[AgentHandle]:
    """A second machine with the certificate of the first, started later."""
    copy = AgentHandle(handle.lab, handle.node_id)
    copy.settings.agent_dir = handle.lab.folder / "copy"
    await copy.start()
    try:
        yield copy
    finally:
        await copy.stop()
        await copy.driver.close()


async def test_a_copied_machine_yields_to_the_one_started_later_and_disturbs_it_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("swarm.agent.connection.IDENTITY_PAUSE_S", 0.2)
    # On a slow machine shorter periods end by themselves.
    monkeypatch.setattr("tests.unit.agent.lab.PERIOD_NS", 3_000_000_000)
    async with a_lab(tmp_path, managers=4, nodes=["n1"]) as lab:
        (first,) = await agents(lab, "n1")
        async with a_copy_of(first) as copy:
            await until(lambda: copy.agent.connected and first.agent.refusal, 60)
            assert "swarmctl leave --force" in first.agent.refusal
            # Long enough to try every manager, also those with which the other one has no stream.
            for _ in range(300):
                await asyncio.sleep(0.01)
                assert not first.agent.connected
                assert copy.agent.connected
            assert first.agent.refusal
            assert not copy.agent.refusal
            assert lab.node("n1").status.state == NODE_STATE_READY


async def test_the_earlier_machine_is_taken_back_when_the_other_has_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("swarm.agent.connection.IDENTITY_PAUSE_S", 0.2)
    async with a_lab(tmp_path, managers=2, nodes=["n1"]) as lab:
        (first,) = await agents(lab, "n1")
        async with a_copy_of(first) as copy:
            await until(lambda: copy.agent.connected and first.agent.refusal, 60)
        await until(lambda: first.agent.connected, 60)
        assert not first.agent.refusal
        await until(lambda: lab.node("n1").status.state == NODE_STATE_READY)


class LateClock(SystemClock):
    """Tells the time of an hour ago."""

    def now_ns(self) -> int:
        return super().now_ns() - 3600 * SECOND


async def test_an_agent_that_starts_again_is_no_copy_although_its_streams_are_not_missed_yet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_lab(tmp_path, managers=3, nodes=["n1"]) as lab:
        (before,) = await agents(lab, "n1")
        await until(lambda: len(before.agent._connection._links) >= 2)
        # The machine is reset: nobody closes its streams, and its clock is an hour late when it is back.
        monkeypatch.setattr(lab, "clock", LateClock())
        shutil.copytree(before.settings.agent_dir, tmp_path / "after")
        after = AgentHandle(lab, "n1")
        after.settings.agent_dir = tmp_path / "after"
        await after.start()
        try:
            await until(lambda: after.agent.connected, 60)
            for _ in range(100):
                await asyncio.sleep(0.01)
                assert after.agent.connected
                assert not after.agent.refusal
        finally:
            await after.stop()
            await after.driver.close()
