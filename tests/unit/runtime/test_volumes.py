"""Volumes of a node: made once, kept while somebody has them, put right after a crash."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from swarm.errors import FailedPrecondition, NameConflict, NotFound, TaskRejected
from swarm.model.volumes import anonymous_name
from swarm.runtime.oci.overlay import mounts_below, unmount
from swarm.runtime.volumes import mounting, store
from swarm.runtime.volumes.mounting import is_mounted, mount_command
from swarm.runtime.volumes.record import VolumeRecord
from swarm.runtime.volumes.store import VolumeStore

MEMORY = {"type": "tmpfs", "device": "tmpfs", "o": "size=1m,nosuid"}
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "volumes"
    for point in mounts_below(tmp_path):
        unmount(point)


@pytest.fixture
def volumes(folder: Path) -> VolumeStore:
    return VolumeStore(folder)


def test_a_volume_is_made_with_its_first_task_and_stays_with_its_data(volumes: VolumeStore) -> None:
    place = volumes.acquire(VolumeRecord("data", labels={"a": "b"}), "t1")
    (place.data / "file").write_text("kept")
    volumes.release("t1")
    volumes.release("t1")
    again = volumes.acquire(VolumeRecord("data"), "t2")
    assert (again.data / "file").read_text() == "kept"
    state = volumes.get("data")
    assert (state.users, state.record.labels, state.record.driver) == (("t2",), {"a": "b"}, "local")
    assert state.record.created_at_ns > 0


def test_an_anonymous_volume_goes_with_its_task(volumes: VolumeStore) -> None:
    name = anonymous_name("t1", "/data/")
    assert name == anonymous_name("t1", "/data") != anonymous_name("t2", "/data")
    place = volumes.acquire(VolumeRecord(name, anonymous=True), "t1")
    (place.data / "file").write_text("gone")
    volumes.release("t1")
    assert volumes.all() == []
    assert not place.data.exists()


def test_a_volume_in_use_is_not_removed_and_its_tasks_are_named(volumes: VolumeStore) -> None:
    volumes.acquire(VolumeRecord("data"), "t1")
    with pytest.raises(FailedPrecondition, match="in use by task t1"):
        volumes.remove("data")
    volumes.release("t1")
    volumes.remove("data")
    with pytest.raises(NotFound):
        volumes.remove("data")


@pytest.mark.parametrize("name", ["", "x", "../etc", "a/b", ".hidden", "-x", "a" * 201])
def test_a_name_leads_nowhere_else(volumes: VolumeStore, folder: Path, name: str) -> None:
    with pytest.raises(NotFound):
        volumes.create(VolumeRecord(name))
    with pytest.raises(NotFound):
        volumes.get(name)
    assert not folder.exists()


def test_another_volume_is_not_taken_for_the_one_that_is_there(volumes: VolumeStore) -> None:
    volumes.create(VolumeRecord("data"))
    volumes.create(VolumeRecord("data"))
    with pytest.raises(NameConflict, match="other options"):
        volumes.create(VolumeRecord("data", options=MEMORY))
    with pytest.raises(TaskRejected, match="made with other options"):
        volumes.acquire(VolumeRecord("data", options=MEMORY), "t1")
    assert volumes.users() == frozenset()


def test_what_a_killed_agent_left_is_put_right(volumes: VolumeStore, folder: Path) -> None:
    volumes.acquire(VolumeRecord("kept"), "t1")
    volumes.acquire(VolumeRecord("mine-only", anonymous=True), "t1")
    (folder / "half").mkdir()
    (folder / "half/_data").mkdir()  # killed before its record was written
    (folder / ".gone-old/_data").mkdir(parents=True)  # killed while it was removed
    (folder / "mine-only/users/t1").unlink()  # killed between letting go and removing
    VolumeStore(folder).tidy()
    assert sorted(path.name for path in folder.iterdir()) == ["kept"]
    assert volumes.users() == {"t1"}


@as_root
def test_options_are_mounted_with_the_first_task_and_unmounted_with_the_last(volumes: VolumeStore) -> None:
    wanted = VolumeRecord("memory", options=MEMORY)
    assert not is_mounted(volumes.create(wanted).data)
    first, second = volumes.acquire(wanted, "t1"), volumes.acquire(VolumeRecord("memory"), "t2")
    assert first == second
    assert os.statvfs(first.data).f_blocks * os.statvfs(first.data).f_frsize == 1 << 20
    volumes.release("t1")
    assert is_mounted(first.data)
    volumes.release("t2")
    assert mounts_below(first.data) == []


@as_root
def test_a_device_is_bound_and_never_removed_with_its_volume(volumes: VolumeStore, tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.mkdir()
    (there / "file").write_text("mine")
    options = {"type": "none", "device": str(there), "o": "bind,ro"}
    place = volumes.acquire(VolumeRecord("bound", options=options), "t1")
    assert (place.data / "file").read_text() == "mine"
    with pytest.raises(OSError, match="Read-only") as caught:
        (place.data / "other").touch()
    assert caught.value.errno == errno.EROFS
    volumes.release("t1")
    volumes.acquire(VolumeRecord("bound"), "t2")
    (tmp_path / "volumes/bound/users/t2").unlink()  # still mounted, as a killed agent leaves it
    volumes.remove("bound")
    assert (there / "file").read_text() == "mine"


@as_root
def test_what_cannot_be_mounted_rejects_the_task_with_the_reason(volumes: VolumeStore) -> None:
    wanted = VolumeRecord("bad", options={"type": "ext4", "device": "/dev/nothing"})
    with pytest.raises(TaskRejected, match=r"cannot mount the volume bad \(type ext4.*special device"):
        volumes.acquire(wanted, "t1")
    volumes.release("t1")
    volumes.remove("bad")


def test_what_does_not_come_back_is_given_up(volumes: VolumeStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mounting, "MOUNT_TIMEOUT_S", 0.05)
    monkeypatch.setattr(mounting, "mount_command", lambda options, target: ["sleep", "60"])
    options = {"type": "nfs", "device": ":/x", "o": "addr=192.0.2.1"}
    with pytest.raises(TaskRejected, match="nothing came of it"):
        volumes.acquire(VolumeRecord("far", options=options), "t1")


def test_a_name_that_nobody_knows_is_a_reason(volumes: VolumeStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise OSError(-2, "Name or service not known")

    monkeypatch.setattr(mounting.socket, "getaddrinfo", unknown)
    options = {"type": "nfs", "device": ":/x", "o": "addr=files.example,rw"}
    with pytest.raises(TaskRejected, match="Name or service not known"):
        volumes.acquire(VolumeRecord("far", options=options), "t1")


def test_options_are_those_of_mount() -> None:
    nfs = {"type": "nfs", "device": ":/export", "o": "addr=192.0.2.1,rw"}
    command = mount_command(nfs, Path("/t"))
    assert command == ["mount", "-i", "-t", "nfs", "-o", "addr=192.0.2.1,rw", "--", ":/export", "/t"]
    bind = {"type": "ext4", "device": "/srv", "o": "bind"}
    assert mount_command(bind, Path("/t"))[2:4] == ["-t", "none"]
    assert store.DATA == "_data"  # as in Docker
