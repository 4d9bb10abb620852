"""What the oldest Python that we run on gets wrong, put right: Debian 12 has 3.11.2."""

import asyncio
import sys
from types import TracebackType

REPAIRED_SINCE = (3, 11, 4)


def repair_timeouts() -> None:
    """Make `asyncio.timeout` raise TimeoutError in every task; to be called before the first event loop.

    A group of tasks in which one failed leaves a cancellation counted on the task around it. Up to 3.11.2
    every later timeout of that task takes this for somebody's wish to cancel it: instead of a TimeoutError
    the task, a loop of a manager say, ends in silence.
    """
    if sys.version_info >= REPAIRED_SINCE or asyncio.Timeout.__aenter__.__module__ == __name__:
        return
    enter, leave = asyncio.Timeout.__aenter__, asyncio.Timeout.__aexit__
    counted: dict[asyncio.Timeout, int] = {}

    async def entered(self: asyncio.Timeout) -> asyncio.Timeout:
        counted[self] = _cancellations()
        return await enter(self)

    async def left(
        self: asyncio.Timeout,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        before = counted.pop(self)
        await leave(self, exc_type, exc_val, exc_tb)
        if exc_type is asyncio.CancelledError and self.expired() and _cancellations() <= before:
            raise TimeoutError from exc_val

    asyncio.Timeout.__aenter__ = entered  # type: ignore[method-assign]
    asyncio.Timeout.__aexit__ = left  # type: ignore[method-assign]


def _cancellations() -> int:
    task = asyncio.current_task()
    return task.cancelling() if task is not None else 0
