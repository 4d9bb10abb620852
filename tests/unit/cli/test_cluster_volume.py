"""What people say of a cluster volume, as the cluster reads it."""

from typing import Any

import click
import pytest
from click.testing import CliRunner

from swarm.api.v1.specs_pb2 import VolumeSpec
from swarm.api.v1.types_pb2 import Mount
from swarm.cli import parse
from swarm.cli.cluster_volume import cluster_options, is_of_cluster, wanted_spec
from swarm.errors import InvalidArgument


def given(*words: str) -> dict[str, Any]:
    found: dict[str, Any] = {}

    @click.command()
    @cluster_options
    def command(**options: Any) -> None:
        found.update(options)

    done = CliRunner().invoke(command, words)
    assert done.exit_code == 0, done.output
    return {"driver": "csi.test", "options": ("tier=fast",), "labels": ("a=b",), **found}


def test_a_plain_volume_is_none_of_the_cluster() -> None:
    assert not is_of_cluster(given())
    assert is_of_cluster(given("--cluster"))
    assert is_of_cluster(given("--sharing", "none"))


def test_every_option_comes_through() -> None:
    spec = wanted_spec("db", given(
        "--scope", "multi", "--sharing", "onewriter", "--availability", "pause", "--group", "g",
        "--required-bytes", "1g", "--limit-bytes", "2g", "--secret", "chap:word",
        "--topology-required", "zone=a,rack=1", "--topology-preferred", "zone=b",
    ))  # fmt: skip
    wanted = VolumeSpec(
        driver="csi.test",
        options={"tier": "fast"},
        group="g",
        scope=VolumeSpec.SCOPE_MULTI,
        sharing=VolumeSpec.SHARING_ONE_WRITER,
        availability=VolumeSpec.AVAILABILITY_PAUSE,
        required_bytes=1 << 30,
        limit_bytes=2 << 30,
        secrets=[VolumeSpec.Secret(key="chap", secret_name="word")],
        topology_required=[VolumeSpec.Topology(segments={"zone": "a", "rack": "1"})],
        topology_preferred=[VolumeSpec.Topology(segments={"zone": "b"})],
    )
    wanted.annotations.name = "db"
    wanted.annotations.labels["a"] = "b"
    assert spec == wanted


def test_a_secret_needs_a_key() -> None:
    with pytest.raises(InvalidArgument):
        wanted_spec("db", given("--secret", "word"))


def test_a_volume_is_a_device_when_asked_for() -> None:
    assert [wanted_spec("db", given("--type", kind)).block for kind in ("block", "mount")] == [True, False]


def test_mounts_of_images_and_of_the_cluster() -> None:
    image = parse.mount("type=image,source=models:1,target=/m,image-subpath=small")
    assert image == Mount(
        type=Mount.TYPE_IMAGE, source="models:1", target="/m", image=Mount.ImageOptions(subpath="small")
    )
    cluster = parse.mount("type=cluster,src=group:fast,dst=/d,ro")
    assert cluster == Mount(type=Mount.TYPE_CLUSTER, source="group:fast", target="/d", read_only=True)
    assert parse.mount("src=data,dst=/d,volume-subpath=a/b").volume.subpath == "a/b"
