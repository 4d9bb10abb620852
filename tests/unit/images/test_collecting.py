"""Nothing is collected that a task needs which is between its pull and its container."""

import asyncio
import time
from collections import Counter
from pathlib import Path

import pytest

from swarm.clock import SECOND
from swarm.errors import NotFound
from swarm.runtime.images.store import LocalImageStore
from tests.unit.images.building import FakeSource, image, tar

WEB = "127.0.0.1:1/web:1"
HOUR = 3600 * SECOND


async def test_an_image_is_kept_for_a_task_that_waits_for_hours_to_be_started(tmp_path: Path) -> None:
    store = LocalImageStore(tmp_path)
    # Pulled for a task that is to be started after another one, and meanwhile the tag has moved on.
    waiting, newer = image(), image(tar({"newer": b"1"}))
    await store.ensure(WEB, "", None, FakeSource({WEB: waiting}))
    await store.ensure(WEB, "", None, FakeSource({WEB: newer}))
    for hours in (1, 5, 24, 200):
        await store.gc(time.time_ns() + hours * HOUR, {waiting.top})
    store.lease("task1", waiting.top)
    store.release("task1")
    await store.gc(time.time_ns() + 400 * HOUR)
    with pytest.raises(NotFound):
        store.lease("task1", waiting.top)
    await store.close()


async def test_tasks_that_pull_and_create_race_with_collections(tmp_path: Path) -> None:
    # Nothing is kept for being new: only what somebody counts on is.
    store = LocalImageStore(tmp_path / "images", keep_recent_s=0, keep_unused_s=0)
    shared = tar({"shared": b"1"})
    contents = [image(shared, tar({"own": str(number).encode()})) for number in range(3)]
    prepared: Counter[str] = Counter()

    async def task(number: int) -> None:
        content = contents[number % 3]
        for turn in range(4):
            name = f"{WEB}-{number % 3}"
            prepared[content.top] += 1  # as the agent's record says when the pull returns
            await store.ensure(name, content.top, None, FakeSource({name: content}))
            await asyncio.sleep(0.001 * (number + turn))
            store.lease(f"task{number}", content.top)
            prepared[content.top] -= 1
            await asyncio.sleep(0.002)
            assert all(path.is_dir() for path in store.lower_dirs(content.top))
            store.release(f"task{number}")

    async def collect() -> None:
        while True:
            await store.gc(time.time_ns() + HOUR, [top for top, count in prepared.items() if count > 0])
            await asyncio.sleep(0)

    collecting = asyncio.create_task(collect())
    try:
        await asyncio.gather(*(task(number) for number in range(6)))
    finally:
        collecting.cancel()
        await asyncio.gather(collecting, return_exceptions=True)
    await store.gc(time.time_ns() + HOUR)
    assert store.image_count() == 0
    await store.close()
