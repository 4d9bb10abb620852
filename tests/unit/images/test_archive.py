"""Archives, friendly and hostile, through the same way that `image load` takes."""

import gzip
import io
import random
import tarfile
from pathlib import Path

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from examples.hello import build
from swarm.errors import InvalidArgument, SwarmError
from swarm.runtime.images.archive_images import Findings, complete_blobs
from swarm.runtime.images.limits import Limits
from swarm.runtime.images.load import read_archive
from swarm.runtime.images.manifest import parse_manifest
from tests.unit.images.building import Content, as_json, digest, image, index, pieces, tar

WEB = "docker.io/library/web:1"


async def read(
    folder: Path, archive: bytes, reference: str = "", limits: Limits | None = None, piece: int = 1000
) -> Findings:
    return await read_archive(pieces(archive, piece), reference, folder, limits or Limits())


def docker_save(content: Content, tags: list[str] | None, **changes: object) -> dict[str, bytes]:
    """The old form of `docker save`: layers in folders of their own."""
    manifest = parse_manifest(content.manifest, 100)
    layers = [layer.digest for layer in manifest.layers]
    files = {f"{name[7:20]}/layer.tar": content.blobs[name] for name in layers}
    files["config.json"] = content.blobs[manifest.config.digest]
    entry = {"Config": "config.json", "RepoTags": tags, "Layers": list(files)[: len(layers)]} | changes
    return {**files, "manifest.json": as_json([entry])}


@pytest.mark.parametrize(
    "pack", [lambda raw: raw, gzip.compress, zstandard.compress], ids=["plain", "gzip", "zstd"]
)
async def test_an_oci_layout_is_read_whatever_its_compression(tmp_path: Path, pack) -> None:
    content = image()
    findings = await read(tmp_path, pack(tar(content.layout())), "web:1")
    (found,) = findings.images
    assert (found.reference, found.digest, set(found.blobs)) == (WEB, content.top, set(content.blobs))
    assert found.size_bytes == sum(map(len, content.blobs.values()))


@pytest.mark.parametrize(
    ("annotations", "reference", "expected"),
    [
        ({"io.containerd.image.name": "docker.io/library/a:2"}, "b:3", "docker.io/library/a:2"),
        ({"org.opencontainers.image.ref.name": "registry:5000/a:2"}, "b:3", "registry:5000/a:2"),
        ({"org.opencontainers.image.ref.name": "a:2"}, "", "docker.io/library/a:2"),
        ({"org.opencontainers.image.ref.name": "latest"}, "b", "docker.io/library/b:latest"),
        ({}, "b:3", "docker.io/library/b:3"),
    ],
)
async def test_the_name_comes_from_the_archive_else_from_the_user(
    tmp_path: Path, annotations: dict[str, str], reference: str, expected: str
) -> None:
    findings = await read(tmp_path, tar(image().layout(annotations)), reference)
    assert [found.reference for found in findings.images] == [expected]


@pytest.mark.parametrize("annotations", [{}, {"org.opencontainers.image.ref.name": "latest"}])
async def test_an_image_without_a_name_needs_one(tmp_path: Path, annotations: dict[str, str]) -> None:
    with pytest.raises(InvalidArgument, match="say how to call it"):
        await read(tmp_path, tar(image().layout(annotations)))


async def test_an_image_is_called_by_its_digest_alone_when_somebody_asks_for_that(tmp_path: Path) -> None:
    content = image()
    name = f"docker.io/library/a@{content.top}"
    (found,) = (await read(tmp_path, tar(content.layout()), name)).images
    assert (found.reference, found.digest) == (name, content.top)
    other = {"io.containerd.image.name": f"docker.io/library/b@{content.top}"}
    (tmp_path / "other").mkdir()
    with pytest.raises(InvalidArgument, match="contains a digest"):
        await read(tmp_path / "other", tar(content.layout(other)), name)


@pytest.mark.parametrize("reference", ["UPPER", "a@sha256:" + "0" * 64])
async def test_a_name_must_be_a_name(tmp_path: Path, reference: str) -> None:
    with pytest.raises(InvalidArgument):
        await read(tmp_path, tar(image().layout()), reference)


@pytest.mark.parametrize("prefix", ["./", "layout/", "./layout/"])
async def test_a_layout_may_lie_in_a_folder(tmp_path: Path, prefix: str) -> None:
    files = {prefix + name: content for name, content in image().layout().items()}
    assert len((await read(tmp_path, tar(files), "web")).images) == 1


async def test_docker_save_of_old_is_converted(tmp_path: Path) -> None:
    content = image(tar({"a": b"1"}), tar({"b": b"2"}))
    findings = await read(tmp_path, tar(docker_save(content, ["web:1", "registry:5000/web:2"])))
    assert [found.reference for found in findings.images] == [WEB, "registry:5000/web:2"]
    first, second = findings.images
    assert first.digest == second.digest
    converted = parse_manifest(findings.made[first.digest], 100)
    assert [layer.digest for layer in converted.layers] == [
        digest(tar({"a": b"1"})),
        digest(tar({"b": b"2"})),
    ]


async def test_shared_layers_of_docker_save_are_links(tmp_path: Path) -> None:
    content = image(tar({"a": b"1"}))
    files = docker_save(content, None, Layers=["linked/layer.tar"])
    (real,) = [name for name in files if name.endswith("layer.tar")]
    findings = await read(tmp_path, tar(files, {"linked/layer.tar": f"../{real}"}), "web:1")
    assert digest(tar({"a": b"1"})) in findings.images[0].blobs


async def test_docker_save_of_today_is_an_oci_layout_too(tmp_path: Path) -> None:
    content = image()
    files = content.layout({"io.containerd.image.name": WEB})
    files["manifest.json"] = as_json([{"Config": "blobs/sha256/x", "RepoTags": ["other:1"], "Layers": []}])
    assert (await read(tmp_path, tar(files))).images[0].digest == content.top


async def test_our_own_example_is_read(tmp_path: Path) -> None:
    first = build.build(build.hello("Hi"))
    second = build.build(build.shell("docker.io/library/crash:1", "exit 3"))
    findings = await read(tmp_path, build.archive(first, second))
    assert [found.digest for found in findings.images] == [first.manifest_digest, second.manifest_digest]
    assert build.archive(first, second) == build.archive(first, second)


async def test_platforms_whose_content_is_missing_are_left_out(tmp_path: Path) -> None:
    there, absent = image(), image(tar({"absent": b"1"}), architecture="arm64")
    content = index({"amd64": there, "arm64": absent})
    for blob in absent.blobs:
        del content.blobs[blob]
    (found,) = (await read(tmp_path, tar(content.layout()), "web:1")).images
    assert set(found.blobs) == {content.top, *there.blobs}


async def test_several_platforms_of_one_name_get_an_index(tmp_path: Path) -> None:
    first, second = image(), image(tar({"arm": b"1"}), architecture="arm64")
    files = first.layout() | second.layout()
    files["index.json"] = as_json(
        {
            "manifests": [
                {
                    "mediaType": "m",
                    "digest": content.top,
                    "size": len(content.manifest),
                    "platform": {"os": "linux", "architecture": name},
                }
                for name, content in (("amd64", first), ("arm64", second))
            ]
        }
    )
    findings = await read(tmp_path, tar(files), "web:1")
    (found,) = findings.images
    assert set(found.blobs) == {found.digest, *first.blobs, *second.blobs}


@pytest.mark.parametrize(
    ("archive", "what"),
    [
        (b"", "nothing at all"),
        (b"PK\x03\x04" + bytes(600), "a zip file"),
        (b"\xfd7zXZ\x00" + bytes(600), "xz-compressed data"),
        (b'{"a": 1}' * 100, "JSON"),
        (b"FROM debian\n" * 100, "a Dockerfile"),
        (random.Random(1).randbytes(2000), "data"),
        (gzip.compress(b"no tar" * 500), "data"),
        (tar({"etc/passwd": b"1"}), r"a tar with 1 entries \(etc/passwd …\)"),
        (gzip.compress(tar({"bin/sh": b"1"})), r"a gzip-compressed tar with 1 entries"),
        (tar({"blobs/sha256/" + "a" * 64: b"1" * 2000})[:1500], "ends within a file"),
        (gzip.compress(tar({"x": b"1" * 5000}))[:-30], "damaged gzip"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_anything_else_is_refused_with_what_was_found(
    tmp_path: Path, archive: bytes, what: str
) -> None:
    with pytest.raises(InvalidArgument, match=what):
        await read(tmp_path, archive, "web:1")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"index.json": b"[]"}, "not a JSON object"),
        ({"index.json": b"{}"}, "lists no manifests"),
        ({"index.json": b'{"manifests":[]}'}, "contains no image"),
        (
            {"index.json": b'{"manifests":[{"digest":"sha256:../../../../etc/passwd","size":1}]}'},
            "sha256 digest",
        ),
        ({"index.json": b'{"manifests":[{"digest":"sha256:%s","size":1}]}' % (b"0" * 64)}, "is missing"),
        ({"blobs/sha256/" + "1" * 64: b"forged"}, "damaged or forged"),
    ],
)
async def test_a_bad_layout_is_refused(tmp_path: Path, change: dict[str, bytes], reason: str) -> None:
    with pytest.raises(InvalidArgument, match=reason):
        await read(tmp_path, tar(image().layout() | change), "web:1")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"Config": "../../../etc/passwd"}, "does not contain it"),
        ({"Config": None}, "does not contain it"),
        ({"Layers": ["gone/layer.tar"]}, "does not contain it"),
        ({"Layers": []}, "has 0 layers where the configuration names 1"),
        ({"Layers": 5}, "malformed"),
        ({"RepoTags": ["UPPER:1"]}, "invalid image reference"),
        ({"RepoTags": [7]}, "malformed"),
    ],
)
async def test_a_bad_docker_archive_is_refused(
    tmp_path: Path, change: dict[str, object], reason: str
) -> None:
    with pytest.raises(InvalidArgument, match=reason):
        await read(tmp_path, tar(docker_save(image(), ["web:1"], **change)))


async def test_links_cannot_bring_files_of_this_machine_into_an_image(tmp_path: Path) -> None:
    files = docker_save(image(), ["web:1"], Layers=["x/layer.tar"])
    for number, target in enumerate(
        ("/etc/passwd", "../../../../../etc/passwd", "layer.tar", "x/layer.tar")
    ):
        folder = tmp_path / str(number)
        folder.mkdir()
        with pytest.raises(InvalidArgument, match="does not contain it"):
            await read(folder, tar(files, {"x/layer.tar": target}))


@pytest.mark.parametrize(
    ("limits", "files", "reason"),
    [
        (Limits(entries_max=5), {f"f{n}": b"" for n in range(9)}, "more than 5 entries"),
        (Limits(document_bytes_max=100), {"index.json": b" " * 101}, "larger than 100 bytes"),
        (Limits(archive_bytes_max=20_000), {"x": bytes(50_000)}, "more than 20000 bytes"),
        (Limits(expansion_max=10, expansion_free_bytes=9_999), {"x": bytes(500_000)}, "bytes when unpacked"),
    ],
)
async def test_archives_have_limits(
    tmp_path: Path, limits: Limits, files: dict[str, bytes], reason: str
) -> None:
    with pytest.raises(InvalidArgument, match=reason):
        await read(tmp_path, gzip.compress(tar(files)), "web:1", limits)


def test_an_image_lists_its_own_digest_first_and_every_blob_once() -> None:
    twice = tar({"a": b"1"})
    content = image(twice, twice)
    blobs = complete_blobs(content.top, content.blobs.get, content.blobs.__contains__, Limits())
    assert blobs[0] == content.top
    assert sorted(blobs) == sorted(content.blobs)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(damage=st.lists(st.tuples(st.integers(0, 12_000), st.integers(0, 255)), min_size=1, max_size=20))
async def test_a_damaged_archive_is_read_or_refused_but_never_believed(
    tmp_path_factory: pytest.TempPathFactory, damage: list[tuple[int, int]]
) -> None:
    archive = bytearray(tar(image().layout()))
    for place, value in damage:
        archive[place % len(archive)] = value
    folder = tmp_path_factory.mktemp("archive")
    try:
        findings = await read(folder, bytes(archive), "web:1")
    except SwarmError:
        return
    for found in findings.images:
        for blob in found.blobs:
            content = findings.made.get(blob) or findings.files[blob].path.read_bytes()
            assert digest(content) == blob


async def test_hard_links_in_an_archive_are_followed(tmp_path: Path) -> None:
    files = docker_save(image(), ["web:1"], Layers=["linked/layer.tar"])
    (real,) = [name for name in files if name.endswith("layer.tar")]
    buffer = io.BytesIO(tar(files))
    with tarfile.open(fileobj=buffer, mode="a") as archive:
        link = tarfile.TarInfo("linked/layer.tar")
        link.type, link.linkname = tarfile.LNKTYPE, real
        archive.addfile(link)
    assert len((await read(tmp_path, buffer.getvalue())).images) == 1
