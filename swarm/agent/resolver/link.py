"""The agent's side of the conversation with its name server; and how one is started."""

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self, TypeAlias

from swarm.agent.resolver.control import GREETING_MAX, read_message, write_message
from swarm.agent.resolver.listening import Sockets
from swarm.errors import Unavailable

Json: TypeAlias = Any

REPLY_TIMEOUT_S = 20.0  # for the largest cluster on a busy node
START_TIMEOUT_S = 60.0
MARK = (
    "SWARM_RESOLVER"  # in its environment: by this and its control socket, it is found among all processes
)
_BACKLOG = 8


class Link:
    """A conversation with a running name server."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, greeting: Json, sockets: Sockets
    ) -> None:
        self.version: str = greeting["version"]
        self.pid: int = greeting["pid"]
        self.sockets = sockets
        self._reader = reader
        self._writer = writer
        self._waiting: deque[asyncio.Future[Json]] = deque()
        self._reading = asyncio.create_task(self._read(), name="resolver-link")

    @classmethod
    async def open(cls, path: Path) -> Self:
        """Find the name server that has its control socket there; raises OSError when none answers."""
        loop = asyncio.get_running_loop()
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            with _address(path) as address:
                await loop.sock_connect(connection, address)
            greeting, fds = await _receive_greeting(connection)
        except BaseException:
            connection.close()
            raise
        reader, writer = await asyncio.open_connection(sock=connection)
        sockets = (socket.socket(fileno=fds[0]), socket.socket(fileno=fds[1]))
        for one in sockets:
            # Both processes share whether they block: a copy of ours must not let the other one wait.
            one.setblocking(False)
        return cls(reader, writer, greeting, sockets)

    async def ask(self, message: Json) -> Json:
        """Have something done; return the reply. Raises OSError when the name server has gone."""
        if self._reading.done():
            raise ConnectionError("the name server has gone")
        reply: asyncio.Future[Json] = asyncio.get_running_loop().create_future()
        self._waiting.append(reply)
        write_message(self._writer, message)
        async with asyncio.timeout(REPLY_TIMEOUT_S):
            return await reply

    async def ended(self) -> None:
        """Return when the name server has gone."""
        await asyncio.wait({self._reading})

    async def close(self) -> None:
        """End the conversation; the name server goes on."""
        self._reading.cancel()
        await asyncio.wait({self._reading})
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()

    async def _read(self) -> None:
        try:
            while True:
                reply = await read_message(self._reader)
                waiting = self._waiting.popleft()
                if not waiting.done():
                    waiting.set_result(reply)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            for waiting in self._waiting:
                if not waiting.done():
                    waiting.set_exception(ConnectionError("the name server has gone"))


async def start_process(
    code: str, sockets: Sockets, control_path: Path, resolv_conf: Path, log_path: Path
) -> None:
    """Start a name server that listens on these sockets and is controlled there; it outlives this process.

    Whoever was controlled there is not found there any more. Raises Unavailable with what it says.
    """
    fresh = control_path.with_name(f"{control_path.name}.new")
    fresh.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as control:
        with _address(fresh) as address:
            control.bind(address)
        fresh.chmod(0o600)
        control.listen(_BACKLOG)
        fresh.rename(control_path)
        named = {"udp": sockets[0], "tcp": sockets[1], "control": control}
        flags = [text for name, one in named.items() for text in (f"--{name}", str(one.fileno()))]
        with log_path.open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "swarm.agent.resolver", *flags),
                *("--version", code, "--control-path", control_path, "--resolv-conf", resolv_conf),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                pass_fds=[one.fileno() for one in named.values()],
                env={**os.environ, MARK: str(control_path)},
            )
        async with asyncio.timeout(START_TIMEOUT_S):
            status = await process.wait()  # another one has branched off and serves
    if status != 0:
        reason = _last_line(log_path) or f"exit code {status}"
        raise Unavailable(f"the name server of the node does not start: {reason}")


def _last_line(path: Path) -> str:
    return path.read_text(errors="replace").strip().rpartition("\n")[2]


@contextlib.contextmanager
def _address(path: Path) -> Iterator[str]:
    """Make a path as short as the address of a socket must be."""
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)


async def _receive_greeting(connection: socket.socket) -> tuple[Json, list[int]]:
    loop, readable = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(connection, readable.set)
    try:
        async with asyncio.timeout(REPLY_TIMEOUT_S):
            await readable.wait()
    finally:
        loop.remove_reader(connection)
    data, fds, *_ = socket.recv_fds(connection, GREETING_MAX, 2)
    try:
        greeting = json.loads(data)
    except ValueError as error:
        raise ConnectionError("no name server answers there") from error
    if len(fds) != 2:
        raise ConnectionError("a name server without sockets")
    return greeting, fds
