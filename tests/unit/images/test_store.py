import asyncio
import os
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest

from swarm.clock import SECOND
from swarm.errors import (
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    SwarmError,
    TaskRejected,
    Unavailable,
)
from swarm.runtime.images import store as store_module
from swarm.runtime.images.base import ImageConfig, Pull
from swarm.runtime.images.fetch import Wanted
from swarm.runtime.images.limits import Limits
from swarm.runtime.images.platforms import host_platform
from swarm.runtime.images.store import LocalImageStore
from tests.unit.images.building import Content, FakeSource, as_json, digest, image, index, pieces, tar

WEB = "docker.io/library/web:1"
# Nothing listens there: the registry is never an answer in these tests.
NO_REGISTRY = "127.0.0.1:1/web:1"
DAY = 86400 * SECOND


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[LocalImageStore]:
    opened = LocalImageStore(tmp_path / "images")
    yield opened
    await opened.close()


async def use(store: LocalImageStore, content: Content, reference: str = NO_REGISTRY) -> ImageConfig:
    source = FakeSource({reference: content})
    return await store.ensure(reference, "", None, source)


async def test_an_image_of_the_cluster_is_fetched_unpacked_and_described(store: LocalImageStore) -> None:
    lower, upper = tar({"a": b"1", "b": b"1"}), tar({"b": b"2"})
    content = image(
        lower,
        upper,
        config={"Entrypoint": ["/b"], "Cmd": ["x"], "Env": ["A=1"], "User": "7", "WorkingDir": "/w"},
    )
    config = await use(store, content)
    assert config == ImageConfig(
        digest=content.top,
        entrypoint=("/b",),
        command=("x",),
        env=("A=1",),
        working_dir="/w",
        user="7",
        architecture="amd64",
        os="linux",
    )
    assert store.image_config(content.top) == config
    assert store.image_of("task1", content.top) == config
    assert store.image_of("task1") is None
    store.lease("task1", content.top)
    assert store.image_of("task1") == config
    top, bottom = store.lower_dirs(content.top)
    assert (top / "b").read_bytes() == b"2"
    assert (bottom / "a").read_bytes() == b"1"
    assert store.has(list(content.blobs))


async def test_layers_are_out_of_reach_for_other_users(store: LocalImageStore) -> None:
    content = image()
    await use(store, content)
    assert store.lower_dirs(content.top)[0].parent.stat().st_mode & 0o077 == 0


async def test_of_an_index_only_this_nodes_platform_is_fetched(store: LocalImageStore) -> None:
    mine, other = image(), image(tar({"other": b"1"}), architecture="s390x")
    content = index({host_platform().architecture: mine, "s390x": other})
    source = FakeSource({NO_REGISTRY: content})
    config = await store.ensure(NO_REGISTRY, "", None, source)
    assert config.digest == mine.top
    assert {blob for blob, _ in source.fetched} == {content.top, *mine.blobs}


async def test_an_index_without_this_nodes_platform_is_refused_with_what_there_is(
    store: LocalImageStore,
) -> None:
    content = index({"s390x": image(architecture="s390x"), "ppc64le": image(architecture="ppc64le")})
    with pytest.raises(TaskRejected, match="only for linux/ppc64le, linux/s390x"):
        await use(store, content)


async def test_an_image_without_layers_has_an_empty_folder_to_mount(store: LocalImageStore) -> None:
    configuration = as_json({"rootfs": {"diff_ids": []}})
    described = {"mediaType": "c", "digest": digest(configuration), "size": len(configuration)}
    manifest = as_json({"schemaVersion": 2, "config": described, "layers": []})
    content = Content(digest(manifest), {digest(manifest): manifest, digest(configuration): configuration})
    await use(store, content)
    (only,) = store.lower_dirs(content.top)
    assert list(only.iterdir()) == []


async def test_a_layer_that_comes_twice_is_mounted_once(store: LocalImageStore) -> None:
    twice, between = tar({"a": b"1"}), tar({"b": b"1"})
    content = image(twice, between, twice)
    await use(store, content)
    assert [sorted(path.name for path in lower.iterdir()) for lower in store.lower_dirs(content.top)] == [
        ["a"],
        ["b"],
    ]


async def test_what_the_cluster_calls_so_wins_over_what_is_local(store: LocalImageStore) -> None:
    old, new = image(), image(tar({"new": b"1"}))
    await use(store, old)
    assert (await use(store, new)).digest == new.top


async def test_a_local_image_is_used_when_no_manager_answers(store: LocalImageStore) -> None:
    content = image()
    await use(store, content)
    source = FakeSource()
    source.resolve_error = Unavailable("nobody there")
    assert (await store.ensure(NO_REGISTRY, "", None, source)).digest == content.top
    assert (await store.ensure(NO_REGISTRY, "", None, None)).digest == content.top


async def test_a_digest_that_is_local_asks_nobody(store: LocalImageStore) -> None:
    content = image()
    await use(store, content)
    source = FakeSource()
    source.resolve_error = AssertionError("asked")
    config = await store.ensure("127.0.0.1:1/other", content.top, None, source)
    assert config.digest == content.top
    config = await store.ensure(f"127.0.0.1:1/other@{content.top}", "", None, source)
    assert config.digest == content.top


async def test_a_pinned_digest_is_never_answered_with_another_image(store: LocalImageStore) -> None:
    source = FakeSource({NO_REGISTRY: image()})
    with pytest.raises(TaskRejected, match=r"cluster: has [0-9a-f]{12} instead of aaaaaaaaaaaa"):
        await store.ensure(NO_REGISTRY, "sha256:" + "a" * 64, None, source)


async def test_the_refusal_names_every_place_and_its_reason(store: LocalImageStore) -> None:
    with pytest.raises(TaskRejected) as refused:
        await store.ensure(NO_REGISTRY, "", None, FakeSource())
    text = str(refused.value)
    assert text.startswith('cannot get image "127.0.0.1:1/web:1": ')
    assert "cluster: no such image was loaded" in text
    assert "this node: no image of that name" in text
    assert "registry 127.0.0.1:1: registry not reachable" in text


@pytest.mark.parametrize(
    "reference", ["", "UPPER", "a b", "x@sha256:12", "http://x/y", "x@sha512:" + "a" * 128]
)
async def test_a_bad_reference_is_refused(store: LocalImageStore, reference: str) -> None:
    with pytest.raises(TaskRejected):
        await store.ensure(reference, "", None, None)


async def test_tasks_that_need_the_same_image_share_one_pull(store: LocalImageStore) -> None:
    content = image(tar({"a": bytes(5000)}), tar({"b": bytes(5000)}))
    source = FakeSource({NO_REGISTRY: content})
    found = await asyncio.gather(*(store.ensure(NO_REGISTRY, "", None, source) for _ in range(10)))
    assert {config.digest for config in found} == {content.top}
    assert sorted(blob for blob, _ in source.fetched) == sorted(content.blobs)
    assert len(list(store.lower_dirs(content.top)[0].parent.iterdir())) == 3  # with the empty one


async def test_images_that_share_a_layer_unpack_it_once(store: LocalImageStore) -> None:
    shared = tar({"shared": b"1"})
    first, second = image(shared, tar({"a": b"1"})), image(shared, tar({"b": b"1"}))
    await asyncio.gather(
        use(store, first, "127.0.0.1:1/first:1"), use(store, second, "127.0.0.1:1/second:1")
    )
    assert store.lower_dirs(first.top)[1] == store.lower_dirs(second.top)[1]


async def test_a_pull_goes_on_for_others_when_one_task_gives_up(store: LocalImageStore) -> None:
    content = image(tar({"a": bytes(5000)}))
    source = FakeSource({NO_REGISTRY: content})
    first = asyncio.ensure_future(store.ensure(NO_REGISTRY, "", None, source))
    second = asyncio.ensure_future(store.ensure(NO_REGISTRY, "", None, source))
    await asyncio.sleep(0)
    first.cancel()
    assert (await second).digest == content.top
    assert first.cancelled() or first.done()
    assert len(source.fetched) == len(content.blobs)


async def test_a_cancelled_pull_leaves_nothing_visible_and_can_be_repeated(
    store: LocalImageStore, tmp_path: Path
) -> None:
    content = image(tar({"a": bytes(5000)}))
    pull = asyncio.ensure_future(use(store, content))
    while not list((tmp_path / "images" / "unpacking").iterdir()):
        await asyncio.sleep(0.001)
    pull.cancel()
    with pytest.raises(asyncio.CancelledError):
        await pull
    with pytest.raises(NotFound):
        store.lower_dirs(content.top)
    assert list((tmp_path / "images" / "unpacking").iterdir()) == []
    assert (await use(store, content)).digest == content.top


async def test_a_broken_transfer_goes_on_where_it_broke(store: LocalImageStore) -> None:
    layer = tar({"a": os.urandom(50_000)})
    content = image(layer)
    source = FakeSource({NO_REGISTRY: content})
    source.break_after[digest(layer)] = [
        (10_000, Unavailable("gone")),
        (0, Unavailable("gone")),
        (30_000, Unavailable("gone")),
    ]
    lines: list[str] = []
    await store.ensure(NO_REGISTRY, "", None, source, lines.append)
    assert [offset for blob, offset in source.fetched if blob == digest(layer)] == [
        0,
        10_000,
        10_000,
        40_000,
    ]
    assert any(f"{digest(layer)[7:19]}: transfer broke after 10000 bytes" in line for line in lines)


async def test_registries_that_keep_pulls_waiting_hold_up_no_load_and_who_waits_hears_it(
    store: LocalImageStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, answer = 0, asyncio.Event()

    async def hang(*_: object) -> str:
        nonlocal begun
        begun += 1
        await answer.wait()
        raise Unavailable("gone")

    monkeypatch.setattr(store_module.Fetcher, "fetch", hang)
    lines: list[str] = []
    pulls = [
        asyncio.create_task(store.fetch(WEB, Wanted(), None, lines.append))
        for _ in range(store_module._FETCHES_MAX + 1)
    ]
    try:
        async with asyncio.timeout(60):
            while not lines or begun < store_module._FETCHES_MAX:
                await asyncio.sleep(0.001)
            assert lines == [f"waiting: {begun} images are being pulled already"]
            (loaded,) = await store.load(pieces(tar(image().layout())), WEB)
            assert loaded.reference == WEB
    finally:
        answer.set()
        await asyncio.gather(*pulls, return_exceptions=True)
    assert begun == len(pulls)


async def test_a_source_that_always_breaks_is_given_up(
    store: LocalImageStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("swarm.runtime.images.blobs._BACKOFF_S", 0.001)
    layer = tar({"a": b"1"})
    source = FakeSource({NO_REGISTRY: image(layer)})
    source.break_after[digest(layer)] = [(0, Unavailable("no luck"))] * 50
    with pytest.raises(TaskRejected, match="cluster: no luck"):
        await store.ensure(NO_REGISTRY, "", None, source)


async def test_what_an_earlier_process_left_of_a_transfer_is_used(
    store: LocalImageStore, tmp_path: Path
) -> None:
    layer = tar({"a": os.urandom(50_000)})
    content = image(layer)
    (tmp_path / "images/blobs/partial" / digest(layer)[7:]).write_bytes(layer[:20_000])
    source = FakeSource({NO_REGISTRY: content})
    await store.ensure(NO_REGISTRY, "", None, source)
    assert (digest(layer), 20_000) in source.fetched


@pytest.mark.parametrize("left", [b"rubbish", b"rubbish" * 100_000], ids=["short", "longer than the blob"])
async def test_a_spoilt_rest_of_a_transfer_is_thrown_away(
    store: LocalImageStore, tmp_path: Path, left: bytes
) -> None:
    layer = tar({"a": os.urandom(50_000)})
    content = image(layer)
    (tmp_path / "images/blobs/partial" / digest(layer)[7:]).write_bytes(left)
    assert (await use(store, content)).digest == content.top


async def test_forged_content_is_refused_and_not_kept(store: LocalImageStore, tmp_path: Path) -> None:
    layer = tar({"a": b"1"})
    content = image(layer)
    source = FakeSource({NO_REGISTRY: content})
    source.blobs[digest(layer)] = layer.replace(b"1", b"2", 1)
    with pytest.raises(TaskRejected, match="damaged or forged"):
        await store.ensure(NO_REGISTRY, "", None, source)
    assert not store.has([digest(layer)])
    assert list((tmp_path / "images/blobs/partial").iterdir()) == []


async def test_content_longer_than_announced_is_cut_off(store: LocalImageStore) -> None:
    layer = tar({"a": b"1"})
    content = image(layer)
    source = FakeSource({NO_REGISTRY: content})
    source.blobs[digest(layer)] = layer + bytes(100_000)
    with pytest.raises(TaskRejected, match=f"longer than {len(layer)} bytes"):
        await store.ensure(NO_REGISTRY, "", None, source)


async def test_a_hostile_layer_rejects_the_task_with_the_reason(store: LocalImageStore) -> None:
    layer = b"this is no tar" * 100
    with pytest.raises(TaskRejected, match="cannot be unpacked: not a tar archive"):
        await use(store, image(layer))


async def test_a_blob_that_rotted_on_the_disk_is_fetched_again(
    store: LocalImageStore, tmp_path: Path
) -> None:
    layer = tar({"a": b"1"})
    content = image(layer)
    source = FakeSource({NO_REGISTRY: content})
    await store.ingest(NO_REGISTRY, content.top, list(content.blobs), source)
    (tmp_path / "images/blobs/sha256" / digest(layer)[7:]).write_bytes(b"rot" * 1000)
    with pytest.raises(TaskRejected, match="was damaged on this node's disk; it was deleted"):
        await store.ensure(NO_REGISTRY, "", None, None)
    assert (await store.ensure(NO_REGISTRY, "", None, source)).digest == content.top


async def test_everything_is_found_again_after_a_restart(tmp_path: Path) -> None:
    content = image()
    first = LocalImageStore(tmp_path)
    await use(first, content)
    first.lease("task1", content.top)
    lower = first.lower_dirs(content.top)
    await first.close()
    second = LocalImageStore(tmp_path)
    assert second.lower_dirs(content.top) == lower
    assert second.leases() == {"task1": content.top}
    assert (await second.ensure(NO_REGISTRY, "", None, None)).digest == content.top
    await second.close()


async def test_layers_that_the_power_failure_may_have_cut_are_unpacked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = image()
    first = LocalImageStore(tmp_path)
    await use(first, content)
    before = first.lower_dirs(content.top)
    await first.close()
    monkeypatch.setattr("swarm.runtime.images.storage.current_boot_id", lambda: "another boot")
    second = LocalImageStore(tmp_path)
    with pytest.raises(NotFound, match="not unpacked"):
        second.lower_dirs(content.top)
    await second.ensure(NO_REGISTRY, "", None, None)
    assert second.lower_dirs(content.top) != before
    await second.gc(time.time_ns())  # brings them to the disk
    await second.close()
    monkeypatch.setattr("swarm.runtime.images.storage.current_boot_id", lambda: "a third boot")
    third = LocalImageStore(tmp_path)
    assert third.lower_dirs(content.top)
    await third.close()


async def test_damaged_records_are_put_aside_and_running_containers_keep_their_layers(
    tmp_path: Path,
) -> None:
    content = image()
    first = LocalImageStore(tmp_path, keep_recent_s=0)
    await use(first, content)
    first.lease("task1", content.top)
    lower = first.lower_dirs(content.top)[0]
    await first.close()
    (tmp_path / "records.json").write_text('{"format": 1, "refer')
    second = LocalImageStore(tmp_path, keep_recent_s=0)
    await second.gc(time.time_ns() + SECOND)
    assert (lower / "hello").read_bytes() == b"world"
    assert (tmp_path / "records.damaged").exists()
    assert (
        await second.ensure(NO_REGISTRY, "", None, FakeSource({NO_REGISTRY: content}))
    ).digest == content.top
    assert second.lower_dirs(content.top) != [lower]
    await second.close()


async def test_a_folder_has_one_store_at_a_time(store: LocalImageStore, tmp_path: Path) -> None:
    with pytest.raises(FailedPrecondition, match="used by another process"):
        LocalImageStore(tmp_path / "images")


async def test_a_lease_needs_a_whole_image_and_a_safe_id(store: LocalImageStore) -> None:
    content = image()
    with pytest.raises(NotFound):
        store.lease("task1", content.top)
    await use(store, content)
    for bad in ("", "../x", "a/b", ".hidden", "x.new"):
        with pytest.raises(InvalidArgument):
            store.lease(bad, content.top)


async def collect_all(store: LocalImageStore, after_ns: int = 30 * DAY) -> None:
    await store.gc(time.time_ns() + after_ns)


async def test_what_a_container_mounts_survives_as_what_it_runs(store: LocalImageStore) -> None:
    run, mounted = image(tar({"run": b"1"})), image(tar({"mounted": b"2"}))
    await use(store, run)
    await use(store, mounted, "registry.invalid/mounted:1")
    store.lease("task1", run.top, (mounted.top,))
    for reference in (NO_REGISTRY, "registry.invalid/mounted:1"):
        await store.remove(reference)
    await collect_all(store)
    for content, name in ((run, "run"), (mounted, "mounted")):
        assert (store.lower_dirs(content.top)[0] / name).exists()
    store.release("task1")
    await collect_all(store, 60 * DAY)
    with pytest.raises(NotFound):
        store.lower_dirs(mounted.top)


async def test_what_a_container_uses_survives_everything_else(store: LocalImageStore) -> None:
    content = image()
    await use(store, content)
    store.lease("task1", content.top)
    store.lease("task1", content.top)
    await store.remove(NO_REGISTRY)
    await collect_all(store)
    assert (store.lower_dirs(content.top)[0] / "hello").exists()
    store.release("task1")
    store.release("task1")
    await collect_all(store)
    with pytest.raises(NotFound):
        store.lower_dirs(content.top)
    assert not store.has([content.top])


async def test_collection_leaves_no_file_behind(store: LocalImageStore, tmp_path: Path) -> None:
    content = image()
    await use(store, content)
    (tmp_path / "images/unpacking/killed/deep").mkdir(parents=True)
    (tmp_path / "images/layers/77").mkdir()
    (tmp_path / "images/blobs/partial/x").write_bytes(b"1")
    collected = await store.gc(time.time_ns() + 30 * DAY)
    assert (collected.references, collected.layers, collected.blobs) == (1, 1, 3)
    left = sorted(str(path.relative_to(tmp_path / "images")) for path in (tmp_path / "images").rglob("*"))
    assert left == [
        "blobs",
        "blobs/partial",
        "blobs/sha256",
        "layers",
        "layers/0",
        "leases",
        "lock",
        "records.json",
        "unpacking",
    ]


async def test_young_content_is_kept_even_when_nothing_refers_to_it(store: LocalImageStore) -> None:
    content = image()
    await use(store, content)
    await store.remove(NO_REGISTRY)
    await store.gc(time.time_ns() + 300 * SECOND)
    assert store.lower_dirs(content.top)
    assert store.has(list(content.blobs))


async def test_an_image_just_made_ready_is_kept_until_its_container_leases_it(
    store: LocalImageStore, tmp_path: Path
) -> None:
    # Its content is old, and the tag has moved on: only the recent use speaks for it.
    content = image()
    await use(store, content)
    for path in (tmp_path / "images/blobs/sha256").iterdir():
        os.utime(path, (1, 1))
    await store.ensure("127.0.0.1:1/other", content.top, None, None)
    await store.remove(NO_REGISTRY)
    await store.remove(f"127.0.0.1:1/other@{content.top}")
    await store.gc(time.time_ns() + 300 * SECOND)
    store.lease("task1", content.top)


async def test_loaded_images_stay_until_removed_and_pulled_ones_while_used(store: LocalImageStore) -> None:
    loaded, pulled = image(), image(tar({"pulled": b"1"}))
    await store.load(pieces(tar(loaded.layout())), WEB)
    await use(store, pulled)
    await store.gc(time.time_ns() + 6 * DAY)
    assert store.has(list(pulled.blobs))
    await store.gc(time.time_ns() + 8 * DAY)
    assert not store.has(list(pulled.blobs))
    await store.gc(time.time_ns() + 400 * DAY)
    assert store.has(list(loaded.blobs))
    await store.remove(WEB)
    await store.gc(time.time_ns() + 400 * DAY)
    assert not store.has([loaded.top])


class HeldSource(FakeSource):
    """Goes on with what broke off when it is told to."""

    def __init__(self, images: Mapping[str, Content]) -> None:
        super().__init__(images)
        self.go_on = asyncio.Event()

    async def fetch(self, blob: str, offset: int) -> AsyncIterator[bytes]:
        if offset:
            await self.go_on.wait()
        async for piece in super().fetch(blob, offset):
            yield piece


async def test_a_pull_under_way_keeps_what_it_found_here(store: LocalImageStore) -> None:
    shared, fresh = tar({"shared": b"1"}), tar({"fresh": bytes(5000)})
    old, new = image(shared), image(shared, fresh)
    await use(store, old)
    await store.remove(NO_REGISTRY)
    source = HeldSource({NO_REGISTRY: new})
    source.break_after[digest(fresh)] = [(100, Unavailable("slow"))]
    pull = asyncio.ensure_future(store.ensure(NO_REGISTRY, "", None, source))
    while (digest(fresh), 0) not in source.fetched:
        await asyncio.sleep(0.001)
    await collect_all(store)
    assert store.has([digest(shared)])
    source.go_on.set()
    assert len(store.lower_dirs((await pull).digest)) == 2


async def test_an_image_is_loaded_and_read_back(store: LocalImageStore) -> None:
    content = image(tar({"a": os.urandom(1_500_000)}))
    (loaded,) = await store.load(pieces(tar(content.layout()), 70_000), "web:1")
    assert (loaded.reference, loaded.digest) == (WEB, content.top)
    assert set(loaded.blobs) == set(content.blobs)
    assert loaded.size_bytes == sum(map(len, content.blobs.values()))
    assert store.pinned() == {WEB: content.top}
    for blob, expected in content.blobs.items():
        assert b"".join([chunk async for chunk in store.read_blob(blob, 0)]) == expected
        assert b"".join([chunk async for chunk in store.read_blob(blob, 100)]) == expected[100:]
    with pytest.raises(NotFound):
        await anext(store.read_blob("sha256:" + "0" * 64, 0))
    assert (await store.ensure(WEB, "", None, None)).digest == content.top


async def test_a_refused_archive_leaves_nothing(store: LocalImageStore) -> None:
    content = image()
    files = content.layout()
    del files[f"blobs/sha256/{digest(tar({'hello': b'world'}))[7:]}"]
    with pytest.raises(InvalidArgument, match="not complete"):
        await store.load(pieces(tar(files)), WEB)
    assert store.pinned() == {}
    assert not store.has([content.top])


async def test_a_load_that_is_given_up_ends_at_once(store: LocalImageStore) -> None:
    started = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        yield tar({"blobs/sha256/" + "a" * 64: bytes(100_000)})[:5000]
        started.set()
        await asyncio.Event().wait()

    load = asyncio.ensure_future(store.load(endless(), WEB))
    await started.wait()
    load.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(load, 60)


async def test_an_error_of_the_sender_comes_out_of_load(store: LocalImageStore) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield tar({"x": bytes(100_000)})[:5000]
        raise Unavailable("the client went away")

    with pytest.raises(Unavailable, match="went away"):
        await store.load(broken(), WEB)


async def test_ingest_copies_every_platform_and_stays(store: LocalImageStore) -> None:
    content = index({"amd64": image(), "arm64": image(tar({"arm": b"1"}), architecture="arm64")})
    source = FakeSource({WEB: content})
    await store.ingest(WEB, content.top, list(content.blobs), source)
    await store.ingest(WEB, content.top, list(content.blobs), source)
    assert store.has(list(content.blobs))
    assert len(source.fetched) == len(content.blobs)
    assert store.pinned() == {WEB: content.top}


async def test_ingest_does_not_tag_what_is_incomplete(store: LocalImageStore) -> None:
    content = image()
    source = FakeSource({WEB: content})
    with pytest.raises(SwarmError, match="not complete"):
        await store.ingest(WEB, content.top, [content.top], source)
    assert store.pinned() == {}


async def test_a_full_disk_is_a_reason_not_a_crash(
    store: LocalImageStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: object, chunks: list[bytes]) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("swarm.runtime.images.blobs._Transfer.append", full)
    with pytest.raises(TaskRejected, match="cluster: No space left on device"):
        await use(store, image())


async def test_limits_hold_for_archives_and_blobs(tmp_path: Path) -> None:
    store = LocalImageStore(tmp_path, limits=Limits(blob_bytes_max=3000, archive_bytes_max=30_000))
    big = image(tar({"a": bytes(5000)}))
    with pytest.raises(TaskRejected, match="the limit is 3000"):
        await use(store, big)
    with pytest.raises(InvalidArgument, match="more than 30000 bytes"):
        await store.load(pieces(tar(image(tar({"a": bytes(50_000)})).layout())), WEB)
    await store.close()


async def test_a_registry_is_asked_always_or_never(store: LocalImageStore) -> None:
    await use(store, image())  # it is here under this name now
    nothing = FakeSource()
    assert await store.ensure(NO_REGISTRY, "", None, nothing)
    with pytest.raises(TaskRejected, match="registry"):
        await store.ensure(NO_REGISTRY, "", None, nothing, pull=Pull.ALWAYS)
    assert await store.ensure(NO_REGISTRY, "", None, nothing, pull=Pull.NEVER)
    with pytest.raises(TaskRejected, match="not asked"):
        await store.ensure("127.0.0.1:1/other:1", "", None, nothing, pull=Pull.NEVER)
