"""Cluster volumes on this node: staged and published once each, shown to every task that has them.

The leader orders both ways, and may order twice. What was ordered stands on disk before a plugin is called:
an agent that was killed in between knows what it has to undo.
"""

import asyncio
import json
import shutil
from collections import defaultdict
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import structlog

from swarm.agent.csi.plugins import CsiPlugins
from swarm.api.v1 import csi_pb2 as csi
from swarm.api.v1.volumes_pb2 import AttachVolume
from swarm.errors import FailedPrecondition, InvalidArgument, SwarmError, TaskRejected, Unavailable
from swarm.runtime.oci.overlay import mounts_below
from swarm.runtime.processes import boot_id
from swarm.runtime.shim_driver import is_container_id
from swarm.runtime.state import write_atomically

log = structlog.get_logger(__name__)

WAIT_S = 300.0  # for the leader and the plugin, as in SwarmKit


@dataclass(frozen=True, slots=True)
class _Record:
    driver: str
    plugin_volume_id: str
    stages: bool
    boot_id: str = ""  # in which it was published; empty: it is not
    block: bool = False  # a device, not a directory


@dataclass(frozen=True, slots=True)
class Published:
    """Where a volume is on this node."""

    path: Path
    block: bool  # a device, not a directory


class _Place:
    """Where one volume is."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.record = folder / "volume.json"
        self.staging = folder / "staging"
        self.target = folder / "data"
        self.users = folder / "users"

    def read(self) -> _Record | None:
        try:
            return _Record(**json.loads(self.record.read_bytes()))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError) as error:
            raise Unavailable(f"{self.record} cannot be read: {error}") from error

    def write(self, record: _Record) -> None:
        self.users.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.staging.mkdir(exist_ok=True)
        write_atomically(self.record, json.dumps(asdict(record)).encode())

    def is_published(self) -> bool:
        record = self.read()
        return record is not None and record.boot_id == boot_id()

    def tasks(self) -> list[str]:
        try:
            return sorted(path.name for path in self.users.iterdir())
        except FileNotFoundError:
            return []

    def remove(self) -> None:
        """Remove what is left of a volume that is neither published nor staged; raises OSError."""
        if mounts_below(self.folder):  # never remove through a mount that stayed
            raise Unavailable(f"{self.folder} still has something mounted")
        for path in (self.target, self.staging):
            with suppress(FileNotFoundError):  # what a plugin left in it is not ours to remove
                if path.is_file() and not path.stat().st_size:
                    path.unlink()  # where a device was
                else:
                    path.rmdir()
        self.record.unlink(missing_ok=True)
        shutil.rmtree(self.users, ignore_errors=True)
        self.folder.rmdir()


class ClusterVolumes:
    """Shell around the plugins and one folder."""

    def __init__(self, directory: Path, plugins: CsiPlugins, wait_s: float = WAIT_S) -> None:
        """Mount volumes below `directory`; tasks wait `wait_s` for them."""
        self._directory = directory
        self._plugins = plugins
        self._wait_s = wait_s
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._published: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)

    async def attach(self, order: AttachVolume) -> None:
        """Stage and publish a volume; raises Unavailable, FailedPrecondition."""
        place = self._place(order.volume_id)
        async with self._locks[order.volume_id]:
            stages = await self._plugins.stages(order.driver)
            before = place.read()
            capability = csi.VolumeCapability.FromString(order.capability)
            record = _Record(
                order.driver,
                order.plugin_volume_id,
                stages,
                before.boot_id if before is not None else "",
                block=capability.HasField("block"),
            )
            await asyncio.to_thread(place.write, record)
            staging = str(place.staging) if stages else ""
            if stages:
                await self._plugins.node_call(
                    order.driver,
                    csi.NodeStageVolumeRequest(
                        volume_id=order.plugin_volume_id,
                        publish_context=order.publish_context,
                        staging_target_path=staging,
                        volume_capability=capability,
                        secrets=order.secrets,
                        volume_context=order.volume_context,
                    ),
                )
            await self._plugins.node_call(
                order.driver,
                csi.NodePublishVolumeRequest(
                    volume_id=order.plugin_volume_id,
                    publish_context=order.publish_context,
                    staging_target_path=staging,
                    target_path=str(place.target),
                    volume_capability=capability,
                    readonly=order.read_only,
                    secrets=order.secrets,
                    volume_context=order.volume_context,
                ),
            )
            if record.block and not place.target.is_block_device():
                raise FailedPrecondition(
                    f"plugin {order.driver}: {place.target} did not become a block device"
                )
            await asyncio.to_thread(place.write, replace(record, boot_id=boot_id()))
            self._published[order.volume_id].set()
            log.info("csi.volume_attached", volume_id=order.volume_id)

    async def detach(self, volume_id: str) -> None:
        """Undo that; nothing is to be done for a volume that is not here.

        Raises FailedPrecondition while a task has it, Unavailable, OSError.
        """
        place = self._place(volume_id)
        async with self._locks[volume_id]:
            record = place.read()
            if record is None:
                return
            if tasks := place.tasks():
                raise FailedPrecondition(f"task {tasks[0]} still has volume {volume_id}")
            self._published.pop(volume_id, None)
            # Before the plugin is called: from here on no task may have it.
            await asyncio.to_thread(place.write, replace(record, boot_id=""))
            await self._plugins.node_call(
                record.driver,
                csi.NodeUnpublishVolumeRequest(
                    volume_id=record.plugin_volume_id, target_path=str(place.target)
                ),
            )
            if record.stages:
                await self._plugins.node_call(
                    record.driver,
                    csi.NodeUnstageVolumeRequest(
                        volume_id=record.plugin_volume_id, staging_target_path=str(place.staging)
                    ),
                )
            try:
                await asyncio.to_thread(place.remove)
            except OSError as error:
                raise Unavailable(f"{place.folder} cannot be removed: {error}") from error
            log.info("csi.volume_detached", volume_id=volume_id)

    async def wait(self, volume_id: str, name: str) -> None:
        """Return once a volume is published here; raises TaskRejected when it does not come."""
        if self._place(volume_id).is_published():
            return
        try:
            async with asyncio.timeout(self._wait_s):
                await self._published[volume_id].wait()
        except TimeoutError:
            raise TaskRejected(
                f"volume {name} did not come to this node within {self._wait_s:.0f} s; "
                f"`swarmctl volume inspect {name}` says why"
            ) from None

    async def acquire(self, volume_id: str, task_id: str) -> Published:
        """Give a task a volume that is published; may be repeated. Raises Unavailable when it left again."""
        if not is_container_id(task_id):
            raise TaskRejected(f"{task_id!r} cannot be the id of a task")
        place = self._place(volume_id)
        async with self._locks[volume_id]:
            record = place.read()
            if record is None or record.boot_id != boot_id():
                raise Unavailable(f"volume {volume_id} is not on this node yet")
            (place.users / task_id).touch()
            return Published(place.target, record.block)

    async def release(self, task_id: str) -> None:
        """Take from a task its volumes; the leader orders what follows."""
        for folder in self._folders():
            (folder / "users" / task_id).unlink(missing_ok=True)

    async def keep_only(self, held: Callable[[], Collection[str]]) -> None:
        """Let go of the volumes of tasks that this node does not have: of an agent that was killed."""
        for folder in self._folders():
            for task_id in _Place(folder).tasks():
                if task_id not in held():
                    (folder / "users" / task_id).unlink(missing_ok=True)

    async def leave(self) -> None:
        """Undo everything, for a node that leaves its cluster: no leader will order it."""
        for folder in self._folders():
            try:
                await self.detach(folder.name)
            except (SwarmError, OSError) as error:  # its data is safe; the next volumes must go too
                log.warning("csi.volume_not_detached", volume_id=folder.name, reason=str(error))

    def _folders(self) -> list[Path]:
        try:
            return sorted(self._directory.iterdir())
        except FileNotFoundError:
            return []

    def _place(self, volume_id: str) -> _Place:
        if not is_container_id(volume_id):  # it becomes the name of a folder
            raise InvalidArgument(f"{volume_id!r} cannot be the id of a volume")
        return _Place(self._directory / volume_id)
