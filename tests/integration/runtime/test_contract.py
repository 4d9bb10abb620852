"""What the agent relies on, with every driver that there is: the scriptable one too."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from swarm.errors import NotFound
from swarm.ids import new_id
from swarm.runtime.base import ContainerConfig, ContainerState, LogQuery, RuntimeDriver
from swarm.runtime.fake import FakeDriver, Script
from tests.integration.runtime.conftest import Images, Lab, lab_of

pytestmark = pytest.mark.integration


@dataclass
class Bench:
    """A driver, and containers with two ways to behave."""

    driver: RuntimeDriver

    def lasting(self) -> ContainerConfig:
        return self._config("sleep 100", Script())

    def ending(self) -> ContainerConfig:
        return self._config(
            "echo one; echo two; exit 3", Script(runs_s=0, exit_code=3, output=(b"one", b"two"))
        )

    def _config(self, shell: str, script: Script) -> ContainerConfig:
        config = ContainerConfig(id=new_id(), image="app", image_digest="app", command=["sh", "-c", shell])
        if isinstance(self.driver, FakeDriver):
            self.driver.scripts[config.id] = script
        return config


@pytest.fixture(params=["fake", "oci-crun", "oci-runc", "process"])
async def bench(request: pytest.FixtureRequest, images: Images) -> AsyncIterator[Bench]:
    if request.param == "fake":
        yield Bench(FakeDriver())
        return
    lab: Lab
    async for lab in lab_of(request.param, images):
        yield Bench(lab.driver())


async def test_from_nothing_to_nothing(bench: Bench) -> None:
    driver, config = bench.driver, bench.ending()
    await driver.probe()
    assert list(await driver.adopt()) == []
    assert await driver.inspect(config.id) is None
    await driver.create(config)
    created = await driver.inspect(config.id)
    assert created is not None
    assert created.state is ContainerState.CREATED
    started = await driver.start(config.id)
    assert started.started_at_ns > 0
    ended = await asyncio.wait_for(driver.wait(config.id), 20)
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


async def test_every_call_may_be_repeated(bench: Bench) -> None:
    driver, config = bench.driver, bench.lasting()
    for _ in range(2):
        await driver.create(config)
    first = await driver.start(config.id)
    assert await driver.start(config.id) == first
    await driver.create(config)
    assert await driver.inspect(config.id) == first
    for _ in range(2):
        await driver.stop(config.id, 0.2)
    assert await driver.wait(config.id) == await driver.wait(config.id)
    for _ in range(2):
        await driver.remove(config.id)


async def test_stopping_ends_a_container_and_those_who_wait(bench: Bench) -> None:
    driver, config = bench.driver, bench.lasting()
    await driver.create(config)
    await driver.start(config.id)
    waiting = asyncio.create_task(driver.wait(config.id))
    await driver.stop(config.id, 0.2)
    info = await asyncio.wait_for(waiting, 10)
    assert info.state is ContainerState.EXITED
    assert info.exit_code in {137, 143}


async def test_a_running_container_can_be_removed(bench: Bench) -> None:
    driver, config = bench.driver, bench.lasting()
    await driver.create(config)
    await driver.start(config.id)
    await driver.remove(config.id)
    assert await driver.inspect(config.id) is None


async def test_what_is_not_known(bench: Bench) -> None:
    driver = bench.driver
    assert await driver.inspect("unknown") is None
    assert await driver.sample("unknown") is None
    await driver.remove("unknown")
    with pytest.raises(NotFound):
        await driver.start("unknown")
    with pytest.raises(NotFound):
        await driver.wait("unknown")
