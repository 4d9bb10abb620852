"""Manifests, indexes and configurations of strangers, brought as a task would."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from swarm.clock import SECOND, SystemClock
from swarm.errors import TaskRejected
from tests.unit.hostile.documents import DOCUMENTS, ODD_DOCUMENTS, Document
from tests.unit.hostile.stores import (
    assert_all_is_collected,
    assert_is_one_clear_line,
    assert_nothing_is_left,
    neighbourhood,
    opened,
)
from tests.unit.images.building import Content, FakeSource

NAME = "registry.invalid/web:1"
HOUR_NS = 3600 * SECOND


@pytest.mark.parametrize("case", DOCUMENTS.values(), ids=DOCUMENTS)
async def test_a_hostile_document_is_refused_and_leaves_nothing(tmp_path: Path, case: Document) -> None:
    source = FakeSource({NAME: case.content})
    source.blobs |= case.blobs  # also those that lie about their digest
    with neighbourhood(tmp_path) as folder:
        store = opened(folder)
        async with asyncio.timeout(60):
            with pytest.raises(TaskRejected) as refused:
                await store.ensure(NAME, case.content.top, None, source)
        said = str(refused.value).partition("; registry")[0]
        assert case.said in said
        assert NAME in said
        assert_is_one_clear_line(said)
        assert {digest for digest, _ in source.fetched} <= {*source.blobs, "sha256:" + "a" * 64}
        # A good layer beside a bad one may be unpacked already: it has what it says.
        await store.gc(SystemClock().now_ns() + HOUR_NS)
        assert_nothing_is_left(folder)
        await assert_all_is_collected(store, folder, SystemClock().now_ns() + HOUR_NS)
        await store.close()


@pytest.mark.parametrize("make", ODD_DOCUMENTS.values(), ids=ODD_DOCUMENTS)
async def test_an_odd_document_is_understood(tmp_path: Path, make: Callable[[], Content]) -> None:
    content = make()
    store = opened(tmp_path / "store")
    image = await store.ensure(NAME, content.top, None, FakeSource({NAME: content}))
    assert store.lower_dirs(image.digest)
    await store.close()
