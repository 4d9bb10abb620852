"""A terminal of this node for a command that somebody far away types at."""

import asyncio
import errno
import fcntl
import os
import struct
import sys
import termios
from collections.abc import Sequence
from contextlib import suppress

from swarm.runtime.base import ExecConfig

CHUNK_BYTES = 32 * 1024
END_OF_INPUT = b"\x04"
# Opened by the leader of a new session, it is the terminal that the signals of keys come from.
_LAUNCH = "import os, sys; os.close(os.open(sys.argv[1], os.O_RDWR)); os.execvp(sys.argv[2], sys.argv[3:])"


class Terminal:
    """This side of a pseudo terminal: it reads what is printed and writes what is typed."""

    def __init__(self) -> None:
        """Have no terminal yet."""
        self._master = -1
        self.slave = asyncio.subprocess.DEVNULL  # what the command gets as its three streams
        self._waiting: set[asyncio.Future[None]] = set()

    def _take(self, master: int) -> None:
        os.set_inheritable(master, False)
        os.set_blocking(master, False)
        self._master = master

    def command(self, argv: Sequence[str], program: str | None = None) -> list[str]:
        """Return the command line that gives `argv` the terminal; it must lead a session.

        `program` is what is run, if that is not the first word.
        """
        raise NotImplementedError

    def ended(self) -> None:
        """Hear that the command has ended, or could not be started."""

    @staticmethod
    def wanted(config: ExecConfig) -> "Terminal | None":
        """Return the terminal that a command is to have, if it is to have one; raises OSError."""
        return OwnTerminal(config.rows, config.columns) if config.tty else None

    def started(self) -> None:
        """Let go of the command's end: so the end of the command is the end of its output."""
        if self.slave >= 0:
            os.close(self.slave)
            self.slave = -1

    def resize(self, rows: int, columns: int) -> None:
        """Change the size; whoever has the terminal hears of it."""
        if rows > 0 and columns > 0 and self._master >= 0:
            size = struct.pack("HHHH", min(rows, 0xFFFF), min(columns, 0xFFFF), 0, 0)
            fcntl.ioctl(self._master, termios.TIOCSWINSZ, size)

    async def read(self) -> bytes:
        """Return what was printed next; nothing once nobody has the terminal any more."""
        while self._master >= 0:
            try:
                return os.read(self._master, CHUNK_BYTES)
            except BlockingIOError:
                await self._ready(reading=True)
            except OSError as error:
                if error.errno == errno.EIO:
                    return b""
                raise
        return b""

    async def write(self, data: bytes) -> None:
        """Type something; returns when all of it is typed. Ignored once nobody has the terminal."""
        left = memoryview(data)
        while left and self._master >= 0:
            try:
                left = left[os.write(self._master, left) :]
            except BlockingIOError:
                await self._ready(reading=False)
            except OSError as error:
                if error.errno == errno.EIO:
                    return
                raise

    async def _ready(self, *, reading: bool) -> None:
        loop = asyncio.get_running_loop()
        ready: asyncio.Future[None] = loop.create_future()

        def tell() -> None:
            if not ready.done():
                ready.set_result(None)

        fd = self._master
        self._waiting.add(ready)
        (loop.add_reader if reading else loop.add_writer)(fd, tell)
        try:
            await ready
        finally:
            self._waiting.discard(ready)
            if fd == self._master:
                (loop.remove_reader if reading else loop.remove_writer)(fd)

    def close(self) -> None:
        """Hang up: what still has the terminal gets SIGHUP."""
        self.started()
        if self._master >= 0:
            loop = asyncio.get_running_loop()
            loop.remove_reader(self._master)
            loop.remove_writer(self._master)
            with suppress(OSError):
                os.close(self._master)
            self._master = -1
        for ready in self._waiting:
            if not ready.done():
                ready.set_result(None)


class OwnTerminal(Terminal):
    """A terminal of this node."""

    def __init__(self, rows: int, columns: int) -> None:
        """Open a terminal of that size, the kernel's default for zeros; raises OSError."""
        super().__init__()
        master, self.slave = os.openpty()
        self._take(master)
        self._name = os.ttyname(self.slave)
        self.resize(rows, columns)

    def command(self, argv: Sequence[str], program: str | None = None) -> list[str]:
        """Return a command that makes this its terminal and becomes `argv`."""
        return [sys.executable, "-I", "-S", "-c", _LAUNCH, self._name, program or argv[0], *argv]
