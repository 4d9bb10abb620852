"""Giving a container no time for as long as its node reads its files.

What is paused for that is on disk before: the agent may end in the middle, and nobody else would let the
container go on. What people paused is theirs, and stays so.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import structlog

from swarm.agent.database import Database
from swarm.errors import SwarmError
from swarm.runtime.base import ContainerState, RuntimeDriver

log = structlog.get_logger(__name__)


class Pausing:
    """Pauses of this agent and of the one before."""

    def __init__(self, driver: RuntimeDriver, database: Database) -> None:
        """`database` must be open when something is paused."""
        self._driver = driver
        self._database = database
        self._mine: set[str] = set()

    @asynccontextmanager
    async def paused(self, container_id: str) -> AsyncIterator[None]:
        """Have a container stand still for the block, if it runs and nobody else paused it.

        Raises FailedPrecondition where it cannot be paused.
        """
        info = await self._driver.inspect(container_id)
        if info is None or info.state is not ContainerState.RUNNING or info.paused:
            yield
            return
        self._mine.add(container_id)
        try:
            await self._database.put_pause(container_id)
            await self._driver.pause(container_id)
            yield
        finally:
            await asyncio.shield(self._go_on(container_id))

    def leave_to_others(self, container_id: str) -> bool:
        """Hear that people paused it, or let it go on: from now on that counts; whether it was mine."""
        if container_id not in self._mine:
            return False
        self._mine.discard(container_id)
        self._database.delete_pause(container_id)
        return True

    async def resume(self, container_ids: Iterable[str]) -> None:
        """Let go on what an agent that ended in the middle has left paused."""
        for container_id in container_ids:
            self._mine.add(container_id)
            info = await self._driver.inspect(container_id)
            if info is not None and info.paused:
                log.info("agent.container_found_paused", task_id=container_id)
            await self._go_on(container_id)

    async def _go_on(self, container_id: str) -> None:
        if container_id not in self._mine:
            return
        try:
            await self._driver.unpause(container_id)
        except (SwarmError, OSError) as error:  # it ended, or is gone
            log.info("agent.container_not_unpaused", task_id=container_id, reason=str(error))
        self.leave_to_others(container_id)
