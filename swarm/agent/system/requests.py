"""Doing what somebody asks about this node's disk."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path

from swarm.agent.containers.conversation import Conversation
from swarm.agent.containers.volumes import content_bytes
from swarm.agent.task_machine import TaskRecord
from swarm.api.v1.containers_pb2 import ContainerOutput, ContainerRequest
from swarm.api.v1.system_pb2 import DiskItem, DiskKind, DiskUsage, FileSystem
from swarm.clock import Clock
from swarm.model.task import task_name
from swarm.runtime.base import ContainerState, RuntimeDriver
from swarm.runtime.disk import DiskSpace, read_space
from swarm.runtime.images.base import ImageStore
from swarm.runtime.images.collected import Collected, ImageUsage
from swarm.runtime.volumes.store import VolumeState, VolumeStore

VERBS = frozenset({"disk", "collect_images"})


class SystemRequests:
    """Answers requests about the node as a whole."""

    def __init__(
        self,
        driver: RuntimeDriver,
        images: ImageStore,
        volumes: VolumeStore,
        records: Callable[[], Mapping[str, TaskRecord]],
        clock: Clock,
        state_dir: Path,
        collect_unused: Callable[[], Awaitable[Collected]],
    ) -> None:
        """`collect_unused` deletes images that nothing here needs.

        `records` returns all containers of this node, plain ones in the form of tasks.
        """
        self._driver = driver
        self._images = images
        self._volumes = volumes
        self._records = records
        self._clock = clock
        self._state_dir = state_dir
        self._collect_unused = collect_unused

    async def answer(self, request: ContainerRequest, conversation: Conversation) -> None:
        """Do what is asked and say the last word."""
        if request.WhichOneof("verb") == "disk":
            await conversation.send(ContainerOutput(disk=await self._usage(items=request.disk.items)))
        else:
            collected = await self._collect_unused()
            await conversation.send(ContainerOutput(freed_bytes=collected.bytes))
        await conversation.send(ContainerOutput(done=True))

    async def _usage(self, *, items: bool) -> DiskUsage:
        names = {one: task_name(record.task) for one, record in self._records().items()}
        found = DiskUsage(
            images=image_kind(await asyncio.to_thread(self._images.usage), names),
            containers=await self._containers(names),
            volumes=await asyncio.to_thread(self._volume_kind, names),
            file_system=file_system(await asyncio.to_thread(read_space, self._state_dir)),
        )
        if not items:
            for kind in (found.images, found.containers, found.volumes):
                del kind.items[:]
        return found

    async def _containers(self, names: Mapping[str, str]) -> DiskKind:
        items = []
        for container_id, name in names.items():
            info = await self._driver.inspect(container_id)
            if info is not None:
                active = info.state is ContainerState.RUNNING
                size = await self._driver.disk_bytes(container_id)
                items.append(DiskItem(name=name, id=container_id, size_bytes=size, active=active))
        return kind_of(items)

    def _volume_kind(self, names: Mapping[str, str]) -> DiskKind:
        return kind_of(volume_item(one, names) for one in self._volumes.all())


def image_kind(usage: ImageUsage, names: Mapping[str, str]) -> DiskKind:
    """Return the images of a node, with the names of the containers that are made of them."""
    items = [
        DiskItem(
            name=one.name,
            id=one.digest,
            size_bytes=one.size_bytes,
            active=bool(one.containers),
            users=[names.get(user, user) for user in one.containers],
        )
        for one in usage.items
    ]
    kind = kind_of(items)
    kind.size_bytes, kind.reclaimable_bytes = usage.size_bytes, usage.reclaimable_bytes
    kind.count = len({one.id for one in items})  # one image may have several names
    kind.active = len({one.id for one in items if one.active})
    return kind


def volume_item(state: VolumeState, names: Mapping[str, str]) -> DiskItem:
    """Return a volume. Blocks."""
    users = [names.get(user, user) for user in state.users]
    size = content_bytes(state)
    return DiskItem(name=state.record.name, size_bytes=size, active=bool(users), users=users)


def kind_of(items: Iterable[DiskItem]) -> DiskKind:
    """Return the sum of items; what nothing uses could be had back."""
    listed = list(items)
    return DiskKind(
        count=len(listed),
        active=sum(one.active for one in listed),
        size_bytes=sum(one.size_bytes for one in listed),
        reclaimable_bytes=sum(one.size_bytes for one in listed if not one.active),
        items=listed,
    )


def file_system(space: DiskSpace) -> FileSystem:
    """Return a file system as it travels."""
    return FileSystem(
        path=str(space.path),
        total_bytes=space.total_bytes,
        free_bytes=space.free_bytes,
        total_inodes=space.total_inodes,
        free_inodes=space.free_inodes,
    )
