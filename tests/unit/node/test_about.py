"""What a daemon says of its machine, and of what is on it."""

import asyncio
from pathlib import Path

import pytest

from swarm.agent.task_machine import TaskRecord
from swarm.api.v1.objects_pb2 import Task
from swarm.api.v1.types_pb2 import TaskStatus
from swarm.config import Settings
from swarm.errors import Unavailable
from swarm.node import about
from swarm.node.about import counts, machine, machine_info
from swarm.runtime.base import Capabilities, ContainerConfig
from swarm.runtime.fake import FakeDriver


async def test_containers_are_counted_by_what_they_do() -> None:
    driver = FakeDriver()
    for name in ("runs", "rests", "waits"):
        await driver.create(ContainerConfig(name, "web:1", "sha256:1"))
    await driver.start("runs")
    await driver.start("rests")
    await driver.pause("rests")
    records = {
        name: TaskRecord(Task(id=name, service_id="s1"), TaskStatus())
        for name in ("runs", "rests", "waits", "gone")
    }
    found = await counts(driver, records | {"made": TaskRecord(Task(id="made"), TaskStatus())})
    assert (found.running, found.paused, found.stopped) == (1, 1, 2)


@pytest.mark.parametrize("silent", [False, True])
async def test_a_driver_that_cannot_tell_holds_up_nobody(
    monkeypatch: pytest.MonkeyPatch, *, silent: bool
) -> None:
    driver = FakeDriver()

    async def inspect(_: str) -> None:
        if silent:
            await asyncio.Event().wait()
        raise Unavailable("the engine does not answer")

    monkeypatch.setattr(driver, "inspect", inspect)
    monkeypatch.setattr(about, "COUNT_S", 0.01)
    records = {"runs": TaskRecord(Task(id="runs", service_id="s1"), TaskStatus())}
    assert await about.counts_in_time(driver, records) is None


async def test_outside_of_a_cluster_there_are_none_and_a_locked_manager_does_not_know(
    tmp_path: Path,
) -> None:
    settings = Settings(state_dir=tmp_path)
    alone = await machine_info(settings, None, locked=False)
    assert alone.HasField("containers")
    assert not alone.containers.running
    assert (alone.os_type, alone.root_dir) == ("linux", str(tmp_path))
    assert alone.kernel_version
    assert alone.cpus
    assert not (await machine_info(settings, None, locked=True)).HasField("containers")


def test_how_containers_are_run_is_said_as_far_as_it_is_known() -> None:
    settings = Settings()

    def said(found: Capabilities | None) -> tuple[str, str, str]:
        about = machine(settings, found)
        return about.storage_driver, about.cgroup_driver, about.cgroup_version

    assert said(None) == ("", "", "")
    assert said(Capabilities("oci", isolated=True, info={"cgroup_version": "2"})) == (
        "overlayfs",
        "cgroupfs",
        "2",
    )
    engine = {"cgroup_version": "1", "cgroup_driver": "systemd", "storage": "overlay2"}
    assert said(Capabilities("docker", isolated=True, info=engine)) == ("overlay2", "systemd", "1")
    assert said(Capabilities("process", isolated=False)) == ("", "none", "")
