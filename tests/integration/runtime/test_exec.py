"""Commands beside a container's own: what they see, how they end, and that nothing of them stays."""

import asyncio
import secrets
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from swarm.errors import FailedPrecondition, InvalidArgument, NotFound
from swarm.ids import new_id
from swarm.runtime.base import ContainerState, ExecConfig, ExecProcess, Limits
from tests.integration.runtime.conftest import Driver, Images, Lab, lab_of, until

pytestmark = pytest.mark.integration
ROOT = Path(__file__).parents[3]
FOR_EVER = "while :; do sleep 1; done"


@pytest.fixture(params=["oci-crun", "process"])
async def one_lab(request: pytest.FixtureRequest, images: Images) -> AsyncIterator[Lab]:
    """For what all OCI runtimes do alike."""
    async for lab in lab_of(request.param, images):
        yield lab


async def _running(lab: Lab, driver: Driver, **changes: object) -> str:
    config = lab.config(FOR_EVER, **changes)
    await driver.create(config)
    await driver.start(config.id)
    return config.id


def _shell(script: str, **changes: object) -> ExecConfig:
    return ExecConfig(command=("sh", "-c", script), **changes)  # type: ignore[arg-type]


async def _result(process: ExecProcess) -> tuple[int, str, str]:
    """Return (exit code, stdout, stderr)."""
    said = {"stdout": b"", "stderr": b""}
    async with asyncio.timeout(20):
        async for stream, data in process.output():
            said[stream] += data
        return await process.wait(), said["stdout"].decode(), said["stderr"].decode()


async def _exec(driver: Driver, container_id: str, script: str, **changes: object) -> tuple[int, str, str]:
    return await _result(await driver.exec(container_id, _shell(script, **changes)))


def _marker() -> str:
    """A number of seconds that only one test sleeps for."""
    return str(10_000_000 + secrets.randbelow(80_000_000))


def _sleepers(marker: str) -> set[str]:
    found = set()
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdecimal() and marker.encode() in (entry / "cmdline").read_bytes().split(b"\0"):
                found.add(entry.name)
        except OSError:
            continue
    return found


async def test_a_command_sees_what_the_container_sees_and_says_how_it_ended(lab: Lab) -> None:
    driver = lab.driver()
    container = await _running(lab, driver, env=["SERVICE=web"], working_dir="/srv")
    assert await _exec(driver, container, "echo $SERVICE $FROM_IMAGE $MORE; echo bad >&2; exit 3") == (
        3,
        "web yes\n",
        "bad\n",
    )
    assert await _exec(driver, container, "cat layer; echo $MORE", env=["MORE=1"]) == (0, "top\n1\n", "")
    assert await _exec(driver, container, "pwd -P | grep -c tmp$", working_dir="/tmp") == (0, "1\n", "")
    assert (await _exec(driver, container, "kill -TERM $$"))[0] == 128 + 15
    info = await driver.inspect(container)
    assert info is not None
    assert info.state is ContainerState.RUNNING
    await driver.remove(container)
    assert not lab.leftovers()


async def test_output_of_any_size_comes_whole(one_lab: Lab) -> None:
    driver = one_lab.driver()
    container = await _running(one_lab, driver)
    code, said, _ = await _exec(driver, container, "yes 0123456 | head -c 3000000")
    assert code == 0
    assert said == "0123456\n" * 375_000


async def test_input_reaches_the_command(one_lab: Lab) -> None:
    driver = one_lab.driver()
    container = await _running(one_lab, driver)
    process = await driver.exec(container, _shell("cat; echo end", stdin=True))
    await process.write(b"hello\n")
    await process.close_stdin()
    assert await _result(process) == (0, "hello\nend\n", "")


async def test_what_cannot_be_run_says_why(lab: Lab) -> None:
    driver = lab.driver()
    container = await _running(lab, driver)
    code, said, complaint = await _result(await driver.exec(container, ExecConfig(("nosuch",))))
    assert (code, said) == (127, "")
    assert 'exec: "nosuch": not found in $PATH' in complaint
    code, _, complaint = await _result(await driver.exec(container, ExecConfig(("/srv/layer",))))
    assert code in {126, 127}  # a view of plain files calls it missing
    assert complaint
    with pytest.raises(NotFound):
        await driver.exec("unknown", ExecConfig(("true",)))
    await driver.stop(container, 0)
    with pytest.raises(FailedPrecondition, match="does not run"):
        await driver.exec(container, ExecConfig(("true",)))


async def test_a_command_has_its_own_user_and_no_more_rights_than_the_container(oci_lab: Lab) -> None:
    driver = oci_lab.driver()
    container = await _running(oci_lab, driver, hostname="here", user="web")
    script = "id -u; id -g; echo $HOME; hostname; grep -E 'CapEff|NoNewPrivs' /proc/self/status"
    code, said, _ = await _exec(driver, container, script)
    assert (code, said.split()[:4]) == (0, ["1234", "2345", "/home/web", "here"])
    assert said.split()[-1] == "1"
    own = await _exec(driver, container, "id -u; echo $HOME; grep CapBnd /proc/self/status", user="0")
    assert (own[0], own[1].split()[:2]) == (0, ["0", "/root"])
    all_of_it = await _exec(driver, container, "grep CapBnd /proc/self/status", user="0", privileged=True)
    bounds = [int(said[1].split()[-1], 16) for said in (own, all_of_it)]
    assert bounds[0] < bounds[1]
    with pytest.raises(FailedPrecondition, match="nobody-here"):
        await driver.exec(container, _shell("true", user="nobody-here"))


async def test_a_command_beside_a_plain_process_has_its_limits(process_lab: Lab) -> None:
    driver = process_lab.driver()
    container = await _running(process_lab, driver, limits=Limits(memory_bytes=64 << 20))
    script = 'while [ "$(ulimit -d)" = unlimited ]; do sleep 0.05; done; ulimit -d'
    assert await _exec(driver, container, script) == (0, "65536\n", "")


async def test_a_signal_reaches_the_command_alone(one_lab: Lab) -> None:
    driver = one_lab.driver()
    container = await _running(one_lab, driver)
    process = await driver.exec(
        container, _shell("trap 'echo told; exit 5' USR1; echo up; while :; do sleep 0.1; done")
    )
    said = b""
    async with asyncio.timeout(20):
        async for _, data in process.output():
            said += data
            if said == b"up\n":
                await process.signal("USR1")
        assert (await process.wait(), said) == (5, b"up\ntold\n")
    with pytest.raises(InvalidArgument):
        await process.signal("SIGNOTHING")


async def test_a_kill_ends_all_that_the_command_started_and_nothing_else(lab: Lab) -> None:
    driver = lab.driver()
    container = await _running(lab, driver)
    marker = _marker()
    busy = await driver.exec(container, _shell(f"sleep {marker} & (sleep {marker} & sleep {marker}); wait"))
    await until(lambda: len(_sleepers(marker)) == 3)
    await busy.kill()
    await busy.kill()
    assert await busy.wait() == 128 + 9
    assert not _sleepers(marker)
    gone = await driver.exec(container, _shell(f"sleep {marker} >/dev/null 2>&1 & exit 4"))
    assert await gone.wait() == 4
    await until(lambda: len(_sleepers(marker)) == 1)
    await gone.kill()
    assert not _sleepers(marker)
    info = await driver.inspect(container)
    assert info is not None
    assert info.state is ContainerState.RUNNING


async def test_commands_end_with_their_container_and_with_the_driver(lab: Lab) -> None:
    driver = lab.driver()
    first, second = await _running(lab, driver), await _running(lab, driver)
    marker = _marker()
    ends = await driver.exec(first, _shell(f"sleep {marker}"))
    await until(lambda: bool(_sleepers(marker)))
    await driver.stop(first, 0)
    async with asyncio.timeout(20):
        await ends.wait()
    await until(lambda: not _sleepers(marker))
    await driver.exec(second, _shell(f"sleep {marker}; true"))
    await until(lambda: bool(_sleepers(marker)))
    await driver.close()
    assert not _sleepers(marker)


async def test_a_command_that_nobody_waits_for_any_more_is_not_left_running(one_lab: Lab) -> None:
    driver = one_lab.driver()
    container = await _running(one_lab, driver)
    marker = _marker()
    starting = asyncio.ensure_future(driver.exec(container, _shell(f"sleep {marker}")))
    await asyncio.sleep(0)
    starting.cancel()  # killing it may come before the command itself
    with pytest.raises(asyncio.CancelledError):
        await starting
    await driver.close()  # waits for what is unfinished
    assert not _sleepers(marker)


async def test_the_next_agent_kills_the_commands_of_a_killed_one_and_keeps_the_container(lab: Lab) -> None:
    container, marker = new_id(), _marker()
    agent = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.integration.runtime.agent_process"),
        *(lab.kind, str(lab.base), lab.cgroup_parent, str(lab.images_dir)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
    )
    assert agent.stdin is not None
    assert agent.stdout is not None
    try:
        async with asyncio.timeout(60):
            while await agent.stdout.readline() != b"ready\n":
                pass
            agent.stdin.write(f"{container} {FOR_EVER}\n".encode())
            while not (await agent.stdout.readline()).startswith(b"done"):
                pass
            agent.stdin.write(f"+{container} sleep {marker} & (sleep {marker} & wait); wait\n".encode())
            await until(lambda: len(_sleepers(marker)) == 2)
            agent.kill()
            await agent.wait()
    finally:
        if agent.returncode is None:
            agent.kill()
            await agent.wait()
    assert _sleepers(marker)
    driver = lab.driver()
    found = await driver.adopt()
    assert [(info.id, info.state) for info in found] == [(container, ContainerState.RUNNING)]
    assert not _sleepers(marker)
    mine = await driver.exec(container, _shell(f"sleep {marker}"))
    await until(lambda: len(_sleepers(marker)) == 1)
    await driver.adopt()  # may be repeated: what this agent started goes on
    assert len(_sleepers(marker)) == 1
    await mine.kill()
