"""Shims and the files about containers: lost, damaged, of another time."""

import asyncio
import signal
from dataclasses import replace

import pytest

from swarm.runtime.base import ContainerInfo, ContainerState
from swarm.runtime.processes import Process, start_time
from swarm.runtime.state import Phase, read_record, write_record
from tests.integration.runtime.conformance.test_adoption import exists
from tests.integration.runtime.labs import Driver, Lab, discard, new_lab

pytestmark = pytest.mark.integration
UNREADABLE = [b"", b"{", b'{"format": 99}', b"[]", b'{"format": 1, "phase": "odd"}']


async def _start(driver: Driver, shim_lab: Lab, script: str) -> ContainerInfo:
    config = shim_lab.config(script)
    await driver.create(config)
    return await driver.start(config.id)


async def test_a_shim_that_vanished_meanwhile_is_reported(shim_lab: Lab) -> None:
    driver = shim_lab.driver()
    before = await _start(driver, shim_lab, "sleep 100 & sleep 100")
    shim_pid = driver._containers[before.id].record.shim_pid
    await driver.close()
    _kill(shim_pid)
    driver = shim_lab.driver()
    await driver.adopt()
    info = await asyncio.wait_for(driver.wait(before.id), 60)
    assert (info.exit_code, info.error) == (255, "shim lost")
    assert not exists(before.pid)


async def test_a_pid_that_means_another_process_by_now_is_left_alone(shim_lab: Lab) -> None:
    driver = shim_lab.driver()
    before = await _start(driver, shim_lab, "exit 0")
    await driver.wait(before.id)
    await driver.close()
    bystander = await asyncio.create_subprocess_exec("sleep", "100")
    try:
        path = shim_lab.base / "state/containers" / before.id / "state.json"
        record = read_record(path)
        assert record is not None
        pid, started = bystander.pid, start_time(bystander.pid) - 1
        stale = replace(
            record, phase=Phase.RUNNING, pid=pid, pid_started=started, shim_pid=pid, shim_started=started
        )
        write_record(path, stale)
        driver = shim_lab.driver()
        await driver.adopt()
        assert (await asyncio.wait_for(driver.wait(before.id), 60)).exit_code == 0
        await driver.remove(before.id)
        assert bystander.returncode is None
        assert exists(bystander.pid)
    finally:
        bystander.kill()
        await bystander.wait()


async def test_a_container_of_an_earlier_boot_has_ended(shim_lab: Lab) -> None:
    driver = shim_lab.driver()
    before = await _start(driver, shim_lab, "exit 0")
    await driver.wait(before.id)
    await driver.close()
    path = shim_lab.base / "state/containers" / before.id / "state.json"
    record = read_record(path)
    assert record is not None
    write_record(path, replace(record, phase=Phase.RUNNING, boot_id="another"))
    driver = shim_lab.driver()
    (info,) = await driver.adopt()
    assert (info.state, info.exit_code, info.error) == (ContainerState.EXITED, 255, "the node was restarted")


async def test_what_an_agent_started_and_did_not_live_to_write_down_is_found_running(shim_lab: Lab) -> None:
    driver = shim_lab.driver()
    started = await _start(driver, shim_lab, "sleep 100 & sleep 100")
    waiting = shim_lab.config("exit 3")
    await driver.create(waiting)
    await driver.close()
    path = shim_lab.base / "state/containers" / started.id / "state.json"
    record = read_record(path)
    assert record is not None
    write_record(path, replace(record, phase=driver._doubtful))
    driver = shim_lab.driver()
    found = {one.id: one for one in await driver.adopt()}
    assert found[started.id].state is ContainerState.RUNNING
    assert abs(started.started_at_ns - found[started.id].started_at_ns) < 600 * 10**9
    assert found[waiting.id].state is ContainerState.CREATED
    await driver.start(waiting.id)
    assert (await asyncio.wait_for(driver.wait(waiting.id), 100)).exit_code == 3


async def test_an_unreadable_record_means_half_made(shim_lab: Lab) -> None:
    for content in UNREADABLE:
        driver = shim_lab.driver()
        before = await _start(driver, shim_lab, "sleep 100 & sleep 100")
        await driver.close()
        (shim_lab.base / "state/containers" / before.id / "state.json").write_bytes(content)
        driver = shim_lab.driver()
        assert await driver.adopt() == []
        assert shim_lab.leftovers() == []


async def test_a_lost_shim_ends_the_container(shim_lab: Lab) -> None:
    driver = shim_lab.driver()
    before = await _start(driver, shim_lab, "sleep 100 & sleep 100")
    _kill(driver._containers[before.id].record.shim_pid)
    info = await asyncio.wait_for(driver.wait(before.id), 60)
    assert (info.exit_code, info.error) == (255, "shim lost")
    assert not exists(before.pid)
    await driver.remove(before.id)
    assert shim_lab.leftovers() == []


async def test_cleanup_removes_everything_of_this_driver_and_of_no_other(shim_lab: Lab) -> None:
    driver, other = shim_lab.driver(), new_lab(shim_lab.kind, shim_lab.images)
    other.cgroup_parent = shim_lab.cgroup_parent
    infos = [await _start(one, shim_lab, "sleep 100 & sleep 100") for one in (driver, other.driver())]
    assert [trace for trace in await discard(other) if infos[1].id in trace] == []
    assert not exists(infos[1].pid)
    assert await driver.inspect(infos[0].id) == infos[0]
    assert exists(infos[0].pid)
    await driver.close()
    await shim_lab.cleanup()
    assert shim_lab.traces() == []
    assert not (shim_lab.base / "state").exists()


def _kill(pid: int) -> None:
    process = Process.open(pid)
    assert process is not None
    process.send(signal.SIGKILL)
    process.close()
