"""Collects the garbage of a node's image store now and then."""

import asyncio
from collections.abc import Callable, Iterable

import structlog

from swarm.clock import Clock
from swarm.runtime.images.store import LocalImageStore

log = structlog.get_logger(__name__)


class CollectionLoop:
    """Runs on every node as long as its agent does."""

    def __init__(
        self,
        images: LocalImageStore,
        clock: Clock,
        needed: Callable[[], Iterable[str]],
        *,
        first_s: float = 60.0,
        period_s: float = 600.0,
    ) -> None:
        """`needed`: the manifests that tasks wait to be started with.

        `first_s`: after the start the agent's containers come first.
        """
        self._images = images
        self._needed = needed
        self._clock = clock
        self._first_s = first_s
        self._period_s = period_s

    async def run(self) -> None:
        """Collect until cancelled; a disk that refuses is tried again the next time."""
        await asyncio.sleep(self._first_s)
        while True:
            try:
                await self._images.gc(self._clock.now_ns(), self._needed())
            except OSError as error:
                log.warning("images.collection_failed", reason=str(error))
            await asyncio.sleep(self._period_s)
