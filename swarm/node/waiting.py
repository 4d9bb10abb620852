"""Waiting for something that announces itself to nobody."""

import asyncio
from collections.abc import Callable

POLL_S = 0.05


async def until(condition: Callable[[], bool]) -> None:
    """Return once `condition` holds; look every 50 ms. Callers set the time limit."""
    while True:
        if condition():
            return
        await asyncio.sleep(POLL_S)
