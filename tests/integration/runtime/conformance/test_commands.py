"""Commands beside a container's own, with every driver: what they see, how they end, that nothing stays."""

import asyncio

import pytest

from swarm.errors import FailedPrecondition, InvalidArgument, NotFound
from swarm.runtime.abilities import Ability
from swarm.runtime.base import ContainerState, ExecConfig, ExecProcess
from tests.integration.runtime.labs import Driver, Lab, until
from tests.integration.runtime.sleepers import marker, sleepers

pytestmark = pytest.mark.integration
FOR_EVER = "while :; do sleep 1; done"


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
    async with asyncio.timeout(60):
        async for stream, data in process.output():
            said[stream] += data
        return await process.wait(), said["stdout"].decode(), said["stderr"].decode()


async def _exec(driver: Driver, container_id: str, script: str, **changes: object) -> tuple[int, str, str]:
    return await _result(await driver.exec(container_id, _shell(script, **changes)))


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


async def test_output_of_any_size_comes_whole(lab: Lab) -> None:
    driver = lab.driver()
    container = await _running(lab, driver)
    code, said, _ = await _exec(driver, container, "yes 0123456 | head -c 3000000")
    assert code == 0
    assert said == "0123456\n" * 375_000


async def test_input_reaches_the_command(lab: Lab) -> None:
    driver = lab.driver()
    container = await _running(lab, driver)
    process = await driver.exec(container, _shell("cat; echo end", stdin=True))
    await process.write(b"hello\n")
    await process.close_stdin()
    assert await _result(process) == (0, "hello\nend\n", "")


async def test_what_cannot_be_run_says_why(lab: Lab) -> None:
    driver = lab.driver()
    container = await _running(lab, driver)
    process = await driver.exec(container, ExecConfig(("nosuch",)))
    (code, said, complaint), why = await asyncio.gather(_result(process), process.refusal())
    assert why == complaint.strip()
    process = await driver.exec(container, ExecConfig(("sleep", "1000")))
    reading = asyncio.create_task(_result(process))
    assert await process.refusal() == ""
    await process.kill()
    await reading
    assert (code, said) == (127, "")
    assert 'exec: "nosuch": not found in $PATH' in complaint
    assert complaint.count("\n") == complaint.count("nosuch") == 1
    code, *said = await _result(await driver.exec(container, ExecConfig(("nosuch",), tty=True)))
    assert (code, "".join(said).count("nosuch")) == (127, 1)
    code, _, complaint = await _result(await driver.exec(container, ExecConfig(("/srv/layer",))))
    assert code in {126, 127}  # a view of plain files calls it missing
    assert complaint
    with pytest.raises(NotFound):
        await driver.exec("unknown", ExecConfig(("true",)))
    await driver.stop(container, 0)
    with pytest.raises(FailedPrecondition, match="does not run"):
        await driver.exec(container, ExecConfig(("true",)))


async def test_a_command_has_its_own_user_and_no_more_rights_than_the_container(lab: Lab) -> None:
    driver = lab.driver()
    if not await lab.can(Ability.USER, lab.config("true", user="web")):
        container = await _running(lab, driver)
        with pytest.raises(FailedPrecondition, match="this node"):
            await driver.exec(container, _shell("true", user="web"))
        return
    container = await _running(lab, driver, hostname="here", user="web")
    script = "id -u; id -g; echo $HOME; hostname; grep -E 'CapEff|NoNewPrivs' /proc/self/status"
    code, said, _ = await _exec(driver, container, script)
    assert (code, said.split()[:4]) == (0, ["1234", "2345", "/home/web", "here"])
    assert said.split()[-1] == "1"
    own = await _exec(driver, container, "id -u; echo $HOME; grep CapBnd /proc/self/status", user="0")
    assert (own[0], own[1].split()[:2]) == (0, ["0", "/root"])
    if await lab.can(Ability.PRIVILEGED):
        all_of_it = await _exec(
            driver, container, "grep CapBnd /proc/self/status", user="0", privileged=True
        )
        bounds = [int(said[1].split()[-1], 16) for said in (own, all_of_it)]
        assert bounds[0] < bounds[1]
    else:
        with pytest.raises(FailedPrecondition, match="this node"):
            await driver.exec(container, _shell("true", privileged=True))
    with pytest.raises(FailedPrecondition, match="nobody-here"):
        await driver.exec(container, _shell("true", user="nobody-here"))


async def test_a_command_is_no_better_protected_from_lack_of_memory_than_its_container(lab: Lab) -> None:
    if not await lab.can(Ability.OOM_SCORE):
        return
    driver = lab.driver()
    container = await _running(lab, driver, oom_score_adj=900)
    assert await _exec(driver, container, "cat /proc/self/oom_score_adj") == (0, "900\n", "")


async def test_a_signal_reaches_the_command_alone(lab: Lab) -> None:
    driver = lab.driver()
    container = await _running(lab, driver)
    process = await driver.exec(
        container, _shell("trap 'echo told; exit 5' USR1; echo up; while :; do sleep 0.1; done")
    )
    said = b""
    async with asyncio.timeout(60):
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
    mark = marker()
    busy = await driver.exec(container, _shell(f"sleep {mark} & (sleep {mark} & sleep {mark}); wait"))
    await until(lambda: len(sleepers(mark)) == 3)
    await busy.kill()
    await busy.kill()
    assert await busy.wait() == 128 + 9
    assert not sleepers(mark)
    gone = await driver.exec(container, _shell(f"sleep {mark} >/dev/null 2>&1 & exit 4"))
    assert await gone.wait() == 4
    await until(lambda: len(sleepers(mark)) == 1)
    await gone.kill()
    assert not sleepers(mark)
    info = await driver.inspect(container)
    assert info is not None
    assert info.state is ContainerState.RUNNING


async def test_commands_end_with_their_container_and_with_the_driver(lab: Lab) -> None:
    driver = lab.driver()
    first, second = await _running(lab, driver), await _running(lab, driver)
    mark = marker()
    ends = await driver.exec(first, _shell(f"sleep {mark}"))
    await until(lambda: bool(sleepers(mark)))
    await driver.stop(first, 0)
    async with asyncio.timeout(60):
        await ends.wait()
    await until(lambda: not sleepers(mark))
    await driver.exec(second, _shell(f"sleep {mark}; true"))
    await until(lambda: bool(sleepers(mark)))
    await driver.close()
    assert not sleepers(mark)


async def test_a_command_that_nobody_waits_for_any_more_is_not_left_running(lab: Lab) -> None:
    driver = lab.driver()
    container = await _running(lab, driver)
    mark = marker()
    starting = asyncio.ensure_future(driver.exec(container, _shell(f"sleep {mark}")))
    await asyncio.sleep(0)
    starting.cancel()  # killing it may come before the command itself
    with pytest.raises(asyncio.CancelledError):
        await starting
    await driver.close()  # waits for what is unfinished
    assert not sleepers(mark)


class Screen:
    """What a command printed so far."""

    def __init__(self, process: ExecProcess) -> None:
        self.process = process
        self.text = b""
        self.reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        async for _, data in self.process.output():
            self.text += data

    async def sees(self, text: bytes) -> None:
        await until(lambda: text in self.text or self.reading.done())
        assert text in self.text, self.text


async def _terminal(driver: Driver, container_id: str, *command: str) -> Screen:
    config = ExecConfig(command=command, tty=True, stdin=True, rows=33, columns=111)
    return Screen(await driver.exec(container_id, config))


async def test_a_terminal_has_a_size_obeys_its_keys_and_hangs_up(lab: Lab) -> None:
    driver = lab.driver()
    container_id = await _running(lab, driver)
    screen = await _terminal(driver, container_id, "sh")
    await screen.process.write(b"[ -t 0 ] && [ -t 1 ] && echo is-a-$((1+1))-terminal\n")
    await screen.sees(b"is-a-2-terminal")
    await screen.process.write(b"stty size\n")
    await screen.sees(b"33 111")
    await screen.process.resize(44, 122)
    await screen.process.write(b"until stty size | grep '44 12[2]'; do sleep 0.1; done\n")
    await screen.sees(b"44 122")
    # The shell has the terminal for itself while it reads: what is typed before `cat` runs looks otherwise.
    await screen.process.write(b"echo go-$((1+1)); cat\n")
    await screen.sees(b"go-2")
    await screen.process.write(b"line-of-cat\n")
    await screen.sees(b"line-of-cat\r\nline-of-cat\r\n")
    await screen.process.write(b"\x03")
    await screen.sees(b"^C")
    # `cat` may still take the first line that follows, before it ends: it is typed until the shell hears it.
    async with asyncio.timeout(60):
        while b"after=130" not in screen.text:
            await screen.process.write(b"echo after=$?\n")
            await asyncio.sleep(0.3)
    await screen.process.write(b"exit 5\n")
    assert await screen.process.wait() == 5
    async with asyncio.timeout(60):
        await screen.reading
    left = await _terminal(driver, container_id, "sh")
    await left.process.write(b"echo here-$((1+1))\n")
    await left.sees(b"here-2")
    await left.process.kill()
    assert await left.process.wait() in {129, 137}
    async with asyncio.timeout(60):
        await left.reading
    await driver.remove(container_id)


async def test_much_goes_through_standard_input_and_comes_back(lab: Lab) -> None:
    driver = lab.driver()
    container_id = await _running(lab, driver)
    process = await driver.exec(container_id, ExecConfig(command=("cat",), stdin=True))
    screen = Screen(process)
    data = bytes(range(256)) * 20_000
    for at in range(0, len(data), 32768):
        await process.write(data[at : at + 32768])
    await process.close_stdin()
    async with asyncio.timeout(60):
        await screen.reading
    assert screen.text == data
    assert await process.wait() == 0
    await driver.remove(container_id)
