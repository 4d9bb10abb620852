"""A bounded queue with an end: who fills it waits for who empties it, and both hear when the other stops."""

import asyncio
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class Pipe(Generic[T]):
    """Iterate over it to take; what was put before the end is still taken after it."""

    def __init__(self, size: int) -> None:
        """Hold at most `size` items."""
        self._size = size
        self._items: deque[T] = deque()
        self._changed = asyncio.Event()
        self._ended = False

    async def put(self, item: T) -> bool:
        """Add an item as soon as there is room; False when nobody takes any more."""
        while len(self._items) >= self._size and not self._ended:
            await self._wait()
        if self._ended:
            return False
        self._items.append(item)
        self._wake()
        return True

    def end(self) -> None:
        """Take nothing more."""
        self._ended = True
        self._wake()

    def __aiter__(self) -> "Pipe[T]":
        return self

    async def __anext__(self) -> T:
        """Return the next item; raises StopAsyncIteration after the last one."""
        while not self._items:
            if self._ended:
                raise StopAsyncIteration
            await self._wait()
        item = self._items.popleft()
        self._wake()
        return item

    async def _wait(self) -> None:
        await self._changed.wait()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
