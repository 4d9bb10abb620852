"""Loops run exactly while this manager leads, and a dead loop ends its term."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from swarm.errors import NoQuorum, NotLeader
from swarm.manager.leading import Leading


class Trace:
    """Loops and Raft, as far as `Leading` sees them."""

    def __init__(self) -> None:
        self.running = 0
        self.started = 0
        self.prepared = 0
        self.given_up = 0
        self.fail: Exception | None = None
        self.ends = False
        self.gives_up: Callable[[], None] = lambda: None

    async def prepare(self) -> None:
        self.prepared += 1

    async def run(self) -> None:
        self.running += 1
        self.started += 1
        try:
            if self.fail is not None:
                raise self.fail
            if not self.ends:
                await asyncio.Event().wait()
        finally:
            self.running -= 1

    async def give_up(self, timeout_s: float) -> None:
        self.given_up += 1
        self.gives_up()


@asynccontextmanager
async def following(trace: Trace) -> AsyncIterator[Leading]:
    leading = Leading(trace.prepare, lambda: {"one": trace, "two": trace}, trace.give_up)
    task = asyncio.create_task(leading.run())
    yield leading
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert trace.running == 0


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.005)


async def test_loops_run_while_this_manager_leads() -> None:
    trace = Trace()
    async with following(trace) as leading:
        await asyncio.sleep(0.01)
        assert trace.started == 0
        leading.on_leadership(3)
        await until(lambda: trace.running == 2)
        leading.on_leadership(None)
        await until(lambda: trace.running == 0)
    assert trace.prepared == 1


async def test_a_new_term_starts_everything_anew() -> None:
    trace = Trace()
    async with following(trace) as leading:
        leading.on_leadership(3)
        await until(lambda: trace.started == 2)
        leading.on_leadership(None)
        leading.on_leadership(4)
        await until(lambda: trace.started == 4)
        assert trace.running == 2
    assert trace.prepared == 2


@pytest.mark.parametrize("ends", [True, False])
async def test_a_loop_that_dies_or_ends_takes_the_term_with_it(ends: bool) -> None:
    trace = Trace()
    trace.ends = ends
    trace.fail = None if ends else RuntimeError("boom")
    async with following(trace) as leading:
        trace.gives_up = lambda: leading.on_leadership(None)
        leading.on_leadership(1)
        await until(lambda: trace.given_up == 1 and trace.running == 0)


async def test_without_another_manager_the_loops_start_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("swarm.manager.leading.RESTART_PAUSES_S", (0.01,))
    trace = Trace()
    trace.fail = RuntimeError("boom")

    def refuse() -> None:
        trace.fail = None
        raise NoQuorum("nobody else")

    trace.gives_up = refuse
    async with following(trace) as leading:
        leading.on_leadership(1)
        await until(lambda: trace.running == 2)
    assert trace.given_up == 1


class Sore:
    """A loop that answers its cancellation with an error, as one does whose commit is refused just then."""

    def __init__(self) -> None:
        self.running = 0

    async def run(self) -> None:
        self.running += 1
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise NotLeader from None
        finally:
            self.running -= 1


async def test_a_loop_that_fails_while_all_are_cancelled_does_not_keep_the_term_alive() -> None:
    trace, sore = Trace(), Sore()
    leading = Leading(trace.prepare, lambda: {"one": trace, "two": sore}, trace.give_up)
    task = asyncio.create_task(leading.run())
    for term in (1, 3):
        leading.on_leadership(term)
        await until(lambda: sore.running == 1)
        leading.on_leadership(None)
        await until(lambda: sore.running == 0)
    assert (trace.prepared, trace.started, trace.given_up) == (2, 2, 0)
    leading.on_leadership(5)
    await until(lambda: sore.running == 1)
    task.cancel()
    async with asyncio.timeout(60):
        await asyncio.gather(task, return_exceptions=True)
    assert (trace.running, sore.running) == (0, 0)
