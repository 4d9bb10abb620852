"""One container that runs more than once, and those who look on at it."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from swarm.errors import FailedPrecondition, TaskRejected
from swarm.runtime.base import Attachment, ContainerState
from tests.integration.runtime.labs import Images, Lab, discard, new_lab, said, until


@pytest.fixture
async def oci_lab(images: Images) -> AsyncIterator[Lab]:
    lab = new_lab("oci-crun", images)
    yield lab
    assert not await discard(lab)


async def read(attachment: Attachment) -> bytes:
    return b"".join([data async for _, data in attachment.output()])


async def test_a_renewed_container_keeps_its_files_and_its_output(lab: Lab) -> None:
    driver = lab.driver()
    place = "/kept" if lab.isolated else "$HOME/kept"
    config = lab.config(f"echo run >>{place}; echo $(cat {place} | wc -l) times")
    await driver.create(config)
    for _ in range(3):
        await driver.start(config.id)
        assert (await driver.wait(config.id)).exit_code == 0
        await driver.renew(config)
        await driver.renew(config)  # twice changes nothing
    info = await driver.inspect(config.id)
    assert info is not None
    assert info.state is ContainerState.CREATED
    lines = [line.split()[0] for line in await said(driver, config.id)]
    assert lines == ["1", "2", "3"]
    await driver.remove(config.id)
    assert not lab.leftovers()


async def test_a_container_of_an_earlier_boot_runs_again_with_its_files(
    oci_lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = oci_lab.driver()
    config = oci_lab.config("test -e /mark && exit 7; touch /mark; sleep 1000")
    await first.create(config)
    await first.start(config.id)
    await until((oci_lab.base / "state/containers" / config.id / "upper/mark").exists)
    await first.kill(config.id, "KILL")
    await first.wait(config.id)
    await first.close()
    for name in ("shim_driver", "renewing_driver", "oci.creation"):
        monkeypatch.setattr(f"swarm.runtime.{name}.boot_id", lambda: "another boot")
    second = oci_lab.driver()
    await second.adopt()
    await second.renew(config)
    await second.start(config.id)
    assert (await second.wait(config.id)).exit_code == 7


async def test_a_renewal_that_fails_leaves_the_ended_container(oci_lab: Lab) -> None:
    driver = oci_lab.driver()
    config = oci_lab.config("exit 3")
    await driver.create(config)
    await driver.start(config.id)
    await driver.wait(config.id)
    wrong = oci_lab.config("true", id=config.id, user="nobody-knows-me")
    with pytest.raises(TaskRejected):
        await driver.renew(wrong)
    info = await driver.inspect(config.id)
    assert info is not None
    assert (info.state, info.exit_code) == (ContainerState.EXITED, 3)
    await driver.renew(config)
    await driver.start(config.id)
    assert (await driver.wait(config.id)).exit_code == 3
    running = oci_lab.config("sleep 1000")
    await driver.create(running)
    await driver.start(running.id)
    with pytest.raises(FailedPrecondition, match="runs"):
        await driver.renew(running)
    with pytest.raises(FailedPrecondition, match="does not run"):
        await driver.attach(config.id)


async def test_who_attaches_before_the_start_misses_nothing(lab: Lab) -> None:
    driver = lab.driver()
    config = lab.config("echo out; echo err >&2; exit 5")
    await driver.create(config)
    attachment = await driver.attach(config.id)
    reading = asyncio.create_task(_streams(attachment))
    await asyncio.sleep(0)
    await driver.start(config.id)
    async with asyncio.timeout(60):
        assert await reading == {"stdout": b"out\n", "stderr": b"err\n"}
        assert (await driver.wait(config.id)).exit_code == 5
    await attachment.close()


async def test_who_reads_only_after_the_end_misses_nothing_either(lab: Lab) -> None:
    driver = lab.driver()
    config = lab.config("echo out; echo err >&2; exit 5")
    await driver.create(config)
    attachment = await driver.attach(config.id)
    await driver.start(config.id)
    async with asyncio.timeout(60):
        assert (await driver.wait(config.id)).exit_code == 5
        assert await _streams(attachment) == {"stdout": b"out\n", "stderr": b"err\n"}
    await attachment.close()


async def _streams(attachment: Attachment) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    async for stream, data in attachment.output():
        found[stream] = found.get(stream, b"") + data
    return found


async def test_input_reaches_the_command_and_its_end_too(oci_lab: Lab) -> None:
    driver = oci_lab.driver()
    config = oci_lab.config("wc -c", stdin=True, stdin_once=True)
    await driver.create(config)
    attachment = await driver.attach(config.id)
    await driver.start(config.id)
    reading = asyncio.create_task(read(attachment))
    async with asyncio.timeout(60):
        for _ in range(64):
            await attachment.write(b"x" * 32768)
        await attachment.close_stdin()
        assert int(await reading) == 64 * 32768
        assert (await driver.wait(config.id)).exit_code == 0
    await attachment.close()


async def test_a_slow_reader_gets_everything(oci_lab: Lab) -> None:
    driver = oci_lab.driver()
    config = oci_lab.config("yes 0123456789 | head -c 3000000")
    await driver.create(config)
    attachment = await driver.attach(config.id)
    await driver.start(config.id)
    size = 0
    async with asyncio.timeout(60):
        async for _, data in attachment.output():
            if size == 0:
                await asyncio.sleep(1.0)
            size += len(data)
    await attachment.close()
    assert size == 3000000


async def test_a_terminal_is_resized_typed_at_and_left(oci_lab: Lab) -> None:
    driver = oci_lab.driver()
    # The shim may hear of the size after the program was started.
    sized = "until stty size | grep '33 77'; do sleep 0.1; done"
    config = oci_lab.config(f"{sized}; read -r word; echo got $word; sleep 1000", stdin=True, tty=True)
    await driver.create(config)
    attachment = await driver.attach(config.id)
    await attachment.resize(33, 77)
    await driver.start(config.id)
    seen = bytearray()

    async def gather() -> None:
        async for _, data in attachment.output():
            seen.extend(data)

    reading = asyncio.create_task(gather())
    await until(_shows(seen, b"33 77"))
    await attachment.write(b"hello\n")
    await until(_shows(seen, b"got hello"))
    reading.cancel()
    await attachment.close()
    info = await driver.inspect(config.id)
    assert info is not None
    assert info.state is ContainerState.RUNNING
    again = await driver.attach(config.id)
    await again.close()


def _shows(seen: bytearray, text: bytes) -> Callable[[], bool]:
    return lambda: text in bytes(seen)
