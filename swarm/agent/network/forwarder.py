"""Ports of the node passed on to tasks by this process, where the kernel may not be asked to do it.

They end with the agent and begin again with the next one.
"""

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from swarm.agent.network.base import PublishedPort

_CHUNK = 1 << 16
_DATAGRAM_IDLE_S = 60.0
_CONNECT_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Target:
    """Where a published port leads."""

    host: str
    port: int


class Forwarder:
    """Everything that one published port needs; made by `open_forwarder`."""

    def __init__(self, stop: Callable[[], Awaitable[None]]) -> None:
        self._stop = stop

    async def close(self) -> None:
        """Stop listening and end the connections that go through here."""
        await self._stop()


async def open_forwarder(listener: socket.socket, port: PublishedPort, target: Target) -> Forwarder:
    """Pass on what arrives at `listener`, which is bound to the published port and taken over."""
    if port.protocol == "tcp":
        return await _open_tcp(listener, target)
    return await _open_udp(listener, target)


async def _open_tcp(listener: socket.socket, target: Target) -> Forwarder:
    connections: set[asyncio.Task[None]] = set()

    def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(_serve(reader, writer, target))
        connections.add(task)
        task.add_done_callback(connections.discard)

    server = await asyncio.start_server(accepted, sock=listener)

    async def stop() -> None:
        server.close()
        for task in list(connections):
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)
        await server.wait_closed()

    return Forwarder(stop)


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, target: Target) -> None:
    async with _closing(writer):
        try:
            async with asyncio.timeout(_CONNECT_TIMEOUT_S):
                to_reader, to_writer = await asyncio.open_connection(target.host, target.port)
        except OSError:  # nobody serves the port (any more); the client learns it from the closed connection
            return
        async with _closing(to_writer):
            try:
                async with asyncio.TaskGroup() as both:
                    both.create_task(_copy(reader, to_writer))
                    both.create_task(_copy(to_reader, writer))
            except* OSError:  # one side is gone: so is the connection
                pass


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Copy until the end of one direction and pass the end on; the other direction may go on."""
    while data := await reader.read(_CHUNK):
        writer.write(data)
        await writer.drain()
    writer.write_eof()


@contextlib.asynccontextmanager
async def _closing(writer: asyncio.StreamWriter) -> Any:
    try:
        yield
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def _open_udp(listener: socket.socket, target: Target) -> Forwarder:
    loop = asyncio.get_running_loop()
    transport, front = await loop.create_datagram_endpoint(lambda: _Front(target), sock=listener)

    async def stop() -> None:
        transport.close()
        await front.close()

    return Forwarder(stop)


class _Front(asyncio.DatagramProtocol):
    """The published side: a socket of its own for each client, so that replies find back."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._transport: asyncio.DatagramTransport | None = None
        self._clients: dict[Any, asyncio.Task[_Back]] = {}

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        """Remember the transport for replies."""
        self._transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        """Pass a client's datagram on."""
        task = self._clients.get(addr)
        if task is None:
            task = asyncio.create_task(self._open_back(addr))
            self._clients[addr] = task
        task.add_done_callback(lambda done: _send(done, data))

    async def close(self) -> None:
        """Close the sockets of all clients."""
        for task in list(self._clients.values()):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, OSError):
                (await task).close()
        self._clients.clear()

    async def _open_back(self, client: Any) -> "_Back":
        loop = asyncio.get_running_loop()
        _, back = await loop.create_datagram_endpoint(
            lambda: _Back(lambda data: self._reply(client, data), lambda: self._clients.pop(client, None)),
            remote_addr=(self._target.host, self._target.port),
        )
        return back

    def _reply(self, client: Any, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.sendto(data, client)


class _Back(asyncio.DatagramProtocol):
    """One client's side towards the task; forgets itself after a minute of silence."""

    def __init__(self, reply: Callable[[bytes], None], forget: Callable[[], object]) -> None:
        self._reply = reply
        self._forget = forget
        self._transport: asyncio.DatagramTransport | None = None
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        """Remember the transport and begin to count the silence."""
        self._transport = transport
        self._heard()

    def datagram_received(self, data: bytes, addr: Any) -> None:
        """Pass the task's answer back."""
        self._heard()
        self._reply(data)

    def error_received(self, exc: Exception) -> None:
        """Ignore that nobody serves the port; the client sees silence, as with any datagram."""

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop counting."""
        if self._timer is not None:
            self._timer.cancel()
        self._forget()

    def send(self, data: bytes) -> None:
        """Send a datagram to the task."""
        if self._transport is not None and not self._transport.is_closing():
            self._heard()
            self._transport.sendto(data)

    def close(self) -> None:
        """Close the socket."""
        if self._transport is not None:
            self._transport.close()

    def _heard(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(_DATAGRAM_IDLE_S, self.close)


def _send(done: "asyncio.Task[_Back]", data: bytes) -> None:
    if not done.cancelled() and done.exception() is None:
        done.result().send(data)
