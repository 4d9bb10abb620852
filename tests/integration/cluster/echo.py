"""Servers in a namespace that tell their clients who they are: over TCP, UDP and SCTP, IPv4 and IPv6.

SCTP is spoken here by hand, as far as its first two messages: kernels forward it also where they have no
sockets for it.
"""

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from pathlib import Path

from swarm.agent.network import namespaces

PROTOCOLS = ("tcp", "udp", "sctp")
_SCTP = 132
_INIT, _INIT_ACK, _COOKIE = 1, 2, 7
_HEAD = struct.Struct("!HHII")
_PATIENCE_S = 60.0
_AGAIN_S = 0.5


class Echo:
    """One server for all protocols and both families, at every address of a namespace."""

    def __init__(self, netns: Path, port: int) -> None:
        self._netns, self._port = netns, port
        self._stopping = threading.Event()
        with namespaces.entered(netns):
            self._sockets = [_bound(socket.SOCK_STREAM, port), _bound(socket.SOCK_DGRAM, port)]
            self._sockets += [
                socket.socket(family, socket.SOCK_RAW, _SCTP) for family in (socket.AF_INET, socket.AF_INET6)
            ]
        works = (self._tcp, self._udp, self._sctp, self._sctp)
        self._threads = [
            threading.Thread(target=work, args=(one,))
            for work, one in zip(works, self._sockets, strict=True)
        ]
        self._sockets[3].setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        for one in self._sockets:
            one.settimeout(0.1)
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Stop to answer."""
        self._stopping.set()
        for thread in self._threads:
            thread.join()
        for one in self._sockets:
            one.close()

    def _tcp(self, listener: socket.socket) -> None:
        while not self._stopping.is_set():
            with contextlib.suppress(OSError):
                client, address = listener.accept()
                with client:
                    client.sendall(_text(address).encode())

    def _udp(self, listener: socket.socket) -> None:
        while not self._stopping.is_set():
            with contextlib.suppress(OSError):
                _, address = listener.recvfrom(100)
                listener.sendto(_text(address).encode(), address)

    def _sctp(self, listener: socket.socket) -> None:
        """Answer from the address that was asked, as whoever really speaks SCTP does."""
        while not self._stopping.is_set():
            with contextlib.suppress(OSError):
                packet, extra, _, address = listener.recvmsg(2000, 100)
                mine = packet[16:20] if listener.family == socket.AF_INET else extra[0][2][:16]
                for theirs, to, chunk, tag, _ in _parsed(listener.family, packet):
                    if to == self._port and chunk == _INIT:
                        answer = _packet(to, theirs, tag, _INIT_ACK, _text(address).encode())
                        with namespaces.entered(self._netns):
                            sender = socket.socket(listener.family, socket.SOCK_RAW, _SCTP)
                        with sender:
                            sender.bind((str(ip_address(mine)), 0))
                            sender.sendto(answer, (address[0], 0))


def ask(netns: Path, address: str, port: int, protocol: str, patience_s: float = _PATIENCE_S) -> str:
    """Return the address that the server saw; raises OSError when there is none, or it does not answer."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    kind = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM, "sctp": socket.SOCK_RAW}[protocol]
    with namespaces.entered(netns):
        client = socket.socket(family, kind, _SCTP if protocol == "sctp" else 0)
    with client:
        if protocol == "tcp":
            client.settimeout(patience_s)
            client.connect((address, port))
            return _said(client.recv(100))
        if protocol == "udp":
            client.connect((address, port))
            return _said(
                _again(client, lambda: client.send(b"who?"), lambda: iter([client.recv(100)]), patience_s)
            )
        mine = 20000 + time.monotonic_ns() % 10000

        def send() -> None:
            client.sendto(_packet(mine, port, 0, _INIT, b""), (address, 0))

        def receive() -> Iterator[bytes]:
            packet, _ = client.recvfrom(2000)
            for theirs, to, chunk, _, text in _parsed(family, packet):
                if (theirs, to, chunk) == (port, mine, _INIT_ACK):
                    yield text

        return _said(_again(client, send, receive, patience_s))


def _again(
    client: socket.socket,
    send: Callable[[], object],
    receive: Callable[[], Iterator[bytes]],
    patience_s: float,
) -> bytes:
    """Send until something is answered: what is no connection may be lost."""
    client.settimeout(_AGAIN_S)
    until = time.monotonic() + patience_s
    while time.monotonic() < until:
        send()
        with contextlib.suppress(TimeoutError):
            for answer in receive():
                return answer
    raise TimeoutError("no answer")


def _bound(kind: socket.SocketKind, port: int) -> socket.socket:
    found = socket.socket(socket.AF_INET6, kind)
    found.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    found.bind(("::", port))
    if kind == socket.SOCK_STREAM:
        found.listen()
    return found


def _text(address: tuple[str, ...]) -> str:
    return str(address[0]).removeprefix("::ffff:")


def _said(answer: bytes) -> str:
    if not answer:
        raise EOFError("the connection was closed without an answer")
    return answer.decode()


def _packet(port: int, to: int, tag: int, chunk: int, cookie: bytes) -> bytes:
    """Return INIT, or INIT ACK with a text as its cookie."""
    parameter = (
        struct.pack("!HH", _COOKIE, 4 + len(cookie)) + cookie + bytes(-len(cookie) % 4) if cookie else b""
    )
    body = struct.pack("!BBHIIHHI", chunk, 0, 20 + len(parameter), 0x5EED, 65536, 1, 1, 1) + parameter
    sum_ = _crc32c(_HEAD.pack(port, to, tag, 0) + body)
    return struct.pack("!HHI", port, to, tag) + struct.pack("<I", sum_) + body


def _parsed(family: int, packet: bytes) -> Iterator[tuple[int, int, int, int, bytes]]:
    """Yield ports, kind of the first chunk, tag of its sender and the text in it."""
    packet = packet[(packet[0] & 15) * 4 :] if family == socket.AF_INET else packet
    if len(packet) < _HEAD.size + 20:
        return
    port, to, _, _ = _HEAD.unpack_from(packet)
    chunk, _, length, tag = struct.unpack_from("!BBHI", packet, _HEAD.size)
    parameter = packet[_HEAD.size + 20 : _HEAD.size + length]
    size = struct.unpack_from("!HH", parameter)[1] if parameter else 4
    yield port, to, chunk, tag, parameter[4:size]


def _crc32c(data: bytes) -> int:
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = (value >> 1) ^ (0x82F63B78 if value & 1 else 0)
    return value ^ 0xFFFFFFFF
