"""Listens to questions and sees to it that each gets its answer.

The sockets belong to the agent as well: while no name server reads them, questions wait in them.
"""

import asyncio
import contextlib
import random
import socket
import time
from collections.abc import Sequence
from typing import TypeAlias

from swarm.agent.resolver.counters import Counters
from swarm.agent.resolver.forward import Forwarder
from swarm.agent.resolver.message import (
    NO_SUCH_NAME,
    SERVER_FAILURE,
    TCP_LIMIT,
    Question,
    parse,
    respond,
    response_code,
)
from swarm.agent.resolver.tables import Answer, Forward, Tables, kind_name

Address: TypeAlias = tuple[str, int]

AT_ONCE = 64  # datagrams that are dealt with before anything else gets its turn
DATAGRAM_MAX = 4096  # no question is longer; what is, is cut off and so malformed
CONNECTIONS_MAX = 256
CONNECTIONS_MAX_OF_ONE = 32  # a client that opens more, and says nothing, takes them from nobody else
CONNECTION_IDLE_S = 10.0


class Server:
    """Answers on one pair of sockets by what stands in the tables."""

    def __init__(
        self,
        udp: socket.socket,
        tcp: socket.socket,
        tables: Tables,
        forwarder: Forwarder,
        counters: Counters,
    ) -> None:
        self._udp = udp
        self._tcp = tcp
        self._tables = tables
        self._forwarder = forwarder
        self._counters = counters
        self._asking: dict[tuple[Address, bytes], asyncio.Task[None]] = {}
        self._connections: dict[asyncio.Task[None], str] = {}  # with who asks
        self._listening = False

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return len(self._connections)

    def start(self) -> None:
        """Begin to answer; what was asked before is answered first."""
        if not self._listening:
            self._listening = True
            loop = asyncio.get_running_loop()
            loop.add_reader(self._udp, self._read_datagrams)
            loop.add_reader(self._tcp, self._accept)

    def stop_listening(self) -> None:
        """Leave all new questions to others who read the same sockets."""
        if self._listening:
            self._listening = False
            loop = asyncio.get_running_loop()
            loop.remove_reader(self._udp)
            loop.remove_reader(self._tcp)

    async def finish(self, patience_s: float) -> None:
        """Return when everybody who asked has been answered, or after that long."""
        waiting = [*self._asking.values(), *self._connections]
        if waiting:
            await asyncio.wait(waiting, timeout=patience_s)

    # Datagrams.

    def _read_datagrams(self) -> None:
        for _ in range(AT_ONCE):
            try:
                data, address = self._udp.recvfrom(DATAGRAM_MAX)
            except BlockingIOError:
                return
            except OSError:  # an error of an earlier answer, e.g. its reader has gone
                continue
            self._datagram(data, address)

    def _datagram(self, data: bytes, address: Address) -> None:
        started = time.perf_counter()
        question = parse(data)
        if question is None:
            self._counters.count("dropped")
            return
        decided = self._decide(question, address[0])
        if isinstance(decided, Answer):
            self._send(respond(question, decided.code, decided.records, decided.more), address)
            self._counters.took("own", time.perf_counter() - started)
        elif (address, data) not in self._asking:  # who asks again, because it takes long, asks once
            asking = asyncio.create_task(self._forward_datagram(data, question, decided, address))
            self._asking[address, data] = asking
            asking.add_done_callback(lambda _: self._asking.pop((address, data), None))

    def _decide(self, question: Question, client: str) -> Answer | Forward:
        self._counters.count(f"questions.{kind_name(question.kind)}")
        decided = self._tables.decide(question, client, _shuffled)
        if isinstance(decided, Answer) and decided.code:
            self._counters.count("no_such_name" if decided.code == NO_SUCH_NAME else "failed")
        return decided

    async def _forward_datagram(
        self, data: bytes, question: Question, where: Forward, address: Address
    ) -> None:
        self._send(await self._forward(data, question, where, address[0], tcp=False), address)

    async def _forward(
        self, data: bytes, question: Question, where: Forward, client: str, *, tcp: bool
    ) -> bytes:
        started = time.perf_counter()
        answer = await self._forwarder.ask(data, question, where, client, tcp=tcp)
        self._counters.count("forwarded")
        self._counters.took("forwarded", time.perf_counter() - started)
        if answer is None:
            self._counters.count("forward_failed")
            return respond(question, SERVER_FAILURE)
        if response_code(answer) == NO_SUCH_NAME:
            self._counters.count("no_such_name")
        return answer

    def _send(self, answer: bytes, address: Address) -> None:
        # A full buffer, a task that has gone: whoever still waits asks again.
        with contextlib.suppress(OSError):
            self._udp.sendto(answer, address)

    # Connections.

    def _accept(self) -> None:
        try:
            connection, address = self._tcp.accept()
        except OSError:
            return
        connection.setblocking(False)
        client = address[0]
        of_one = sum(one == client for one in self._connections.values())
        if len(self._connections) >= CONNECTIONS_MAX or of_one >= CONNECTIONS_MAX_OF_ONE:
            connection.close()
            return
        task = asyncio.create_task(self._serve(connection, client))
        self._connections[task] = client
        task.add_done_callback(lambda done: self._connections.pop(done, None))

    async def _serve(self, connection: socket.socket, client: str) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            reader, writer = await asyncio.open_connection(sock=connection)
            try:
                while True:
                    async with asyncio.timeout(CONNECTION_IDLE_S):
                        size = int.from_bytes(await reader.readexactly(2), "big")
                        data = await reader.readexactly(size)
                    answer = await self._answer(data, client)
                    if answer is None:
                        return
                    writer.write(len(answer).to_bytes(2, "big") + answer)
                    async with asyncio.timeout(CONNECTION_IDLE_S):
                        await writer.drain()
            finally:
                writer.close()
                await writer.wait_closed()

    async def _answer(self, data: bytes, client: str) -> bytes | None:
        started = time.perf_counter()
        question = parse(data)
        if question is None:
            self._counters.count("dropped")
            return None
        decided = self._decide(question, client)
        if isinstance(decided, Forward):
            return await self._forward(data, question, decided, client, tcp=True)
        answer = respond(question, decided.code, decided.records, decided.more, TCP_LIMIT)
        self._counters.took("own", time.perf_counter() - started)
        return answer


def _shuffled(records: Sequence[bytes]) -> Sequence[bytes]:
    return random.sample(records, len(records))
