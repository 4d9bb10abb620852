"""The life of a container, with every driver: from nothing to nothing, whatever comes in between."""

import asyncio
import time
from dataclasses import replace
from pathlib import Path

import pytest

from swarm.errors import FailedPrecondition, InvalidArgument, NotFound, TaskFailed, TaskRejected
from swarm.runtime.abilities import Ability
from swarm.runtime.base import BindMount, ContainerState, LogQuery
from swarm.runtime.processes import Process
from tests.integration.runtime.labs import Lab, has_said, run, running, said, until

pytestmark = pytest.mark.integration
REFUSALS = (TaskFailed, InvalidArgument)


async def test_from_nothing_to_nothing(any_lab: Lab) -> None:
    driver, config = any_lab.driver(), any_lab.ending()
    await driver.probe()
    assert list(await driver.adopt()) == []
    assert await driver.inspect(config.id) is None
    await driver.create(config)
    created = await driver.inspect(config.id)
    assert created is not None
    assert created.state is ContainerState.CREATED
    assert await driver.sample(config.id) is None
    assert [line async for line in driver.logs(config.id, LogQuery())] == []
    started = await driver.start(config.id)
    assert started.started_at_ns > 0
    ended = await asyncio.wait_for(driver.wait(config.id), 60)
    assert (ended.state, ended.exit_code, ended.oom_killed) == (ContainerState.EXITED, 3, False)
    assert ended.finished_at_ns >= ended.started_at_ns
    assert await driver.inspect(config.id) == ended
    lines = [line async for line in driver.logs(config.id, LogQuery())]
    assert [line.data for line in lines if line.data] == [b"one", b"two"]
    assert lines == sorted(lines, key=lambda line: line.timestamp_ns)
    assert [line.data async for line in driver.logs(config.id, LogQuery(tail=1))] == [b"two"]
    assert [line async for line in driver.logs(config.id, LogQuery(stdout=False))] == []
    await driver.remove(config.id)
    assert await driver.inspect(config.id) is None
    assert any_lab.leftovers() == []


async def test_what_belongs_to_a_container_is_where_the_driver_says(lab: Lab) -> None:
    driver, config = lab.driver(), lab.lasting()
    await driver.create(config)
    await driver.start(config.id)
    found = await driver.places(config.id)
    paths = [found.log, found.hosts, found.hostname, found.resolv_conf, found.merged]
    assert [path for path in paths if path and not Path(path).exists()] == []
    isolated = (await driver.probe()).isolated
    assert bool(found.hosts and found.hostname and found.storage_driver) is isolated
    assert bool(found.masked_paths) is isolated
    assert found.log or isolated  # an engine may keep output in a way of its own
    await driver.remove(config.id)


async def test_every_call_may_be_repeated_also_at_the_same_time(any_lab: Lab) -> None:
    driver, config = any_lab.driver(), any_lab.lasting()
    await asyncio.gather(driver.create(config), driver.create(config))
    first, second = await asyncio.gather(driver.start(config.id), driver.start(config.id))
    assert first == second
    assert await driver.start(config.id) == first
    await driver.create(config)
    assert await driver.inspect(config.id) == first
    await asyncio.gather(driver.stop(config.id, 0.2), driver.stop(config.id, 0.2))
    await driver.stop(config.id, 0)
    assert (await driver.start(config.id)).state is ContainerState.EXITED
    assert await driver.wait(config.id) == await driver.wait(config.id)
    await asyncio.gather(driver.remove(config.id), driver.remove(config.id))
    await driver.remove(config.id)
    await driver.stop(config.id, 0)
    assert await driver.inspect(config.id) is None


async def test_stopping_ends_a_container_and_those_who_wait(any_lab: Lab) -> None:
    driver, config = any_lab.driver(), any_lab.lasting()
    await driver.create(config)
    await driver.start(config.id)
    waiting = asyncio.create_task(driver.wait(config.id))
    await driver.stop(config.id, 0.2)
    info = await asyncio.wait_for(waiting, 60)
    assert info.state is ContainerState.EXITED
    assert info.exit_code in {2, 137, 143}  # 2: runc itself, just before it became the program
    created = any_lab.lasting()
    await driver.create(created)
    await driver.stop(created.id, 0)
    info = await asyncio.wait_for(driver.wait(created.id), 60)
    assert info.state is ContainerState.EXITED


async def test_a_running_container_can_be_removed_under_those_who_wait(any_lab: Lab) -> None:
    driver, config = any_lab.driver(), any_lab.lasting()
    await driver.create(config)
    await driver.start(config.id)
    waiting = asyncio.create_task(driver.wait(config.id))
    await asyncio.sleep(0)
    await driver.remove(config.id)
    assert (await asyncio.wait_for(waiting, 60)).state is ContainerState.EXITED
    assert await driver.inspect(config.id) is None


async def test_unknown_containers_are_said_to_be_unknown(any_lab: Lab) -> None:
    driver = any_lab.driver()
    await driver.adopt()
    assert await driver.inspect("unknown") is None
    assert await driver.sample("unknown") is None
    await driver.remove("unknown")
    await driver.stop("unknown", 0)
    for call in (
        *(driver.start("unknown"), driver.wait("unknown"), driver.kill("unknown", "TERM")),
        *(driver.pause("unknown"), driver.unpause("unknown"), driver.processes("unknown")),
    ):
        with pytest.raises((NotFound, FailedPrecondition)):
            await call
    with pytest.raises(NotFound):
        await anext(driver.logs("unknown", LogQuery()))


async def test_the_image_says_what_runs_when_the_task_does_not(lab: Lab) -> None:
    driver = lab.driver()
    assert (await run(driver, lab.config("", command=[])))[0] == 7
    with pytest.raises(TaskRejected, match="says what to run"):
        await driver.create(replace(lab.config("x"), image_digest="scratch", command=[]))


async def test_environment_of_image_and_task(lab: Lab) -> None:
    script = 'echo "$FROM_IMAGE $A $HOSTNAME [$GONE]"; echo "[$AGENTS_SECRET]"; pwd -P | grep -o srv$'
    config = lab.config(script, env=["A=1=2", "GONE=x", "GONE"], hostname="box", working_dir="/srv")
    with pytest.MonkeyPatch.context() as monkey:
        monkey.setenv("AGENTS_SECRET", "x")
        assert (await run(lab.driver(), config))[1] == ["yes 1=2 box []", "[]", "srv"]


async def test_a_created_container_runs_nothing_until_it_is_started(lab: Lab, tmp_path: Path) -> None:
    driver = lab.driver()
    mounts = [BindMount(str(tmp_path), str(tmp_path))]
    config = lab.config(f"echo ran; touch {tmp_path}/ran", mounts=mounts)
    await driver.create(config)
    await asyncio.sleep(0.1)
    assert not (tmp_path / "ran").exists()
    started = await driver.start(config.id)
    assert started.state in {ContainerState.RUNNING, ContainerState.EXITED}
    await driver.wait(config.id)
    assert (tmp_path / "ran").exists()


async def test_stop_sends_the_stop_signal_and_kills_after_the_grace(lab: Lab) -> None:
    driver = lab.driver()
    wait = "echo up; while :; do sleep 0.05; done"
    polite = lab.config(f"trap 'echo bye; exit 9' TERM; {wait}")
    other = lab.config(f"trap 'exit 11' USR1; {wait}", stop_signal="SIGUSR1")
    deaf = lab.config(f"trap '' TERM; {wait}")
    asked = lab.config(f"trap 'exit 12' USR2; trap '' TERM; {wait}")
    for config in (polite, other, deaf, asked):
        await running(driver, config)
        await until(lambda config=config: has_said(driver, config.id, "up"))  # type: ignore[misc]
    before = time.monotonic()
    await asyncio.gather(
        driver.stop(polite.id, 20),
        driver.stop(other.id, 20),
        driver.stop(deaf.id, grace_s=0.5),
        driver.stop(asked.id, 20, "USR2"),
    )
    assert time.monotonic() - before >= 0.5
    codes = [(await driver.wait(config.id)).exit_code for config in (polite, other, deaf, asked)]
    assert codes == [9, 11, 137, 12]
    assert await said(driver, polite.id) == ["up", "bye"]


async def test_kill_sends_any_signal(lab: Lab) -> None:
    driver = lab.driver()
    config = lab.config("trap 'echo hup' HUP; echo up; while :; do sleep 0.05; done")
    await running(driver, config)
    await until(lambda: has_said(driver, config.id, "up"))
    await driver.kill(config.id, "SIGHUP")
    await until(lambda: has_said(driver, config.id, "hup"))
    with pytest.raises(REFUSALS, match="SIGNONSENSE"):
        await driver.kill(config.id, "SIGNONSENSE")
    await driver.kill(config.id, "KILL")
    ended = await driver.wait(config.id)
    assert (ended.exit_code, ended.oom_killed, ended.error) == (137, False, "")
    await driver.kill(config.id, "KILL")


async def test_a_process_killed_from_outside_is_noticed(lab: Lab) -> None:
    driver = lab.driver()
    config = lab.config("sleep", "100")
    await driver.create(config)
    info = await driver.start(config.id)
    # The runtime answers once the command is let go; the exec itself may come a moment later.
    await until(lambda: b"sleep" in Path(f"/proc/{info.pid}/cmdline").read_bytes())
    process = Process.open(info.pid)
    assert process is not None
    process.send(9)
    process.close()
    info = await asyncio.wait_for(driver.wait(config.id), 60)
    assert (info.exit_code, info.error) == (137, "")


async def test_children_end_with_the_container(lab: Lab) -> None:
    driver = lab.driver()
    config = lab.config("(sleep 1234 &) ; (sh -c 'sleep 1235; true' &) ; exit 4")
    exit_code, _ = await run(driver, config)
    assert exit_code == 4
    await driver.remove(config.id)
    assert lab.leftovers() == []


async def test_remove_leaves_nothing_in_any_state(lab: Lab) -> None:
    driver = lab.driver()
    created, lasting, ended = (
        lab.config(script) for script in ("exit 0", "sleep 100 & sleep 100", "exit 1")
    )
    for config in (created, lasting, ended):
        await driver.create(config)
    for config in (lasting, ended):
        await driver.start(config.id)
    await driver.wait(ended.id)
    assert lab.leftovers() != []
    assert lab.images.leased.keys() >= {created.id, lasting.id, ended.id}
    await asyncio.gather(*(driver.remove(config.id) for config in (created, lasting, ended)))
    assert lab.leftovers() == []
    assert lab.images.leased.keys().isdisjoint({created.id, lasting.id, ended.id})


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("nope", r'exec: "nope": not found in \$PATH'),
        ("/no/such", 'exec: "/no/such": no such file or directory'),
    ],
)
async def test_a_command_that_does_not_exist_is_named_and_nothing_stays(
    lab: Lab, command: str, reason: str
) -> None:
    driver = lab.driver()
    config = lab.config(command, "x")
    with pytest.raises((TaskRejected, TaskFailed), match=reason):
        await running(driver, config)
    info = await driver.inspect(config.id)
    assert info is None or info.state is ContainerState.EXITED
    await driver.remove(config.id)
    assert lab.leftovers() == []


async def test_what_cannot_be_made_is_named_and_nothing_stays(lab: Lab) -> None:
    driver = lab.driver()
    for changes, reason in (
        ({"mounts": [BindMount("/no/such/source", "/srv")]}, "/no/such/source"),
        ({"image_digest": "no-such-image"}, "no-such-image"),
        ({"image_digest": "scratch", "command": ["/nothing"]}, "/nothing"),
        ({"env": ["=x"]}, "environment entry"),
        ({"stop_signal": "SIGNONSENSE"}, "SIGNONSENSE"),
    ):
        config = lab.config("true", **changes)
        with pytest.raises((TaskRejected, TaskFailed), match=reason):
            await running(driver, config)
        await driver.remove(config.id)
        assert await driver.inspect(config.id) is None
    assert lab.leftovers() == []


async def test_an_id_that_is_a_path_reaches_nothing(lab: Lab) -> None:
    driver = lab.driver()
    await driver.adopt()
    precious = lab.base / "state" / "precious"
    precious.parent.mkdir(exist_ok=True)
    precious.touch()
    for container_id in ("..", "../..", "../../escape", "/tmp", ".", "", "a/b", "x" * 65):
        with pytest.raises(TaskRejected):
            await driver.create(lab.config("true", id=container_id))
        await driver.remove(container_id)
    assert precious.exists()


async def test_a_call_that_is_given_up_can_be_repeated(lab: Lab) -> None:
    driver = lab.driver()
    await driver.probe()
    measured = lab.config("exit 0")
    begun = time.monotonic()
    await driver.create(measured)
    created = time.monotonic()
    await driver.start(measured.id)
    took = {"create": created - begun, "start": time.monotonic() - created}
    for share in (0.0, 0.2, 0.5, 0.8):
        config = lab.config("echo ran; exit 5")
        for name, call in (("create", driver.create(config)), ("start", driver.start(config.id))):
            task = asyncio.ensure_future(call)
            await asyncio.sleep(share * took[name])
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await (driver.create(config) if name == "create" else driver.start(config.id))
        assert (await asyncio.wait_for(driver.wait(config.id), 60)).exit_code == 5
        assert await said(driver, config.id) == ["ran"]
        await driver.remove(config.id)
    await driver.remove(measured.id)
    assert lab.leftovers() == []


async def test_use_is_measured_while_it_runs(lab: Lab) -> None:
    driver = lab.driver()
    config = lab.config("while :; do :; done")
    await running(driver, config)
    first = await driver.sample(config.id)
    assert first is not None

    async def used_more() -> bool:
        sample = await driver.sample(config.id)
        assert sample is not None
        counted = {Ability.MEMORY, Ability.PIDS} <= lab.capabilities.abilities
        return sample.cpu_usage_ns > first.cpu_usage_ns and (
            not counted or (sample.pids >= 1 and sample.memory_bytes > 0)
        )

    async def is_shell() -> bool:
        return ["sh" in one.command for one in await driver.processes(config.id)] == [True]

    await until(used_more)
    await until(is_shell)
    (one,) = await driver.processes(config.id)
    assert one.pid == (await driver.start(config.id)).pid
    assert "sh" in one.command
    await driver.stop(config.id, 0)
    assert await driver.sample(config.id) is None
    with pytest.raises(FailedPrecondition):
        await driver.processes(config.id)


async def test_many_at_once(lab: Lab) -> None:
    driver = lab.driver()
    configs = [lab.config(f"echo {number}; exit {number}") for number in range(12)]
    results = await asyncio.gather(*(run(driver, config) for config in configs))
    assert results == [(number, [str(number)]) for number in range(12)]
    await asyncio.gather(*(driver.remove(config.id) for config in configs))
    assert lab.leftovers() == []
