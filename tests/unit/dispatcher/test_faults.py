"""Real agents on several real managers, when leaders die, managers are cut off and machines are copied."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from swarm.api.v1.types_pb2 import NODE_STATE_DOWN, NODE_STATE_READY
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


async def test_a_leaders_death_interrupts_no_agent_of_another_manager(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # On a slow machine shorter periods end by themselves.
    monkeypatch.setattr("tests.unit.agent.lab.PERIOD_NS", 1_500_000_000)
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
            15,
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
    monkeypatch.setattr("swarm.manager.dispatcher.liveness.SETTLE_S", 0.5)
    async with a_lab(tmp_path, managers=3, nodes=NODES) as lab:
        late = lab.managers[2]
        port = late.port
        await late.stop()
        handles = await agents(lab, *NODES)
        tasks = [a_task(node_id) for node_id in NODES]
        await lab.write(*tasks)
        await until(lambda: all(lab.task(task.id).status.state == RUNNING for task in tasks))
        await late.start(port)
        await until(lambda: sum(manager_of(lab, one) is late for one in handles) >= 1, 10)
        assert all(one.agent.connected for one in handles)
        assert {lab.node(node_id).status.state for node_id in NODES} == {NODE_STATE_READY}
        moved = next(one for one in handles if manager_of(lab, one) is late)
        task = next(task for task in tasks if task.node_id == moved.node_id)
        moved.driver.exit(task.id, 3)
        await until(lambda: lab.task(task.id).status.state == FAILED)
        assert moved.driver.calls["create"] == 1


async def test_a_copied_machine_yields_to_the_one_started_later_and_disturbs_it_no_more(
    tmp_path: Path, caplog: Any
) -> None:
    async with a_lab(tmp_path, managers=3, nodes=["n1"]) as lab:
        (first,) = await agents(lab, "n1")
        copy = AgentHandle(lab, "n1")
        copy.settings.agent_dir = tmp_path / "copy"
        await copy.start()
        try:
            await until(lambda: copy.agent.connected and not first.agent.connected)
            held = session_ids(lab)
            await asyncio.sleep(2.0)
            assert not first.agent.connected
            assert copy.agent.connected
            assert session_ids(lab) == held
            assert lab.node("n1").status.state == NODE_STATE_READY
        finally:
            await copy.stop()
            await copy.driver.close()


async def test_the_earlier_machine_is_taken_back_when_the_other_has_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("swarm.agent.connection.IDENTITY_PAUSE_S", 0.5)
    async with a_lab(tmp_path, managers=2, nodes=["n1"]) as lab:
        (first,) = await agents(lab, "n1")
        copy = AgentHandle(lab, "n1")
        copy.settings.agent_dir = tmp_path / "copy"
        await copy.start()
        await until(lambda: copy.agent.connected and not first.agent.connected)
        await copy.stop()
        await copy.driver.close()
        await until(lambda: first.agent.connected)
        await asyncio.sleep(0.5)
        assert first.agent.connected
