"""What can happen between the agent and Docker's engine."""

import asyncio
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from swarm.errors import FailedPrecondition, NotFound, TaskRejected, Unavailable
from swarm.runtime.base import Attachment, ContainerState, Limits
from swarm.runtime.docker.client import EngineClient
from swarm.runtime.oci.overlay import unmount
from tests.integration.runtime.labs import DockerLab, Driver, run, running, said, until

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


async def test_what_the_engine_made_too_late_for_a_killed_agent_gives_way(docker_lab: DockerLab) -> None:
    driver, killed = docker_lab.driver(), docker_lab.driver()
    config = docker_lab.config("exit 4")
    assert list(await driver.adopt()) == []
    await killed.create(config)
    assert (await run(driver, config))[0] == 4
    assert len(docker_lab.engine.containers()) == 1


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


async def _heard(attachment: Attachment) -> bytes:
    return b"".join([data async for _, data in attachment.output()])


async def test_input_reaches_the_command_and_its_end_too(docker_lab: DockerLab) -> None:
    driver = docker_lab.driver()
    config = docker_lab.config("wc -c", stdin=True, stdin_once=True)
    await driver.create(config)
    attachment = await driver.attach(config.id)
    await driver.start(config.id)
    hearing = asyncio.create_task(_heard(attachment))
    async with asyncio.timeout(60):
        for _ in range(64):
            await attachment.write(b"x" * 32768)
        await attachment.close_stdin()
        assert int(await hearing) == 64 * 32768
        assert (await driver.wait(config.id)).exit_code == 0
    await attachment.close()


async def test_a_terminal_is_typed_at_resized_and_left(docker_lab: DockerLab) -> None:
    driver = docker_lab.driver()
    config = docker_lab.config(
        "while read -r word; do stty size; echo got $word; done", stdin=True, tty=True
    )
    await driver.create(config)
    attachment = await driver.attach(config.id)
    await attachment.resize(33, 77)
    await driver.start(config.id)
    await attachment.resize(44, 88)
    seen = bytearray()

    async def gather() -> None:
        async for _, data in attachment.output():
            seen.extend(data)

    hearing = asyncio.create_task(gather())
    await attachment.write(b"hello\n")
    await until(lambda: b"44 88" in seen and b"got hello" in seen)
    hearing.cancel()
    await attachment.close()
    info = await driver.inspect(config.id)
    assert info is not None
    assert info.state is ContainerState.RUNNING
    with pytest.raises(FailedPrecondition, match="runs"):
        await driver.renew(config)


@pytest.fixture
def namespace(tmp_path: Path) -> Iterator[Callable[[], str]]:
    """Make a network namespace at one and the same path, in place of the one before; return its inode."""
    path = tmp_path / "network"
    path.touch()

    def make() -> str:
        unmount(path)
        subprocess.run(("unshare", f"--net={path}", "true"), check=True)
        return f"net:[{path.stat().st_ino}]"

    yield make
    unmount(path)


async def test_a_container_runs_again_in_the_network_that_its_path_leads_to_by_then(
    docker_lab: DockerLab, namespace: Callable[[], str], tmp_path: Path
) -> None:
    driver = docker_lab.driver()
    where = "echo $(ls -l /proc/self/ns/net); cat /etc/hosts; exec sleep 1000"
    first = docker_lab.config(
        where,
        netns_path=str(tmp_path / "network"),
        hostname="box",
        address="10.0.0.1",
        limits=Limits(pids=9),
    )
    inodes = [namespace()]
    await driver.create(first)
    await driver.start(first.id)
    await until(lambda: _says(driver, first.id, "10.0.0.1"))
    await driver.stop(first.id, 0)
    inodes.append(namespace())
    again = replace(first, address="10.0.0.2", limits=Limits())
    await driver.renew(again)
    await driver.close()
    driver = docker_lab.driver()  # the agent was restarted in this moment
    (info,) = await driver.adopt()
    assert info.state is ContainerState.CREATED
    await driver.start(first.id)
    await until(lambda: _says(driver, first.id, "10.0.0.2"))
    said_so = "\n".join(await said(driver, first.id))
    assert [inode in said_so for inode in inodes] == [True, True]
    (name,) = docker_lab.engine.containers()
    assert (docker_lab.engine.get(f"/containers{name}/json"))["HostConfig"]["PidsLimit"] in {None, 0, -1}
    await driver.stop(first.id, 0)
    with pytest.raises(TaskRejected, match="another network"):
        await driver.renew(replace(again, netns_path=""))
    await driver.renew(again)
    await driver.stop(first.id, 0)
    await driver.close()
    (info,) = await docker_lab.driver().adopt()
    assert (info.state, info.error) == (ContainerState.EXITED, "stopped before it was started")


async def _says(driver: Driver, container_id: str, text: str) -> bool:
    return text in "\n".join(await said(driver, container_id))
