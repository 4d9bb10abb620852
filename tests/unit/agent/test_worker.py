"""The worker on a fake node, without managers."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from swarm.agent.assignments import Changes
from swarm.agent.blob_source import ManagerBlobs
from swarm.agent.container import NodeFacts
from swarm.agent.database import Database
from swarm.agent.fake_network import FakeNetwork
from swarm.agent.overlay.feed import OverlayFeed
from swarm.agent.resolver.base import NoResolver
from swarm.agent.task_files import TaskFiles
from swarm.agent.task_volumes import TaskVolumes
from swarm.agent.worker import Worker
from swarm.api.v1.objects_pb2 import Task
from swarm.clock import SystemClock
from swarm.model.task_state import ACCEPTED, PREPARING, RUNNING, SHUTDOWN
from swarm.runtime.base import ContainerState
from swarm.runtime.fake import FakeDriver, Script
from swarm.runtime.fake_images import FakeImages
from swarm.runtime.memory_files import MemoryFiles
from swarm.runtime.volumes.store import VolumeStore
from tests.unit.agent.lab import a_task, until


class Bench:
    """The parts of one node."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.driver = FakeDriver()
        self.images = FakeImages()
        self.network = FakeNetwork()
        self.reported: list[tuple[str, int]] = []

    async def isolated(self) -> bool:
        return True

    @contextlib.asynccontextmanager
    async def life(self, *, writing: bool = True) -> AsyncIterator[Worker]:
        """One life of the agent's process."""
        self.database = database = Database(self.folder / "tasks.db")
        stored = await database.open("n1", 0)
        self.overlays = overlays = OverlayFeed(database, (self.network,))
        self.worker = worker = Worker(
            self.driver,
            self.images,
            self.network,
            database,
            ManagerBlobs(list, lambda addr, options: pytest.fail("no manager is to be asked")),
            SystemClock(),
            lambda: NodeFacts("n1", "host"),
            files=TaskFiles(MemoryFiles(self.folder / "run"), self.isolated),
            volumes=TaskVolumes(VolumeStore(self.folder / "volumes")),
            resolver=NoResolver(),
            overlays=overlays,
            starts_max=2,
        )
        worker.on_status = lambda task_id, status: self.reported.append((task_id, status.state))
        self.tasks = [asyncio.create_task(worker.run())]
        if writing:
            self.tasks.append(asyncio.create_task(database.run()))
        self.tasks.append(asyncio.create_task(overlays.run()))
        try:
            await worker.started.wait()
            worker.resume(stored.tasks)
            yield worker
        finally:
            for task in self.tasks:
                task.cancel()
            await asyncio.gather(*self.tasks, return_exceptions=True)
            await database.close()

    def state(self, task: Task) -> int:
        record = self.worker.held.get(task.id)
        return record.status.state if record else -1


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def stopped(task: Task) -> Task:
    copy = Task()
    copy.CopyFrom(task)
    copy.desired_state = SHUTDOWN
    return copy


async def test_a_start_waits_for_the_disk_and_a_stop_does_not(bench: Bench) -> None:
    async with bench.life() as worker:
        old = a_task("n1")
        worker.apply(Changes(start=(old,)), 1)
        await until(lambda: bench.state(old) == RUNNING)
        bench.tasks[1].cancel()  # the disk takes nothing any more
        new = a_task("n1")
        worker.apply(Changes(start=(new,), update=(stopped(old),)), 2)
        await until(lambda: bench.state(old) == SHUTDOWN)
        assert bench.state(new) == -1
        assert new.id in worker.held_ids()
        bench.tasks.append(asyncio.create_task(bench.database.run()))
        await until(lambda: bench.state(new) == RUNNING)


async def test_a_task_withdrawn_before_it_was_on_disk_never_starts(bench: Bench) -> None:
    async with bench.life(writing=False) as worker:
        task = a_task("n1")
        worker.apply(Changes(start=(task,)), 1)
        worker.apply(Changes(remove=(task.id,)), 2)
        bench.tasks.append(asyncio.create_task(bench.database.run()))
        await worker._database.put_applied_index(2)
        assert not worker.held_ids()
        assert bench.driver.calls["create"] == 0
    async with bench.life() as worker:
        assert not worker.held_ids()


async def test_a_long_pull_is_given_up_when_the_task_is_to_stop(bench: Bench) -> None:
    bench.images.pull_s = 60
    async with bench.life() as worker:
        task = a_task("n1")
        worker.apply(Changes(start=(task,)), 1)
        await until(lambda: bench.images.pulls["web:1"] == 1)
        worker.apply(Changes(update=(stopped(task),)), 2)
        await until(lambda: bench.state(task) == SHUTDOWN)


async def test_progress_of_a_pull_is_shown(bench: Bench) -> None:
    bench.images.pull_s = 60
    async with bench.life() as worker:
        task = a_task("n1")
        worker.apply(Changes(start=(task,)), 1)
        await until(lambda: bench.state(task) == PREPARING)
        await until(lambda: worker.held[task.id].status.message == "pulling web:1")


async def test_no_more_containers_are_started_at_once_than_allowed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    under_way, most, two = 0, 0, asyncio.Event()
    create = bench.driver.create

    async def counted(*what: Any) -> None:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        if under_way == 2:
            two.set()
        await two.wait()
        await create(*what)
        under_way -= 1

    monkeypatch.setattr(bench.driver, "create", counted)
    bench.driver.default = Script(create_s=0.01)
    async with bench.life() as worker:
        tasks = [a_task("n1") for _ in range(6)]
        worker.apply(Changes(start=tuple(tasks)), 1)
        await until(lambda: len(bench.driver.ids(ContainerState.RUNNING)) == 6)
        assert most == 2


async def test_a_task_that_needs_a_password_waits_for_a_manager_after_a_restart(bench: Bench) -> None:
    bench.images.pull_s = 60
    task, other = a_task("n1"), a_task("n1")
    for one in (task, other):
        one.spec.container.registry_auth.username = "anna"
        one.spec.container.registry_auth.password = "secret"
    async with bench.life() as worker:
        worker.apply(Changes(start=(task, other)), 1)
        await until(lambda: bench.images.pulls["web:1"] == 2)
    bench.images.pull_s = 0
    bench.images.credentials.clear()
    async with bench.life() as worker:
        await asyncio.sleep(0.05)
        assert worker.held == {}
        assert worker.held_ids() == {task.id, other.id}
        worker.apply(Changes(update=(task,), remove=(other.id,)), 2)
        await until(lambda: bench.state(task) == RUNNING)
        credentials = bench.images.credentials["web:1"]
        assert credentials is not None
        assert credentials.password == "secret"
        await until(lambda: worker.held_ids() == {task.id})


@pytest.mark.parametrize("slow", ["stop", "remove"])
async def test_a_task_wanted_again_while_it_goes_says_that_it_ended_and_is_not_run_twice(
    bench: Bench, slow: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, goes_on = asyncio.Event(), asyncio.Event()

    async def slowly(container_id: str, *rest: float) -> None:
        begun.set()
        await goes_on.wait()
        await original(container_id, *rest)

    async with bench.life() as worker:
        task = a_task("n1")
        worker.apply(Changes(start=(task,)), 1)
        await until(lambda: bench.state(task) == RUNNING)
        original = getattr(bench.driver, slow)
        monkeypatch.setattr(bench.driver, slow, slowly)
        worker.apply(Changes(remove=(task.id,)), 2)
        await asyncio.wait_for(begun.wait(), 60)
        worker.apply(Changes(update=(task,)), 3)
        goes_on.set()
        await until(lambda: bench.reported[-1] == (task.id, SHUTDOWN))
        assert bench.driver.calls["start"] == 1


async def test_a_node_killed_in_the_middle_of_removing_finishes_it_in_the_next_life(bench: Bench) -> None:
    bench.driver.default = Script(stop_s=30)
    async with bench.life() as worker:
        task = a_task("n1")
        worker.apply(Changes(start=(task,)), 1)
        await until(lambda: bench.state(task) == RUNNING)
        worker.apply(Changes(remove=(task.id,)), 2)
        await bench.database.put_applied_index(2)
    assert bench.driver.ids(ContainerState.RUNNING) == {task.id}
    bench.driver._containers[task.id].script = Script()
    async with bench.life() as worker:
        await until(lambda: not worker.held_ids())
        assert not bench.driver.ids()


async def test_nothing_is_reported_of_a_task_that_the_managers_forgot(bench: Bench) -> None:
    async with bench.life() as worker:
        task = a_task("n1")
        worker.apply(Changes(start=(task,)), 1)
        await until(lambda: bench.state(task) == RUNNING)
        assert bench.reported[0] == (task.id, ACCEPTED)
        worker.apply(Changes(remove=(task.id,)), 2)
        await until(lambda: not worker.held_ids())
        assert bench.reported[-1] == (task.id, RUNNING)


async def test_detaching_that_fails_hides_no_end_and_is_tried_until_it_works(bench: Bench) -> None:
    async with bench.life() as worker:
        task = a_task("n1")
        worker.apply(Changes(start=(task,)), 1)
        await until(lambda: bench.state(task) == RUNNING)
        bench.network.broken["detach"] = OSError("busy")
        worker.apply(Changes(update=(stopped(task),)), 2)
        await until(lambda: bench.state(task) == SHUTDOWN)
        assert bench.network.sandboxes
        del bench.network.broken["detach"]
        await until(lambda: not bench.network.sandboxes)


async def test_containers_and_sandboxes_of_nobody_are_removed(bench: Bench) -> None:
    async with bench.life() as worker:
        task = a_task("n1")
        worker.apply(Changes(start=(task,)), 1)
        await until(lambda: bench.state(task) == RUNNING)
        stranger = bench.driver.config(task.id)
        object.__setattr__(stranger, "id", "stranger")
        await bench.driver.create(stranger)
        await bench.network.attach("stranger", ())
        object.__setattr__(stranger, "id", task.id)
        await worker.remove_strangers()
        assert bench.driver.ids() == set(bench.network.sandboxes) == {task.id}
