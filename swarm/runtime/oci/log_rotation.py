"""Keeps the logs of living containers short: conmon itself could only throw them away."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import structlog

from swarm.runtime.logs import MAX_FILE_BYTES, rotate_files
from swarm.runtime.oci import conmon
from swarm.runtime.state import Record

log = structlog.get_logger(__name__)

INTERVAL_S = 0.5

Living = Callable[[], Sequence[tuple[Record, conmon.ShimFiles]]]


class LogRotation:
    """Looks at all logs in turn, in one errand."""

    def __init__(self, living: Living, in_thread: Callable[..., Awaitable[Any]]) -> None:
        """`living` are the containers that may write, `in_thread` calls a function that blocks."""
        self._living = living
        self._in_thread = in_thread
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Go on until no container lives any more."""
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._go_on(), name="log rotation")

    async def _go_on(self) -> None:
        while living := self._living():
            await self._in_thread(rotate_all, living)
            await asyncio.sleep(INTERVAL_S)

    async def close(self) -> None:
        """Stop."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])


def rotate_all(containers: Sequence[tuple[Record, conmon.ShimFiles]]) -> None:
    """Rotate each log that is long enough; blocks."""
    for record, files in containers:
        try:
            _rotate(record, files)
        except OSError as error:
            log.warning("runtime.log_not_rotated", task_id=record.id, reason=str(error))


def _rotate(record: Record, files: conmon.ShimFiles) -> None:
    try:
        if files.log.stat().st_size < (record.log_max_bytes or MAX_FILE_BYTES):
            return
        rotate_files(files.log, record.log_files)
    except FileNotFoundError:
        pass  # an agent was killed between the renaming and this order
    conmon.reopen_log(files)
