"""A load that is given up at the very moment its thread asks for more."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from typing import Any

import pytest

from swarm.runtime.images import load
from swarm.runtime.images.tarheaders import BadArchive


async def endless() -> AsyncIterator[bytes]:
    await asyncio.Event().wait()
    yield b""


async def test_a_transfer_given_up_while_the_thread_asks_for_more_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = load._ChunkFile(endless(), asyncio.get_running_loop())
    schedule = asyncio.run_coroutine_threadsafe

    def late(coroutine: Coroutine[Any, Any, bytes], loop: asyncio.AbstractEventLoop) -> Any:
        file.abort()  # the thread has looked already, and nothing is there yet that could be cancelled
        return schedule(coroutine, loop)

    monkeypatch.setattr(load.asyncio, "run_coroutine_threadsafe", late)
    with pytest.raises(BadArchive, match="given up"):
        await asyncio.wait_for(asyncio.to_thread(file.readinto, bytearray(10)), 60)
