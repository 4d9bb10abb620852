"""One container and its two processes: what is held while an agent lives, and how its end is noticed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from swarm.runtime.processes import Process
from swarm.runtime.state import Phase, Record


class Container:
    """One container while this agent lives: its record, its processes, the task that waits for its end."""

    def __init__(self, record: Record, main: Process | None = None, shim: Process | None = None) -> None:
        """Hold the processes of whoever has just made it; those of an earlier agent have to be found."""
        self.record = record
        self.main = main
        self.shim = shim
        self.ended = asyncio.Event()
        self.supervisor: asyncio.Task[None] | None = None
        self.writing = asyncio.Lock()
        if record.phase is Phase.EXITED:
            self.ended.set()

    def find_processes(self) -> None:
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


async def first_to_end(container: Container) -> None:
    """Return when the container's process or its shim has ended, at once if one is gone already."""
    if container.main is None or container.shim is None:
        return
    ends = (container.main.end(), container.shim.end())
    either: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def tell(_: asyncio.Future[None]) -> None:
        if not either.done():
            either.set_result(None)

    for end in ends:
        end.add_done_callback(tell)
    try:
        await either
    finally:
        for end in ends:
            end.remove_done_callback(tell)


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
