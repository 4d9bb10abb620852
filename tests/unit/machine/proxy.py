"""A wire between us and a machine that can be cut, or swallow what is sent."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from swarm.machine.endpoint import Endpoint, Hop
from tests.unit.machine.server import FakeMachine


class Proxy:
    """Listens at `port` and passes on to `target`."""

    def __init__(self, target: Hop) -> None:
        self._target = target
        self.port = 0
        self._left: dict[str, int | None] = {"up": None, "down": None}
        self._swallows = False
        self._tasks: set[asyncio.Task[None]] = set()

    def endpoint(self, machine: FakeMachine) -> Endpoint:
        """The machine behind it."""
        return Endpoint(dataclasses.replace(machine.hop, port=self.port))

    def cut_after(self, number: int | None, direction: str) -> None:
        """Cut the next connection after so many bytes to the machine (`up`) or from it; None: never."""
        self._left[direction] = number

    def swallow(self) -> None:
        """Pass nothing on from now on, in silence."""
        self._swallows = True

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, thither = await asyncio.open_connection(self._target.host, self._target.port)
        pipes = [
            asyncio.create_task(self._pipe(reader, thither, "up")),
            asyncio.create_task(self._pipe(there, writer, "down")),
        ]
        self._tasks |= set(pipes)
        await asyncio.wait(pipes, return_when=asyncio.FIRST_COMPLETED)
        for pipe in pipes:
            pipe.cancel()
        await asyncio.gather(*pipes, return_exceptions=True)
        for end in (writer, thither):
            end.transport.abort()
        self._tasks -= set(pipes)

    async def _pipe(
        self, source: asyncio.StreamReader, target: asyncio.StreamWriter, direction: str
    ) -> None:
        with suppress(OSError):
            while self._left[direction] != 0 and (data := await source.read(1 << 14)):
                left = self._left[direction]
                if left is not None:
                    data = data[:left]
                    self._left[direction] = left - len(data)
                if not self._swallows:
                    target.write(data)
                    await target.drain()

    async def stop(self) -> None:
        """Cut all that is left."""
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@asynccontextmanager
async def proxied(target: Hop) -> AsyncIterator[Proxy]:
    """A wire to a machine."""
    proxy = Proxy(target)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        async with server:
            yield proxy
            await proxy.stop()
    finally:
        await asyncio.sleep(0)
