"""Two managers and an agent over real gRPC: loading, copying, relaying, replacing, removing."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import grpc
import pytest

from swarm.api.status import from_rpc_error
from swarm.api.v1.control_pb2 import Filters, LoadImageRequest
from swarm.api.v1.images_pb2 import FetchBlobRequest, ResolveImageRequest
from swarm.api.v1.images_pb2_grpc import ImagesStub
from swarm.api.v1.objects_pb2 import Image, Service
from swarm.errors import InvalidArgument, NotFound, NotLeader, SwarmError, TaskRejected, Unavailable
from swarm.manager.images.source import ManagerSource
from swarm.runtime.images.store import LocalImageStore
from tests.integration.images.clusters import Cluster, Manager, running_cluster
from tests.unit.images.building import Content, digest, image, tar

pytestmark = pytest.mark.integration

WEB = "docker.io/library/web:1"


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    async with running_cluster(tmp_path) as running:
        yield running


@pytest.fixture
async def worker(tmp_path: Path) -> AsyncIterator[LocalImageStore]:
    store = LocalImageStore(tmp_path / "worker")
    yield store
    await store.close()


async def requests(archive: bytes, reference: str) -> AsyncIterator[LoadImageRequest]:
    for start in range(0, len(archive), 65536):
        yield LoadImageRequest(
            chunk=archive[start : start + 65536], reference=reference if not start else ""
        )


async def load(manager: Manager, content: Content, reference: str = WEB) -> Image:
    (loaded,) = await manager.parts.control.load(requests(tar(content.layout()), reference))
    return loaded


async def until(condition: Callable[[], bool], within_s: float = 60.0) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        await asyncio.sleep(0.01)


def holders(manager: Manager, name: str = WEB) -> list[str]:
    found = manager.store.view.images.by_name(name)
    return sorted(found.holders) if found else []


def source_of(manager: Manager, *, local_only: bool = False) -> "AgentSource | ManagerSource":
    dial = lambda: grpc.aio.insecure_channel(manager.addr)  # noqa: E731
    return ManagerSource(dial) if local_only else AgentSource(manager.addr)


class AgentSource:
    """What an agent asks of the one manager it knows."""

    def __init__(self, addr: str) -> None:
        self._addr = addr

    async def resolve(self, reference: str):
        async with grpc.aio.insecure_channel(self._addr) as channel:
            try:
                answer = await ImagesStub(channel).Resolve(
                    ResolveImageRequest(reference=reference), timeout=60
                )
            except grpc.RpcError as error:
                if isinstance(translated := from_rpc_error(error), NotFound):
                    return None
                raise translated from error
            return answer.digest, tuple(answer.blobs)

    async def fetch(self, blob: str, offset: int) -> AsyncIterator[bytes]:
        async with grpc.aio.insecure_channel(self._addr) as channel:
            try:
                async for part in ImagesStub(channel).FetchBlob(
                    FetchBlobRequest(digest=blob, offset=offset)
                ):
                    yield part.chunk
            except grpc.RpcError as error:
                raise from_rpc_error(error) from error


async def test_an_image_loaded_into_one_manager_reaches_the_other(cluster: Cluster) -> None:
    m1, m2 = cluster.managers.values()
    m2.replicate()
    content = image(tar({"a": os.urandom(3_000_000)}))
    loaded = await load(m1, content)
    assert (loaded.annotations.name, loaded.digest, list(loaded.holders)) == (WEB, content.top, ["m1"])
    await until(lambda: holders(m1) == ["m1", "m2"])
    assert m2.images.has(list(content.blobs))
    assert m2.images.pinned() == {WEB: content.top}
    assert [one.annotations.name for one in m2.parts.control.list(Filters())] == [WEB]
    assert m2.parts.control.list(Filters(names=["other"])) == []


async def test_a_follower_keeps_the_content_and_the_leader_writes_it_down(cluster: Cluster) -> None:
    m1, m2 = cluster.managers.values()
    m1.replicate()
    content = image()
    loaded = await load(m2, content)
    assert list(loaded.holders) == ["m2"]
    await until(lambda: holders(m1) == ["m1", "m2"])
    assert m1.images.has(list(content.blobs))


async def test_a_manager_that_comes_late_catches_up(cluster: Cluster) -> None:
    m1, m2 = cluster.managers.values()
    for number in range(3):
        await load(m1, image(tar({"n": str(number).encode()})), f"web:{number}")
    m2.replicate()
    await until(
        lambda: all(holders(m1, f"docker.io/library/web:{number}") == ["m1", "m2"] for number in range(3))
    )


async def test_replication_survives_a_manager_that_is_away(cluster: Cluster) -> None:
    m1, m2 = cluster.managers.values()
    await load(m1, image())
    await m1.stop()
    m2.replicate()
    await asyncio.sleep(0.1)
    await m1.start()
    cluster.lead("m1")
    await until(lambda: holders(m1) == ["m1", "m2"])


async def test_a_node_gets_the_image_from_any_manager(cluster: Cluster, worker: LocalImageStore) -> None:
    m1, m2 = cluster.managers.values()
    layer = tar({"a": os.urandom(2_000_000)})
    content = image(layer)
    await load(m1, content)
    assert not m2.images.has([content.top])
    # m2 has nothing yet and passes on what m1 has.
    config = await worker.ensure("web:1", "", None, source_of(m2))
    assert config.digest == content.top
    assert (worker.lower_dirs(content.top)[0] / "a").stat().st_size == 2_000_000


async def test_a_manager_without_the_blob_does_not_ask_round_in_circles(cluster: Cluster) -> None:
    m1, m2 = cluster.managers.values()
    content = image()
    await load(m1, content)
    with pytest.raises(NotFound, match="has not reached this manager"):
        await anext(source_of(m2, local_only=True).fetch(content.top, 0))
    await m1.stop()
    with pytest.raises(Unavailable, match="no manager that holds blob"):
        await anext(source_of(m2).fetch(content.top, 0))


async def test_content_of_other_images_on_a_manager_is_not_handed_out(cluster: Cluster) -> None:
    m1, _ = cluster.managers.values()
    private = image(tar({"private": b"1"}))

    async def archive() -> AsyncIterator[bytes]:
        yield tar(private.layout())

    await m1.images.load(archive(), "private:1")
    for blob in private.blobs:
        with pytest.raises(NotFound, match="no image of the cluster has"):
            await anext(source_of(m1).fetch(blob, 0))
    with pytest.raises(InvalidArgument):
        await anext(source_of(m1).fetch("../../etc/passwd", 0))
    content = image()
    await load(m1, content)
    with pytest.raises(InvalidArgument, match="no byte -5"):
        await anext(source_of(m1).fetch(content.top, -5))


async def test_a_transfer_goes_on_at_the_offset(cluster: Cluster) -> None:
    m1, m2 = cluster.managers.values()
    layer = tar({"a": os.urandom(700_000)})
    content = image(layer)
    await load(m1, content)
    for manager in (m1, m2):
        parts = [chunk async for chunk in source_of(manager).fetch(digest(layer), 500_000)]
        assert b"".join(parts) == layer[500_000:]


async def test_loading_a_reference_again_replaces_it_everywhere(
    cluster: Cluster, worker: LocalImageStore
) -> None:
    m1, m2 = cluster.managers.values()
    m1.replicate()
    m2.replicate()
    old, new = image(), image(tar({"new": b"1"}))
    await load(m1, old)
    await worker.ensure(WEB, "", None, source_of(m1))
    await until(lambda: holders(m1) == ["m1", "m2"])
    again = await load(m2, new)
    assert again.digest == new.top
    await until(lambda: holders(m1) == ["m1", "m2"])
    assert m1.images.pinned() == m2.images.pinned() == {WEB: new.top}
    assert (await worker.ensure(WEB, "", None, source_of(m2))).digest == new.top
    await m1.images.gc(time.time_ns() + 3600 * 1_000_000_000)
    assert not m1.images.has([old.top])


async def test_a_service_can_start_on_new_nodes_after_its_tag_has_moved_on(
    cluster: Cluster, worker: LocalImageStore
) -> None:
    m1, m2 = cluster.managers.values()
    m1.replicate()
    m2.replicate()
    old, new = image(), image(tar({"new": b"1"}))
    await load(m1, old)
    service = Service(id="s1")
    service.spec.annotations.name = "web"
    service.spec.task.container.image_digest = old.top
    await m1.store.update(lambda tx: tx.create(service))
    await load(m1, new)
    kept = f"docker.io/library/web@{old.top}"
    await until(lambda: holders(m1, kept) == ["m1", "m2"] == holders(m1))
    await m1.images.gc(time.time_ns() + 3600 * 1_000_000_000)
    assert (await worker.ensure("web:1", old.top, None, source_of(m1))).digest == old.top
    # The last user goes: so does the content.
    await m1.store.update(lambda tx: tx.remove(tx.services.get("s1")))
    await load(m1, image(tar({"other": b"1"})), "other:1")
    await until(lambda: m1.store.view.images.by_name(kept) is None)
    await until(lambda: kept not in m1.images.pinned() and kept not in m2.images.pinned())


async def test_a_removed_image_is_released_by_every_manager(
    cluster: Cluster, worker: LocalImageStore
) -> None:
    m1, m2 = cluster.managers.values()
    m1.replicate()
    m2.replicate()
    content = image()
    loaded = await load(m1, content)
    await until(lambda: holders(m1) == ["m1", "m2"])
    assert await m1.parts.control.remove("web:1") == loaded.id
    await until(lambda: m1.images.pinned() == m2.images.pinned() == {})
    await m2.images.gc(time.time_ns() + 3600 * 1_000_000_000)
    assert not m2.images.has([content.top])
    with pytest.raises(TaskRejected, match="cluster: no such image was loaded"):
        await worker.ensure("127.0.0.1:1/web:1", "", None, source_of(m1))
    with pytest.raises(NotFound):
        await m1.parts.control.remove("web:1")


async def test_content_is_not_released_on_the_word_of_an_old_copy(cluster: Cluster) -> None:
    """After a restart a manager's own store may lack what it holds: only the leader knows."""
    m1, m2 = cluster.managers.values()
    content = image()
    await load(m2, content)
    await m2.stop()
    m2.store.restore(0, [])  # as just after a start, before the log is applied
    m2.replicate()
    await asyncio.sleep(0.3)
    assert m2.images.pinned() == {WEB: content.top}
    cluster.leader_id = ""  # and nobody leads
    with pytest.raises(SwarmError):
        await m1.parts.control.remove("nothing")


async def test_without_a_leader_a_load_fails_and_its_content_is_released_later(cluster: Cluster) -> None:
    m1, m2 = cluster.managers.values()
    cluster.leader_id = ""
    with pytest.raises(NotLeader):
        await load(m2, image())
    cluster.lead("m1")
    assert len(m1.store.view.images) == 0
    m2.replicate()
    await until(lambda: m2.images.pinned() == {})


async def test_a_bad_archive_changes_nothing(cluster: Cluster) -> None:
    m1, _ = cluster.managers.values()
    with pytest.raises(InvalidArgument, match="not an image archive"):
        await m1.parts.control.load(requests(b"PK\x03\x04" + bytes(5000), WEB))
    with pytest.raises(InvalidArgument, match="nothing at all"):
        await m1.parts.control.load(requests(b"", WEB))
    assert len(m1.store.view.images) == 0
    assert m1.images.pinned() == {}
