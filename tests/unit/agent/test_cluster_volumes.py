"""Cluster volumes on a node: ordered twice, cut off in the middle, asked for too early."""

import asyncio
from pathlib import Path

import pytest
from google.protobuf.message import Message

from swarm.agent.csi.volumes import ClusterVolumes
from swarm.api.v1 import csi_pb2 as csi
from swarm.api.v1.volumes_pb2 import AttachVolume
from swarm.errors import FailedPrecondition, InvalidArgument, TaskRejected, Unavailable
from swarm.ids import new_id

ORDER = AttachVolume(volume_id=new_id(), driver="csi.test", plugin_volume_id="p1", secrets={"key": "word"})


class Plugins:
    def __init__(self, stages: bool = True) -> None:
        self._stages = stages
        self.calls: list[str] = []
        self.errors: dict[str, Exception] = {}
        self.device: Path | None = None

    async def stages(self, driver: str) -> bool:
        return self._stages

    async def node_call(self, driver: str, request: Message) -> None:
        name = type(request).__name__.removesuffix("Request")
        self.calls.append(name)
        if name in self.errors:
            raise self.errors.pop(name)
        if name == "NodePublishVolume":
            self._publish(Path(request.target_path))  # type: ignore[attr-defined]

    def _publish(self, target: Path) -> None:
        if self.device is None:
            target.mkdir(exist_ok=True)
        elif not target.is_symlink():
            target.symlink_to(self.device)


@pytest.fixture
def plugins() -> Plugins:
    return Plugins()


def volumes(folder: Path, plugins: Plugins, wait_s: float = 30.0) -> ClusterVolumes:
    return ClusterVolumes(folder, plugins, wait_s)  # type: ignore[arg-type]


async def test_a_volume_is_staged_and_published_and_a_task_waits_for_it(
    tmp_path: Path, plugins: Plugins
) -> None:
    here = volumes(tmp_path, plugins)
    waiting = asyncio.create_task(here.wait(ORDER.volume_id, "db"))
    await asyncio.sleep(0)
    with pytest.raises(Unavailable, match="not on this node yet"):
        await here.acquire(ORDER.volume_id, "t1")
    await here.attach(ORDER)
    await waiting
    assert (await here.acquire(ORDER.volume_id, "t1")).path.is_dir()
    assert plugins.calls == ["NodeStageVolume", "NodePublishVolume"]
    assert "word" not in "".join(path.read_text() for path in tmp_path.rglob("*.json"))


async def test_what_a_task_has_is_not_taken_away_and_later_nothing_is_left(
    tmp_path: Path, plugins: Plugins
) -> None:
    here = volumes(tmp_path, plugins)
    await here.attach(ORDER)
    await here.acquire(ORDER.volume_id, "t1")
    with pytest.raises(FailedPrecondition, match="task t1 still has"):
        await here.detach(ORDER.volume_id)
    await here.release("t1")
    await here.detach(ORDER.volume_id)
    await here.detach(ORDER.volume_id)
    assert plugins.calls[2:] == ["NodeUnpublishVolume", "NodeUnstageVolume"]
    assert not any(tmp_path.iterdir())


async def test_an_order_that_was_cut_off_is_given_again_or_undone(tmp_path: Path, plugins: Plugins) -> None:
    plugins.errors["NodePublishVolume"] = Unavailable("it died")
    with pytest.raises(Unavailable):
        await volumes(tmp_path, plugins).attach(ORDER)
    after = volumes(tmp_path, plugins)  # the agent was killed as well
    with pytest.raises(Unavailable):
        await after.acquire(ORDER.volume_id, "t1")
    plugins.calls.clear()
    await after.detach(ORDER.volume_id)
    assert plugins.calls == ["NodeUnpublishVolume", "NodeUnstageVolume"]
    await after.attach(ORDER)
    assert (await after.acquire(ORDER.volume_id, "t1")).path.is_dir()


async def test_no_task_gets_a_volume_that_is_on_its_way_out(tmp_path: Path, plugins: Plugins) -> None:
    here = volumes(tmp_path, plugins)
    await here.attach(ORDER)
    plugins.errors["NodeUnstageVolume"] = Unavailable("busy")
    with pytest.raises(Unavailable):
        await here.detach(ORDER.volume_id)
    with pytest.raises(Unavailable):
        await here.acquire(ORDER.volume_id, "t1")


async def test_an_agent_that_restarts_knows_what_is_there_and_forgets_tasks_that_are_gone(
    tmp_path: Path, plugins: Plugins
) -> None:
    before = volumes(tmp_path, plugins)
    await before.attach(ORDER)
    for task in ("t1", "t2"):
        await before.acquire(ORDER.volume_id, task)
    after = volumes(tmp_path, plugins)
    await after.wait(ORDER.volume_id, "db")
    await after.keep_only(lambda: {"t2"})
    with pytest.raises(FailedPrecondition, match="task t2"):
        await after.detach(ORDER.volume_id)


async def test_after_a_reboot_nothing_is_published(
    tmp_path: Path, plugins: Plugins, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = volumes(tmp_path, plugins, wait_s=0.0)
    await here.attach(ORDER)
    monkeypatch.setattr("swarm.agent.csi.volumes.boot_id", lambda: "another")
    with pytest.raises(Unavailable):
        await here.acquire(ORDER.volume_id, "t1")


async def test_a_volume_that_does_not_come_rejects_the_task(tmp_path: Path, plugins: Plugins) -> None:
    with pytest.raises(TaskRejected, match="volume db did not come to this node"):
        await volumes(tmp_path, plugins, wait_s=0.0).wait(ORDER.volume_id, "db")


async def test_a_plugin_that_stages_nothing_is_not_asked_to(tmp_path: Path) -> None:
    plugins = Plugins(stages=False)
    here = volumes(tmp_path, plugins)
    await here.attach(ORDER)
    await here.detach(ORDER.volume_id)
    assert plugins.calls == ["NodePublishVolume", "NodeUnpublishVolume"]


async def test_an_id_leads_to_no_other_folder(tmp_path: Path, plugins: Plugins) -> None:
    with pytest.raises(InvalidArgument):
        await volumes(tmp_path, plugins).attach(AttachVolume(volume_id="../x", driver="csi.test"))


async def test_a_node_that_leaves_lets_go_of_everything_it_can(tmp_path: Path, plugins: Plugins) -> None:
    here = volumes(tmp_path, plugins)
    other = AttachVolume(volume_id=new_id(), driver="csi.test", plugin_volume_id="p2")
    for order in (ORDER, other):
        await here.attach(order)
    plugins.errors["NodeUnpublishVolume"] = Unavailable("one of them fails")
    await here.leave()
    assert len(list(tmp_path.iterdir())) == 1
    await here.leave()
    assert not any(tmp_path.iterdir())


async def test_a_block_volume_counts_as_published_once_there_is_a_block_device(
    tmp_path: Path, plugins: Plugins, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = AttachVolume(volume_id=ORDER.volume_id, driver="csi.test", plugin_volume_id="p1")
    capability = csi.VolumeCapability(block=csi.VolumeCapability.BlockVolume())
    order.capability = capability.SerializeToString()
    here = volumes(tmp_path, plugins)
    plugins.device = Path("/dev/null")  # a device, but another kind
    with pytest.raises(FailedPrecondition, match="did not become a block device"):
        await here.attach(order)
    with pytest.raises(Unavailable):
        await here.acquire(order.volume_id, "t1")
    monkeypatch.setattr(Path, "is_block_device", Path.is_char_device)
    await here.attach(order)
    assert (await volumes(tmp_path, plugins).acquire(order.volume_id, "t1")).block


async def test_the_empty_file_where_a_device_was_is_no_reason_to_keep_a_volume(
    tmp_path: Path, plugins: Plugins
) -> None:
    here = volumes(tmp_path, plugins)
    await here.attach(ORDER)
    target = (await here.acquire(ORDER.volume_id, "t1")).path
    await here.release("t1")
    target.rmdir()
    target.touch()
    await here.detach(ORDER.volume_id)
    assert not any(tmp_path.iterdir())
