"""A bounded queue with an end."""

import asyncio

from swarm.manager.containers.pipe import Pipe


async def test_who_fills_waits_for_who_empties_and_order_is_kept() -> None:
    pipe: Pipe[int] = Pipe(3)

    async def fill() -> None:
        for number in range(100):
            assert await pipe.put(number)
        pipe.end()

    filling = asyncio.create_task(fill())
    await asyncio.sleep(0.01)
    assert len(pipe._items) == 3
    assert [number async for number in pipe] == list(range(100))
    await filling


async def test_the_end_is_heard_by_who_waits_on_either_side() -> None:
    full: Pipe[int] = Pipe(1)
    await full.put(1)
    putting = asyncio.create_task(full.put(2))
    empty: Pipe[int] = Pipe(1)
    taking = asyncio.create_task(anext(empty, None))
    await asyncio.sleep(0.01)
    full.end()
    empty.end()
    assert await asyncio.wait_for(putting, 60) is False
    assert await asyncio.wait_for(taking, 60) is None
    assert [number async for number in full] == [1]
    assert await full.put(3) is False
