"""Volumes of tasks: which ones they are, and that none is left behind or lost."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from swarm.agent.assignments import Changes
from swarm.agent.csi.volumes import Published
from swarm.agent.task_volumes import ANONYMOUS_LABEL, TaskVolumes, wanted_volume
from swarm.api.v1.objects_pb2 import Task
from swarm.api.v1.types_pb2 import Mount
from swarm.errors import TaskRejected
from swarm.model.task_state import FAILED, REJECTED, RUNNING, SHUTDOWN
from swarm.model.templates import TemplateContext
from swarm.runtime.base import BindMount, ContainerConfig, ContainerState, HostDevice
from swarm.runtime.volumes.plugins import Plugins
from swarm.runtime.volumes.record import VolumeRecord
from swarm.runtime.volumes.store import VolumeStore
from tests.unit.agent.lab import a_task, until
from tests.unit.agent.test_worker import Bench, stopped
from tests.volume_plugin import serving

CONTEXT = TemplateContext(service_name="db", task_slot="3")


def volume(source: str = "data", target: str = "/data", **options: object) -> Mount:
    return Mount(type=Mount.TYPE_VOLUME, source=source, target=target, volume=Mount.VolumeOptions(**options))


def task_with(*mounts: Mount) -> Task:
    task = a_task("n1")
    task.spec.container.mounts.extend(mounts)
    return task


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture
def store(bench: Bench) -> VolumeStore:
    return VolumeStore(bench.folder / "volumes")


def message_of(bench: Bench, task: Task) -> str:
    record = bench.worker.held.get(task.id)
    return record.status.message if record else ""


def names(store: VolumeStore) -> list[str]:
    return [state.record.name for state in store.all()]


def test_placeholders_are_filled_in_wherever_they_stand() -> None:
    device = {"type": "none", "device": "/srv/{{.Task.Slot}}", "o": "bind"}
    found = wanted_volume("t1", volume("{{.Service.Name}}-{{.Task.Slot}}", driver_options=device), CONTEXT)
    assert found == VolumeRecord("db-3", options={**device, "device": "/srv/3"})
    own = wanted_volume("t1", volume(""), CONTEXT)
    assert (len(own.name), own.anonymous, own.labels) == (64, True, {ANONYMOUS_LABEL: ""})


def test_what_placeholders_make_of_a_name_must_be_one() -> None:
    bad = TemplateContext(service_labels={"x": "../../etc"})
    with pytest.raises(TaskRejected, match="is no name for a volume"):
        wanted_volume("t1", volume("{{.Service.Labels.x}}"), bad)


async def test_a_container_gets_its_volumes_and_gives_them_back(bench: Bench, store: VolumeStore) -> None:
    task = task_with(volume(), volume("", "/own"), volume("data", "/raw", no_copy=True))
    async with bench.life() as worker:
        worker.apply(Changes(start=(task,)), 1)
        await until(lambda: bench.state(task) == RUNNING)
        first, own, raw = bench.driver.config(task.id).mounts
        assert isinstance(first, BindMount)
        assert (first.source, first.target) == (str(store.get("data").data), "/data")
        assert first.copy_up.endswith("/data/copy-up")
        assert (raw.source, raw.copy_up) == (first.source, "")
        assert own.source != first.source
        assert store.users() == {task.id}
        worker.apply(Changes(update=(stopped(task),)), 2)
        await until(lambda: bench.state(task) == SHUTDOWN)
        assert (store.users(), names(store)) == (frozenset(), ["data"])


async def test_a_volume_that_cannot_be_had_rejects_the_task_and_holds_nothing(
    bench: Bench, store: VolumeStore
) -> None:
    store.create(VolumeRecord("data", options={"type": "tmpfs", "device": "tmpfs"}))
    other = {"type": "tmpfs", "device": "tmpfs", "o": "size=1m"}
    task = task_with(volume("", "/own"), volume(driver_options=other))
    async with bench.life() as worker:
        worker.apply(Changes(start=(task,)), 1)
        await until(lambda: bench.state(task) == REJECTED)
        assert "made with other options" in worker.held[task.id].status.err
        assert (store.users(), names(store)) == (frozenset(), ["data"])


async def test_an_agent_killed_between_volume_and_container_leaves_nothing(
    bench: Bench, store: VolumeStore
) -> None:
    running, unknown = task_with(volume()), "a0unknown"
    async with bench.life() as worker:
        worker.apply(Changes(start=(running,)), 1)
        await until(lambda: bench.state(running) == RUNNING)
    store.acquire(VolumeRecord("f" * 64, anonymous=True), unknown)
    store.acquire(VolumeRecord("data"), unknown)
    async with bench.life() as worker:
        await worker.remove_strangers()
        await until(lambda: (store.users(), names(store)) == ({running.id}, ["data"]))
        bench.driver.exit(running.id, 1)
        await until(lambda: bench.state(running) == FAILED)
        assert store.users() == frozenset()


async def test_a_task_taken_up_again_finds_the_same_volumes(bench: Bench, store: VolumeStore) -> None:
    task = task_with(volume("", "/own"))
    volumes = TaskVolumes(store)
    async with bench.life() as worker:
        worker.apply(Changes(start=(task,)), 1)
        await until(lambda: bench.state(task) == RUNNING)
    config = bench.driver.config(task.id)
    again = await volumes.add_to(config, task, CONTEXT)
    assert again.mounts[-1] == config.mounts[-1]
    assert bench.driver.ids(ContainerState.RUNNING) == {task.id}


class Block:
    async def acquire(self, volume_id: str, task_id: str) -> Published:
        return Published(Path("/run/raw"), block=True)


async def test_a_block_volume_is_a_device_with_the_rights_of_its_mount(store: VolumeStore) -> None:
    task = task_with()
    task.volumes.add(volume_id="v", source="raw", target="/dev/a")
    task.volumes.add(volume_id="v", source="raw", target="/dev/b", read_only=True)
    volumes = TaskVolumes(store, Block())  # type: ignore[arg-type]
    config = ContainerConfig(id=task.id, image="i", image_digest="d")
    found = await volumes.add_to(config, task, CONTEXT)
    assert found.mounts == ()
    assert found.devices == (HostDevice("/run/raw", "/dev/a", "rw"), HostDevice("/run/raw", "/dev/b", "r"))
    with pytest.raises(TaskRejected, match="volume raw is a block device"):
        await volumes.add_to(replace(config, users=65536), task, CONTEXT)


async def test_a_plugin_that_is_silent_is_named_and_holds_up_nobody_else(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
    far = bench.folder / "plugins/far.sock"
    monkeypatch.setattr("swarm.runtime.volumes.store.Plugins", lambda: Plugins([far.parent]))
    waiting = [task_with(volume(f"v{number}", driver="far")) for number in (1, 2, 3)]
    other = task_with(volume())
    with serving(far, bench.folder / "there") as plugin:
        plugin.answers.clear()
        try:
            async with bench.life() as worker:
                worker.apply(Changes(start=tuple(waiting)), 1)
                said = "waiting for volume v3 of the volume plugin far"
                await until(lambda: message_of(bench, waiting[2]) == said)
                worker.apply(Changes(start=(other,)), 2)
                await until(lambda: bench.state(other) == RUNNING)
                plugin.answers.set()
                await until(lambda: all(bench.state(one) == RUNNING for one in waiting))
                worker.apply(Changes(update=tuple(stopped(one) for one in waiting)), 3)
                await until(lambda: all(bench.state(one) == SHUTDOWN for one in waiting))
        finally:
            plugin.answers.set()
    assert not any(plugin.users.values())


async def test_a_task_that_waits_for_a_plugin_can_be_stopped(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    far = bench.folder / "plugins/far.sock"
    monkeypatch.setattr("swarm.runtime.volumes.store.Plugins", lambda: Plugins([far.parent]))
    first, second = task_with(volume(driver="far")), task_with(volume(driver="far"))
    with serving(far, bench.folder / "there") as plugin:
        plugin.answers.clear()
        try:
            async with bench.life() as worker:
                worker.apply(Changes(start=(first,)), 1)
                await until(lambda: "volume data " in message_of(bench, first))
                worker.apply(Changes(start=(second,)), 2)
                await until(lambda: "volume data " in message_of(bench, second))
                worker.apply(Changes(update=(stopped(second),)), 3)
                await until(lambda: bench.state(second) == SHUTDOWN)  # it has not been asked for yet
                worker.apply(Changes(update=(stopped(first),)), 4)
                plugin.answers.set()
                await until(lambda: bench.state(first) == SHUTDOWN)
        finally:
            plugin.answers.set()
    assert not any(plugin.users.values())
