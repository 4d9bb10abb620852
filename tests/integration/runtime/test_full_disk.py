"""A full disk costs output and new containers, never the truth about those that run."""

import asyncio
import errno
import os
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from swarm.errors import TaskRejected
from swarm.runtime.base import ContainerState
from tests.integration.runtime.labs import Lab, said, until

pytestmark = pytest.mark.integration


@pytest.fixture
async def small_disk(shim_lab: Lab) -> AsyncIterator[Path]:
    state = shim_lab.base / "state"
    state.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m,nr_inodes=10000", "none", str(state)], check=True)
    try:
        yield state
    finally:
        for driver in shim_lab.drivers:
            await driver.close()
        shim_lab.drivers.clear()
        (state / "filler").unlink(missing_ok=True)
        driver = shim_lab.driver()
        for info in await driver.adopt():
            await driver.remove(info.id)
        await driver.close()
        subprocess.run(["umount", str(state)], check=True)


def _fill(disk: Path) -> None:
    fd = os.open(disk / "filler", os.O_WRONLY | os.O_CREAT)
    try:
        while True:
            os.write(fd, b"x" * 4096)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
    finally:
        os.close(fd)


async def test_a_container_that_cannot_be_made_says_why_and_leaves_nothing(
    shim_lab: Lab, small_disk: Path
) -> None:
    driver = shim_lab.driver()
    await driver.probe()
    await driver.adopt()
    (small_disk / "containers").mkdir(exist_ok=True)
    _fill(small_disk)
    config = shim_lab.config("exit 3")
    with pytest.raises(TaskRejected, match="No space left"):
        await driver.create(config)
    assert await driver.inspect(config.id) is None
    assert [path for path in shim_lab.leftovers() if path != str(small_disk)] == []
    (small_disk / "filler").unlink()
    await driver.create(config)
    await driver.start(config.id)
    assert (await driver.wait(config.id)).exit_code == 3


async def test_the_exit_code_of_a_running_container_is_not_lost(shim_lab: Lab, small_disk: Path) -> None:
    driver = shim_lab.driver()
    config = shim_lab.config("echo up; sleep 0.3; echo down; exit 21")
    await driver.create(config)
    await driver.start(config.id)

    async def is_up() -> bool:
        return "up" in await said(driver, config.id)

    await until(is_up)
    _fill(small_disk)
    info = await asyncio.wait_for(driver.wait(config.id), 60)
    assert (info.state, info.exit_code) == (ContainerState.EXITED, 21)
    await driver.close()
    driver = shim_lab.driver()
    (info,) = await driver.adopt()
    info = await asyncio.wait_for(driver.wait(config.id), 60)
    assert (info.state, info.exit_code) == (ContainerState.EXITED, 21)
