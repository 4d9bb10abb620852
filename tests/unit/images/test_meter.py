from collections.abc import AsyncIterator

from swarm.runtime.images.blobs import closing
from swarm.runtime.images.meter import REPORT_BYTES, Meter

MB = 1_000_000


async def a_blob(*sizes: int) -> AsyncIterator[bytes]:
    for size in sizes:
        yield b"x" * size


async def test_bytes_of_all_layers_are_counted_together() -> None:
    said: list[str] = []
    meter = Meter("pulling from registry", 10 * MB, said.append)
    first = [chunk async for chunk in meter.count("a", 0, a_blob(2 * MB, 2 * MB))]
    assert [len(chunk) for chunk in first] == [2 * MB, 2 * MB]
    async for _ in meter.count("b", 0, a_blob(3 * MB)):
        pass
    assert said == [
        "pulling from registry: 2MB of 10MB",
        "pulling from registry: 4MB of 10MB",
        "pulling from registry: 7MB of 10MB",
    ]


async def test_what_comes_again_after_a_break_is_not_counted_twice() -> None:
    said: list[str] = []
    meter = Meter("pulling", 8 * MB, said.append)
    for offset in (0, 2 * MB):
        async for _ in meter.count("a", offset, a_blob(3 * MB)):
            pass
    assert said == ["pulling: 3MB of 8MB", "pulling: 5MB of 8MB"]


async def test_small_steps_are_not_worth_a_word() -> None:
    said: list[str] = []
    meter = Meter("pulling", 8 * MB, said.append)
    async for _ in meter.count("a", 0, a_blob(*[REPORT_BYTES // 4] * 7)):
        pass
    assert len(said) == 1


async def test_a_stream_that_is_left_early_is_closed_down_to_its_connection() -> None:
    closed = []

    async def connection() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"x"
        finally:
            closed.append(True)

    counted = Meter("pulling", MB, lambda text: None).count("a", 0, connection())
    async with closing(counted) as chunks:
        assert await anext(chunks) == b"x"
    assert closed == [True]
