"""Registries for tests: Debian's docker-registry, and a small one that misbehaves on demand."""

import asyncio
import contextlib
import secrets
import shutil
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

# bcrypt of "opensesame": no program that makes such hashes is needed.
USER, PASSWORD = "ali", "opensesame"
_HTPASSWD = f"{USER}:$2b$05$abcdefghijklmnopqrstuuQbLfdQZSxZ9gjhA5V9o8Tyc6aQRO0Qi\n"

_CONFIG = """\
version: 0.1
log: {{level: error}}
storage: {{filesystem: {{rootdirectory: {root}}}}}
http: {{addr: "{addr}"}}
{auth}
"""

needs_registry = pytest.mark.skipif(shutil.which("docker-registry") is None, reason="needs docker-registry")


@contextlib.asynccontextmanager
async def docker_registry(
    folder: Path, *, password: bool = False, auth: str = "", host: str = "127.0.0.1", port: int = 0
) -> AsyncIterator[str]:
    """Run docker-registry on `port` of `host` (0: a free one) and yield HOST:PORT; `auth` is YAML."""
    folder.mkdir(parents=True)
    if password:
        (folder / "htpasswd").write_text(_HTPASSWD)
        auth = f"htpasswd: {{realm: test, path: {folder / 'htpasswd'}}}"
    auth = f"auth: {{{auth}}}" if auth else ""
    wanted = [port] if port else [free_port(host) for _ in range(5)]  # somebody may take one before we do
    for addr in [f"{host}:{one}" for one in wanted]:
        config = folder / "config.yml"
        config.write_text(_CONFIG.format(root=folder / "data", addr=addr, auth=auth))
        process = await asyncio.create_subprocess_exec(
            "docker-registry",
            "serve",
            str(config),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            if await _answers(f"http://{addr}/v2/", process):
                yield addr
                return
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    raise AssertionError(f"docker-registry ended, asked to listen on {wanted}")


def free_port(host: str = "") -> int:
    """A port on which nobody listens now, and which the kernel gives to nobody who asks for any."""
    while True:
        port = 20_000 + secrets.randbelow(10_000)  # `random` says the same in every process
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind((host, port))
            return port


async def _answers(url: str, process: asyncio.subprocess.Process) -> bool:
    """Wait until docker-registry answers; False when it ends, for it cannot listen there."""
    async with asyncio.timeout(60), httpx.AsyncClient(trust_env=False, timeout=60) as client:
        while process.returncode is None:
            with contextlib.suppress(httpx.TransportError):
                answer = await client.get(url)
                if "docker-distribution-api-version" in answer.headers:
                    return True
            await asyncio.sleep(0.02)
    return False


@dataclass
class Request:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes = b""


@dataclass
class Answer:
    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    break_after: int | None = None  # bytes of the body, then the connection ends


Script = Callable[[Request], Answer]


class ScriptedServer:
    """An HTTP server that does what a test says; remembers every request."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.requests: list[Request] = []
        self.addr = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, ValueError):
                request = await _read_request(reader)
                self.requests.append(request)
                _write(writer, request, self.script(request))
                await writer.drain()
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()


async def _read_request(reader: asyncio.StreamReader) -> Request:
    start = await reader.readexactly(1)
    if start == b"\x16":
        raise ConnectionError("somebody tries TLS")
    head = (start + await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.strip().split("\r\n")
    method, path, _ = first.split(" ")
    headers = {key.lower(): value for key, value in (line.split(": ", 1) for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Request(method, path, headers, body)


def _write(writer: asyncio.StreamWriter, request: Request, answer: Answer) -> None:
    headers = {"Content-Length": str(len(answer.body)), "Connection": "close", **answer.headers}
    lines = "".join(f"{key}: {value}\r\n" for key, value in headers.items())
    writer.write(f"HTTP/1.1 {answer.status} X\r\n{lines}\r\n".encode())
    if request.method != "HEAD":
        writer.write(answer.body if answer.break_after is None else answer.body[: answer.break_after])


@contextlib.asynccontextmanager
async def scripted(script: Script, tls: ssl.SSLContext | None = None) -> AsyncIterator[ScriptedServer]:
    """Run a scripted server and yield it."""
    scripted_server = ScriptedServer(script)
    server = await asyncio.start_server(scripted_server.serve, "127.0.0.1", 0, ssl=tls)
    scripted_server.addr = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield scripted_server
    finally:
        server.close()
        await server.wait_closed()
