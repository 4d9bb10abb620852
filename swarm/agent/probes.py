"""Asks a container how it is: by a command in it, or by HTTP or TCP inside its network namespace.

A socket belongs to the namespace in which it was made. So a thread enters the container's for as long as it
takes to make one (microseconds), and all the waiting is done here, by the event loop.
"""

import asyncio
import os
import socket
import ssl
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from swarm.agent.health import TIMED_OUT, timed_out
from swarm.agent.network.namespaces import OWN, entered
from swarm.errors import FailedPrecondition, NotFound
from swarm.model.health import Command, HealthCheck, Http, Tcp
from swarm.model.limits import HEALTH_OUTPUT_CHARACTERS
from swarm.runtime.base import ContainerInfo, ContainerState, ExecConfig, ExecProcess, RuntimeDriver
from swarm.runtime.images.shown import plain
from swarm.timestamps import SECOND

OUTPUT_BYTES = 4 * HEALTH_OUTPUT_CHARACTERS.value  # as much UTF-8 as that may be; the rest is thrown away
HEAD_BYTES = 16 * 1024  # of an answer by HTTP
DRAIN_S = 0.5  # how long output is waited for that a command left behind
LOOPBACK = ("127.0.0.1", "::1")
FAILED = 1


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of one probe."""

    exit_code: int  # 0: good; -1: none in time
    output: str


class Prober:
    """Asks containers of one driver."""

    def __init__(self, driver: RuntimeDriver, starts_max: int) -> None:
        """`starts_max`: how many commands are started at once; they may take as long as they like."""
        self._driver = driver
        self._starts = asyncio.Semaphore(starts_max)

    async def ask(self, container_id: str, check: HealthCheck, address: str) -> Answer | None:
        """Return the answer of a container, None when it does not run, or is paused.

        `address` is the task's own, for services that listen on nothing else.
        """
        info = await self._driver.inspect(container_id)
        if info is None or info.state is not ContainerState.RUNNING or info.paused:
            return None
        try:
            if isinstance(check.probe, Command):
                return await self._by_command(container_id, check.probe, check.timeout_ns)
            return await self._by_network(info, check.probe, check.timeout_ns, address)
        except (NotFound, FailedPrecondition):
            return None

    async def _by_command(self, container_id: str, probe: Command, timeout_ns: int) -> Answer:
        async with self._starts:
            process = await self._driver.exec(container_id, ExecConfig(probe.words))
        said = bytearray()
        reading = asyncio.ensure_future(_read(process, said))
        try:
            async with asyncio.timeout(timeout_ns / SECOND):
                code = await process.wait()
            await asyncio.wait({reading}, timeout=DRAIN_S)
            return Answer(code, _text(said))
        except TimeoutError:
            return Answer(TIMED_OUT, timed_out(timeout_ns, _text(said)))
        finally:
            reading.cancel()
            # Also what outlived it: a probe every second would leave a process every second.
            await asyncio.shield(asyncio.ensure_future(process.kill()))

    async def _by_network(
        self, info: ContainerInfo, probe: Http | Tcp, timeout_ns: int, address: str
    ) -> Answer | None:
        try:
            async with asyncio.timeout(timeout_ns / SECOND):
                connected = await self._connect(info, probe.port, address)
                if connected is None or isinstance(connected, Answer):
                    return connected
                if isinstance(probe, Http):
                    return await _get(connected, probe)
                connected.close()
                return Answer(0, f"port {probe.port} takes connections")
        except TimeoutError:
            return Answer(TIMED_OUT, timed_out(timeout_ns, ""))

    async def _connect(self, info: ContainerInfo, port: int, address: str) -> socket.socket | Answer | None:
        """Return a connection to one of the container's addresses, or why there is none."""
        complaints: dict[str, list[str]] = {}
        for host in _hosts(info.pid, address):
            made = await asyncio.to_thread(
                _socket_of, info.pid, socket.AF_INET6 if ":" in host else socket.AF_INET
            )
            try:
                if not _same(info, await self._driver.inspect(info.id)):
                    return None  # its process id may mean another process by now
                if made is None:
                    continue
                await asyncio.get_running_loop().sock_connect(made, (host, port))
            except OSError as error:
                reason = os.strerror(error.errno) if error.errno else str(error)
                complaints.setdefault(reason.lower(), []).append(host)
            else:
                kept, made = made, None
                return kept
            finally:
                if made is not None:
                    made.close()
        said = "; ".join(f"{reason} at {', '.join(hosts)}" for reason, hosts in complaints.items())
        return Answer(FAILED, f"port {port}: {said or 'no network'}")


def _same(before: ContainerInfo, now: ContainerInfo | None) -> bool:
    return now is not None and (now.state, now.pid) == (ContainerState.RUNNING, before.pid)


def _namespace(pid: int) -> Path | None:
    """Return the network namespace of a process, None when it is this agent's own."""
    path = Path(f"/proc/{pid}/ns/net")
    with suppress(OSError):
        return path if path.stat().st_ino != OWN.stat().st_ino else None
    return None


def _hosts(pid: int, address: str) -> Sequence[str]:
    """Return where a container may listen; in a network shared with others only at its own address."""
    if _namespace(pid) is None:
        return (address or LOOPBACK[0],)
    return (LOOPBACK[0], *((address,) if address else ()), LOOPBACK[1])


def _socket_of(pid: int, family: socket.AddressFamily) -> socket.socket | None:
    """Return a socket in the network of a process, None when there is none to be had."""
    kind = socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
    namespace = _namespace(pid)
    try:
        if namespace is None:
            return socket.socket(family, kind)
        with entered(namespace):
            return socket.socket(family, kind)
    except OSError:
        return None


async def _get(connected: socket.socket, probe: Http) -> Answer:
    """Ask for a page, read the beginning of the answer, and close the connection."""
    secure = _tls() if probe.scheme == "https" else None
    name = "localhost" if secure else None
    try:
        reader, writer = await asyncio.open_connection(
            sock=connected, ssl=secure, server_hostname=name, limit=HEAD_BYTES
        )
    except OSError as error:
        connected.close()
        why = getattr(error, "reason", None)  # of TLS: in capitals, in one word
        return Answer(FAILED, f"no TLS: {why.replace('_', ' ').lower() if why else error}")
    try:
        writer.write(
            f"GET {probe.path} HTTP/1.1\r\nHost: localhost:{probe.port}\r\nUser-Agent: swarm-health\r\n"
            "Accept: */*\r\nConnection: close\r\n\r\n".encode("ascii")
        )
        await writer.drain()
        return await _answer(reader)
    except (OSError, ValueError, asyncio.IncompleteReadError) as error:
        return Answer(FAILED, f"no answer by HTTP: {error}")
    finally:
        writer.transport.abort()


async def _answer(reader: asyncio.StreamReader) -> Answer:
    head = await reader.readline()
    version, _, rest = head.decode("latin-1").strip().partition(" ")
    if not version.startswith("HTTP/") or not rest[:3].isdecimal():
        return Answer(FAILED, f"no answer by HTTP: {plain(head.decode('latin-1').strip(), 80)}")
    if 200 <= int(rest[:3]) < 400:
        return Answer(0, f"HTTP {rest}")
    read = len(head)
    while read < HEAD_BYTES and (line := await reader.readline()).strip():
        read += len(line)
    body = await reader.read(OUTPUT_BYTES)
    return Answer(FAILED, f"HTTP {rest}: {_text(body)}" if body else f"HTTP {rest}")


def _tls() -> ssl.SSLContext:
    """Take any certificate: the container is asked over its own network, by a name that none is for."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


async def _read(process: ExecProcess, said: bytearray) -> None:
    async for _, data in process.output():
        said += data[: max(0, OUTPUT_BYTES - len(said))]


def _text(said: bytes | bytearray) -> str:
    return bytes(said).decode("utf-8", "replace")
