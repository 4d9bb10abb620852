"""Asks other name servers: those of the node, or a task's own from inside of it.

Each question goes out from a socket of its own, with a port and a number that cannot be guessed; only what
comes from the server that was asked, with this number and this question, is an answer.
"""

import asyncio
import contextlib
import ctypes
import os
import secrets
import socket
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from swarm.agent.resolver.message import (
    NO_ERROR,
    NO_SUCH_NAME,
    Question,
    is_answer_to,
    response_code,
    with_id,
)
from swarm.agent.resolver.tables import Forward

PORT = 53
SERVERS_MAX = 3  # as many as a C library asks
ROUNDS = 2
# Two servers that are silent, and the third one still answers before the container asks again (5 s).
PATIENCE_S = 1.5
AVOIDED_S = 30.0
QUESTIONS_MAX = 1000
QUESTIONS_MAX_OF_ONE = 250
_DATAGRAM_MAX, _CLONE_NEWNET = 65535, 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


class Upstreams:
    """The name servers of the node, as its resolv.conf has them now."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, int, int] | None = None
        self._servers: tuple[str, ...] = ()

    def servers(self) -> tuple[str, ...]:
        """Return whom to ask, in order; a file that cannot be read names nobody."""
        try:
            status = self._path.stat()
            seen = (status.st_mtime_ns, status.st_size, status.st_ino)
            if seen != self._seen:
                self._servers = name_servers(self._path.read_text(errors="replace"))
                self._seen = seen
        except OSError:
            self._servers, self._seen = (), None
        return self._servers


def name_servers(text: str) -> tuple[str, ...]:
    """Return the name servers that a resolv.conf names."""
    lines = (line.split() for line in text.splitlines())
    return tuple(line[1] for line in lines if len(line) > 1 and line[0] == "nameserver")[:SERVERS_MAX]


class Forwarder:
    """Passes questions on; so many at a time, and of one client."""

    def __init__(self, upstreams: Callable[[], Sequence[str]]) -> None:
        self._upstreams = upstreams
        self._avoided: dict[str, float] = {}  # servers that were silent, until when
        self._under_way: dict[str, int] = {}  # by client

    @property
    def under_way(self) -> int:
        """How many questions wait for an answer."""
        return sum(self._under_way.values())

    async def ask(
        self, data: bytes, question: Question, where: Forward, client: str, *, tcp: bool
    ) -> bytes | None:
        """Return what another server answers to the message; None when nobody does, or too many ask."""
        mine = self._under_way.get(client, 0)
        if mine >= QUESTIONS_MAX_OF_ONE or self.under_way >= QUESTIONS_MAX:
            return None
        self._under_way[client] = mine + 1
        try:
            return await self._ask_round(data, question, where, tcp)
        finally:
            self._under_way[client] -= 1
            if not self._under_way[client]:
                del self._under_way[client]

    async def _ask_round(self, data: bytes, question: Question, where: Forward, tcp: bool) -> bytes | None:
        servers = where.servers if where.servers is not None else self._upstreams()
        loop = asyncio.get_running_loop()
        refused: bytes | None = None
        for _ in range(ROUNDS):
            for server in sorted(servers, key=lambda one: self._avoided.get(one, 0) > loop.time()):
                number = secrets.randbelow(1 << 16)
                send = _over_tcp if tcp else _over_udp
                try:
                    async with asyncio.timeout(PATIENCE_S):
                        answer = await send(
                            server, with_id(data, number), number, question.asked, where.netns_path
                        )
                except (OSError, asyncio.IncompleteReadError):
                    self._avoided[server] = loop.time() + AVOIDED_S
                    continue
                self._avoided.pop(server, None)
                answer = with_id(answer, question.id)
                if response_code(answer) in {NO_ERROR, NO_SUCH_NAME}:
                    return answer
                refused = answer
            if refused is not None:
                break
        return refused


async def _over_udp(server: str, data: bytes, number: int, asked: bytes, netns_path: str) -> bytes:
    loop = asyncio.get_running_loop()
    with _connected(server, socket.SOCK_DGRAM, netns_path) as (sock, address):
        sock.connect(address)  # from here on the kernel drops what others send
        await loop.sock_sendall(sock, data)
        while True:
            answer = await loop.sock_recv(sock, _DATAGRAM_MAX)
            if is_answer_to(answer, number, asked):
                return answer


async def _over_tcp(server: str, data: bytes, number: int, asked: bytes, netns_path: str) -> bytes:
    loop = asyncio.get_running_loop()
    with _connected(server, socket.SOCK_STREAM, netns_path) as (sock, address):
        await loop.sock_connect(sock, address)
        await loop.sock_sendall(sock, len(data).to_bytes(2, "big") + data)
        size = int.from_bytes(await _exactly(sock, 2), "big")
        answer = await _exactly(sock, size)
        if not is_answer_to(answer, number, asked):
            raise ConnectionError("an answer to another question")
        return answer


async def _exactly(sock: socket.socket, size: int) -> bytes:
    loop, got = asyncio.get_running_loop(), b""
    while len(got) < size:
        more = await loop.sock_recv(sock, size - len(got))
        if not more:
            raise ConnectionError("the server hung up")
        got += more
    return got


@contextlib.contextmanager
def _connected(
    server: str, kind: int, netns_path: str
) -> Iterator[tuple[socket.socket, tuple[object, ...]]]:
    """Open a socket towards a server, in the network namespace that is given."""
    try:
        family, _, _, _, address = socket.getaddrinfo(
            server, PORT, type=kind, flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
        )[0]
    except UnicodeError as error:
        raise OSError(f"{server} is no address") from error
    with _inside(netns_path):
        sock = socket.socket(family, kind | socket.SOCK_NONBLOCK)
    with sock:
        yield sock, address


@contextlib.contextmanager
def _inside(netns_path: str) -> Iterator[None]:
    """Be in a network namespace for a moment, in which nothing else of this process may run."""
    if not netns_path:
        yield
        return
    own, there = os.open("/proc/thread-self/ns/net", os.O_RDONLY), -1
    try:
        there = os.open(netns_path, os.O_RDONLY)
        _enter(there)
        try:
            yield
        finally:
            _enter(own)
    finally:
        os.close(own)
        if there >= 0:
            os.close(there)


def _enter(namespace: int) -> None:
    if _libc.setns(namespace, _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "cannot enter the network namespace")
