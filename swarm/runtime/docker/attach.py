"""Looking on at a container of an engine, and typing at it: streams over the engine's socket, both ways."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

from swarm.errors import FailedPrecondition, SwarmError
from swarm.runtime.docker.client import EngineClient, EngineError, Stream
from swarm.runtime.docker.container import EngineContainer
from swarm.runtime.docker.logs import frames

_CHUNK = 32 * 1024


class EngineAttachment:
    """An Attachment: one of any number of those who look on."""

    def __init__(self, engine: EngineClient, path: str, container: EngineContainer, stream: Stream) -> None:
        """`path` is the container's in the API, `stream` is this object's from now on."""
        self._engine = engine
        self._path = path
        self._container = container
        self._stream = stream
        self._resizing: asyncio.Task[None] | None = None

    async def output(self) -> AsyncIterator[tuple[str, bytes]]:
        """Yield what the container writes until it has ended."""
        if self._container.tty:
            async for data in self._chunks():
                yield "stdout", data
        else:
            async for stream, data in frames(self._chunks()):
                if data:
                    yield stream, data

    async def _chunks(self) -> AsyncIterator[bytes]:
        with suppress(OSError):  # the engine has gone
            while data := await self._stream.reader.read(_CHUNK):
                yield data

    async def write(self, data: bytes) -> None:
        """Write to its standard input; ignored where that is not open, or the container has ended."""
        if self._container.stdin:
            with suppress(OSError):
                self._stream.writer.write(data)
                await self._stream.writer.drain()

    async def close_stdin(self) -> None:
        """Let it read the end of its input, if it was made for one writer: the engine sees to that."""
        with suppress(OSError):
            self._stream.writer.write_eof()

    async def resize(self, rows: int, columns: int) -> None:
        """Change the size of its terminal, as soon as it runs; ignored without one."""
        if self._container.tty and rows > 0 and columns > 0:
            await self._stop_resizing()
            self._resizing = asyncio.create_task(self._resize(rows, columns), name="engine-resize")
            if self._container.begun.is_set():
                await asyncio.wait((self._resizing,))

    async def _resize(self, rows: int, columns: int) -> None:
        await self._container.begun.wait()
        with suppress(SwarmError, TimeoutError):
            await self._engine.request("POST", f"{self._path}/resize", {"h": rows, "w": columns})

    async def _stop_resizing(self) -> None:
        if self._resizing is not None:
            self._resizing.cancel()
            await asyncio.gather(self._resizing, return_exceptions=True)

    async def close(self) -> None:
        """Look on no more; the container goes on."""
        await self._stop_resizing()
        self._stream.writer.close()


async def attach(engine: EngineClient, path: str, container: EngineContainer) -> EngineAttachment:
    """Look on from now on at a container that is created or runs; raises FailedPrecondition, Unavailable."""
    wanted = ["stream", "stdout", "stderr", *(["stdin"] if container.stdin else [])]
    try:
        stream = await engine.open("POST", f"{path}/attach", dict.fromkeys(wanted, "1"), upgrade=True)
    except EngineError as error:
        raise FailedPrecondition(f"cannot attach to container {container.info.id}: {error}") from error
    return EngineAttachment(engine, path, container, stream)
