"""Plain processes: what they have in place of containers, and what they refuse."""

import asyncio
import os
from dataclasses import replace
from pathlib import Path

import pytest

from swarm.errors import TaskRejected
from swarm.runtime.base import BindMount, ContainerState, ExecConfig, Limits, TmpfsMount
from swarm.runtime.processes import Process, running_with
from swarm.runtime.state import Phase, read_record, write_record
from tests.integration.runtime.labs import LASTING, Lab, run, running, until

pytestmark = pytest.mark.integration


async def test_the_images_programs_come_before_the_nodes(process_lab: Lab) -> None:
    bottom = process_lab.images.app[1]
    link = bottom / "bin/readlink"
    if not link.is_symlink():
        link.symlink_to("/bin/busybox")  # in the image, not on the node
    result = await run(process_lab.driver(), process_lab.config("readlink", "/proc/self/exe"))
    assert result == (0, [str(bottom / "bin/busybox")])


async def test_the_nodes_programs_are_found_too(process_lab: Lab) -> None:
    assert (await run(process_lab.driver(), process_lab.config("/usr/bin/printf", "hi\\n")))[1] == ["hi"]


async def test_a_task_knows_its_address_and_its_files(process_lab: Lab) -> None:
    config = process_lab.config(
        'echo "$SWARM_TASK_ADDRESS"; cat "$SWARM_TASK_ROOTFS/srv/layer"; cat layer',
        address="127.0.0.5",
        working_dir="/srv",
    )
    assert await run(process_lab.driver(), config) == (0, ["127.0.0.5", "top", "top"])


async def test_removed_files_of_lower_layers_are_not_shown(process_lab: Lab) -> None:
    if os.geteuid() != 0:
        pytest.skip("making whiteouts needs root")
    assert await run(process_lab.driver(), process_lab.config("ls $SWARM_TASK_ROOTFS/srv")) == (0, ["layer"])


async def test_the_memory_limit_holds_for_each_process(process_lab: Lab) -> None:
    config = process_lab.config(
        "dd if=/dev/zero of=/dev/null bs=64M count=1 2>/dev/null || echo refused",
        limits=Limits(memory_bytes=16 * 1024 * 1024),
    )
    assert await run(process_lab.driver(), config) == (0, ["refused"])


async def test_nothing_of_the_agents_environment_arrives(
    process_lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENTS_SECRET", "x")
    assert await run(process_lab.driver(), process_lab.config('echo "[$AGENTS_SECRET]"')) == (0, ["[]"])


async def test_what_needs_containers_is_refused(process_lab: Lab, tmp_path: Path) -> None:
    driver = process_lab.driver()
    plain = process_lab.config("true")
    for config in (
        replace(plain, mounts=[TmpfsMount("/scratch")]),
        replace(plain, mounts=[BindMount(str(tmp_path), "/elsewhere")]),
        replace(plain, netns_path="/run/netns/x"),
        replace(plain, user="somebody-else"),
    ):
        with pytest.raises(TaskRejected, match="plain processes"):
            await driver.create(config)
    await driver.create(replace(plain, mounts=[BindMount(str(tmp_path), str(tmp_path))]))


async def test_it_says_what_is_reduced(process_lab: Lab) -> None:
    capabilities = await process_lab.driver().probe()
    assert not capabilities.isolated
    assert "network" in capabilities.info["not_isolated"]


async def test_the_next_agent_waits_for_a_shim_that_is_about_to_start_its_process(
    process_lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    shims: list[Process] = []

    def find(word: bytes) -> list[Process]:
        shims.extend(found := running_with(word))
        return found

    monkeypatch.setattr("swarm.runtime.process.driver._AGAIN_S", 0)
    monkeypatch.setattr("swarm.runtime.process.driver.running_with", find)
    driver = process_lab.driver()
    config = process_lab.config(LASTING)
    await driver.create(config)
    began = await driver.start(config.id)
    await driver.close()
    # As if the agent had been killed during the start, and the shim had come no further than to its permit.
    folder = process_lab.base / "state/containers" / config.id
    (used,) = folder.glob("permit-*.used")
    record = read_record(folder / "state.json")
    assert record is not None
    write_record(folder / "state.json", replace(record, phase=Phase.STARTING, pid=0, shim_pid=0))
    written = folder / "processes.json"
    written.rename(folder / "later.json")
    driver = process_lab.driver()
    adopting = asyncio.create_task(driver.adopt())
    await until(lambda: bool(shims))
    for _ in range(1000):
        await asyncio.sleep(0)
    (folder / "later.json").rename(written)
    (found,) = await adopting
    assert used.exists()
    assert (found.id, found.state, found.pid) == (config.id, ContainerState.RUNNING, began.pid)


async def test_a_command_beside_a_plain_process_has_its_limits(process_lab: Lab) -> None:
    driver = process_lab.driver()
    container = await running(driver, process_lab.config(LASTING, limits=Limits(memory_bytes=64 << 20)))
    script = 'while [ "$(ulimit -d)" = unlimited ]; do sleep 0.05; done; ulimit -d'
    process = await driver.exec(container, ExecConfig(("sh", "-c", script)))
    assert [data async for _, data in process.output()] == [b"65536\n"]
    assert await process.wait() == 0
