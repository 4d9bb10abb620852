"""Timeouts mean the same on every Python that we run on."""

import asyncio

import pytest


async def fail() -> None:
    raise ValueError


async def outlive_a_failure() -> None:
    """Leave this task as a group of tasks does of which one failed while it waited for all of them."""
    with pytest.raises(ExceptionGroup):
        async with asyncio.TaskGroup() as group:
            group.create_task(fail())


async def test_a_timeout_expires_also_after_a_group_of_tasks_failed() -> None:
    await outlive_a_failure()
    for _ in range(2):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await asyncio.Event().wait()


async def test_a_timeout_around_another_that_expired_first_does_not_expire() -> None:
    await outlive_a_failure()
    async with asyncio.timeout(60):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await asyncio.Event().wait()


async def test_who_is_cancelled_within_a_timeout_is_cancelled() -> None:
    entered = asyncio.Event()

    async def wait() -> None:
        await outlive_a_failure()
        async with asyncio.timeout(60):
            entered.set()
            await asyncio.Event().wait()

    waiting = asyncio.create_task(wait())
    await entered.wait()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert waiting.cancelled()


async def test_a_timeout_that_is_not_reached_changes_nothing() -> None:
    await outlive_a_failure()
    async with asyncio.timeout(60) as timeout:
        await asyncio.sleep(0)
    assert not timeout.expired()
