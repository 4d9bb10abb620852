"""The conversation between an agent and its name server, over a Unix socket. Messages are JSON.

The name server greets with its version and hands over the sockets that it listens on; then each message
of the agent gets one reply, once it is carried out. Versions that differ still understand `export` and
`stop`: one name server takes over from the other. A later conversation ends the one before.
"""

import asyncio
import contextlib
import hashlib
import json
import os
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

from swarm.agent.resolver.counters import Counters
from swarm.agent.resolver.server import Server
from swarm.agent.resolver.tables import Tables

Json: TypeAlias = Any

GREETING_MAX = 4096
FAREWELL_S = 5.0  # for questions that wait for other name servers when it has to go


def version() -> str:
    """Return what tells this name server from one of other code: a digest of the package."""
    digest = hashlib.sha256(sys.version.encode())
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


async def read_message(reader: asyncio.StreamReader) -> Json:
    """Return the next message; raises IncompleteReadError when the other side has gone."""
    size = int.from_bytes(await reader.readexactly(4), "big")
    return json.loads(await reader.readexactly(size))


def write_message(writer: asyncio.StreamWriter, message: Json) -> None:
    """Send a message."""
    data = json.dumps(message, separators=(",", ":")).encode()
    writer.write(len(data).to_bytes(4, "big") + data)


class Control:
    """The name server's side."""

    def __init__(
        self, listener: socket.socket, sockets: tuple[socket.socket, socket.socket], code_version: str
    ) -> None:
        """`listener`: where agents come; `sockets`: for UDP and TCP, to be handed over."""
        self._listener = listener
        self._sockets = sockets
        self._version = code_version
        self._conversation: asyncio.Task[None] | None = None
        self.stopped = asyncio.Event()

    async def run(self, tables: Tables, server: Server, counters: Counters) -> None:
        """Do as the agent says, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            connection, _ = await loop.sock_accept(self._listener)
            if self._conversation is not None:
                self._conversation.cancel()
            self._conversation = asyncio.create_task(self._talk(connection, tables, server, counters))

    async def _talk(
        self, connection: socket.socket, tables: Tables, server: Server, counters: Counters
    ) -> None:
        greeting = json.dumps({"version": self._version, "pid": os.getpid()}).encode()
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            socket.send_fds(connection, [greeting], [one.fileno() for one in self._sockets])
            reader, writer = await asyncio.open_connection(sock=connection)
            try:
                while True:
                    message = await read_message(reader)
                    write_message(writer, self._carry_out(message, tables, server, counters))
                    await writer.drain()
            finally:
                writer.close()
                await writer.wait_closed()

    def _carry_out(
        self, message: Mapping[str, Json], tables: Tables, server: Server, counters: Counters
    ) -> Json:
        match message["do"]:
            case "attach":
                for one in message["clients"]:
                    tables.put_client(one)
            case "detach":
                tables.remove_client(message["task_id"])
            case "keep":
                tables.keep_clients(message["task_ids"])
            case "zones":
                tables.put_zones(message["zones"], whole=message["whole"])
            case "withdraw":
                tables.withdraw(message["zones"])
            case "listen":
                server.start()
            case "counters":
                return counters.values()
            case "export":
                return tables.said()
            case "stop":
                server.stop_listening()
                self.stopped.set()
        return None
