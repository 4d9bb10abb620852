"""What did a container say? Reads the log files that shims write, newest file `log`, older ones `log.1`,
`log.2`.

Each line is a record `TIME STREAM FLAG DATA`: the time in RFC 3339 with nanoseconds, the stream `stdout` or
`stderr`, and `F` for a whole line or the last piece of one, `P` for a piece that goes on.
"""

import asyncio
import itertools
import os
import re
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from swarm.clock import SECOND
from swarm.runtime.base import LogLine, LogQuery

KEPT_FILES = 3
MAX_FILE_BYTES = 10 * 1024 * 1024
FOLLOW_INTERVAL_S = 0.1

_BLOCK = 256 * 1024
_BATCH = 512
_RECORD = re.compile(
    rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d) (stdout|stderr) ([FP])(?: |$)"
)
_FIRST_S, _LAST_S = (
    -62135596800,
    253402300799,
)  # what has a date: a zone may lead beyond the years 1 and 9999
_seconds_cache: dict[bytes, int] = {}


def parse_record(line: bytes) -> LogLine | None:
    """Return one record of a log file, None for a line that is none (a file cut off by a full disk)."""
    match = _RECORD.match(line)
    if match is None:
        return None
    moment, fraction, zone, stream, flag = match.groups()
    seconds = _seconds(moment, zone)
    if seconds is None:
        return None
    nanoseconds = int((fraction or b"0").ljust(9, b"0"))
    return LogLine(
        seconds * SECOND + nanoseconds, stream.decode(), line[match.end() :], partial=flag == b"P"
    )


def _seconds(moment: bytes, zone: bytes) -> int | None:
    key = moment + zone
    cached = _seconds_cache.get(key)
    if cached is not None:
        return cached
    offset = "+00:00" if zone == b"Z" else zone.decode()
    try:
        seconds = int(datetime.fromisoformat(moment.decode() + offset).timestamp())
    except ValueError:
        return None
    if not _FIRST_S <= seconds <= _LAST_S:
        return None
    if len(_seconds_cache) > 1024:  # lines of one second come together; old seconds are of no use
        _seconds_cache.clear()
    _seconds_cache[key] = seconds
    return seconds


def format_record(timestamp_ns: int, stream: str, data: bytes, *, partial: bool) -> bytes:
    """Return one record with its line end; the inverse of `parse_record`."""
    seconds, nanoseconds = divmod(timestamp_ns, SECOND)
    moment = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")[:19]
    return f"{moment}.{nanoseconds:09d}Z {stream} {'P' if partial else 'F'} ".encode() + data + b"\n"


def wanted(line: LogLine, query: LogQuery) -> bool:
    """Tell whether a query asks for this line, `tail` aside."""
    if not (query.stdout if line.stream == "stdout" else query.stderr):
        return False
    return line.timestamp_ns >= query.since_ns and not (
        query.until_ns and line.timestamp_ns > query.until_ns
    )


def log_files(path: Path) -> list[Path]:
    """Return the files of a log, newest first."""
    numbers = (one.name.removeprefix(f"{path.name}.") for one in path.parent.glob(f"{path.name}.*"))
    older = sorted(int(number) for number in numbers if number.isdecimal())
    return [path, *(path.with_name(f"{path.name}.{number}") for number in older)]


def rotate_files(path: Path, kept: int = 0) -> None:
    """Make room for a new `path`: `log` becomes `log.1` and so on, the oldest of `kept` goes."""
    kept = kept or KEPT_FILES
    names = [path, *(path.with_name(f"{path.name}.{number}") for number in range(1, kept))]
    if kept == 1:
        path.unlink(missing_ok=True)
    for newer, older in reversed(list(itertools.pairwise(names))):
        if newer.exists():
            newer.replace(older)


class _Cursor:
    """One open log file and how far it is read."""

    def __init__(self, file: BinaryIO, position: int = 0) -> None:
        self.file = file
        self.inode = os.fstat(file.fileno()).st_ino
        self.position = position
        self._rest = b""

    def read(self) -> list[LogLine]:
        """Return the whole records after the position, up to one block."""
        block = os.pread(self.file.fileno(), _BLOCK, self.position)
        self.position += len(block)
        *lines, self._rest = (self._rest + block).split(b"\n")
        return [record for record in map(parse_record, lines) if record is not None]

    @property
    def at_end(self) -> bool:
        """Whether everything written so far has been read."""
        return self.position >= os.fstat(self.file.fileno()).st_size


def _open_files(path: Path) -> list[_Cursor]:
    """Open the files of a log, oldest first, each once.

    They are opened newest first: a rotation in between then shows a file a second time instead of hiding
    one.
    """
    cursors: dict[int, _Cursor] = {}
    for name in log_files(path):
        try:
            cursor = _Cursor(name.open("rb"))
        except FileNotFoundError:
            continue
        if cursor.inode in cursors:
            cursor.file.close()
        else:
            cursors[cursor.inode] = cursor
    return list(reversed(cursors.values()))


def _records_backward(cursor: _Cursor) -> Iterator[LogLine]:
    """Yield the records of a file from the last whole one to the first, and set its position behind the last
    one."""
    fd = cursor.file.fileno()
    start, rest = os.fstat(fd).st_size, b""
    found_end = False
    while start > 0:
        size = min(_BLOCK, start)
        start -= size
        rest = os.pread(fd, size, start) + rest
        if not found_end:  # what follows the last line end is still being written
            end = rest.rfind(b"\n")
            if end < 0:
                continue
            cursor.position = start + end + 1
            rest, found_end = rest[:end], True
        rest, *lines = rest.split(b"\n")
        yield from filter(None, map(parse_record, reversed(lines)))
    first = parse_record(rest) if found_end else None
    if first is not None:
        yield first


def _tail(cursors: list[_Cursor], query: LogQuery) -> list[LogLine]:
    """Return the last `query.tail` lines that the query wants, oldest first; pieces of a line count as
    one."""
    limit = query.tail or 0
    found: list[LogLine] = []
    lines = 0
    for cursor in reversed(cursors):
        for record in _records_backward(cursor):
            if record.timestamp_ns < query.since_ns:
                return found[::-1]
            if not wanted(record, query):
                continue
            if not record.partial:
                if lines == limit:
                    return found[::-1]
                lines += 1
            if lines == 0:  # an unfinished line counts too
                if limit == 0:
                    continue
                lines = 1
            found.append(record)
    return found[::-1]


async def read_log(path: Path, query: LogQuery, ended: Callable[[], bool]) -> AsyncIterator[LogLine]:
    """Yield the lines of a container's log that a query asks for, oldest first.

    A following reader goes on through rotations until `ended()` (asked before each read) is true and all is
    read; another one has enough when it has what was written as it came, however fast more is written.
    """
    cursors = await asyncio.to_thread(_open_files, path)
    last_ns = 0
    try:
        if query.tail is not None:
            tail = await asyncio.to_thread(_tail, cursors, query)
            for record in tail:
                last_ns = record.timestamp_ns
                yield record
            for cursor in cursors[:-1]:
                cursor.file.close()
            cursors = cursors[-1:]
        if query.follow:
            reading = _go_on(cursors, path, last_ns, query, ended)
        else:
            reading = _written_so_far(cursors if query.tail is None else [], query)
        async for record in reading:
            yield record
    finally:
        for cursor in cursors:
            cursor.file.close()


async def _written_so_far(cursors: list[_Cursor], query: LogQuery) -> AsyncIterator[LogLine]:
    ends = [os.fstat(cursor.file.fileno()).st_size for cursor in cursors]
    for cursor, end in zip(cursors, ends, strict=True):
        while cursor.position < end and not cursor.at_end:  # the shim may have begun the file anew
            for record in await asyncio.to_thread(cursor.read):
                if query.until_ns and record.timestamp_ns > query.until_ns:
                    return
                if wanted(record, query):
                    yield record


class LogFollower:
    """A reader of what is written from the moment on at which it was opened."""

    def __init__(self, path: Path) -> None:
        """Find the end of the log; blocks."""
        self._path = path
        files = _open_files(path)
        _tail(files[-1:], LogQuery(tail=0))
        for older in files[:-1]:
            older.file.close()
        self._cursors = files[-1:]
        self._reading = False

    async def lines(self, ended: Callable[[], bool]) -> AsyncIterator[LogLine]:
        """Yield the lines as `read_log` does; to be read once."""
        self._reading = True
        try:
            async for record in _go_on(self._cursors, self._path, 0, LogQuery(follow=True), ended):
                yield record
        finally:
            self._close()

    def close(self) -> None:
        """Let go of the files if nobody has begun to read."""
        if not self._reading:
            self._close()

    def _close(self) -> None:
        for cursor in self._cursors:
            cursor.file.close()


async def _go_on(
    cursors: list[_Cursor], path: Path, last_ns: int, query: LogQuery, ended: Callable[[], bool]
) -> AsyncIterator[LogLine]:
    while True:
        done = ended()
        for record in await asyncio.to_thread(_read_on, cursors, path, last_ns):
            if query.until_ns and record.timestamp_ns > query.until_ns:
                return
            last_ns = record.timestamp_ns
            if wanted(record, query):
                yield record
        if cursors and not (len(cursors) == 1 and cursors[0].at_end):
            continue
        if done:
            return
        await asyncio.sleep(FOLLOW_INTERVAL_S)


def _read_on(cursors: list[_Cursor], path: Path, last_ns: int) -> list[LogLine]:
    """Return the next records; closes files that are read to their end and opens those that came after
    them."""
    records: list[LogLine] = []
    while len(records) < _BATCH:
        if not cursors:
            cursors.extend(_open_files(path))
            if not cursors:
                break
        records += cursors[0].read()
        if not cursors[0].at_end:
            continue
        if len(cursors) == 1:
            newer = _newer_files(path, cursors[0], max(last_ns, records[-1].timestamp_ns if records else 0))
            # The shim never writes to a file again once it has opened the next: what is there now is all.
            records += cursors[0].read()
            if not newer:
                break
            cursors.extend(newer)
        if cursors[0].at_end:
            cursors.pop(0).file.close()
    return records


def _newer_files(path: Path, current: _Cursor, last_ns: int) -> list[_Cursor]:
    """Open the files that came after `current`, oldest first."""
    try:
        if path.stat().st_ino == current.inode:
            return []
    except FileNotFoundError:
        return []  # in the middle of a rotation
    files = _open_files(path)
    inodes = [file.inode for file in files]
    if current.inode in inodes:
        keep = inodes.index(current.inode) + 1
    else:  # rotated away altogether: go on with the first file that has anything new
        keep = next((at for at, file in enumerate(files) if _starts_after(file, last_ns)), len(files) - 1)
    for file in files[:keep]:
        file.file.close()
    return files[keep:]


def _starts_after(cursor: _Cursor, moment_ns: int) -> bool:
    block = os.pread(cursor.file.fileno(), 128, 0)
    record = parse_record(block.split(b"\n", 1)[0])
    return record is None or record.timestamp_ns > moment_ns
