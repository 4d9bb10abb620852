"""The terminal that crun, or our own starter, makes in a container, received over a socket.

crun passes on no change of the size of its own terminal; who holds the container's can change that. runc
does pass it on, and sends its terminal to nobody as long as it stays.
"""

import asyncio
import os
import socket
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from swarm.runtime.base import ExecConfig
from swarm.runtime.oci.binaries import STARTER
from swarm.runtime.terminal import Terminal

RECEIVE_TIMEOUT_S = 10.0
LAST_CALL_S = 0.1  # from the end of the command: a terminal that was sent before is there by then


def wanted_terminal(config: ExecConfig, runtime: str, socket_path: Path) -> Terminal | None:
    """Return the terminal for a command, if it is to have one, as this OCI runtime needs it."""
    if config.tty and Path(runtime).name.startswith(("crun", STARTER)):
        return ReceivedTerminal(socket_path, config.rows, config.columns)
    return Terminal.wanted(config)


class ReceivedTerminal(Terminal):
    """A terminal whose other end was made by the OCI runtime."""

    def __init__(self, path: Path, rows: int, columns: int) -> None:
        """Wait at the socket `path`; raises OSError."""
        super().__init__()
        self._size = (rows, columns)
        self._path = path
        self._listener = _listen(path)
        self._taking = False
        self._receiving = asyncio.get_running_loop().create_task(self._receive(), name="console")

    def command(self, argv: Sequence[str], program: str | None = None) -> list[str]:
        """Return the runtime's command line with the socket in it."""
        at = list(argv).index("exec") + 1
        return [*argv[:at], f"--console-socket={self._path}", *argv[at:]]

    def ended(self) -> None:
        """Wait no more for a terminal that nobody sends: the command was never started."""
        asyncio.get_running_loop().call_later(LAST_CALL_S, self._give_up)

    def _give_up(self) -> None:
        if not self._taking:
            self._receiving.cancel()

    def resize(self, rows: int, columns: int) -> None:
        """Change the size, as soon as there is a terminal."""
        self._size = (rows, columns)
        super().resize(rows, columns)

    async def read(self) -> bytes:
        """Return what was printed next; nothing once nobody has the terminal any more, or ever had."""
        await asyncio.wait((self._receiving,))
        return await super().read()

    async def write(self, data: bytes) -> None:
        """Type something, as soon as there is a terminal."""
        await asyncio.wait((self._receiving,))
        await super().write(data)

    def close(self) -> None:
        """Hang up."""
        self._receiving.cancel()
        self._listener.close()
        self._path.unlink(missing_ok=True)
        super().close()

    async def _receive(self) -> None:
        loop = asyncio.get_running_loop()
        connection, _ = await loop.sock_accept(self._listener)
        self._taking = True
        with connection:
            fd = await asyncio.to_thread(_receive_descriptor, connection)
        if fd >= 0:
            self._take(fd)
            self.resize(*self._size)


def _listen(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        # By its directory: an address may have 107 characters only.
        listener.bind(f"/proc/self/fd/{directory}/{path.name}")
        listener.listen(1)
    except BaseException:
        listener.close()
        raise
    finally:
        os.close(directory)
    return listener


def _receive_descriptor(connection: socket.socket) -> int:
    connection.settimeout(RECEIVE_TIMEOUT_S)
    with suppress(OSError):
        _, descriptors, _, _ = socket.recv_fds(connection, 4096, 1)
        for fd in descriptors[:1]:
            return fd
    return -1
