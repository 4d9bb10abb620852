"""The volumes of this node's tasks: made when the first task needs them, and let go with the last."""

from collections.abc import Awaitable, Callable, Collection, Iterator
from dataclasses import replace

import structlog

from swarm.agent.csi.volumes import ClusterVolumes, Published
from swarm.agent.own_threads import OwnThreads
from swarm.api.v1.objects_pb2 import Task, VolumeAttachment
from swarm.api.v1.types_pb2 import Mount
from swarm.errors import SwarmError, TaskRejected
from swarm.model.templates import TemplateContext, expand
from swarm.model.volumes import LOCAL, anonymous_name, driver_problems, name_problems, subpath_problems
from swarm.runtime.base import BindMount, ContainerConfig, HostDevice
from swarm.runtime.volumes.record import VolumeRecord
from swarm.runtime.volumes.store import Place, VolumeStore

log = structlog.get_logger(__name__)

ANONYMOUS_LABEL = "com.docker.volume.anonymous"


def wanted_volume(task_id: str, mount: Mount, context: TemplateContext) -> VolumeRecord:
    """Return the volume that a mount means; raises TaskRejected for a name that it cannot have."""
    given = mount.volume
    options = {key: expand(value, context) for key, value in given.driver_options.items()}
    labels = {key: expand(value, context) for key, value in given.labels.items()}
    for problem in driver_problems(given.driver, options):
        raise TaskRejected(problem)
    if not mount.source:
        name = anonymous_name(task_id, expand(mount.target, context))
        return VolumeRecord(name, given.driver, options, {ANONYMOUS_LABEL: "", **labels}, anonymous=True)
    name = expand(mount.source, context)
    for problem in name_problems(name):
        raise TaskRejected(problem)
    return VolumeRecord(name, given.driver, options, labels)


def subpath_of(subpath: str, context: TemplateContext) -> str:
    """Return the part of a volume or image that a mount means; raises TaskRejected where it leads out."""
    found = expand(subpath, context)
    for problem in subpath_problems(found):
        raise TaskRejected(problem)
    return found


def _of_node(task: Task) -> Iterator[Mount]:
    return (one for one in task.spec.container.mounts if one.type == Mount.TYPE_VOLUME)


def _device(config: ContainerConfig, given: VolumeAttachment, place: Published) -> HostDevice:
    if config.users:
        raise TaskRejected(
            f"volume {given.source} is a block device, which containers with users of their own cannot open"
        )
    return HostDevice(str(place.path), given.target, "r" if given.read_only else "rw")


class TaskVolumes:
    """Shell around the node's volumes."""

    def __init__(self, store: VolumeStore, of_cluster: ClusterVolumes | None = None) -> None:
        """`store` has the volumes of this node, `of_cluster` those that plugins bring here."""
        self._store = store
        self._of_cluster = of_cluster
        self._threads = OwnThreads()  # a plugin or a server of files may be silent

    async def wait(
        self, task: Task, context: TemplateContext, show: Callable[[str], None] = lambda message: None
    ) -> None:
        """Return once the volumes of a task are here, made and mounted; may be cancelled, and repeated.

        Raises TaskRejected when one cannot be had or does not come.
        """
        if self._of_cluster is not None:
            for one in task.volumes:
                show(f"waiting for volume {one.source}")
                await self._of_cluster.wait(one.volume_id, one.source)
        for mount in _of_node(task):
            wanted = wanted_volume(task.id, mount, context)
            by = f" of the volume plugin {wanted.driver}" if wanted.driver not in {"", LOCAL} else ""
            show(f"waiting for volume {wanted.name}{by}")
            await self._acquire(wanted, task.id)

    async def add_to(self, config: ContainerConfig, task: Task, context: TemplateContext) -> ContainerConfig:
        """Return the config of a container that has the task's volumes; may be repeated.

        Raises TaskRejected for a volume that cannot be had.
        """
        found = [await self._mount(task.id, one, context) for one in _of_node(task)]
        devices: list[HostDevice] = []
        for given in task.volumes:
            place = await self._cluster_volume(task, given)
            if place.block:
                devices.append(_device(config, given, place))
            else:
                found.append(BindMount(str(place.path), given.target, given.read_only, relabel="z"))
        return replace(config, mounts=(*config.mounts, *found), devices=(*config.devices, *devices))

    async def _acquire(self, wanted: VolumeRecord, task_id: str) -> Place:
        return await self._threads.run(f"volume {wanted.name}", self._store.acquire, wanted, task_id)

    async def _mount(self, task_id: str, mount: Mount, context: TemplateContext) -> BindMount:
        subpath = subpath_of(mount.volume.subpath, context)
        place = await self._acquire(wanted_volume(task_id, mount, context), task_id)
        return BindMount(
            source=str(place.data),
            target=expand(mount.target, context),
            read_only=mount.read_only,
            copy_up="" if mount.volume.no_copy or subpath else str(place.filling),
            subpath=subpath,
            relabel="z",
        )

    async def _cluster_volume(self, task: Task, given: VolumeAttachment) -> Published:
        if self._of_cluster is None:
            raise TaskRejected("this node has no cluster volumes")
        return await self._of_cluster.acquire(given.volume_id, task.id)

    async def release(self, task: Task) -> None:
        """Let go of the volumes of a task; raises OSError."""
        if self._of_cluster is not None and task.volumes:
            await self._of_cluster.release(task.id)
        if any(_of_node(task)):
            await self._release(task.id)

    async def _release(self, task_id: str) -> None:
        await self._threads.run(f"task {task_id}", self._store.release, task_id)

    async def keep_only(self, held: Callable[[], Collection[str]]) -> None:
        """Let go of the volumes of tasks that this node does not have: of an agent that was killed."""
        for task_id in await self._threads.run("", self._store.users):
            if task_id in held():  # asked for each: tasks may come meanwhile
                continue
            log.warning("agent.unknown_volume_user_found", task_id=task_id)
            await self._try(self._release(task_id))
        await self._try(self._threads.run("", self._store.tidy))
        if self._of_cluster is not None:
            await self._of_cluster.keep_only(held)

    async def _try(self, act: Awaitable[None]) -> None:
        try:
            await act
        except (SwarmError, OSError) as error:  # it stays until the next start; the node's tasks must go on
            log.warning("agent.volume_not_let_go", reason=str(error))
