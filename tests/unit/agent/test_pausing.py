"""Containers that their agent paused while it read their files, also by one that was killed meanwhile."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from swarm.agent.containers.pausing import Pausing
from swarm.agent.database import Database
from swarm.api.v1.containers_pb2 import CommitContainer, ContainerQuestion, PauseContainer, UnpauseContainer
from swarm.errors import FailedPrecondition
from swarm.runtime.base import ContainerConfig
from swarm.runtime.fake import FakeDriver
from tests.unit.agent.lab import until
from tests.unit.agent.test_container_files import Asked
from tests.unit.agent.test_containers import Person, ShellDriver, a_container, about


@asynccontextmanager
async def a_life(path: Path, driver: FakeDriver) -> AsyncIterator[Pausing]:
    """One life of an agent: what the one before left is resumed, as at every start."""
    database = Database(path)
    stored = await database.open("n1", 1)
    writing = asyncio.create_task(database.run())
    try:
        pausing = Pausing(driver, database)
        await pausing.resume(stored.pauses)
        yield pausing
    finally:
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)
        await database.close()


async def is_paused(driver: FakeDriver, container_id: str) -> bool:
    info = await driver.inspect(container_id)
    assert info is not None
    return info.paused


@pytest.fixture
async def driver() -> AsyncIterator[FakeDriver]:
    made = FakeDriver()
    for name in ("one", "other"):
        await made.create(ContainerConfig(name, "web:1", "sha256:0"))
        await made.start(name)
    yield made
    await made.close()


async def test_the_next_agent_lets_go_on_what_one_left_paused_and_nothing_else(
    tmp_path: Path, driver: FakeDriver
) -> None:
    path = tmp_path / "tasks.db"
    await driver.pause("other")  # by people
    async with a_life(path, driver) as killed, killed.paused("one"), killed.paused("other"):
        assert await is_paused(driver, "one")
        async with a_life(path, driver):
            assert not await is_paused(driver, "one")
            assert await is_paused(driver, "other")
    await driver.pause("one")
    async with a_life(path, driver):  # it was let go on, so what was noted is gone
        assert await is_paused(driver, "one")


async def test_what_people_do_meanwhile_counts(tmp_path: Path, driver: FakeDriver) -> None:
    path = tmp_path / "tasks.db"
    async with a_life(path, driver) as pausing:
        async with pausing.paused("one"):
            pausing.leave_to_others("one")
        assert await is_paused(driver, "one")
    async with a_life(path, driver):
        assert await is_paused(driver, "one")


async def test_a_pause_that_failed_leaves_no_note(tmp_path: Path, driver: FakeDriver) -> None:
    path = tmp_path / "tasks.db"
    pause = driver.pause

    async def refuse(container_id: str) -> None:
        raise FailedPrecondition("no freezer")

    async with a_life(path, driver) as pausing:
        driver.pause = refuse  # type: ignore[method-assign]
        with pytest.raises(FailedPrecondition):
            await pausing.paused("one").__aenter__()
    await pause("one")
    async with a_life(path, driver):
        assert await is_paused(driver, "one")


async def test_an_agent_begins_with_those_that_were_left_paused(tmp_path: Path) -> None:
    async with a_container(tmp_path) as (lab, driver, task):
        node = lab.agents["n1"]
        await node.stop()
        await driver.pause(task.id)
        database = Database(node.settings.agent_dir / "tasks.db")
        await database.open("n1", 1)
        database.put_pause(task.id)
        await database.close()
        await node.start()
        await until(lambda: node.agent.connected)
        assert not await is_paused(driver, task.id)


class PausedByHand(ShellDriver):
    """While a layer is read, somebody says what is to be; then the reading goes on."""

    ask: Asked
    question: ContainerQuestion

    async def layer(self, container_id: str) -> AsyncIterator[bytes]:
        await self.ask(self.question)
        yield container_id.encode()


async def test_a_pause_by_hand_outlives_the_commit_that_it_fell_into(tmp_path: Path) -> None:
    async with a_container(tmp_path, driver=PausedByHand()) as (lab, driver, task):
        assert isinstance(driver, PausedByHand)
        driver.ask = Asked(lab)
        for by_hand, paused in ((about(task, pause=PauseContainer()), True),
                                (about(task, unpause=UnpauseContainer()), False)):  # fmt: skip
            driver.question = by_hand
            await driver.unpause(task.id)
            await driver.ask(about(task, commit=CommitContainer(reference="web:2", pause=True)))
            assert await is_paused(driver, task.id) is paused


async def test_who_pauses_twice_is_told(tmp_path: Path) -> None:
    async with a_container(tmp_path) as (lab, _driver, task):

        async def refused(question: ContainerQuestion, match: str) -> None:
            with pytest.raises(FailedPrecondition, match=match):
                await Person(lab.managers[0], question).end()

        await refused(about(task, unpause=UnpauseContainer()), "is not paused")
        await Person(lab.managers[0], about(task, pause=PauseContainer())).end()
        await refused(about(task, pause=PauseContainer()), "is paused already")
        await Person(lab.managers[0], about(task, unpause=UnpauseContainer())).end()
