"""Archives of strangers, given to `image load`: refused with a reason and without a trace."""

import asyncio
import tracemalloc
from pathlib import Path

import pytest

from swarm.errors import InvalidArgument
from swarm.runtime.images.limits import MIB
from tests.unit.hostile.archives import ARCHIVES, Archive, layout
from tests.unit.hostile.stores import (
    assert_is_one_clear_line,
    assert_nothing_is_left,
    names,
    neighbourhood,
    opened,
)
from tests.unit.hostile.tars import LONG_NAME, PAX, entry, layer, record
from tests.unit.images.building import pieces


@pytest.mark.parametrize("case", ARCHIVES.values(), ids=ARCHIVES)
async def test_a_hostile_archive_is_refused_and_leaves_nothing(tmp_path: Path, case: Archive) -> None:
    with neighbourhood(tmp_path) as folder:
        store = opened(folder, case.limits)
        async with asyncio.timeout(60):
            with pytest.raises(InvalidArgument) as refused:
                await store.load(pieces(case.content, 65536))
        assert case.said in str(refused.value)
        assert_is_one_clear_line(str(refused.value))
        await store.gc(0)  # what a load staged goes with the leftovers, also of a load that failed
        assert_nothing_is_left(folder)
        assert names(folder / "blobs" / "sha256") == []
        assert store.pinned() == {}
        await store.close()


async def test_a_good_archive_is_taken(tmp_path: Path) -> None:
    store = opened(tmp_path)
    (image,) = await store.load(pieces(layout()))
    assert image.reference == "registry.invalid/web:1"
    await store.close()


@pytest.mark.parametrize("kind", [LONG_NAME, PAX], ids=["long names", "extended headers"])
async def test_headers_of_an_archive_take_little_memory(tmp_path: Path, kind: bytes) -> None:
    # The daemon itself reads an archive: what one person uploads must not take it down for all.
    header = entry("h", kind, b"n" * 900_000 if kind == LONG_NAME else record("k", "x" * 900_000))
    hostile = layer(header * 60, entry("a"))
    store = opened(tmp_path)
    tracemalloc.start()
    try:
        with pytest.raises(InvalidArgument, match="a header of"):
            await store.load(pieces(hostile, 65536))
        assert tracemalloc.get_traced_memory()[1] < 20 * MIB
    finally:
        tracemalloc.stop()
    await store.close()
