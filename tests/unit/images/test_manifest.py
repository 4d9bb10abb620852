import pytest

from swarm.api.v1.types_pb2 import HealthConfig
from swarm.errors import InvalidArgument, SwarmError
from swarm.runtime.images.garbage import expired_references, reachable
from swarm.runtime.images.manifest import (
    Index,
    Manifest,
    choose_manifest,
    parse_configuration,
    parse_manifest,
    render_index,
    render_manifest,
)
from swarm.runtime.images.platforms import ImagePlatform, choose_platform, platform_of
from swarm.runtime.images.records import Reference
from tests.unit.images.building import as_json, digest, image, index, tar

AMD64, ARM64 = ImagePlatform("linux", "amd64"), ImagePlatform("linux", "arm64", "v8")
ARM_V6, ARM_V7 = ImagePlatform("linux", "arm", "v6"), ImagePlatform("linux", "arm", "v7")


@pytest.mark.parametrize(
    ("machine", "expected"),
    [
        ("x86_64", AMD64),
        ("aarch64", ARM64),
        ("armv7l", ARM_V7),
        ("riscv64", ImagePlatform("linux", "riscv64")),
    ],
)
def test_kernels_and_images_name_platforms_differently(machine: str, expected: ImagePlatform) -> None:
    assert platform_of(machine) == expected


@pytest.mark.parametrize(
    ("wanted", "offered", "position"),
    [
        (AMD64, [ARM64, AMD64], 1),
        (AMD64, [ImagePlatform("linux", "x86_64")], 0),
        (AMD64, [ImagePlatform("windows", "amd64"), ImagePlatform("unknown", "unknown")], None),
        (ARM64, [ImagePlatform("linux", "arm64")], 0),
        (ARM_V7, [ARM_V6, ARM_V7, ImagePlatform("linux", "arm", "v8")], 1),
        (ARM_V6, [ARM_V7], None),
        (ARM_V7, [ARM_V6], 0),
        (AMD64, [], None),
    ],
)
def test_the_best_platform_that_runs_here_is_chosen(
    wanted: ImagePlatform, offered: list[ImagePlatform], position: int | None
) -> None:
    assert choose_platform(wanted, offered) == position


def test_attestations_beside_the_image_are_not_taken_for_it() -> None:
    content = index({"unknown": image(tar({"x": b"1"})), "amd64": image()})
    parsed = parse_manifest(content.manifest, 100)
    assert isinstance(parsed, Index)
    assert choose_manifest(parsed, AMD64).digest == image().top
    with pytest.raises(InvalidArgument, match="no image for linux/arm64/v8, only for linux/amd64"):
        choose_manifest(parsed, ARM64)


def test_what_is_rendered_is_parsed_back() -> None:
    manifest = parse_manifest(image().manifest, 100)
    assert isinstance(manifest, Manifest)
    rendered = render_manifest(manifest.config, manifest.layers)
    again = parse_manifest(rendered, 100)
    assert isinstance(again, Manifest)
    assert [layer.digest for layer in again.layers] == [layer.digest for layer in manifest.layers]
    parsed = parse_manifest(index({"amd64": image()}).manifest, 100)
    assert isinstance(parsed, Index)
    round_trip = parse_manifest(render_index(parsed.manifests), 100)
    assert isinstance(round_trip, Index)
    assert round_trip.manifests[0].platform == AMD64


@pytest.mark.parametrize(
    "configuration",
    [
        b"",
        b"7",
        b"{}",
        b'{"rootfs":{"diff_ids":"x"}}',
        b'{"rootfs":{"diff_ids":["md5:1"]}}',
        b'{"rootfs":{"diff_ids":[]},"config":[1]}',
        b'{"rootfs":{"diff_ids":[]},"config":{"Env":["A=1",7]}}',
        b'{"rootfs":{"diff_ids":[]},"config":{"Cmd":"sh"}}',
        b'{"rootfs":{"diff_ids":[]},"config":{"User":7}}',
        b'{"rootfs":{"diff_ids":[]},"config":{"Healthcheck":["CMD"]}}',
        b'{"rootfs":{"diff_ids":[]},"config":{"Healthcheck":{"Test":"x"}}}',
        b'{"rootfs":{"diff_ids":[]},"config":{"Healthcheck":{"Interval":"30s"}}}',
        b'{"rootfs":{"diff_ids":[]},"config":{"Healthcheck":{"Timeout":-1}}}',
        b'{"rootfs":{"diff_ids":[]},"config":{"Healthcheck":{"Retries":99999999999}}}',
    ],
)
def test_a_malformed_configuration_is_refused(configuration: bytes) -> None:
    with pytest.raises(InvalidArgument):
        parse_configuration(configuration, "")


def test_the_health_check_of_an_image_is_read() -> None:
    content = b"""{"rootfs":{"diff_ids":[]},"config":{"Healthcheck":{"Test":["CMD-SHELL","curl -f x"],
        "Interval":1000000000,"Timeout":2,"StartPeriod":3,"StartInterval":4,"Retries":5}}}"""
    assert parse_configuration(content, "d").image.healthcheck == HealthConfig(
        test=["CMD-SHELL", "curl -f x"],
        interval_ns=1_000_000_000,
        timeout_ns=2,
        start_period_ns=3,
        start_interval_ns=4,
        retries=5,
    )
    none = b'{"rootfs":{"diff_ids":[]},"config":{"Healthcheck":null}}'
    assert parse_configuration(none, "d").image.healthcheck == HealthConfig()


def test_nulls_in_a_configuration_mean_nothing_is_said() -> None:
    parsed = parse_configuration(b'{"rootfs":{"diff_ids":[]},"config":{"Cmd":null,"Env":null}}', "d")
    assert (parsed.image.command, parsed.image.env) == ((), ())
    assert parse_configuration(b'{"rootfs":{"diff_ids":[]},"config":null}', "d").image.user == ""


def test_more_layers_than_can_be_mounted_are_refused() -> None:
    layers = [tar({str(number): b"1"}) for number in range(5)]
    assert isinstance(parse_manifest(image(*layers).manifest, 5), Manifest)
    with pytest.raises(InvalidArgument, match="5 layers; at most 4"):
        parse_manifest(image(*layers).manifest, 4)


def test_everything_below_a_root_is_reachable() -> None:
    content = index({"amd64": image(), "arm64": image(tar({"arm": b"1"}))})
    found = reachable([content.top], content.blobs.get, 100)
    layer = digest(tar({"hello": b"world"}))
    assert set(content.blobs) <= found
    assert layer in found


def test_a_root_that_cannot_be_read_keeps_itself_and_no_more() -> None:
    content = image()
    assert reachable([content.top], {}.get, 100) == {content.top}
    assert reachable([content.top], {content.top: b"damaged"}.get, 100) == {content.top}
    manifest_only = {content.top: content.manifest}
    assert set(content.blobs) <= reachable([content.top], manifest_only.get, 100)


def test_an_index_that_contains_itself_ends() -> None:
    # It cannot exist, since a digest would have to contain itself; a damaged disk could still say so.
    loop = "sha256:" + "a" * 64
    document = as_json({"schemaVersion": 2, "manifests": [{"digest": loop, "size": 1}]})
    assert reachable([loop], {loop: document}.get, 100) == {loop}


def test_only_unpinned_references_expire() -> None:
    references = {
        "loaded": Reference("d", pinned=True, used_at_ns=0),
        "old": Reference("d", pinned=False, used_at_ns=0),
        "fresh": Reference("d", pinned=False, used_at_ns=90),
    }
    assert expired_references(references, 100, 50) == ["old"]


def test_hostile_nesting_is_an_error_not_a_crash() -> None:
    with pytest.raises(SwarmError):
        parse_manifest(b'{"a":' * 100_000, 10)


def test_labels_of_an_image_are_read() -> None:
    content = b'{"rootfs":{"diff_ids":[]},"config":{"Labels":{"vendor":"them"}}}'
    assert parse_configuration(content, "d").image.labels == {"vendor": "them"}
    assert parse_configuration(content.replace(b'{"vendor":"them"}', b"null"), "d").image.labels == {}
