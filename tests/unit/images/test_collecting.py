"""Nothing is collected that a task needs which is between its pull and its container."""

import time
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
