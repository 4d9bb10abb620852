"""One container and its two processes: what is held while an agent lives, and how its end is noticed."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from swarm.runtime.processes import Process
from swarm.runtime.state import Phase, Record

TEND_INTERVAL_S = 0.5


class Container:
    """One container while this agent lives: its record, its processes, the task that waits for its end."""

    def __init__(self, record: Record) -> None:
        self.record = record
        self.main: Process | None = None
        self.shim: Process | None = None
        self.ended = asyncio.Event()
        self.supervisor: asyncio.Task[None] | None = None
        self.writing = asyncio.Lock()
        if record.phase is Phase.EXITED:
            self.ended.set()

    def hold_processes(self) -> None:
        """Open the processes of the record, as far as they still exist."""
        self.main = Process.open(self.record.pid, self.record.pid_started)
        self.shim = Process.open(self.record.shim_pid, self.record.shim_started)

    @property
    def lives(self) -> bool:
        """Whether its process or its shim still runs."""
        return any(process is not None and process.alive for process in (self.main, self.shim))

    def let_go(self) -> None:
        """Close everything without touching the container."""
        if self.supervisor is not None:
            self.supervisor.cancel()
        for process in (self.main, self.shim):
            if process is not None:
                process.close()


async def first_to_end(container: Container, tend: Callable[[Record], bool]) -> None:
    """Return when the container's process or its shim has ended, at once if one is gone already.

    Meanwhile `tend` is called from time to time, until it answers False.
    """
    if container.main is None or container.shim is None:
        return
    waits: list[Coroutine[Any, Any, None]] = [container.main.wait(), container.shim.wait()]
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        interval: float | None = TEND_INTERVAL_S
        while True:
            done, _ = await asyncio.wait(tasks, timeout=interval, return_when=asyncio.FIRST_COMPLETED)
            if done:
                return
            if not tend(container.record):
                interval = None
    finally:
        for task in tasks:
            task.cancel()


class _Turn:
    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.users = 0


class Turns:
    """Lets one call at a time change a container."""

    def __init__(self) -> None:
        self._turns: dict[str, _Turn] = {}

    @asynccontextmanager
    async def of(self, container_id: str) -> AsyncIterator[None]:
        """Wait until nobody else changes the container."""
        turn = self._turns.setdefault(container_id, _Turn())
        turn.users += 1
        try:
            async with turn.lock:
                yield
        finally:
            turn.users -= 1
            if turn.users == 0:
                self._turns.pop(container_id, None)
