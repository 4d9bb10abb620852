"""Was this task asked to end, or did something that it waited for give up?

A call of gRPC whose channel somebody else closes ends with CancelledError in whoever waits for it, as if
that task were to end. A group of tasks passes over such an end in silence: the part is missing from then on.
"""

import asyncio
from collections.abc import Awaitable, Callable

from swarm.errors import InvariantBroken


def asked_to_end() -> bool:
    """Whether somebody cancelled the current task, and not only what it waited for."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def endless(run: Callable[[], Awaitable[None]], name: str) -> None:
    """Run what is to run until it is cancelled; raises InvariantBroken when it ends in another way."""
    try:
        await run()
    except asyncio.CancelledError as error:
        if asked_to_end():
            raise
        raise InvariantBroken(f"{name} ended with something that it waited for") from error
    raise InvariantBroken(f"{name} ended by itself")
