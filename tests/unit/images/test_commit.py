"""Images made of containers: one layer more, and what the container was made with."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from swarm.errors import FailedPrecondition, InvalidArgument, NotFound
from swarm.runtime.images.commit import new_configuration
from swarm.runtime.images.limits import Limits
from swarm.runtime.images.store import LocalImageStore
from tests.unit.images.building import FakeSource, digest, image, pieces, tar

NAME = "127.0.0.1:1/web:1"
CREATED = "2026-01-01T00:00:00Z"


def configure(base: bytes, diff_id: str) -> bytes:
    return new_configuration(base, diff_id, {"Cmd": ["/new"]}, {"created": CREATED, "author": "ann"})


async def _store(folder: Path, **limits: int) -> LocalImageStore:
    store = LocalImageStore(folder, limits=Limits(**limits))
    base = image(tar({"a": b"old", "gone": b"x"}))
    found = await store.ensure(NAME, "", None, FakeSource({NAME: base}))
    store.lease("c1", found.digest)
    return store


async def _made(store: LocalImageStore, layer: bytes) -> tuple[str, bytes]:
    async with store.commit("c1", pieces(layer), configure) as (made, archive):
        return made, b"".join([chunk async for chunk in archive])


async def test_an_image_of_a_container_has_one_layer_more_wherever_it_is_loaded(tmp_path: Path) -> None:
    here, there = await _store(tmp_path / "here"), LocalImageStore(tmp_path / "there")
    layer = tar({"a": b"new", ".wh.gone": b""})
    made, archive = await _made(here, layer)
    assert here.has([made, digest(layer)])
    (loaded,) = await there.load(pieces(archive), "mended:1")
    assert loaded.digest == made
    found = await there.ensure("mended:1", "", None, None)
    assert found.command == ("/new",)
    top, bottom = there.lower_dirs(made)
    assert (top / "a").read_bytes() == b"new"
    assert (bottom / "a").read_bytes() == b"old"
    assert not (top / "gone").is_file()
    steps, configuration = there.history(made)
    assert steps[-1].created == CREATED
    assert json.loads(configuration)["author"] == "ann"
    (nameless,) = await there.load(pieces(archive), f"docker.io/library/web@{made}")
    assert nameless.digest == made
    await here.close()
    await there.close()


async def test_the_same_container_makes_the_same_image_and_what_broke_leaves_nothing(tmp_path: Path) -> None:
    store = await _store(tmp_path)
    layer = tar({"a": b"new"})
    assert await _made(store, layer) == await _made(store, layer)

    async def broken() -> AsyncIterator[bytes]:
        yield layer[:100]
        raise FailedPrecondition("the container is gone")

    before = sorted(store._blobs.digests())
    with pytest.raises(FailedPrecondition, match="is gone"):
        async with store.commit("c1", broken(), configure):
            pytest.fail("there is no image")

    def bad(base: bytes, diff_id: str) -> bytes:
        return new_configuration(base, diff_id, {"WorkingDir": "/a/../b"}, {"created": ""})

    with pytest.raises(InvalidArgument, match="WorkingDir"):
        async with store.commit("c1", pieces(tar({"b": b"2"})), bad):
            pytest.fail("there is no image")
    assert sorted(store._blobs.digests()) == before
    with pytest.raises(NotFound, match="c2"):
        async with store.commit("c2", pieces(layer), configure):
            pytest.fail("there is no image")
    await store.close()


@pytest.mark.parametrize(
    ("limits", "reason"), [({"archive_bytes_max": 5000}, "5000 bytes"), ({"layers_max": 1}, "1 layers")]
)
async def test_an_image_that_no_node_could_take_is_not_made(
    tmp_path: Path, limits: dict[str, int], reason: str
) -> None:
    store = await _store(tmp_path, **limits)
    with pytest.raises(FailedPrecondition, match=reason):
        await _made(store, tar({"big": b"x" * 9000}))
    await store.close()


async def test_what_the_image_of_a_container_takes_is_known(tmp_path: Path) -> None:
    store = await _store(tmp_path)
    assert store.image_bytes("c1") > 0
    assert store.image_bytes("c2") == 0
    await store.close()


def test_layers_that_docker_calls_otherwise_are_called_as_oci_does() -> None:
    from swarm.runtime.images import commit

    docker, oci = "application/vnd.docker.image.rootfs.diff.tar", "application/vnd.oci.image.layer.v1.tar"
    assert [commit._oci(docker + end) for end in ("", ".gzip", ".zstd")] == [
        oci,
        oci + "+gzip",
        oci + "+zstd",
    ]
    assert commit._oci(oci + "+gzip") == oci + "+gzip"
