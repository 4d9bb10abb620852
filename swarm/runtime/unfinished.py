"""Steps that are carried to their end although whoever asked for them has given up."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class Unfinished:
    """What is under way in one driver."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    async def to_its_end(self, work: Coroutine[Any, Any, T]) -> T:
        """Run `work` to its end also when the caller is cancelled: half a step would help nobody."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        return await asyncio.shield(task)

    async def wait(self) -> None:
        """Return when nothing is under way."""
        await asyncio.gather(*self._tasks, return_exceptions=True)
