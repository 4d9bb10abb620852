"""Paused containers, and files copied in and out, with every driver that can; the others say no."""

import asyncio
import contextlib
import io
import tarfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from swarm.errors import FailedPrecondition, InvalidArgument, NotFound
from swarm.runtime.abilities import Ability
from swarm.runtime.base import ContainerState, ExecConfig
from tests.integration.runtime.labs import Driver, Lab, until

pytestmark = pytest.mark.integration


async def _running(lab: Lab, driver: Driver, script: str = "while :; do sleep 1; done") -> str:
    config = lab.config(script)
    await driver.create(config)
    await driver.start(config.id)
    return config.id


async def test_a_paused_container_stands_still_and_can_still_be_stopped(lab: Lab) -> None:
    driver = lab.driver()
    container_id = await _running(lab, driver)

    async def sleeps() -> bool:
        return any("sleep" in one.command for one in await driver.processes(container_id))

    await until(sleeps)
    if not await lab.can(Ability.PAUSE):
        with pytest.raises(FailedPrecondition, match="this node"):
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
    async with asyncio.timeout(60):
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
    if not await lab.can(Ability.COPY):
        with pytest.raises(FailedPrecondition, match="this node"):
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
    if not await lab.can(Ability.COPY):
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
