"""Volumes of a project as mounts of its services."""

import pytest

from swarm.api.v1.types_pb2 import Mount
from swarm.errors import InvalidArgument
from swarm.model.stacks import NAMESPACE_LABEL
from swarm.model.validate import validate_service
from tests.unit.compose.files import stack


def mounts(entries: str, volumes: str = "") -> list[Mount]:
    text = f"services:\n  web:\n    image: w\n    volumes: {entries}\n"
    (service,) = stack(text + (f"volumes: {volumes}\n" if volumes else "")).services
    validate_service(service)
    return list(service.task.container.mounts)


def test_a_volume_belongs_to_its_stack() -> None:
    (found,) = mounts("['data:/var/lib/x:ro,nocopy']", "{data: }")
    assert (found.type, found.source, found.target) == (Mount.TYPE_VOLUME, "shop_data", "/var/lib/x")
    assert (found.read_only, found.volume.no_copy) == (True, True)
    assert dict(found.volume.labels) == {NAMESPACE_LABEL: "shop"}


def test_a_volume_is_made_as_the_project_says() -> None:
    options = "{type: nfs, device: ':/x', o: 'addr=192.0.2.1'}"
    volumes = f"{{data: {{driver: local, labels: {{a: b}}, driver_opts: {options}}}}}"
    (found,) = mounts(
        "[{type: volume, source: data, target: /d, volume: {nocopy: true, labels: [c=d]}}]", volumes
    )
    assert found.volume == Mount.VolumeOptions(
        no_copy=True,
        driver="local",
        labels={"a": "b", "c": "d", NAMESPACE_LABEL: "shop"},
        driver_options={"type": "nfs", "device": ":/x", "o": "addr=192.0.2.1"},
    )


def test_a_volume_may_have_a_name_of_its_own_or_of_somebody_else() -> None:
    volumes = (
        "{one: {name: 'data-{{.Task.Slot}}'}, two: {external: true}, three: {external: true, name: theirs}}"
    )
    found = mounts("['one:/1', 'two:/2', 'three:/3']", volumes)
    assert [mount.source for mount in found] == ["data-{{.Task.Slot}}", "two", "theirs"]
    assert [mount.HasField("volume") for mount in found] == [True, False, False]


def test_a_volume_without_a_name_is_each_tasks_own() -> None:
    (found,) = mounts("['/data']")
    assert found == Mount(type=Mount.TYPE_VOLUME, target="/data")


def test_parts_of_volumes_and_images_are_taken_over() -> None:
    part, image = mounts(
        "[{type: volume, source: data, target: /d, volume: {subpath: a/b}},"
        " {type: image, source: web:1, target: /e, image: {subpath: srv}}]",
        "{data: }",
    )
    assert part.volume.subpath == "a/b"
    assert image == Mount(
        type=Mount.TYPE_IMAGE, source="web:1", target="/e", image=Mount.ImageOptions(subpath="srv")
    )


@pytest.mark.parametrize(
    ("entries", "volumes", "problem"),
    [
        ("['data:/d']", "", "data"),
        ("['data:/d']", "{data: {driver: a/b}}", "no name of a volume driver"),
        ("['data:/d']", "{data: {driver_opts: {size: 1g}}}", 'no option "size"'),
        ("['data:/d']", "{data: {name: a/b}}", "is no name for a volume"),
        ("[{type: npipe, source: web, target: /d}]", "", "no mounts of type npipe"),
    ],
)
def test_what_cannot_be_is_refused_with_its_place(entries: str, volumes: str, problem: str) -> None:
    with pytest.raises(InvalidArgument, match=r"c0\.yaml:\d+:\d+: ") as caught:
        mounts(entries, volumes)
    assert problem in str(caught.value)
