"""What can happen between the agent and Docker's engine."""

import asyncio

import pytest

from swarm.errors import NotFound, Unavailable
from swarm.runtime.base import ContainerState
from swarm.runtime.docker.client import EngineClient
from tests.integration.runtime.labs import DockerLab, running, until

pytestmark = pytest.mark.integration


async def test_containers_go_on_and_are_watched_while_the_engine_is_restarted(docker_lab: DockerLab) -> None:
    driver = docker_lab.driver()
    lasting = await running(driver, docker_lab.config("sleep", "100"))
    ending = await running(driver, docker_lab.config("sleep 2; exit 9"))
    before = await driver.inspect(lasting)
    await asyncio.to_thread(docker_lab.engine.end)
    with pytest.raises(Unavailable, match="does not answer"):
        await driver.create(docker_lab.config("true"))
    await asyncio.to_thread(docker_lab.engine.start)
    assert (await asyncio.wait_for(driver.wait(ending), 60)).exit_code == 9
    assert await driver.inspect(lasting) == before
    await driver.stop(lasting, 0)
    assert (await driver.wait(lasting)).exit_code == 137


async def test_a_container_that_somebody_else_removes_has_failed(docker_lab: DockerLab) -> None:
    driver = docker_lab.driver()
    container = await running(driver, docker_lab.config("sleep", "100"))
    (name,) = docker_lab.engine.containers()
    await EngineClient(docker_lab.engine.socket).request("DELETE", f"/containers{name}", {"force": "1"})
    info = await asyncio.wait_for(driver.wait(container), 60)
    assert info.state is ContainerState.EXITED
    # Killed, if the engine could still be asked how it ended.
    assert (info.exit_code, info.error) in {(137, ""), (255, "the container was removed by somebody else")}
    await driver.remove(container)


async def test_images_of_the_store_leave_the_engine_when_the_store_has_them_no_more(
    docker_lab: DockerLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver, engine = docker_lab.driver(), docker_lab.engine
    await driver.create(docker_lab.config("true"))

    def has_app() -> bool:
        return any("swarm.local/images:app" in (one["RepoTags"] or ()) for one in engine.get("/images/json"))

    assert has_app()
    for info in await driver.adopt():
        await driver.remove(info.id)
    assert has_app()

    def gone(_: str) -> None:
        raise NotFound("no such image")

    monkeypatch.setattr(docker_lab.images, "image_config", gone)
    await driver.adopt()
    await until(lambda: not has_app())
