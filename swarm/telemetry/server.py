"""/metrics and /healthz over plain HTTP: two pages, GET only, one answer a connection."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus

import structlog

log = structlog.get_logger(__name__)

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
REQUEST_BYTES_MAX = 8 * 1024
REQUEST_TIMEOUT_S = 10.0
CONNECTIONS_MAX = 32


@dataclass(frozen=True, slots=True)
class Health:
    """Whether a part of the node does its work, and a sentence about it."""

    healthy: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer."""

    status: int
    content_type: str
    body: bytes


def health_answer(parts: Mapping[str, Health]) -> Answer:
    """Return 200 when every part is healthy, else 503; the body names each part's reason."""
    healthy = all(part.healthy for part in parts.values())
    page = {
        "healthy": healthy,
        "parts": {name: {"healthy": part.healthy, "reason": part.reason} for name, part in parts.items()},
    }
    return Answer(200 if healthy else 503, "application/json", json.dumps(page).encode() + b"\n")


def _text(status: int, text: str) -> Answer:
    return Answer(status, "text/plain; charset=utf-8", text.encode() + b"\n")


class TelemetryServer:
    """Serves the two pages on one address."""

    def __init__(
        self,
        host: str,
        port: int,
        metrics: Callable[[], Awaitable[bytes]],
        health: Callable[[], Mapping[str, Health]],
    ) -> None:
        """Port 0 takes a free one; `metrics` renders a scrape, `health` tells the state of each part."""
        self._address = (host, port)
        self._metrics = metrics
        self._health = health
        self._open = 0
        self._server: asyncio.Server | None = None

    @property
    def port(self) -> int:
        """The port that is listened on, 0 before `start`."""
        return int(self._server.sockets[0].getsockname()[1]) if self._server else 0

    async def start(self) -> None:
        """Listen; raises OSError when the address is taken."""
        self._server = await asyncio.start_server(self._serve, *self._address, limit=REQUEST_BYTES_MAX)

    async def stop(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open += 1
        try:
            if self._open <= CONNECTIONS_MAX:
                async with asyncio.timeout(REQUEST_TIMEOUT_S):
                    await self._respond(reader, writer)
        except (TimeoutError, OSError, asyncio.IncompleteReadError):
            pass  # the asker is slow or gone; nobody is left to tell
        finally:
            self._open -= 1
            writer.close()

    async def _respond(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError:
            head = b""
        answer = await self._answer(head)
        header = (
            f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}\r\n"
            f"Content-Type: {answer.content_type}\r\nContent-Length: {len(answer.body)}\r\n"
            "Connection: close\r\n\r\n"
        )
        writer.write(header.encode() + answer.body)
        await writer.drain()

    async def _answer(self, head: bytes) -> Answer:
        words = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ")
        if len(words) != 3 or not words[2].startswith("HTTP/1."):
            return _text(400, "this is no HTTP request")
        method, target, _version = words
        if method != "GET":
            return _text(405, "only GET is answered")
        try:
            return await self._page(target.partition("?")[0])
        except Exception:
            log.exception("telemetry.page_failed", reason=target)
            return _text(500, "the page could not be made; the log says why")

    async def _page(self, path: str) -> Answer:
        if path == "/metrics":
            return Answer(200, METRICS_TYPE, await self._metrics())
        if path == "/healthz":
            return health_answer(self._health())
        return _text(404, "there are /metrics and /healthz")
