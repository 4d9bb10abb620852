"""Terminals of commands, paused containers, and files copied in and out: with every driver."""

import asyncio
import contextlib
import io
import tarfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from swarm.errors import FailedPrecondition, InvalidArgument, NotFound
from swarm.runtime.base import ContainerState, ExecConfig, ExecProcess
from tests.integration.runtime.conftest import Driver, Lab, until

pytestmark = pytest.mark.integration


async def _running(lab: Lab, driver: Driver, script: str = "while :; do sleep 1; done") -> str:
    config = lab.config(script)
    await driver.create(config)
    await driver.start(config.id)
    return config.id


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
    await screen.process.write(b"sleep 0.3; stty size\n")
    await screen.sees(b"44 122")
    await screen.process.write(b"cat\n")

    async def reads() -> bool:
        if not lab.isolated:  # its command line is that of the node's own program
            await asyncio.sleep(0.3)
            return True
        return "cat" in [one.command for one in await driver.processes(container_id)]

    await until(reads)
    await screen.process.write(b"line-of-cat\n")
    await screen.sees(b"line-of-cat\r\nline-of-cat\r\n")
    await screen.process.write(b"\x03")
    await screen.sees(b"^C")
    await screen.process.write(b"echo after=$?\n")
    await screen.sees(b"after=130")
    await screen.process.write(b"exit 5\n")
    assert await screen.process.wait() == 5
    async with asyncio.timeout(10):
        await screen.reading
    left = await _terminal(driver, container_id, "sh")
    await left.process.write(b"echo here-$((1+1))\n")
    await left.sees(b"here-2")
    await left.process.kill()
    assert await left.process.wait() in {129, 137}
    async with asyncio.timeout(10):
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
    async with asyncio.timeout(30):
        await screen.reading
    assert screen.text == data
    assert await process.wait() == 0
    await driver.remove(container_id)


async def test_a_paused_container_stands_still_and_can_still_be_stopped(lab: Lab) -> None:
    driver = lab.driver()
    container_id = await _running(lab, driver)

    async def sleeps() -> bool:
        return any("sleep" in one.command for one in await driver.processes(container_id))

    await until(sleeps)
    if not lab.isolated:
        with pytest.raises(FailedPrecondition, match="plain processes"):
            await driver.pause(container_id)
        await driver.remove(container_id)
        return
    await driver.pause(container_id)
    info = await driver.inspect(container_id)
    assert info is not None
    assert (info.state, info.paused) == (ContainerState.RUNNING, True)
    with pytest.raises(FailedPrecondition, match="paused"):
        await driver.exec(container_id, ExecConfig(command=("true",)))
    adopted = lab.driver()
    await driver.close()
    await adopted.adopt()
    info = await adopted.inspect(container_id)
    assert info is not None
    assert info.paused
    await adopted.unpause(container_id)
    process = await adopted.exec(container_id, ExecConfig(command=("true",)))
    assert await process.wait() == 0
    await adopted.pause(container_id)
    async with asyncio.timeout(20):
        await adopted.stop(container_id, 0.2)
    info = await adopted.inspect(container_id)
    assert info is not None
    assert (info.state, info.paused) == (ContainerState.EXITED, False)
    await adopted.remove(container_id)


def _archive(*entries: tuple[tarfile.TarInfo, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for entry, data in entries:
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


def _entry(name: str, kind: bytes = tarfile.REGTYPE, **fields: Any) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type = kind
    entry.mode = 0o4755
    for key, value in fields.items():
        setattr(entry, key, value)
    return entry


async def _chunks(data: bytes) -> AsyncIterator[bytes]:
    for at in range(0, len(data), 10_000):
        yield data[at : at + 10_000]


async def _fetched(driver: Driver, container_id: str, path: str, *, follow: bool = False) -> tarfile.TarFile:
    data = b"".join([chunk async for chunk in driver.copy_from(container_id, path, follow=follow)])
    return tarfile.open(fileobj=io.BytesIO(data))


async def test_files_are_copied_and_no_link_or_name_means_a_file_of_the_node(
    lab: Lab, tmp_path: Path
) -> None:
    driver = lab.driver()
    container_id = await _running(lab, driver)
    if not lab.isolated:
        with pytest.raises(FailedPrecondition, match="plain processes"):
            await driver.copy_to(container_id, "/tmp", _chunks(b""))
        await driver.remove(container_id)
        return
    (tmp_path / "secret").write_text("of the node")
    hostile = _archive(
        (_entry("t", tarfile.DIRTYPE), b""),
        (_entry("t/file", uid=1234, gid=2345), b"x" * 100_000),
        (_entry("t/out", tarfile.SYMTYPE, linkname=str(tmp_path)), b""),
        (_entry("t/up", tarfile.SYMTYPE, linkname="../../../../.." + str(tmp_path)), b""),
        (_entry("../../../../../../etc/above"), b"above"),
        (_entry(f"/{tmp_path}/absolute"), b"absolute"),
        (_entry("way", tarfile.SYMTYPE, linkname="/etc"), b""),
        (_entry("way/through"), b"through"),
    )
    await driver.copy_to(container_id, "/tmp", _chunks(hostile))
    assert [path.name for path in tmp_path.iterdir()] == ["secret"]
    assert not Path("/etc/above").exists()
    assert not Path("/etc/through").exists()
    tree = await _fetched(driver, container_id, "/tmp/t")
    assert sorted(tree.getnames()) == ["t", "t/file", "t/out", "t/up"]
    file = tree.getmember("t/file")
    assert (file.uid, file.gid, file.mode, file.size) == (0, 0, 0o755, 100_000)
    assert (await _fetched(driver, container_id, "/etc/through")).getmember("through").size == len("through")
    for way in ("/tmp/t/out/secret", "/tmp/t/up/secret"):
        with pytest.raises(NotFound):
            await _fetched(driver, container_id, way)
    link = (await _fetched(driver, container_id, "/tmp/t/out")).getmember("out")
    assert link.issym()
    owned = _archive((_entry("mine", uid=1234, gid=2345), b"m"))
    await driver.copy_to(container_id, "/tmp/t", _chunks(owned), keep_owner=True)
    mine = (await _fetched(driver, container_id, "/tmp/t/mine")).getmember("mine")
    assert (mine.uid, mine.gid, mine.mode) == (1234, 2345, 0o4755)
    assert await driver.path_kind(container_id, "/tmp/t") == "directory"
    assert await driver.path_kind(container_id, "/tmp/none") == ""
    for path, archive, error in (
        ("/tmp/none", owned, NotFound),
        ("/tmp", b"no archive at all" * 100, InvalidArgument),
        ("/tmp", _archive((_entry("fifo", tarfile.FIFOTYPE), b"")), InvalidArgument),
        ("/tmp", _archive((_entry("t"), b"a file for a directory")), InvalidArgument),
    ):
        with pytest.raises(error):
            await driver.copy_to(container_id, path, _chunks(archive))
    await driver.stop(container_id, 0.1)
    assert (await _fetched(driver, container_id, "/tmp/t/file")).getmember("file").size == 100_000
    await driver.remove(container_id)


async def test_a_copy_that_is_given_up_leaves_no_process(lab: Lab) -> None:
    if not lab.isolated:
        return
    driver = lab.driver()
    container_id = await _running(lab, driver)
    stream = driver.copy_from(container_id, "/bin")
    await anext(stream)
    await stream.aclose()  # type: ignore[attr-defined]

    async def stuck() -> AsyncIterator[bytes]:
        yield b"x"
        await asyncio.sleep(1000)

    copying = asyncio.create_task(driver.copy_to(container_id, "/tmp", stuck()))
    await asyncio.sleep(0.2)
    copying.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await copying
    await driver.remove(container_id)
