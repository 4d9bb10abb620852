import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable

import pytest

from swarm.agent.tunnel import tender as tender_module
from swarm.agent.tunnel.tender import Tender
from swarm.runtime.processes import Process, kill_and_wait


class Carrier:
    """A process that may be killed; `mend` starts another one."""

    def __init__(self) -> None:
        self.started: list[subprocess.Popen[bytes]] = []
        self.problems: list[OSError] = []
        self.wanted = True
        self.mended = asyncio.Event()

    async def find(self) -> Process | None:
        living = [one for one in self.started if one.poll() is None]
        return Process.open(living[0].pid) if living and self.wanted else None

    async def mend(self) -> None:
        if self.problems:
            raise self.problems.pop()
        if self.wanted:
            self.start()
        self.mended.set()

    def start(self) -> None:
        self.started.append(subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE))

    def kill(self) -> None:
        process = Process.open(self.started[-1].pid)
        assert process is not None
        kill_and_wait(process, 5)
        process.close()

    def close(self) -> None:
        for one in self.started:
            one.communicate(b"\n")


def run(story: Callable[[Carrier, Tender], Awaitable[None]]) -> None:
    async def play() -> None:
        carrier = Carrier()
        tender = Tender(carrier.find, carrier.mend)
        try:
            async with asyncio.timeout(60):
                await story(carrier, tender)
        finally:
            await tender.stop()
            carrier.close()

    asyncio.run(play())


def test_a_process_that_died_is_replaced_also_when_that_fails_at_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tender_module, "RETRY_FIRST_S", 0.01)

    async def story(carrier: Carrier, tender: Tender) -> None:
        carrier.start()
        await tender.look()
        await tender.look()
        for _ in range(2):
            carrier.problems = [OSError("no such device"), OSError("not yet")]
            carrier.mended.clear()
            carrier.kill()
            await carrier.mended.wait()
        assert len(carrier.started) == 3

    run(story)


def test_one_that_is_not_needed_any_more_is_not_replaced_until_it_is_needed_again() -> None:
    async def story(carrier: Carrier, tender: Tender) -> None:
        carrier.start()
        await tender.look()
        carrier.wanted = False
        carrier.kill()
        await carrier.mended.wait()
        assert len(carrier.started) == 1
        carrier.wanted = True
        carrier.start()
        while not await waits(tender):
            await asyncio.sleep(0)
        carrier.mended.clear()
        carrier.kill()
        await carrier.mended.wait()
        assert len(carrier.started) == 3

    async def waits(tender: Tender) -> bool:
        await tender.look()
        return any(task.get_name() == "tunnel" for task in asyncio.all_tasks())

    run(story)


def test_without_a_process_nobody_waits() -> None:
    async def story(carrier: Carrier, tender: Tender) -> None:
        await tender.look()
        await tender.stop()
        assert not carrier.mended.is_set()

    run(story)
