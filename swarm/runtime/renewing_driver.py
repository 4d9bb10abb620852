"""What a driver needs beside the shim's life cycle so that one container can run more than once.

A renewed container keeps its files and its log; cgroup, mounts and shim are made anew. Its record says
`exited` until the new one is whole: whoever is killed in between finds an ended container.
"""

import asyncio
from abc import abstractmethod

import structlog

from swarm.errors import FailedPrecondition, SwarmError, TaskRejected
from swarm.runtime.attachment import LogAttachment
from swarm.runtime.base import Attachment, ContainerConfig
from swarm.runtime.disk import tree_bytes
from swarm.runtime.logs import LogFollower
from swarm.runtime.processes import boot_id
from swarm.runtime.shim_driver import ShimDriver
from swarm.runtime.state import Phase, Record
from swarm.runtime.supervision import Container

log = structlog.get_logger(__name__)


class RenewingDriver(ShimDriver):
    """Adds `renew`, and an `attach` that only looks on."""

    @abstractmethod
    def _clear(self, container_id: str, record: Record | None) -> None:
        """Remove all that runs, is mounted or belongs to this boot, and keep files and log; blocks.

        Without a record nobody wrote the processes down.
        """

    async def renew(self, config: ContainerConfig) -> None:
        """Make a container that has ended ready to start again; raises as the contract says."""
        await self._unfinished.to_its_end(self._renew_in_turn(config))

    async def _renew_in_turn(self, config: ContainerConfig) -> None:
        async with self._turns.of(config.id):
            container = self._get(config.id)
            if container.record.phase is Phase.CREATED:
                return
            if container.record.phase is not Phase.EXITED:
                raise FailedPrecondition(f"container {config.id} runs")
            if container.supervisor is not None:
                await asyncio.shield(container.supervisor)  # it may still be writing its last record
            async with self._starts:
                renewed = await self._renewed(container.record, config)
            container.let_go()
            self._containers[config.id] = renewed
            self._supervise(renewed)

    async def _renewed(self, old: Record, config: ContainerConfig) -> Container:
        try:
            await self._in_thread(self._clear, old.id, old if old.boot_id == boot_id() else None)
            renewed = await self._make(config)
        except BaseException as error:
            await self._clear_half_made(old.id)
            if isinstance(error, OSError):
                raise TaskRejected(f"cannot prepare the container: {error}") from error
            raise
        return renewed

    async def _clear_half_made(self, container_id: str) -> None:
        try:
            await self._in_thread(self._clear, container_id, None)
        except (SwarmError, OSError) as error:
            log.warning("runtime.cleanup_failed", task_id=container_id, reason=str(error))

    async def disk_bytes(self, container_id: str, *, output: bool = True) -> int:
        """Return what a container has written, and its log, on the disk."""
        return await asyncio.to_thread(tree_bytes, self._container_dir(container_id), ("rootfs", "work"))

    async def attach(self, container_id: str) -> Attachment:
        """Look on at a container through its log; it has no standard input."""
        self._attachable(container_id)
        container = self._get(container_id)
        # Here and not by who reads first: the container may be started, and have ended, before that.
        follower = await asyncio.to_thread(LogFollower, self._log_path(container_id))
        return LogAttachment(follower.lines(container.ended.is_set), follower.close)

    def _attachable(self, container_id: str) -> Record:
        record = self._get(container_id).record
        if record.phase is Phase.EXITED:
            raise FailedPrecondition(f"container {container_id} does not run")
        return record
