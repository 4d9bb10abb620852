"""What an engine sends of a container's output, as lines with their times."""

import re
from collections.abc import AsyncGenerator, AsyncIterator
from datetime import UTC, datetime

from swarm.clock import SECOND
from swarm.runtime.base import LogLine, LogQuery

PIECE_BYTES = 16 * 1024  # a line that is longer comes in pieces of this size
_STREAMS = {1: "stdout", 2: "stderr"}
_HEAD = 8
_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)")


def query_of(query: LogQuery) -> dict[str, str]:
    """Return a query in the engine's words."""
    return {
        "timestamps": "1",
        "stdout": "1" if query.stdout else "0",
        "stderr": "1" if query.stderr else "0",
        "follow": "1" if query.follow else "0",
        "tail": "all" if query.tail is None else str(query.tail),
        **({"since": _decimal(query.since_ns)} if query.since_ns else {}),
        **({"until": _decimal(query.until_ns)} if query.until_ns else {}),
    }


def nanoseconds(text: str) -> int:
    """Return a time as RFC 3339 has it; 0 for the year 1, which stands for never, and for nonsense."""
    match = _TIME.fullmatch(text)
    if match is None or text.startswith("0001-"):
        return 0
    moment, fraction, zone = match.groups()
    at = datetime.fromisoformat(moment + ("+00:00" if zone == "Z" else zone)).astimezone(UTC)
    return int(at.timestamp()) * SECOND + int((fraction or "").ljust(9, "0"))


async def frames(chunks: AsyncIterator[bytes]) -> AsyncIterator[tuple[str, bytes]]:
    """Yield (stream, data) of an engine's multiplexed output."""
    buffer = bytearray()
    async for chunk in chunks:
        buffer += chunk
        while len(buffer) >= _HEAD:
            length = int.from_bytes(buffer[4:_HEAD], "big")
            if len(buffer) < _HEAD + length:
                break
            stream = _STREAMS.get(buffer[0], "stdout")
            yield stream, bytes(buffer[_HEAD : _HEAD + length])
            del buffer[: _HEAD + length]


async def framed_lines(chunks: AsyncIterator[bytes]) -> AsyncGenerator[LogLine, None]:
    """Yield the lines of a container without a terminal: each is a frame."""
    async for stream, data in frames(chunks):
        time, _, text = data.partition(b" ")
        yield _line(time, stream, text)


async def raw_lines(chunks: AsyncIterator[bytes]) -> AsyncGenerator[LogLine, None]:
    """Yield the lines of a container with a terminal: times and texts follow one another."""
    buffer = b""
    async for chunk in chunks:
        buffer += chunk
        while (cut := _first_piece(buffer)) is not None:
            time, _, text = buffer[:cut].partition(b" ")
            buffer = buffer[cut:]
            yield _line(time, "stdout", text)
    if buffer:
        time, _, text = buffer.partition(b" ")
        yield _line(time, "stdout", text)


def _first_piece(buffer: bytes) -> int | None:
    """Return where the first line, or piece of one, ends; None when that is not known yet."""
    begin = buffer.find(b" ") + 1
    end = buffer.find(b"\n", begin)
    if begin and end < 0 and len(buffer) - begin > PIECE_BYTES:
        return begin + PIECE_BYTES
    if end >= 0:
        return min(end + 1, begin + PIECE_BYTES) if end - begin > PIECE_BYTES else end + 1
    return None


def _line(time: bytes, stream: str, text: bytes) -> LogLine:
    """Return a line, or a piece of one: those that go on are of full size. Some engines end no long line."""
    at = nanoseconds(time.decode("ascii", "replace"))
    if text.endswith(b"\n"):
        return LogLine(at, stream, text[:-1])
    return LogLine(at, stream, text, partial=len(text) >= PIECE_BYTES)


def _decimal(time_ns: int) -> str:
    return f"{time_ns // SECOND}.{time_ns % SECOND:09d}"
