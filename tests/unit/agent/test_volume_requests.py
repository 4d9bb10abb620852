"""What people ask of a node's volumes, and what becomes of it."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from swarm.agent.containers.volumes import VolumeRequests, is_about_volumes
from swarm.api.v1.containers_pb2 import ContainerOutput, ContainerRequest, ListContainers
from swarm.api.v1.volumes_pb2 import (
    CreateVolume,
    ListVolumes,
    NodeVolume,
    PruneVolumes,
    RemoveVolume,
    VolumeAnswer,
)
from swarm.runtime.volumes.plugins import Plugins
from swarm.runtime.volumes.record import VolumeRecord
from swarm.runtime.volumes.store import VolumeStore
from tests.unit.agent.lab import a_task


class Bench:
    def __init__(self, folder: Path) -> None:
        self.store = VolumeStore(folder / "volumes", plugins=Plugins([folder]))
        self.task = a_task("n1")
        self.task.service_annotations.name, self.task.slot = "db", 1
        self.requests = VolumeRequests(self.store, lambda: {self.task.id: SimpleNamespace(task=self.task)})

    async def ask(self, **verb: object) -> list[VolumeAnswer]:
        said: list[ContainerOutput] = []

        class Listener:
            async def send(self, output: ContainerOutput) -> None:
                said.append(output)

        request = ContainerRequest(**verb)
        assert is_about_volumes(request)
        await self.requests.answer(request, Listener())
        assert said[-1].done
        return [one.volume for one in said[:-1]]

    async def listed(self, *names: str) -> list[NodeVolume]:
        return [one.volume for one in await self.ask(list_volumes=ListVolumes(names=names))]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_requests_about_containers_are_others() -> None:
    assert not is_about_volumes(ContainerRequest(list=ListContainers()))
    assert not is_about_volumes(ContainerRequest())


async def test_a_volume_is_made_and_listed_with_its_tasks(bench: Bench) -> None:
    wanted = CreateVolume(name="data", labels={"a": "b"})
    (made,) = await bench.ask(create_volume=wanted)
    assert (made.volume.name, made.volume.driver, dict(made.volume.labels)) == ("data", "local", {"a": "b"})
    assert made.volume.mountpoint.endswith("/volumes/data/_data")
    assert (await bench.ask(create_volume=wanted))[0].volume == made.volume
    bench.store.acquire(VolumeRecord("data"), bench.task.id)
    bench.store.acquire(VolumeRecord("other"), "a0stranger")
    assert [(one.name, list(one.users)) for one in await bench.listed()] == [
        ("data", [f"db.1.{bench.task.id}"]),
        ("other", ["a0stranger"]),
    ]
    assert [one.name for one in await bench.listed("other", "nothing")] == ["other"]


async def test_what_cannot_be_made_is_refused_with_the_reason(bench: Bench) -> None:
    options = {"type": "tmpfs", "device": "tmpfs"}
    for wanted, reason in (
        (CreateVolume(name="../x"), "no name for a volume"),
        (CreateVolume(name="xx", driver="far"), "this node has no volume plugin far"),
        (CreateVolume(name="xx", options={"a": "b"}), 'no option "a"'),
    ):
        (refused,) = await bench.ask(create_volume=wanted)
        assert reason in refused.refusal
    await bench.ask(create_volume=CreateVolume(name="data"))
    (refused,) = await bench.ask(create_volume=CreateVolume(name="data", options=options))
    assert "other options" in refused.refusal
    assert [one.name for one in await bench.listed()] == ["data"]


async def test_a_volume_goes_unless_a_task_has_it(bench: Bench) -> None:
    bench.store.acquire(VolumeRecord("data"), bench.task.id)
    (refused,) = await bench.ask(remove_volume=RemoveVolume(name="data"))
    assert "in use" in refused.refusal
    assert "db.1" in refused.refusal
    bench.store.release(bench.task.id)
    assert [one.removed for one in await bench.ask(remove_volume=RemoveVolume(name="data"))] == ["data"]
    assert await bench.ask(remove_volume=RemoveVolume(name="data")) == []
    assert await bench.ask(remove_volume=RemoveVolume(name="../../etc")) == []


async def test_who_removes_volumes_is_told_what_they_held(bench: Bench) -> None:
    bench.store.create(VolumeRecord("empty"))
    (bench.store.create(VolumeRecord("full")).data / "diary").write_bytes(b"x" * 100_000)
    freed = {one.removed: one.removed_bytes for one in await bench.ask(prune_volumes=PruneVolumes(all=True))}
    assert freed["full"] - freed["empty"] >= 100_000
    bench.store.create(VolumeRecord("remote", options={"type": "nfs", "device": ":/export"}))
    (one,) = await bench.ask(remove_volume=RemoveVolume(name="remote"))
    assert (one.HasField("removed_bytes"), one.removed_bytes) == (True, 0)


async def test_pruning_takes_what_nobody_has_and_names_only_when_told(bench: Bench) -> None:
    bench.store.acquire(VolumeRecord("used"), bench.task.id)
    for name, labels in (("kept", {}), ("old", {"tier": "test"})):
        bench.store.create(VolumeRecord(name, labels=labels))
    bench.store.create(VolumeRecord("f" * 64, anonymous=True))
    assert [one.removed for one in await bench.ask(prune_volumes=PruneVolumes())] == ["f" * 64]
    tests = PruneVolumes(all=True, labels=["tier=test"])
    assert [one.removed for one in await bench.ask(prune_volumes=tests)] == ["old"]
    assert [one.removed for one in await bench.ask(prune_volumes=PruneVolumes(all=True))] == ["kept"]
    assert [one.name for one in await bench.listed()] == ["used"]
