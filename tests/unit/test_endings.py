"""What runs until it is cancelled, and ends otherwise, is noticed."""

import asyncio

import pytest

from swarm.endings import endless
from swarm.errors import InvariantBroken


async def waiting_for_what_is_given_up() -> None:
    given_up = asyncio.get_running_loop().create_future()
    given_up.cancel()
    await given_up


async def ending() -> None:
    pass


async def two_parts() -> None:
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        group.create_task(endless(asyncio.Event().wait, "another"))  # type: ignore[arg-type]
        group.create_task(endless(waiting_for_what_is_given_up, "the part"))


async def test_a_part_that_ended_with_what_it_waited_for_fails_its_group() -> None:
    with pytest.raises(ExceptionGroup) as caught:
        await two_parts()
    assert str(caught.value.exceptions[0]) == "the part ended with something that it waited for"


async def test_a_part_that_returns_fails_its_group() -> None:
    with pytest.raises(InvariantBroken, match="the part ended by itself"):
        await endless(ending, "the part")


async def test_a_part_that_is_cancelled_ends_in_peace() -> None:
    running = asyncio.create_task(endless(asyncio.Event().wait, "the part"))  # type: ignore[arg-type]
    await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
