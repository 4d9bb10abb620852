"""Nothing is collected that a task needs which is between its pull and its container."""

import errno
import os
import tempfile
import time
from pathlib import Path

import pytest

from swarm.clock import SECOND
from swarm.errors import NotFound
from swarm.runtime.images import records
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


async def test_where_the_disk_is_full_what_goes_makes_the_room_to_write_that_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, newer = image(tar({"old": b"1"})), image(tar({"newer": b"1"}))
    store = LocalImageStore(tmp_path)
    await store.ensure(WEB, "", None, FakeSource({WEB: old}))
    await store.ensure(WEB, "", None, FakeSource({WEB: newer}))
    gone = {name.partition(":")[2] for name in set(old.blobs) - set(newer.blobs)}
    write = records.write_durably

    def is_full() -> bool:
        return any(path.name[:64] in gone for path in tmp_path.rglob("*"))

    def full_write(path: Path, content: bytes) -> None:
        if is_full():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(path, content)

    monkeypatch.setattr(records, "write_durably", full_write)
    monkeypatch.setattr(tempfile, "mkdtemp", lambda **_: pytest.fail("a folder takes room"))
    collected = await store.gc(time.time_ns() + 400 * HOUR, {newer.top})
    assert collected.blobs == len(gone)
    assert not is_full()
    assert len(list((tmp_path / "layers").glob("[1-9]*"))) == 1
    await store.close()
