"""Notices that the process that carries a tunnel has died, and has another one made at once."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from swarm.errors import SwarmError
from swarm.runtime.processes import Process

log = structlog.get_logger(__name__)

RETRY_FIRST_S, RETRY_MAX_S = 0.1, 5.0
LIVED_S = 10.0  # one that lived this long has not failed to start


class Tender:
    """Waits beside the process there is, if there is one. Agents may end: the process does not."""

    def __init__(
        self, find: Callable[[], Awaitable[Process | None]], mend: Callable[[], Awaitable[None]]
    ) -> None:
        """`find` returns the process; `mend` makes a new tunnel, or raises why it cannot."""
        self._find = find
        self._mend = mend
        self._waiting: asyncio.Task[None] | None = None

    async def look(self) -> None:
        """Begin to wait, unless somebody waits already."""
        if self._waiting is not None and not self._waiting.done():
            return
        process = await self._find()
        if process is not None:
            self._waiting = asyncio.create_task(self._tend(process), name="tunnel")

    async def stop(self) -> None:
        """Wait no longer; the process goes on."""
        if self._waiting is not None:
            self._waiting.cancel()
            await asyncio.wait({self._waiting})
            self._waiting = None

    async def _tend(self, process: Process | None) -> None:
        loop, retry_s = asyncio.get_running_loop(), RETRY_FIRST_S
        while process is not None:
            began = loop.time()
            try:
                await process.wait()
            finally:
                process.close()
            if loop.time() - began < LIVED_S:
                await asyncio.sleep(retry_s)
                retry_s = min(2 * retry_s, RETRY_MAX_S)
            else:
                retry_s = RETRY_FIRST_S
            process = await self._again(process.pid)

    async def _again(self, pid: int) -> Process | None:
        retry_s = RETRY_FIRST_S
        while True:
            try:
                await self._mend()
            except (OSError, SwarmError) as error:
                log.warning("tunnel.not_mended", reason=str(error))
                await asyncio.sleep(retry_s)
                retry_s = min(2 * retry_s, RETRY_MAX_S)
            else:
                process = await self._find()
                if process is not None:  # else no network needed it any more: that is why it ended
                    log.warning("tunnel.replaced", ended=pid, pid=process.pid)
                return process
