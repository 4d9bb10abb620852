"""Containers outlive their agent: whoever comes next finds them as they are."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from swarm.ids import new_id
from swarm.runtime.base import ContainerInfo, ContainerState, LogQuery
from swarm.runtime.processes import Process, start_time
from swarm.runtime.state import Phase, read_record, write_record
from tests.integration.runtime.conftest import Driver, Lab, said, until
from tests.integration.runtime.test_lifecycle import _kill

pytestmark = pytest.mark.integration
ROOT = Path(__file__).parents[3]


async def _start(driver: Driver, lab: Lab, script: str) -> ContainerInfo:
    config = lab.config(script)
    await driver.create(config)
    return await driver.start(config.id)


async def _restarted(lab: Lab, driver: Driver) -> tuple[Driver, dict[str, ContainerInfo]]:
    await driver.close()
    successor = lab.driver()
    return successor, {info.id: info for info in await successor.adopt()}


async def test_a_running_container_stays_the_same_process(lab: Lab) -> None:
    driver = lab.driver()
    before = await _start(driver, lab, "trap 'exit 6' TERM; echo up; while :; do sleep 0.05; done")
    await until(lambda: _said(driver, before.id, "up"))
    started = start_time(before.pid)
    driver, found = await _restarted(lab, driver)
    assert found == {before.id: before}
    assert start_time(before.pid) == started
    await driver.stop(before.id, 10)
    assert (await driver.wait(before.id)).exit_code == 6


async def test_what_ended_meanwhile_has_its_exit_code_and_output(lab: Lab) -> None:
    driver = lab.driver()
    before = await _start(driver, lab, "echo first; sleep 0.2; echo last; exit 23")
    await driver.close()
    await until(lambda: not _exists(before.pid))
    driver = lab.driver()
    await driver.adopt()
    info = await asyncio.wait_for(driver.wait(before.id), 10)
    assert (info.state, info.exit_code) == (ContainerState.EXITED, 23)
    assert info.finished_at_ns > info.started_at_ns
    assert await said(driver, before.id) == ["first", "last"]


async def test_what_had_ended_before_stays_ended(lab: Lab) -> None:
    driver = lab.driver()
    before = await _start(driver, lab, "exit 2")
    ended = await driver.wait(before.id)
    driver, found = await _restarted(lab, driver)
    assert found == {before.id: ended}


async def test_a_created_container_can_still_be_started(lab: Lab) -> None:
    driver = lab.driver()
    config = lab.config("exit 8")
    await driver.create(config)
    driver, found = await _restarted(lab, driver)
    assert found[config.id].state is ContainerState.CREATED
    await driver.start(config.id)
    assert (await asyncio.wait_for(driver.wait(config.id), 10)).exit_code == 8


async def test_following_the_log_goes_on_after_adoption(lab: Lab) -> None:
    driver = lab.driver()
    before = await _start(driver, lab, "echo 1; sleep 0.3; echo 2")
    driver, _ = await _restarted(lab, driver)
    assert await asyncio.wait_for(said(driver, before.id, LogQuery(follow=True)), 10) == ["1", "2"]


async def test_a_shim_that_vanished_meanwhile_is_reported(lab: Lab) -> None:
    driver = lab.driver()
    before = await _start(driver, lab, "sleep 100 & sleep 100")
    shim_pid = driver._containers[before.id].record.shim_pid
    await driver.close()
    _kill(shim_pid)
    driver = lab.driver()
    await driver.adopt()
    info = await asyncio.wait_for(driver.wait(before.id), 10)
    assert (info.exit_code, info.error) == (255, "shim lost")
    assert not _exists(before.pid)


async def test_a_pid_that_means_another_process_by_now_is_left_alone(lab: Lab) -> None:
    driver = lab.driver()
    before = await _start(driver, lab, "exit 0")
    await driver.wait(before.id)
    await driver.close()
    bystander = await asyncio.create_subprocess_exec("sleep", "100")
    try:
        path = lab.base / "state/containers" / before.id / "state.json"
        record = read_record(path)
        assert record is not None
        pid, started = bystander.pid, start_time(bystander.pid) - 1
        stale = replace(
            record, phase=Phase.RUNNING, pid=pid, pid_started=started, shim_pid=pid, shim_started=started
        )
        write_record(path, stale)
        driver = lab.driver()
        await driver.adopt()
        assert (await asyncio.wait_for(driver.wait(before.id), 10)).exit_code == 0
        await driver.remove(before.id)
        assert bystander.returncode is None
        assert _exists(bystander.pid)
    finally:
        bystander.kill()
        await bystander.wait()


async def test_a_container_of_an_earlier_boot_has_ended(lab: Lab) -> None:
    driver = lab.driver()
    before = await _start(driver, lab, "exit 0")
    await driver.wait(before.id)
    await driver.close()
    path = lab.base / "state/containers" / before.id / "state.json"
    record = read_record(path)
    assert record is not None
    write_record(path, replace(record, phase=Phase.RUNNING, boot_id="another"))
    driver = lab.driver()
    (info,) = await driver.adopt()
    assert (info.state, info.exit_code, info.error) == (ContainerState.EXITED, 255, "the node was restarted")


@pytest.mark.parametrize("content", [b"", b"{", b'{"format": 99}', b"[]", b'{"format": 1, "phase": "odd"}'])
async def test_an_unreadable_record_means_half_made(lab: Lab, content: bytes) -> None:
    driver = lab.driver()
    before = await _start(driver, lab, "sleep 100 & sleep 100")
    await driver.close()
    (lab.base / "state/containers" / before.id / "state.json").write_bytes(content)
    driver = lab.driver()
    assert await driver.adopt() == []
    assert lab.leftovers() == []


async def test_leases_of_vanished_containers_are_given_back(lab: Lab) -> None:
    lab.images.lease("vanished", "app")
    await lab.driver().adopt()
    assert "vanished" not in lab.images.leased


@asynccontextmanager
async def _agent(lab: Lab) -> AsyncIterator[asyncio.subprocess.Process]:
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
    async with asyncio.timeout(20):
        while True:
            words = (await agent.stdout.readline()).decode().split()
            assert words
            if words[0] == word:
                return words


def _order(agent: asyncio.subprocess.Process, container_id: str, script: str) -> None:
    assert agent.stdin is not None
    agent.stdin.write(f"{container_id} {script}\n".encode())


async def test_containers_of_a_killed_agent_go_on(lab: Lab) -> None:
    running, ending = new_id(), new_id()
    async with _agent(lab) as agent:
        await _line(agent, "ready")
        _order(agent, running, "while :; do sleep 0.05; done")
        _, _, pid = await _line(agent, "done")
        _order(agent, ending, "sleep 0.3; exit 17")
        await _line(agent, "done")
        agent.kill()
        await agent.wait()
    driver = lab.driver()
    found = {info.id: info for info in await driver.adopt()}
    assert found.keys() == {running, ending}
    assert found[running].pid == int(pid)
    assert found[running].state is ContainerState.RUNNING
    assert (await asyncio.wait_for(driver.wait(ending), 10)).exit_code == 17


@pytest.mark.parametrize("delay_ms", [0, 1, 2, 4, 6, 8, 11, 14, 18, 24, 32])
async def test_an_agent_may_be_killed_at_any_moment(lab: Lab, delay_ms: int) -> None:
    container_id = new_id()
    async with _agent(lab) as agent:
        await _line(agent, "ready")
        _order(agent, container_id, "sleep 100 & sleep 100")
        await _line(agent, "begin")
        await asyncio.sleep(delay_ms / 1000)
        agent.kill()
        await agent.wait()
    driver = lab.driver()
    for info in await driver.adopt():
        assert info.id == container_id
        if info.state is ContainerState.CREATED:
            await driver.start(container_id)
        assert _exists(info.pid or (await _inspected(driver, container_id)).pid)
        await driver.stop(container_id, 0)
        await driver.remove(container_id)
    # What the killed one had begun to start finds its cgroup gone and ends.
    async with asyncio.timeout(60):
        while lab.leftovers():
            await asyncio.sleep(0.05)


async def _inspected(driver: Driver, container_id: str) -> ContainerInfo:
    info = await driver.inspect(container_id)
    assert info is not None
    return info


def _exists(pid: int) -> bool:
    process = Process.open(pid)
    if process is None:
        return False
    alive = process.alive
    process.close()
    return alive


async def _said(driver: Driver, container_id: str, line: str) -> bool:
    return line in await said(driver, container_id)
