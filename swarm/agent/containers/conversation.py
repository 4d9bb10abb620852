"""One conversation of this node with somebody at a manager, as the node sees it."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc

from swarm.api.v1.containers_pb2 import ContainerInput, ContainerOutput, ContainerRequest, OutputChunk
from swarm.api.v1.logs_pb2 import LOG_STREAM_STDERR, LOG_STREAM_STDOUT
from swarm.errors import InvalidArgument, Unavailable

WINDOW_BYTES = 1 << 20  # what a caller may send before it hears that something was taken
CHUNK_BYTES = 64 * 1024
ORDERS = 64  # resizes and signals that nobody has looked at; more are of no use


class Conversation:
    """Reads all the time, so that the caller's departure is noticed; `WINDOW_BYTES` bounds what is held."""

    def __init__(self, call: Any) -> None:
        """Speak over `call`, a stream to a manager."""
        self._call = call
        self._data: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._held_bytes = 0
        self._turn = asyncio.Lock()
        self.orders: asyncio.Queue[ContainerInput] = asyncio.Queue(ORDERS)

    async def question(self) -> ContainerRequest:
        """Return what is asked; raises Unavailable when nobody asks anything."""
        message = await self._read()
        if message is None or not message.HasField("question"):
            raise Unavailable("nobody asks")
        return message.question.request

    async def hear(self) -> None:
        """Take what the caller sends until it leaves; raises InvalidArgument when it sends without end."""
        while (message := await self._read()) is not None:
            kind = message.WhichOneof("input")
            if kind == "data":
                self._held_bytes += len(message.data)
                if self._held_bytes > 2 * WINDOW_BYTES:
                    raise InvalidArgument("more data than this node said it takes")
                self._data.put_nowait(message.data)
            elif kind == "end":
                self._data.put_nowait(None)
            elif not self.orders.full():
                self.orders.put_nowait(message)

    async def data(self) -> AsyncIterator[bytes]:
        """Yield the caller's data up to its end, and let it send more as it is used."""
        while (chunk := await self._data.get()) is not None:
            yield chunk
            self._held_bytes -= len(chunk)
            await self.send(ContainerOutput(taken=len(chunk)))

    async def send(self, output: ContainerOutput) -> None:
        """Send something; returns when the connection took it. Raises Unavailable when the caller left.

        It is sent also when the sender is cancelled: given up in the middle, it would take the stream along,
        and with it the reason that comes next.
        """
        sending = asyncio.create_task(self._send(output), name="container-output")
        sending.add_done_callback(lambda done: done.cancelled() or done.exception())
        await asyncio.shield(sending)

    async def _send(self, output: ContainerOutput) -> None:
        try:
            async with self._turn:  # gRPC takes one message at a time
                await self._call.write(output)
        except (grpc.RpcError, asyncio.InvalidStateError) as error:
            raise Unavailable("the caller left") from error
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            raise Unavailable("the conversation is over") from None  # the stream was cancelled, not we

    async def send_chunks(self, data: bytes, stream: str = "stdout") -> None:
        """Send output in pieces that fit."""
        name = LOG_STREAM_STDERR if stream == "stderr" else LOG_STREAM_STDOUT
        for at in range(0, len(data), CHUNK_BYTES):
            chunk = OutputChunk(stream=name, data=data[at : at + CHUNK_BYTES])
            await self.send(ContainerOutput(chunk=chunk))

    async def _read(self) -> ContainerInput | None:
        try:
            message = await self._call.read()
        except (grpc.RpcError, asyncio.InvalidStateError):
            return None
        return message if isinstance(message, ContainerInput) else None
