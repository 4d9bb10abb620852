"""From settings to a running container, and back to nothing."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from secrets import token_hex

import pytest

from swarm.config import Settings
from swarm.errors import FailedPrecondition
from swarm.runtime import select
from swarm.runtime.base import ContainerConfig
from swarm.runtime.fake import FakeDriver
from swarm.runtime.oci.cgroups import read_layout
from swarm.runtime.select import cleanup, open_driver
from tests.integration.cgroups import cgroup_name
from tests.integration.runtime.labs import Images

pytestmark = pytest.mark.integration


@pytest.fixture
def settings() -> Iterator[Settings]:
    base = Path(tempfile.mkdtemp(prefix="swarm-test-"))
    yield Settings(state_dir=base / "state", run_dir=base / "run", cgroup_parent=f"{cgroup_name()}/nested")
    shutil.rmtree(base)


@pytest.mark.parametrize("runtime", ["auto", "oci", "starter", "process"])
async def test_a_node_runs_containers_and_is_cleaned_up(
    settings: Settings, images: Images, runtime: str
) -> None:
    if os.geteuid() != 0 and runtime in {"oci", "starter"}:
        pytest.skip("containers need root")
    settings = replace(settings, runtime=runtime)
    opened = await open_driver(settings, images)
    driver, capabilities = opened.driver, opened.capabilities
    try:
        assert capabilities.isolated == (runtime != "process" and os.geteuid() == 0)
        await driver.adopt()
        config = ContainerConfig(
            id=f"task{token_hex(4)}", image="app", image_digest="app", command=["sleep", "100"]
        )
        await driver.create(config)
        pid = (await driver.start(config.id)).pid
        await driver.close()
        assert Path(f"/proc/{pid}").exists()
    finally:
        await cleanup(settings)
    assert not settings.containers_dir.exists()
    assert str(settings.state_dir) not in Path("/proc/self/mountinfo").read_text()
    top = settings.cgroup_parent.split("/")[0]
    assert not any((root / top).exists() for root in read_layout().roots)
    await cleanup(settings)


async def test_the_fake_runtime_is_there_for_simulated_agents(settings: Settings, images: Images) -> None:
    opened = await open_driver(replace(settings, runtime="fake"), images)
    assert isinstance(opened.driver, FakeDriver)


async def test_what_was_passed_over_is_said_with_its_reason(
    settings: Settings, images: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = replace(settings, docker_socket=settings.run_dir / "no.sock")
    with pytest.raises(FailedPrecondition, match=r"docker does not work on this node: .*no\.sock"):
        await open_driver(replace(settings, runtime="docker"), images)
    monkeypatch.setattr(select, "CONTAINERS", ("docker", "oci"))
    opened = await open_driver(settings, images)
    await opened.driver.close()
    await cleanup(settings)
    assert opened.capabilities.driver == "oci"
    assert opened.capabilities.info["passed_over"].startswith("docker: docker does not work on this node")


async def test_containers_of_another_driver_are_not_left_alone(settings: Settings, images: Images) -> None:
    opened = await open_driver(replace(settings, runtime="process"), images)
    config = ContainerConfig(id=f"task{token_hex(4)}", image="app", image_digest="app", command=["true"])
    await opened.driver.create(config)
    await opened.driver.close()
    try:
        with pytest.raises(FailedPrecondition, match=r"1 containers of the runtime process.*drain the node"):
            await open_driver(replace(settings, runtime="oci"), images)
        same = await open_driver(settings, images)  # auto stays with those that are there
        assert same.capabilities.driver == "process"
        await same.driver.close()
    finally:
        await cleanup(settings)
