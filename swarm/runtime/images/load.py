"""How does an archive that comes in piece by piece reach the thread that reads it?"""

import asyncio
import concurrent.futures
import io
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from swarm.runtime.images.archive import stage
from swarm.runtime.images.archive_images import Findings, find_images
from swarm.runtime.images.limits import KIB, Limits
from swarm.runtime.images.tarheaders import BadArchive
from swarm.runtime.images.tarstream import InflatedReader

_START_BYTES = 512


class _ChunkFile(io.RawIOBase):
    """A file for a thread, fed by an async iterator on the event loop."""

    def __init__(self, chunks: AsyncIterator[bytes], loop: asyncio.AbstractEventLoop) -> None:
        self._chunks = chunks
        self._loop = loop
        self._rest = memoryview(b"")
        self._pending: concurrent.futures.Future[bytes] | None = None
        self._aborted = False
        self.size = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        """Wait for the next piece; called in the thread."""
        while not self._rest:
            if self._aborted:
                raise BadArchive("the transfer was given up")
            self._pending = asyncio.run_coroutine_threadsafe(self._next(), self._loop)
            if self._aborted:  # at this very moment: `abort` may have seen the one before
                self._pending.cancel()
            try:
                chunk = self._pending.result()
            except concurrent.futures.CancelledError:
                raise BadArchive("the transfer was given up") from None
            except StopAsyncIteration:
                return 0
            self._rest = memoryview(chunk)
        size = min(len(buffer), len(self._rest))
        buffer[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        self.size += size
        return size

    def abort(self) -> None:
        """Make the thread stop soon; called on the event loop."""
        self._aborted = True
        if self._pending is not None:
            self._pending.cancel()

    async def _next(self) -> bytes:
        return await anext(self._chunks)


async def read_archive(
    chunks: AsyncIterator[bytes], reference: str, folder: Path, limits: Limits
) -> Findings:
    """Stage an archive below `folder`, return its images; raises InvalidArgument, OSError, as `chunks`."""
    loop = asyncio.get_running_loop()
    file = _ChunkFile(chunks, loop)
    # A thread of its own: a slow client must not keep one from everybody else.
    executor = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="image-load")
    try:
        reading = loop.run_in_executor(executor, _read, file, reference, folder, limits)
        try:
            return await asyncio.shield(reading)
        except asyncio.CancelledError:
            file.abort()
            await asyncio.wait((reading,))
            raise
    finally:
        executor.shutdown(wait=False)


def _read(file: _ChunkFile, reference: str, folder: Path, limits: Limits) -> Findings:
    buffered = io.BufferedReader(file, 256 * KIB)
    start = buffered.peek(_START_BYTES)[:_START_BYTES]
    allowance = lambda: min(limits.archive_bytes_max, limits.inflated_bytes_max(file.size))  # noqa: E731
    contents = stage(InflatedReader(buffered, allowance), start, folder, limits)
    return find_images(contents, reference, limits)
