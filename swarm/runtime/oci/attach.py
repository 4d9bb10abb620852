"""Looking on at a container through its shim's socket: packets, each beginning with the stream's number."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import suppress

from swarm.runtime.oci import conmon

PACKET_BYTES = 8192  # that the shim reads at once
_RECEIVE_BYTES = 32 * 1024
_STREAMS = {2: "stdout", 3: "stderr"}


class ConmonAttachment:
    """One of any number of those who look on."""

    def __init__(self, files: conmon.ShimFiles) -> None:
        """Connect at once, so that nothing written from now on is missed; raises OSError."""
        self._files = files
        self._socket = _connected(files)

    async def output(self) -> AsyncIterator[tuple[str, bytes]]:
        """Yield what the container writes until it has ended."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                packet = await loop.sock_recv(self._socket, _RECEIVE_BYTES)
            except OSError:
                return
            if not packet:
                return
            yield _STREAMS.get(packet[0], "stdout"), packet[1:]

    async def write(self, data: bytes) -> None:
        """Write to the standard input; returns when there is room for more."""
        loop = asyncio.get_running_loop()
        with suppress(OSError):  # it has ended
            for at in range(0, len(data), PACKET_BYTES):
                await loop.sock_sendall(self._socket, data[at : at + PACKET_BYTES])

    async def close_stdin(self) -> None:
        """Let the container read the end of its input."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    async def resize(self, rows: int, columns: int) -> None:
        """Change the size of the terminal."""
        if rows > 0 and columns > 0:
            await asyncio.to_thread(conmon.resize_terminal, self._files, rows, columns)

    async def close(self) -> None:
        """Hang up."""
        self._socket.close()


def _connected(files: conmon.ShimFiles) -> socket.socket:
    directory = os.open(files.bundle, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        # By way of a descriptor: the path itself may be longer than an address may be.
        connection.connect(f"/proc/self/fd/{directory}/{files.attach.name}")
        connection.setblocking(False)
    except OSError:
        connection.close()
        raise
    finally:
        os.close(directory)
    return connection
