"""Containers outlive their agent, with every driver: whoever comes next finds them as they are."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from swarm.ids import new_id
from swarm.runtime.base import ContainerInfo, ContainerState, ExecConfig, LogQuery
from swarm.runtime.processes import Process, start_time
from tests.integration.runtime.labs import LASTING, Driver, Lab, has_said, run, running, said, until
from tests.integration.runtime.sleepers import marker, sleepers

pytestmark = pytest.mark.integration
ROOT = Path(__file__).parents[4]


async def test_what_the_next_agent_finds_in_every_state(lab: Lab) -> None:
    first = lab.driver()
    lasting = lab.config("trap 'exit 6' TERM; echo up; while :; do sleep 0.05; done")
    await first.create(lasting)
    before = await first.start(lasting.id)
    await until(lambda: has_said(first, lasting.id, "up"))
    created = lab.config("exit 8")
    await first.create(created)
    ended = lab.config("exit 2")
    await run(first, ended)
    end = await first.inspect(ended.id)
    # Docker may take the time of a start after the end of what does not last.
    ending = lab.config("trap 'echo 2; exit 23' USR1; echo 1; while :; do sleep 0.05; done")
    process = (await first.create(ending), await first.start(ending.id))[1].pid
    await until(lambda: has_said(first, ending.id, "1"))
    later = lab.config("echo 1; sleep 1.5; echo 2")
    await running(first, later)
    started = start_time(before.pid)
    await first.close()
    os.kill(process, signal.SIGUSR1)
    await until(lambda: not exists(process))

    driver = lab.driver()
    found = {info.id: info for info in await driver.adopt()}
    assert found.keys() == {config.id for config in (lasting, created, ended, ending, later)}
    assert found[lasting.id] == before
    assert start_time(before.pid) == started
    assert found[created.id].state is ContainerState.CREATED
    assert found[ended.id] == end
    info = await asyncio.wait_for(driver.wait(ending.id), 60)
    assert (info.state, info.exit_code) == (ContainerState.EXITED, 23)
    assert info.finished_at_ns > info.started_at_ns
    assert await said(driver, ending.id) == ["1", "2"]
    assert await asyncio.wait_for(said(driver, later.id, LogQuery(follow=True)), 60) == ["1", "2"]
    await driver.start(created.id)
    assert (await asyncio.wait_for(driver.wait(created.id), 60)).exit_code == 8
    await driver.create(lasting)
    assert await driver.start(lasting.id) == before
    await driver.stop(lasting.id, 20)
    assert (await driver.wait(lasting.id)).exit_code == 6


async def test_leases_of_vanished_containers_are_given_back(lab: Lab) -> None:
    lab.images.lease("vanished", "app")
    await lab.driver().adopt()
    assert "vanished" not in lab.images.leased


async def test_containers_of_a_killed_agent_go_on_and_its_commands_do_not(lab: Lab) -> None:
    lasting, ending, mark = new_id(), new_id(), marker()
    async with agent_process(lab) as agent:
        await _line(agent, "ready")
        _order(agent, lasting, LASTING)
        _, _, pid = await _line(agent, "done")
        _order(agent, ending, "sleep 0.3; exit 17")
        await _line(agent, "done")
        _order(agent, f"+{lasting}", f"sleep {mark} & (sleep {mark} & wait); wait")
        await until(lambda: len(sleepers(mark)) == 2)
        agent.kill()
        await agent.wait()
    driver = lab.driver()
    found = {info.id: info for info in await driver.adopt()}
    assert found.keys() == {lasting, ending}
    assert found[lasting].pid == int(pid)
    assert found[lasting].state is ContainerState.RUNNING
    assert not sleepers(mark)
    assert (await asyncio.wait_for(driver.wait(ending), 60)).exit_code == 17
    mine = await driver.exec(lasting, ExecConfig(("sh", "-c", f"sleep {mark}")))
    await until(lambda: len(sleepers(mark)) == 1)
    await driver.adopt()  # may be repeated: what this agent started goes on
    assert len(sleepers(mark)) == 1
    await mine.kill()


@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 0.9])
async def test_an_agent_may_be_killed_at_any_moment(lab: Lab, share: float) -> None:
    container_id = new_id()
    async with agent_process(lab) as agent:
        await _line(agent, "ready")
        begun = time.monotonic()
        _order(agent, new_id(), "exit 0")
        await _line(agent, "done")
        took = time.monotonic() - begun
        _order(agent, container_id, "sleep 100 & sleep 100")
        await _line(agent, "begin")
        await asyncio.sleep(share * took)
        agent.kill()
        await agent.wait()
    driver = lab.driver()
    for info in await driver.adopt():
        if info.id == container_id:
            if info.state is ContainerState.CREATED:
                await driver.start(container_id)
            assert exists(info.pid or (await _inspected(driver, container_id)).pid)
            await driver.stop(container_id, 0)
        await driver.remove(info.id)
    await driver.remove(container_id)  # an engine may have finished what the killed one asked for

    async def nothing_is_left() -> bool:
        if lab.kind == "docker":  # it may finish only now what the killed one has asked for
            await driver.remove(container_id)
        return not lab.leftovers()

    # What the killed one had begun to start finds its cgroup gone and ends.
    await until(nothing_is_left)


@asynccontextmanager
async def agent_process(lab: Lab) -> AsyncIterator[asyncio.subprocess.Process]:
    """An agent in a process of its own, to be killed."""
    agent = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.integration.runtime.agent_process"),
        *(lab.kind, str(lab.base), lab.cgroup_parent, str(lab.images_dir)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
    )
    try:
        yield agent
    finally:
        if agent.returncode is None:
            agent.kill()
        await agent.wait()
        agent._transport.close()  # type: ignore[attr-defined]


async def _line(agent: asyncio.subprocess.Process, word: str) -> list[str]:
    assert agent.stdout is not None
    async with asyncio.timeout(60):
        while True:
            words = (await agent.stdout.readline()).decode().split()
            assert words
            if words[0] == word:
                return words


def _order(agent: asyncio.subprocess.Process, container_id: str, script: str) -> None:
    assert agent.stdin is not None
    agent.stdin.write(f"{container_id} {script}\n".encode())


async def _inspected(driver: Driver, container_id: str) -> ContainerInfo:
    info = await driver.inspect(container_id)
    assert info is not None
    return info


def exists(pid: int) -> bool:
    """Tell whether a process lives."""
    process = Process.open(pid)
    if process is None:
        return False
    alive = process.alive
    process.close()
    return alive
