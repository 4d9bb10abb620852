"""What every driver has to do, whatever it runs: the contract of swarm/runtime/base.py."""

import asyncio
import signal
import time
from pathlib import Path

import pytest

from swarm.errors import NotFound, TaskFailed, TaskRejected
from swarm.runtime.base import BindMount, ContainerState
from swarm.runtime.oci.cgroups import read_layout
from swarm.runtime.oci.probe import controllers
from swarm.runtime.processes import Process
from tests.integration.runtime.conftest import Lab, run, said, until

pytestmark = pytest.mark.integration


async def test_exit_code_and_output_arrive(lab: Lab) -> None:
    driver = lab.driver()
    assert await run(driver, lab.config("echo one; echo two; exit 3")) == (3, ["one", "two"])


async def test_the_image_says_what_runs_when_the_task_does_not(lab: Lab) -> None:
    driver = lab.driver()
    assert (await run(driver, lab.config("", command=[])))[0] == 7


async def test_a_created_container_runs_nothing_until_it_is_started(lab: Lab) -> None:
    driver = lab.driver()
    config = lab.config("echo ran")
    await driver.create(config)
    info = await driver.inspect(config.id)
    assert info is not None
    assert info.state is ContainerState.CREATED
    await asyncio.sleep(0.1)
    assert await said(driver, config.id) == []
    started = await driver.start(config.id)
    assert started.started_at_ns > 0
    await driver.wait(config.id)
    assert await said(driver, config.id) == ["ran"]


async def test_inspect_tells_pid_and_times(lab: Lab) -> None:
    driver = lab.driver()
    config = lab.config("sleep", "100")
    await driver.create(config)
    running = await driver.start(config.id)
    assert running.state is ContainerState.RUNNING
    # The runtime answers once the command is let go; the exec itself may come a moment later.
    await until(lambda: b"sleep" in Path(f"/proc/{running.pid}/cmdline").read_bytes())
    await driver.stop(config.id, 0)
    ended = await driver.inspect(config.id)
    assert ended is not None
    assert ended.state is ContainerState.EXITED
    assert ended.finished_at_ns >= ended.started_at_ns > 0


async def test_stop_lets_a_container_end_by_itself(lab: Lab) -> None:
    driver = lab.driver()
    config = lab.config("trap 'echo bye; exit 9' TERM; echo up; while :; do sleep 0.05; done")
    await driver.create(config)
    await driver.start(config.id)
    await until(lambda: _has_said(driver, config.id, "up"))
    await driver.stop(config.id, 10)
    info = await driver.wait(config.id)
    assert (info.exit_code, await said(driver, config.id)) == (9, ["up", "bye"])


async def test_stop_uses_the_stop_signal(lab: Lab) -> None:
    driver = lab.driver()
    config = lab.config("trap 'exit 11' USR1; echo up; while :; do sleep 0.05; done", stop_signal="SIGUSR1")
    await driver.create(config)
    await driver.start(config.id)
    await until(lambda: _has_said(driver, config.id, "up"))
    await driver.stop(config.id, 10)
    assert (await driver.wait(config.id)).exit_code == 11


async def test_stop_kills_what_ignores_its_signal_after_the_grace(lab: Lab) -> None:
    driver = lab.driver()
    config = lab.config("trap '' TERM; echo up; while :; do sleep 0.05; done")
    await driver.create(config)
    await driver.start(config.id)
    await until(lambda: _has_said(driver, config.id, "up"))
    before = time.monotonic()
    await driver.stop(config.id, 0.5)
    assert 0.5 <= time.monotonic() - before < 5
    assert (await driver.wait(config.id)).exit_code == 137


async def test_kill_sends_any_signal(lab: Lab) -> None:
    driver = lab.driver()
    config = lab.config("trap 'echo hup' HUP; echo up; while :; do sleep 0.05; done")
    await driver.create(config)
    await driver.start(config.id)
    await until(lambda: _has_said(driver, config.id, "up"))
    await driver.kill(config.id, "SIGHUP")
    await until(lambda: _has_said(driver, config.id, "hup"))
    with pytest.raises(TaskFailed, match="SIGNONSENSE"):
        await driver.kill(config.id, "SIGNONSENSE")
    await driver.kill(config.id, "KILL")
    assert (await driver.wait(config.id)).exit_code == 137


async def test_a_process_killed_from_outside_is_noticed(lab: Lab) -> None:
    driver = lab.driver()
    config = lab.config("sleep", "100")
    await driver.create(config)
    pid = (await driver.start(config.id)).pid
    _kill(pid)
    info = await asyncio.wait_for(driver.wait(config.id), 10)
    assert (info.exit_code, info.error) == (137, "")


async def test_a_lost_shim_ends_the_container(lab: Lab) -> None:
    driver = lab.driver()
    config = lab.config("sleep 100 & sleep 100")
    await driver.create(config)
    await driver.start(config.id)
    container = driver._containers[config.id]
    _kill(container.record.shim_pid)
    info = await asyncio.wait_for(driver.wait(config.id), 10)
    assert (info.exit_code, info.error) == (255, "shim lost")
    assert not _alive(container.record.pid)
    await driver.remove(config.id)
    assert lab.leftovers() == []


async def test_children_end_with_the_container(lab: Lab) -> None:
    driver = lab.driver()
    config = lab.config("(sleep 1234 &) ; (sh -c 'sleep 1235; true' &) ; exit 4")
    exit_code, _ = await run(driver, config)
    assert exit_code == 4
    await driver.remove(config.id)
    assert lab.leftovers() == []


async def test_remove_leaves_nothing_in_any_state(lab: Lab) -> None:
    driver = lab.driver()
    await driver.probe()
    created, running, ended = (
        lab.config(script) for script in ("exit 0", "sleep 100 & sleep 100", "exit 1")
    )
    for config in (created, running, ended):
        await driver.create(config)
    for config in (running, ended):
        await driver.start(config.id)
    await driver.wait(ended.id)
    assert lab.leftovers() != []
    await asyncio.gather(*(driver.remove(config.id) for config in (created, running, ended)))
    assert lab.leftovers() == []
    assert lab.images.leased.keys().isdisjoint({created.id, running.id, ended.id})


async def test_waiting_ends_when_the_container_is_removed(lab: Lab) -> None:
    driver = lab.driver()
    config = lab.config("sleep", "100")
    await driver.create(config)
    await driver.start(config.id)
    waiting = asyncio.create_task(driver.wait(config.id))
    await asyncio.sleep(0)
    await driver.remove(config.id)
    assert (await waiting).state is ContainerState.EXITED


async def test_repeated_calls_change_nothing(lab: Lab) -> None:
    driver = lab.driver()
    config = lab.config("sleep", "100")
    await asyncio.gather(driver.create(config), driver.create(config))
    first, second = await asyncio.gather(driver.start(config.id), driver.start(config.id))
    assert first.pid == second.pid
    await asyncio.gather(driver.stop(config.id, 0), driver.stop(config.id, 0))
    again = await driver.start(config.id)
    assert again.state is ContainerState.EXITED
    assert await driver.wait(config.id) == await driver.wait(config.id)
    await asyncio.gather(driver.remove(config.id), driver.remove(config.id))
    await driver.remove(config.id)
    await driver.stop(config.id, 0)
    assert await driver.inspect(config.id) is None
    assert lab.leftovers() == []


async def test_unknown_containers_are_said_to_be_unknown(lab: Lab) -> None:
    driver = lab.driver()
    assert await driver.inspect("unknown") is None
    assert await driver.sample("unknown") is None
    await driver.remove("unknown")
    for call in (driver.start("unknown"), driver.wait("unknown"), driver.kill("unknown", "TERM")):
        with pytest.raises(NotFound):
            await call


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("nope", r'exec: "nope": not found in \$PATH'),
        ("/no/such", 'exec: "/no/such": no such file or directory'),
    ],
)
async def test_a_command_that_does_not_exist_is_named(lab: Lab, command: str, reason: str) -> None:
    driver = lab.driver()
    config = lab.config(command, "x")
    with pytest.raises((TaskRejected, TaskFailed), match=reason):
        await _create_and_start(driver, config)
    await driver.remove(config.id)
    assert lab.leftovers() == []


async def test_a_missing_bind_source_is_named(lab: Lab) -> None:
    driver = lab.driver()
    config = lab.config("true", mounts=[BindMount("/no/such/source", "/srv")])
    with pytest.raises(TaskRejected, match="/no/such/source"):
        await driver.create(config)
    assert await driver.inspect(config.id) is None
    assert lab.leftovers() == []


@pytest.mark.parametrize("container_id", ["..", "../..", "../../escape", "/tmp", ".", "", "a/b", "x" * 65])
async def test_an_id_that_is_a_path_reaches_nothing(lab: Lab, container_id: str) -> None:
    driver = lab.driver()
    await driver.probe()
    await driver.adopt()
    with pytest.raises(TaskRejected):
        await driver.create(lab.config("true", id=container_id))
    precious = lab.base / "state" / "precious"
    precious.parent.mkdir(exist_ok=True)
    precious.touch()
    await driver.remove(container_id)
    assert precious.exists()


async def test_a_cancelled_create_can_be_repeated(lab: Lab) -> None:
    driver = lab.driver()
    await driver.probe()
    for delay_s in (0.0, 0.002, 0.005, 0.01, 0.02):
        config = lab.config("exit 5")
        creating = asyncio.create_task(driver.create(config))
        await asyncio.sleep(delay_s)
        creating.cancel()
        await asyncio.gather(creating, return_exceptions=True)
        assert (await run(driver, config))[0] == 5
        await driver.remove(config.id)
    assert lab.leftovers() == []


async def test_a_cancelled_start_can_be_repeated(lab: Lab) -> None:
    driver = lab.driver()
    for delay_s in (0.0, 0.001, 0.003, 0.01, 0.03):
        config = lab.config("echo ran; exit 5")
        await driver.create(config)
        starting = asyncio.create_task(driver.start(config.id))
        await asyncio.sleep(delay_s)
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        await driver.start(config.id)
        assert (await asyncio.wait_for(driver.wait(config.id), 10)).exit_code == 5
        assert await said(driver, config.id) == ["ran"]
        await driver.remove(config.id)
    assert lab.leftovers() == []


async def test_environment_of_image_and_task(lab: Lab) -> None:
    driver = lab.driver()
    config = lab.config(
        'echo "$FROM_IMAGE $A $HOSTNAME [$GONE]"', env=["A=1=2", "GONE=x", "GONE"], hostname="box"
    )
    assert (await run(driver, config))[1] == ["yes 1=2 box []"]


async def test_use_is_measured_while_it_runs(lab: Lab) -> None:
    driver = lab.driver()
    config = lab.config("while :; do :; done")
    await driver.create(config)
    assert await driver.sample(config.id) is None
    await driver.start(config.id)
    first = await driver.sample(config.id)
    assert first is not None

    async def used_more() -> bool:
        sample = await driver.sample(config.id)
        assert sample is not None
        counted = lab.kind == "process" or controllers(read_layout()) >= {"memory", "pids"}
        return sample.cpu_usage_ns > first.cpu_usage_ns and (
            not counted or (sample.pids >= 1 and sample.memory_bytes > 0)
        )

    await until(used_more)
    await driver.stop(config.id, 0)
    assert await driver.sample(config.id) is None


async def test_many_at_once(lab: Lab) -> None:
    driver = lab.driver()
    configs = [lab.config(f"echo {number}; exit {number}") for number in range(12)]
    results = await asyncio.gather(*(run(driver, config) for config in configs))
    assert results == [(number, [str(number)]) for number in range(12)]
    await asyncio.gather(*(driver.remove(config.id) for config in configs))
    assert lab.leftovers() == []


async def test_cleanup_removes_everything(lab: Lab) -> None:
    driver = lab.driver()
    config = lab.config("sleep 100 & sleep 100")
    await driver.create(config)
    await driver.start(config.id)
    await driver.close()
    await lab.driver().cleanup()
    assert lab.traces() == []
    assert not (lab.base / "state").exists()


def _alive(pid: int) -> bool:
    process = Process.open(pid)
    if process is None:
        return False
    alive = process.alive
    process.close()
    return alive


def _kill(pid: int) -> None:
    process = Process.open(pid)
    assert process is not None
    process.send(signal.SIGKILL)
    process.close()


async def _has_said(driver: object, container_id: str, line: str) -> bool:
    return line in await said(driver, container_id)  # type: ignore[arg-type]


async def _create_and_start(driver, config) -> None:  # type: ignore[no-untyped-def]
    await driver.create(config)
    await driver.start(config.id)
