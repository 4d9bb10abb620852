"""Layers of strangers, brought as a task would: refused with a reason and without a trace, or unpacked."""

import asyncio
import os
from pathlib import Path

import pytest

from swarm.clock import SECOND, SystemClock
from swarm.errors import TaskRejected
from swarm.runtime.images.digests import short
from tests.unit.hostile.layers import HOSTILE, ODD, Layer, Odd
from tests.unit.hostile.stores import (
    assert_all_is_collected,
    assert_is_one_clear_line,
    assert_nothing_is_left,
    neighbourhood,
    opened,
)
from tests.unit.images.building import CONFIG, LAYER, Content, FakeSource, as_json, digest

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root for chroot and device nodes")

NAME = "registry.invalid/web:1"
HOUR_NS = 3600 * SECOND


def image_of(content: bytes, blob: bytes) -> Content:
    """An image of one layer: what it is said to unpack to, and what comes."""
    configuration = as_json({"os": "linux", "rootfs": {"type": "layers", "diff_ids": [digest(content)]}})
    manifest = as_json(
        {
            "schemaVersion": 2,
            "config": {"mediaType": CONFIG, "digest": digest(configuration), "size": len(configuration)},
            "layers": [{"mediaType": LAYER, "digest": digest(blob), "size": len(blob)}],
        }
    )
    return Content(digest(manifest), {digest(one): one for one in (manifest, configuration, blob)})


def test_there_are_many_of_them() -> None:
    assert len(HOSTILE) >= 60


@pytest.mark.parametrize("case", HOSTILE.values(), ids=HOSTILE)
async def test_a_hostile_layer_is_refused_and_leaves_nothing(tmp_path: Path, case: Layer) -> None:
    blob = case.pack(case.content) if case.raw is None else case.raw
    source = FakeSource({NAME: image_of(case.content, blob)})
    with neighbourhood(tmp_path) as folder:
        store = opened(folder, case.limits)
        async with asyncio.timeout(120):
            with pytest.raises(TaskRejected) as refused:
                await store.ensure(NAME, image_of(case.content, blob).top, None, source)
        said = str(refused.value).partition("; registry")[0]
        assert case.said in said
        assert NAME in said
        assert short(digest(case.content)) in said
        assert_is_one_clear_line(said)
        assert_nothing_is_left(folder)
        await assert_all_is_collected(store, folder, SystemClock().now_ns() + HOUR_NS)
        await store.close()


@pytest.mark.parametrize("case", ODD.values(), ids=ODD)
async def test_an_odd_layer_is_unpacked(tmp_path: Path, case: Odd) -> None:
    content = image_of(case.content, case.pack(case.content))
    with neighbourhood(tmp_path) as folder:
        store = opened(folder)
        image = await store.ensure(NAME, content.top, None, FakeSource({NAME: content}))
        (root,) = store.lower_dirs(image.digest)
        for name, expected in case.files.items():
            path = root / name
            assert path.is_dir() if expected is None else path.read_bytes() == expected
        await store.close()
