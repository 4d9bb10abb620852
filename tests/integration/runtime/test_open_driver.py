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
from swarm.runtime.base import ContainerConfig
from swarm.runtime.fake import FakeDriver
from swarm.runtime.oci.cgroups import read_layout
from swarm.runtime.select import cleanup, open_driver
from tests.integration.runtime.labs import Images

pytestmark = pytest.mark.integration


@pytest.fixture
def settings() -> Iterator[Settings]:
    base = Path(tempfile.mkdtemp(prefix="swarm-test-"))
    yield Settings(
        state_dir=base / "state", run_dir=base / "run", cgroup_parent=f"swarm-test-{token_hex(4)}/nested"
    )
    shutil.rmtree(base)


@pytest.mark.parametrize("runtime", ["auto", "oci", "starter", "process"])
async def test_a_node_runs_containers_and_is_cleaned_up(
    settings: Settings, images: Images, runtime: str
) -> None:
    if os.geteuid() != 0 and runtime in {"oci", "starter"}:
        pytest.skip("containers need root")
    settings = replace(settings, runtime=runtime)
    driver = await open_driver(settings, images)
    try:
        capabilities = await driver.probe()
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
    assert isinstance(await open_driver(replace(settings, runtime="fake"), images), FakeDriver)
