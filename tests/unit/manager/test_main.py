"""A manager whose parts ended must not go on as if it managed."""

import asyncio
from functools import partial

from swarm.manager.main import tell_end


async def parts(error: Exception | None) -> None:
    """What runs in a manager: several things, of which one fails."""

    async def fail() -> None:
        if error is not None:
            raise error

    async with asyncio.TaskGroup() as group:
        group.create_task(fail())
        if error is not None:
            group.create_task(asyncio.Event().wait())


async def ended(error: Exception | None, *, cancel: bool = False) -> list[str]:
    reasons: list[str] = []
    task = asyncio.create_task(parts(error))
    task.add_done_callback(partial(tell_end, on_fatal=reasons.append))
    if cancel:
        task.cancel()
    await asyncio.wait((task,))
    await asyncio.sleep(0)
    return reasons


async def test_a_part_that_fails_ends_the_manager_with_the_reason() -> None:
    (reason,) = await ended(KeyError("a bug"))
    assert "a part of it failed: KeyError('a bug')" in reason


async def test_a_manager_that_is_stopped_did_not_fail() -> None:
    assert await ended(ValueError("never"), cancel=True) == []
    assert await ended(None) == []
