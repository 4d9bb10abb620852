import asyncio

import pytest

from swarm.runtime.images.holds import Holds
from swarm.runtime.images.single_flight import SingleFlight


class Work:
    """Work that ends when the test says so."""

    def __init__(self) -> None:
        self.started = 0
        self.cancelled = False
        self.end: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def __call__(self) -> int:
        self.started += 1
        try:
            return await asyncio.shield(self.end)
        except asyncio.CancelledError:
            self.cancelled = True
            raise


async def test_callers_of_one_key_share_one_result() -> None:
    flights: SingleFlight[str, int] = SingleFlight()
    work = Work()
    callers = [asyncio.ensure_future(flights.run("key", work)) for _ in range(5)]
    await asyncio.sleep(0)
    work.end.set_result(7)
    assert await asyncio.gather(*callers) == [7] * 5
    assert work.started == 1


async def test_an_error_reaches_every_caller_and_the_next_one_tries_again() -> None:
    flights: SingleFlight[str, int] = SingleFlight()
    work = Work()
    callers = [asyncio.ensure_future(flights.run("key", work)) for _ in range(2)]
    await asyncio.sleep(0)
    work.end.set_exception(ValueError("no"))
    assert [type(error) for error in await asyncio.gather(*callers, return_exceptions=True)] == [
        ValueError
    ] * 2
    second = Work()
    second.end.set_result(1)
    assert await flights.run("key", second) == 1


async def test_the_work_is_cancelled_with_its_last_caller() -> None:
    flights: SingleFlight[str, int] = SingleFlight()
    work = Work()
    first, second = (asyncio.ensure_future(flights.run("key", work)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    assert not work.cancelled
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    assert work.cancelled


async def test_who_comes_after_the_cancellation_starts_anew() -> None:
    flights: SingleFlight[str, int] = SingleFlight()
    work, fresh = Work(), Work()
    first = asyncio.ensure_future(flights.run("key", work))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    fresh.end.set_result(3)
    assert await flights.run("key", fresh) == 3


async def test_keys_do_not_wait_for_each_other() -> None:
    flights: SingleFlight[str, int] = SingleFlight()
    slow, quick = Work(), Work()
    waiting = asyncio.ensure_future(flights.run("slow", slow))
    quick.end.set_result(1)
    assert await flights.run("quick", quick) == 1
    slow.end.set_result(2)
    assert await waiting == 2


def test_a_digest_is_held_until_its_last_holder_lets_go() -> None:
    holds = Holds()
    with holds.new() as first:
        first.add("a", "a", "b")
        with holds.new() as second:
            second.add("a")
            assert sorted(holds) == ["a", "b"]
        assert "a" in holds
    assert list(holds) == []
