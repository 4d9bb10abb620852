import asyncio
import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarm.clock import SECOND
from swarm.runtime.base import LogLine, LogQuery
from swarm.runtime.logs import format_record, parse_record, read_log, rotate_files


def _record(number: int, stream: str = "stdout", *, partial: bool = False, text: str = "") -> bytes:
    return format_record(number * SECOND, stream, (text or f"line {number}").encode(), partial=partial)


async def _read(path: Path, *, ended: bool = True, **query: object) -> list[str]:
    lines = [line async for line in read_log(path, LogQuery(**query), lambda: ended)]  # type: ignore[arg-type]
    return [line.data.decode() for line in lines]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


@given(
    st.integers(0, 4 * 10**18),
    st.sampled_from(["stdout", "stderr"]),
    st.binary().filter(lambda data: b"\n" not in data),
    st.booleans(),
)
def test_a_written_record_is_read_as_it_was(moment: int, stream: str, data: bytes, partial: bool) -> None:
    line = format_record(moment, stream, data, partial=partial)
    assert line.endswith(b"\n")
    assert parse_record(line[:-1]) == LogLine(moment, stream, data, partial)


def test_times_with_an_offset_are_moments() -> None:
    east = parse_record(b"2026-11-21T11:17:08.25+02:00 stdout F x")
    utc = parse_record(b"2026-11-21T09:17:08.250000000Z stdout F x")
    assert east is not None
    assert utc == east


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"x",
        b"2026-11-21T09:17:08Z stdin F x",
        b"2026-13-41T09:17:08Z stdout F x",
        b"2026-11-21T09:17:08Z stdout X x",
    ],
)
def test_what_is_no_record_is_passed_over(line: bytes) -> None:
    assert parse_record(line) is None


async def test_a_log_that_does_not_exist_is_empty(log: Path) -> None:
    assert await _read(log) == []
    assert await _read(log, tail=5) == []


async def test_streams_and_times_are_chosen(log: Path) -> None:
    log.write_bytes(b"".join(_record(n, "stderr" if n % 2 else "stdout") for n in range(1, 7)))
    assert await _read(log, stderr=False) == ["line 2", "line 4", "line 6"]
    assert await _read(log, stdout=False) == ["line 1", "line 3", "line 5"]
    assert await _read(log, since_ns=3 * SECOND, until_ns=4 * SECOND) == ["line 3", "line 4"]


@pytest.mark.parametrize("tail", [0, 1, 3, 9, 10, 11])
async def test_the_tail_reaches_over_rotated_files(log: Path, tail: int) -> None:
    for name, numbers in (("log.2", range(4)), ("log.1", range(4, 8)), ("log", range(8, 10))):
        log.with_name(name).write_bytes(b"".join(map(_record, numbers)))
    expected = [f"line {number}" for number in range(10)]
    assert await _read(log) == expected
    assert await _read(log, tail=tail) == expected[len(expected) - min(tail, 10) :]


async def test_the_tail_counts_what_is_asked_for(log: Path) -> None:
    log.write_bytes(b"".join(_record(n, "stderr" if n % 2 else "stdout") for n in range(1, 7)))
    assert await _read(log, tail=2, stderr=False) == ["line 4", "line 6"]
    assert await _read(log, tail=9, since_ns=5 * SECOND) == ["line 5", "line 6"]


async def test_pieces_of_a_line_count_as_one(log: Path) -> None:
    log.write_bytes(
        _record(1)
        + _record(2, partial=True, text="a")
        + _record(2, partial=True, text="b")
        + _record(2, text="c")
        + _record(3, partial=True, text="un")
        + _record(3, partial=True, text="finished")
    )
    assert await _read(log, tail=1) == ["un", "finished"]
    assert await _read(log, tail=2) == ["a", "b", "c", "un", "finished"]


@pytest.mark.parametrize("size", [10, 1000, 300_000, 1_000_000])
async def test_lines_longer_than_a_block(log: Path, size: int) -> None:
    log.write_bytes(_record(1) + _record(2, text="x" * size) + _record(3))
    assert await _read(log) == ["line 1", "x" * size, "line 3"]
    assert await _read(log, tail=2) == ["x" * size, "line 3"]


async def test_a_record_that_is_still_being_written_is_not_shown(log: Path) -> None:
    log.write_bytes(_record(1) + _record(2)[:-3])
    assert await _read(log) == ["line 1"]
    assert await _read(log, tail=5) == ["line 1"]


class Follower:
    """Reads a log that grows."""

    def __init__(self, log: Path, **query: object) -> None:
        self.ended = False
        self.looks = 0
        self.lines: list[str] = []
        self._task = asyncio.create_task(self._follow(log, LogQuery(follow=True, **query)))  # type: ignore[arg-type]

    async def _follow(self, log: Path, query: LogQuery) -> None:
        async for line in read_log(log, query, self._is_over):
            self.lines.append(line.data.decode())

    def _is_over(self) -> bool:
        self.looks += 1
        return self.ended

    async def has_looked(self) -> None:
        """Wait until everything there was is read."""
        seen = self.looks
        async with asyncio.timeout(60):
            while self.looks < seen + 2:
                await asyncio.sleep(0.005)

    async def has_read(self, last: str) -> None:
        async with asyncio.timeout(60):
            while last not in self.lines:
                await asyncio.sleep(0.005)

    async def end(self) -> list[str]:
        self.ended = True
        await asyncio.wait_for(self._task, 60)
        return self.lines


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("swarm.runtime.logs.FOLLOW_INTERVAL_S", 0.005)


def _append(log: Path, *records: bytes) -> None:
    with log.open("ab") as file:
        file.write(b"".join(records))


@pytest.mark.parametrize(("tail", "first"), [(None, 1), (1, 2), (0, 3)])
async def test_following_goes_on_where_reading_stopped(log: Path, tail: int | None, first: int) -> None:
    log.write_bytes(_record(1) + _record(2) + _record(3)[:10])
    follower = Follower(log, tail=tail)
    await follower.has_looked()
    _append(log, _record(3)[10:], _record(4))
    await follower.has_read("line 4")
    assert await follower.end() == [f"line {number}" for number in range(first, 5)]


@pytest.mark.parametrize(("tail", "first"), [(None, 1), (1, 3), (0, 4)])
async def test_who_does_not_follow_gets_what_was_written_by_then(
    log: Path, tail: int | None, first: int
) -> None:
    _append(log, *map(_record, range(1, 4)))
    seen, numbers = [], itertools.count(4)
    async for line in read_log(log, LogQuery(tail=tail), lambda: False):
        seen.append(line.data.decode())
        _append(log, _record(next(numbers)), _record(next(numbers)))
        rotate_files(log)
        _append(log, _record(next(numbers)))
        assert next(numbers) < 100, "it reads as long as there is something written"
    assert seen == [f"line {n}" for n in range(first, 4)]


async def test_following_a_log_that_does_not_exist_yet(log: Path) -> None:
    follower = Follower(log)
    await asyncio.sleep(0.02)
    log.write_bytes(_record(1))
    await follower.has_read("line 1")
    assert await follower.end() == ["line 1"]


async def test_following_survives_rotations_without_loss_or_repetition(log: Path) -> None:
    log.write_bytes(_record(0))
    follower = Follower(log)
    await follower.has_read("line 0")
    for number in range(1, 40):
        _append(log, _record(number))
        if number % 7 == 0:
            rotate_files(log)
            _append(
                log.with_name("log.1"), _record(number, text=f"late {number}")
            )  # before the shim has reopened
            log.write_bytes(b"")
            await follower.has_read(f"late {number}")
    await follower.has_read("line 39")
    lines = await follower.end()
    assert [line for line in lines if line.startswith("line")] == [f"line {number}" for number in range(40)]
    assert [line for line in lines if line.startswith("late")] == [
        f"late {number}" for number in range(7, 40, 7)
    ]


async def test_two_rotations_while_nobody_looked(log: Path) -> None:
    log.write_bytes(_record(0))
    follower = Follower(log)
    await follower.has_read("line 0")
    for number in (1, 2):
        _append(log, _record(number))
        rotate_files(log)
    log.write_bytes(_record(3))
    await follower.has_read("line 3")
    assert await follower.end() == ["line 0", "line 1", "line 2", "line 3"]


async def test_more_rotations_than_files_are_kept_repeat_nothing(log: Path) -> None:
    log.write_bytes(_record(0))
    follower = Follower(log)
    await follower.has_read("line 0")
    for number in range(1, 6):
        _append(log, _record(number))
        rotate_files(log)
    log.write_bytes(_record(6))
    await follower.has_read("line 6")
    lines = await follower.end()
    assert len(lines) == len(set(lines))
    assert lines[-3:] == ["line 4", "line 5", "line 6"]


async def test_the_end_comes_after_the_last_line(log: Path) -> None:
    log.write_bytes(b"".join(map(_record, range(5000))))
    follower = Follower(log)
    assert await follower.end() == [f"line {number}" for number in range(5000)]


async def test_a_following_reader_can_be_closed(log: Path) -> None:
    log.write_bytes(_record(1))
    reader = read_log(log, LogQuery(follow=True), lambda: False)
    assert (await anext(reader)).data == b"line 1"
    await reader.aclose()  # type: ignore[attr-defined]


@pytest.mark.parametrize(("kept", "left"), [(1, [6]), (2, [5, 6]), (5, [2, 3, 4, 5, 6])])
async def test_a_service_decides_how_many_files_are_kept(log: Path, kept: int, left: list[int]) -> None:
    for number in range(6):
        log.write_bytes(_record(number))
        rotate_files(log, kept)
    log.write_bytes(_record(6))
    lines = [line.data.decode() async for line in read_log(log, LogQuery(), lambda: True)]
    assert lines == [f"line {number}" for number in left]
