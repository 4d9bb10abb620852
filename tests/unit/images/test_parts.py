"""What goes to a registry or into an archive, when everything is here and when something is not."""

import json

import pytest

from swarm.errors import InvalidArgument
from swarm.runtime.images.fetch import Wanted, check_platform, choose_entries
from swarm.runtime.images.history import Step, history
from swarm.runtime.images.limits import Limits
from swarm.runtime.images.manifest import OCI_INDEX, OCI_MANIFEST, Index, Manifest, parse_manifest
from swarm.runtime.images.parts import Parts, parts_of, platforms_of
from swarm.runtime.images.platforms import ImagePlatform, parse_platform
from tests.unit.images.building import Content, digest, image, index, tar

AMD, ARM = image(tar({"a": b"1"})), image(tar({"a": b"2"}), architecture="arm64")
BOTH = index({"amd64": AMD, "arm64": ARM})
THREE = index({"amd64": AMD, "arm64": ARM, "riscv64": image(tar({"a": b"3"}), architecture="riscv64")})
PLATFORM = {name: ImagePlatform("linux", name) for name in ("amd64", "arm64", "s390x")}


def parts(top: Content, *here: Content) -> Parts:
    blobs = {top.top: top.manifest} | {key: blob for one in here for key, blob in one.blobs.items()}
    return parts_of(top.top, blobs.get, blobs.__contains__, Limits())


def test_a_plain_image_is_its_layers_its_configuration_and_its_manifest() -> None:
    found = parts(AMD, AMD)
    assert {blob.digest for blob in found.blobs} | {AMD.top} == set(AMD.blobs)
    assert [(one.digest, one.media_type, one.content) for one in found.documents] == [
        (AMD.top, OCI_MANIFEST, AMD.manifest)
    ]
    assert not found.left_out


def test_a_whole_index_goes_as_it_is_after_its_manifests() -> None:
    found = parts(BOTH, AMD, ARM)
    assert [one.digest for one in found.documents] == [AMD.top, ARM.top, BOTH.top]
    assert len(found.manifests) == 2
    assert not found.left_out


def test_of_an_index_with_one_platform_here_only_that_goes() -> None:
    found = parts(BOTH, ARM)
    assert [one.digest for one in found.documents] == [ARM.top]
    assert found.left_out == ["linux/amd64"]


def test_an_index_with_several_of_its_platforms_here_becomes_an_index_of_these() -> None:
    found = parts(THREE, AMD, ARM)
    assert found.left_out == ["linux/riscv64"]
    top = found.documents[-1]
    assert (top.media_type, top.digest) == (OCI_INDEX, digest(top.content))
    rendered = parse_manifest(top.content, 10)
    assert isinstance(rendered, Index)
    assert [entry.digest for entry in rendered.manifests] == [AMD.top, ARM.top]


def test_each_platform_of_an_image_is_told_whether_it_is_here_or_not() -> None:
    part = {ARM.top: ARM.manifest, next(reversed(AMD.blobs)): b""}
    blobs = part | {BOTH.top: BOTH.manifest} | AMD.blobs
    found = platforms_of(BOTH.top, blobs.get, blobs.__contains__, Limits())
    assert [(one.platform, one.digest, one.held) for one in found] == [
        ("linux/amd64", AMD.top, True),
        ("linux/arm64", ARM.top, False),
    ]
    assert found[0].size_bytes == sum(len(blob) for blob in AMD.blobs.values())
    assert found[1].size_bytes == len(ARM.manifest)
    nowhere = platforms_of(BOTH.top, {BOTH.top: BOTH.manifest}.get, lambda _: False, Limits())
    assert [(one.size_bytes, one.held) for one in nowhere] == [(0, False), (0, False)]


def test_an_image_without_an_index_is_for_the_platform_that_it_names() -> None:
    (found,) = platforms_of(ARM.top, ARM.blobs.get, ARM.blobs.__contains__, Limits())
    assert (found.platform, found.digest, found.held) == ("linux/arm64", ARM.top, True)


def test_what_is_not_whole_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="not complete here"):
        parts(BOTH)
    blobs = {AMD.top: AMD.manifest}
    with pytest.raises(InvalidArgument, match="not complete here"):
        parts_of(AMD.top, blobs.get, blobs.__contains__, Limits())


def entries(wanted: Wanted) -> list[str]:
    found = parse_manifest(BOTH.manifest, 10)
    assert isinstance(found, Index)
    return [entry.digest for entry in choose_entries(found, wanted)]


def test_platforms_of_the_nodes_are_fetched_as_far_as_there_are_any() -> None:
    assert entries(Wanted([PLATFORM["amd64"], PLATFORM["s390x"]])) == [AMD.top]
    assert entries(Wanted([PLATFORM["amd64"], PLATFORM["amd64"], PLATFORM["arm64"]])) == [AMD.top, ARM.top]
    assert entries(Wanted(everything=True)) == [AMD.top, ARM.top]
    with pytest.raises(InvalidArgument, match="no image for linux/s390x, only for linux/amd64, linux/arm64"):
        entries(Wanted([PLATFORM["s390x"]]))


def test_a_platform_that_was_asked_for_must_be_there() -> None:
    with pytest.raises(InvalidArgument, match="linux/s390x"):
        entries(Wanted([PLATFORM["amd64"], PLATFORM["s390x"]], strictly=True))
    with pytest.raises(InvalidArgument, match="only for linux/amd64"):
        check_platform(PLATFORM["amd64"], Wanted([PLATFORM["arm64"]], strictly=True))
    check_platform(PLATFORM["amd64"], Wanted([PLATFORM["arm64"]]))


def test_platforms_are_read_as_people_write_them() -> None:
    assert str(parse_platform("linux/amd64")) == "linux/amd64"
    assert str(parse_platform("Linux/aarch64")) == "linux/arm64/v8"
    assert str(parse_platform("linux/arm/v6")) == "linux/arm/v6"
    for text in ("", "amd64", "windows/amd64", "linux/", "linux/arm/v7/x"):
        with pytest.raises(InvalidArgument, match="not a platform"):
            parse_platform(text)


def manifest_of(content: Content) -> Manifest:
    found = parse_manifest(content.manifest, 10)
    assert isinstance(found, Manifest)
    return found


def test_a_history_gives_each_step_the_layer_that_it_made() -> None:
    manifest = manifest_of(image(tar({"a": b"1"}), tar({"b": b"2"})))
    first, second = manifest.layers
    told = [
        {"created": "2026-01-01T00:00:00Z", "created_by": "ADD a"},
        {"created_by": "ENV x", "empty_layer": True, "comment": "c"},
    ]
    assert history(manifest, json.dumps({"history": told}).encode()) == [
        Step("2026-01-01T00:00:00Z", "ADD a", "", first.digest, first.size_bytes),
        Step("", "ENV x", "c"),
        Step("", "", "", second.digest, second.size_bytes),
    ]
    assert len(history(manifest, b"{}")) == 2
    for bad in (b'{"history": 1}', b'{"history": [1]}', b"["):
        with pytest.raises(InvalidArgument):
            history(manifest, bad)
