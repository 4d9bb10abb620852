"""Mounts of volumes: what is accepted before a task exists, and what makes a service sticky."""

import re

import pytest

from swarm.api.v1.specs_pb2 import ContainerSpec
from swarm.api.v1.types_pb2 import Mount
from swarm.model import limits
from swarm.model.validate_container import container_problems
from swarm.model.volumes import is_sticky, name_problems, size_problems


def problems(mount: Mount) -> str:
    return "; ".join(container_problems(ContainerSpec(image="web:1", mounts=[mount])))


def volume(source: str = "data", **options: object) -> Mount:
    return Mount(
        type=Mount.TYPE_VOLUME, source=source, target="/data", volume=Mount.VolumeOptions(**options)
    )


def test_names_templates_and_volumes_without_a_name_are_accepted() -> None:
    for source in ("data", "", "data-{{.Task.Slot}}", "{{.Node.Hostname}}", "a.b_c-d"):
        assert problems(volume(source)) == ""
    nfs = {"type": "nfs", "device": ":/x", "o": "addr=192.0.2.1"}
    assert problems(volume(labels={"a": "b"}, driver="local", driver_options=nfs)) == ""


@pytest.mark.parametrize(
    ("mount", "reason"),
    [
        (volume("/srv/data"), "is no name for a volume.*type=bind"),
        (volume("x"), "two or more"),
        (volume("a b"), "is no name"),
        (volume("../{{.Task.Slot}}"), "does not become the name"),
        (volume(driver="../x"), "no name of a volume driver"),
        (volume(driver_options={"size": "1g"}), 'no option "size"; it has type, device, o'),
        (volume(driver_options={"type": "nfs"}), 'needs the option "device"'),
        (Mount(type=Mount.TYPE_BIND, source="/a", target="/b", volume={}), "options of volumes"),
        (Mount(type=Mount.TYPE_VOLUME, source="data", target="/b", tmpfs={}), "options of bind or tmpfs"),
        (Mount(type=Mount.TYPE_VOLUME, source="data", target="b"), "absolute target"),
    ],
)
def test_what_makes_no_volume_is_refused_with_the_reason(mount: Mount, reason: str) -> None:
    assert re.search(reason, problems(mount))


def test_names_and_labels_have_limits() -> None:
    longest = limits.VOLUME_NAME_CHARACTERS.value
    assert list(name_problems("a" * longest)) == []
    assert "VOLUME_NAME_CHARACTERS" in "".join(name_problems("a" * (longest + 1)))
    most = {str(number): "" for number in range(limits.VOLUME_ENTRIES.value)}
    assert list(size_problems(most, {})) == []
    assert "VOLUME_ENTRIES" in "".join(size_problems(most | {"more": ""}, {}))
    assert "LABEL_VALUE_BYTES" in "".join(size_problems({"a": "b" * 20_000}, {}))


def test_data_on_a_node_makes_a_service_sticky_unless_it_says_otherwise() -> None:
    def sticky(*mounts: Mount, **more: bool) -> bool:
        return is_sticky(ContainerSpec(mounts=mounts, **more))

    assert sticky(volume())
    assert not sticky()
    assert not sticky(volume(""))  # goes with the task
    assert not sticky(volume(driver_options={"type": "nfs", "device": ":/x"}))  # the same everywhere
    assert not sticky(Mount(type=Mount.TYPE_BIND, source="/a", target="/b"))
    assert not sticky(volume(), sticky=False)
    assert sticky(sticky=True)
