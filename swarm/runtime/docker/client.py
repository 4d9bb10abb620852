"""HTTP to a container engine over its Unix socket.

A connection for each request: on a Unix socket that costs microseconds, and nothing can be stale.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from swarm.errors import SwarmError, Unavailable

WANTED_API = (1, 41)  # what the requests here are written for
ANSWER_TIMEOUT_S = 60.0  # from a request to the head of its answer, where the engine has no reason to wait
_LIMIT = 256 * 1024  # of a line of a head
_CHUNK = 64 * 1024
_FIRST_REFUSAL = 400


class EngineError(SwarmError):
    """The engine refused."""

    def __init__(self, status: int, message: str) -> None:
        """`status` is HTTP's."""
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Stream:
    """A connection that belongs to one answer."""

    status: int
    headers: Mapping[str, str]  # names in lower case
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the body, which a length, chunks or the end of the connection delimit."""
        if self.headers.get("transfer-encoding", "").lower() == "chunked":
            while size := int((await self.reader.readline()).split(b";")[0] or b"0", 16):
                yield await self.reader.readexactly(size)
                await self.reader.readline()
            return
        left = int(self.headers.get("content-length", -1))
        while left and (data := await self.reader.read(_CHUNK if left < 0 else min(left, _CHUNK))):
            left -= len(data) if left > 0 else 0
            yield data

    async def body(self) -> bytes:
        """Return the whole body."""
        return b"".join([chunk async for chunk in self.chunks()])


class EngineClient:
    """Requests to one engine."""

    def __init__(self, socket: Path) -> None:
        """Speak over `socket`; the version of the API is agreed on at the first request."""
        self.socket = socket
        self._prefix: str | None = None
        self._agreeing = asyncio.Lock()

    async def request(
        self,
        method: str,
        path: str,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        *,
        timeout_s: float | None = ANSWER_TIMEOUT_S,
    ) -> Any:
        """Return the answer, decoded; None for an empty one. Raises EngineError, Unavailable."""
        async with asyncio.timeout(timeout_s), self.stream(method, path, query, body) as answer:
            data = await answer.body()
        return json.loads(data) if data.strip() else None

    @asynccontextmanager
    async def stream(
        self,
        method: str,
        path: str,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        *,
        upload: AsyncIterator[bytes] | None = None,
        upgrade: bool = False,
    ) -> AsyncIterator[Stream]:
        """Open a connection for one request, and close it; raises EngineError, Unavailable.

        `upload` is sent as a tar archive. `upgrade`: afterwards the connection carries streams both ways.
        """
        answer = await self.open(method, path, query, body, upload=upload, upgrade=upgrade)
        try:
            yield answer
        except (OSError, asyncio.IncompleteReadError) as error:
            raise self._lost(error) from error
        finally:
            answer.writer.close()

    async def open(
        self,
        method: str,
        path: str,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        *,
        upload: AsyncIterator[bytes] | None = None,
        upgrade: bool = False,
    ) -> Stream:
        """As `stream`; whoever asked closes the connection."""
        target = await self._version() + path + (f"?{urlencode(query)}" if query else "")
        return await self._send(method, target, body, upload, upgrade)

    async def _version(self) -> str:
        async with self._agreeing:
            if self._prefix is None:
                answer = await self._send("GET", "/version", None, None, False)
                about = json.loads(await answer.body())
                answer.writer.close()
                least, most = (_numbers(about.get(name)) for name in ("MinAPIVersion", "ApiVersion"))
                major, minor = max(min(WANTED_API, most), least)
                self._prefix = f"/v{major}.{minor}"
            return self._prefix

    async def _send(
        self, method: str, target: str, body: Any, upload: AsyncIterator[bytes] | None, upgrade: bool
    ) -> Stream:
        try:
            reader, writer = await asyncio.open_unix_connection(self.socket, limit=_LIMIT)
        except OSError as error:
            raise self._lost(error) from error
        try:
            data = b"" if body is None else json.dumps(body).encode()
            writer.write(_head(method, target, len(data), upload is not None, upgrade) + data)
            if upload is not None:
                await _upload(writer, upload)
            await writer.drain()
            answer = await _read_head(reader, writer)
            refusal = _complaint(await answer.body()) if answer.status >= _FIRST_REFUSAL else ""
        except (OSError, asyncio.IncompleteReadError, ValueError) as error:
            writer.close()
            raise self._lost(error) from error
        except BaseException:
            writer.close()
            raise
        if refusal:
            writer.close()
            raise EngineError(answer.status, refusal)
        return answer

    def _lost(self, error: Exception) -> Unavailable:
        return Unavailable(f"the container engine at {self.socket} does not answer: {error}")


def _head(method: str, target: str, length: int, is_upload: bool, upgrade: bool) -> bytes:
    lines = [f"{method} {target} HTTP/1.1", "Host: engine", "User-Agent: swarm"]
    lines += ["Connection: Upgrade", "Upgrade: tcp"] if upgrade else ["Connection: close"]
    if is_upload:
        lines += ["Content-Type: application/x-tar", "Transfer-Encoding: chunked"]
    elif method != "GET":
        lines += ["Content-Type: application/json", f"Content-Length: {length}"]
    return "\r\n".join([*lines, "", ""]).encode("ascii")


async def _upload(writer: asyncio.StreamWriter, upload: AsyncIterator[bytes]) -> None:
    async for chunk in upload:
        if chunk:
            writer.write(b"%x\r\n%b\r\n" % (len(chunk), chunk))
            await writer.drain()
    writer.write(b"0\r\n\r\n")


async def _read_head(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Stream:
    words = (await reader.readline()).split(None, 2)
    if len(words) < 2:
        raise ConnectionResetError("the connection was closed")
    headers = {}
    while line := (await reader.readline()).strip():
        name, _, value = line.decode("latin-1").partition(":")
        headers[name.lower()] = value.strip()
    return Stream(int(words[1]), headers, reader, writer)


def _complaint(body: bytes) -> str:
    text = body.decode("utf-8", "replace").strip()
    try:
        document = json.loads(text)
        return str(document["message"] if "message" in document else document["cause"])
    except (ValueError, KeyError, TypeError):
        return text[-500:] or "the engine gave no reason"


def _numbers(version: Any) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in str(version).split(".")[:2])
    except ValueError:
        return WANTED_API
