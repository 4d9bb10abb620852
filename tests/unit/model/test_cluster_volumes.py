"""Cluster volumes: what may be said of one, which a mount means, and who may share it."""

import pytest

from swarm.api.v1.objects_pb2 import Task, Volume
from swarm.api.v1.specs_pb2 import VolumeSpec
from swarm.api.v1.types_pb2 import CsiPlugin, Mount
from swarm.model import limits
from swarm.model.cluster_volumes import (
    WantedVolume,
    cluster_mount_problems,
    has_volumes,
    is_reachable,
    sharing_problem,
    updated_spec,
    volume_spec_problems,
)
from swarm.model.task_state import ASSIGNED, REJECTED, RUNNING

SINGLE, MULTI = VolumeSpec.SCOPE_SINGLE, VolumeSpec.SCOPE_MULTI
NONE, READ = VolumeSpec.SHARING_NONE, VolumeSpec.SHARING_READ_ONLY
ONE, ALL = VolumeSpec.SHARING_ONE_WRITER, VolumeSpec.SHARING_ALL


def a_volume(name: str = "db", **spec: object) -> Volume:
    volume = Volume(id=f"id-{name}", spec=VolumeSpec(driver="csi.test", **spec))
    volume.spec.annotations.name = name
    return volume


def test_a_volume_with_name_and_plugin_is_valid() -> None:
    assert list(volume_spec_problems(a_volume().spec)) == []


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"driver": ""}, "name one with --driver"),
        ({"driver": "local"}, "name one with --driver"),
        ({"driver": "a/b"}, "no name of a volume driver"),
        ({"group": "../x"}, "the group"),
        ({"required_bytes": -1}, "negative"),
        ({"required_bytes": 2, "limit_bytes": 1}, "below what is required"),
        ({"scope": MULTI}, "is shared"),
        ({"block": True, "fs_type": "ext4"}, "without a file system"),
        ({"secrets": [VolumeSpec.Secret(secret_name="s")]}, "key of its own"),
        ({"secrets": [VolumeSpec.Secret(key="k"), VolumeSpec.Secret(key="k")]}, "key of its own"),
    ],
)
def test_what_no_plugin_could_make_is_refused(fields: dict[str, object], problem: str) -> None:
    spec = VolumeSpec(**{"driver": "csi.test", **fields})
    spec.annotations.name = "db"
    assert problem in "; ".join(volume_spec_problems(spec))


def test_a_name_leaves_room_for_our_id() -> None:
    most = limits.CSI_VOLUME_NAME_CHARACTERS.value
    assert not list(volume_spec_problems(a_volume("x" * most).spec))
    assert "characters" in "; ".join(volume_spec_problems(a_volume("x" * (most + 1)).spec))


def test_a_mount_means_a_volume_by_name_or_any_of_a_group() -> None:
    volume = a_volume(group="fast")
    assert [WantedVolume(source, "/x").means(volume) for source in ("db", "id-db", "group:fast")] == [
        True
    ] * 3
    assert [WantedVolume(source, "/x").means(volume) for source in ("group:db", "group:", "fast")] == [
        False
    ] * 3
    assert list(cluster_mount_problems(Mount(type=Mount.TYPE_CLUSTER, source="group:", target="/x")))
    assert list(cluster_mount_problems(Mount(type=Mount.TYPE_CLUSTER, source="../x", target="/x")))
    assert not list(cluster_mount_problems(Mount(type=Mount.TYPE_CLUSTER, source="group:ab", target="/x")))


@pytest.mark.parametrize(
    ("scope", "sharing", "read_only", "users", "problem"),
    [
        (SINGLE, NONE, False, (), ""),
        (SINGLE, NONE, True, (("n1", True),), "by another task"),
        (SINGLE, ALL, False, (("n1", False),), ""),
        (SINGLE, ALL, False, (("n2", True),), "on another node"),
        (SINGLE, READ, False, (), "reading only"),
        (MULTI, READ, True, (("n2", True),), ""),
        (MULTI, ONE, False, (("n2", True),), ""),
        (MULTI, ONE, False, (("n2", False),), "one writer"),
        (MULTI, ONE, True, (("n2", False),), ""),
        (MULTI, ALL, False, (("n2", False), ("n1", False)), ""),
    ],
)
def test_who_may_have_a_volume_beside_whom(
    scope: int, sharing: int, read_only: bool, users: tuple[tuple[str, bool], ...], problem: str
) -> None:
    found = sharing_problem(a_volume(scope=scope, sharing=sharing), "n1", read_only, users)
    assert bool(found) == bool(problem)
    assert problem in found


def test_a_volume_is_reachable_where_all_segments_of_one_topology_are_those_of_the_node() -> None:
    volume = a_volume()
    node = CsiPlugin(topology={"zone": "a", "rack": "1"})
    assert is_reachable(volume, node)
    volume.accessible_topology.add(segments={"zone": "a", "rack": "2"})
    assert not is_reachable(volume, node)
    volume.accessible_topology.add(segments={"zone": "a"})
    assert is_reachable(volume, node)


def test_a_task_has_its_volumes_from_its_node_to_its_end() -> None:
    task = Task(node_id="n1")
    task.volumes.add(volume_id="v")
    states = (ASSIGNED, RUNNING, REJECTED)
    found = []
    for state in states:
        task.status.state = state
        found.append(has_volumes(task))
    assert found == [True, True, False]


def test_only_labels_and_availability_change() -> None:
    before = a_volume().spec
    wanted = VolumeSpec()
    wanted.CopyFrom(before)
    wanted.availability = VolumeSpec.AVAILABILITY_DRAIN
    wanted.annotations.labels["tier"] = "db"
    assert updated_spec(before, wanted) == wanted
    wanted.limit_bytes = 5
    assert updated_spec(before, wanted) is None
