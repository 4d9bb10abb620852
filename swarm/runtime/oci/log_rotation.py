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
        self._asked: set[str] = set()  # containers whose shim has not opened its new file yet

    def begin(self) -> None:
        """Go on until no container lives any more."""
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._go_on(), name="log rotation")

    async def _go_on(self) -> None:
        while living := self._living():
            await self._in_thread(self.rotate, living)
            await asyncio.sleep(INTERVAL_S)

    async def close(self) -> None:
        """Stop."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def rotate(self, containers: Sequence[tuple[Record, conmon.ShimFiles]]) -> None:
        """Rotate each log that is long enough; blocks."""
        self._asked &= {record.id for record, _ in containers}
        for record, files in containers:
            try:
                self._rotate(record, files)
            except OSError as error:
                log.warning("runtime.log_not_rotated", task_id=record.id, reason=str(error))

    def _rotate(self, record: Record, files: conmon.ShimFiles) -> None:
        try:
            size = files.log.stat().st_size
        except FileNotFoundError:
            # Asked twice, conmon makes a new file twice: what it wrote in between would be gone.
            if record.id in self._asked:
                return
            # Else an agent was killed between the renaming and this order.
        else:
            self._asked.discard(record.id)
            if size < (record.log_max_bytes or MAX_FILE_BYTES):
                return
            rotate_files(files.log, record.log_files)
        if conmon.reopen_log(files):
            self._asked.add(record.id)
