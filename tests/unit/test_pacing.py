import asyncio
from collections.abc import Generator

from swarm.manager.store.testing import ManualClock
from swarm.pacing import Pacer, rest_s


def work(clock: ManualClock, steps: int, step_s: float) -> Generator[None, None, str]:
    for _ in range(steps):
        clock.advance(step_s)
        yield
    return "done"


async def turns_of_others(steps: int, step_s: float) -> int:
    """Return how often somebody else had a turn while work in steps was done."""
    clock, turns = ManualClock(), 0
    pacer = Pacer(clock, slice_s=0.003)

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    waiting = asyncio.create_task(other())
    assert await pacer.run(work(clock, steps, step_s)) == "done"
    waiting.cancel()
    assert abs(pacer.worked_s - steps * step_s) < 1e-3
    return turns


async def test_long_work_lets_others_on_after_every_slice() -> None:
    assert await turns_of_others(steps=30, step_s=0.002) == 15


async def test_short_work_is_done_in_one_go() -> None:
    assert await turns_of_others(steps=2, step_s=0.001) == 0


def test_a_look_rests_ten_times_what_it_took_but_never_for_long() -> None:
    assert rest_s(0.0) == 0.0
    assert rest_s(0.01) == 0.1
    assert rest_s(3.0) == 0.5
