"""Volumes of plugins: each user mounted once and given back once, whatever is repeated or fails."""

import socket as sockets
from collections.abc import Iterator
from pathlib import Path

import pytest

from swarm.errors import NotFound, TaskRejected, Unavailable
from swarm.runtime.volumes.plugins import Plugins
from swarm.runtime.volumes.record import VolumeRecord
from swarm.runtime.volumes.store import VolumeStore
from tests.volume_plugin import Volumes, serving

WANTED = VolumeRecord("data", driver="far")


@pytest.fixture
def there(tmp_path: Path) -> Path:
    return tmp_path / "there"


@pytest.fixture
def plugin(tmp_path: Path, there: Path) -> Iterator[Volumes]:
    with serving(tmp_path / "plugins/far.sock", there) as volumes:
        yield volumes


@pytest.fixture
def store(tmp_path: Path) -> VolumeStore:
    return VolumeStore(tmp_path / "volumes", plugins=Plugins([tmp_path / "plugins"]))


def calls(there: Path) -> list[str]:
    return (there / "calls.log").read_text().splitlines()


def test_a_plugin_mounts_for_each_task_and_hears_when_it_is_done(
    store: VolumeStore, plugin: Volumes, there: Path
) -> None:
    place = store.acquire(WANTED, "t1")
    assert place.data == there / "data"
    assert store.acquire(WANTED, "t1") == place  # an agent that was killed asks again
    assert store.acquire(VolumeRecord("data"), "t2").data == there / "data"
    assert plugin.users == {"data": {"t1", "t2"}}
    store.release("t1")
    store.release("t1")
    store.release("t2")
    assert plugin.users == {"data": set()}
    assert calls(there) == [
        "Activate", "Get data", "Create data", "Mount data t1", "Mount data t2", "Unmount data t1",
        "Unmount data t2",
    ]  # fmt: skip
    assert store.get("data").record.driver == "far"
    store.remove("data")
    assert not (there / "data").exists()
    with pytest.raises(NotFound):
        store.get("data")


@pytest.mark.parametrize("again", [True, False])
def test_a_mount_whose_answer_an_agent_did_not_live_to_note_is_taken_back(
    store: VolumeStore, plugin: Volumes, tmp_path: Path, *, again: bool
) -> None:
    place = store.acquire(WANTED, "t1")
    (tmp_path / "volumes/data/users/t1").write_text("")  # killed before it was written down
    if again:
        assert store.acquire(WANTED, "t1") == place
        assert plugin.users == {"data": {"t1"}}
    store.release("t1")
    assert plugin.users == {"data": set()}
    assert store.users() == frozenset()


def test_a_volume_that_the_plugin_has_is_taken_as_it_is(
    store: VolumeStore, plugin: Volumes, there: Path
) -> None:
    (there / "data").mkdir()
    (there / "data/file").write_text("of another node")
    assert (store.acquire(WANTED, "t1").data / "file").read_text() == "of another node"


def test_what_a_plugin_refuses_rejects_the_task_with_its_words(store: VolumeStore, plugin: Volumes) -> None:
    with pytest.raises(TaskRejected, match="the volume plugin far says: as you like"):
        store.acquire(VolumeRecord("data", driver="far", options={"fail": "1"}), "t1")
    assert store.users() == frozenset()
    store.acquire(WANTED, "t1")
    with pytest.raises(TaskRejected, match="of the driver far"):
        store.acquire(VolumeRecord("data", driver="local"), "t2")


def test_a_plugin_that_is_not_there_is_named(store: VolumeStore, tmp_path: Path) -> None:
    with pytest.raises(
        TaskRejected, match=r"this node has no volume plugin far: there is no socket .*far\.sock"
    ):
        store.acquire(WANTED, "t1")
    with pytest.raises(NotFound):
        Plugins([tmp_path]).find("../far")


def test_a_plugin_that_went_keeps_no_task_from_ending_but_one_that_is_silent_is_asked_again(
    store: VolumeStore, tmp_path: Path, there: Path
) -> None:
    socket = tmp_path / "plugins/far.sock"
    with serving(socket, there) as volumes:
        store.acquire(WANTED, "t1")
        store.acquire(WANTED, "t2")
    store.release("t1")
    assert store.users() == {"t2"}
    with sockets.socket(sockets.AF_UNIX) as silent:
        silent.bind(str(socket))  # and does not listen
        with pytest.raises(Unavailable, match="the volume plugin far does not answer Unmount data: "):
            store.release("t2")
    socket.unlink()
    assert store.users() == {"t2"}
    assert volumes.users == {"data": {"t1", "t2"}}
    store.release("t2")
    assert store.users() == frozenset()


def test_a_volume_without_a_name_goes_also_when_its_plugin_went(
    store: VolumeStore, tmp_path: Path, there: Path
) -> None:
    with serving(tmp_path / "plugins/far.sock", there):
        store.acquire(VolumeRecord("f" * 64, driver="far", anonymous=True), "t1")
        store.release("t1")
        assert [path for path in there.iterdir() if path.is_dir()] == []
        store.acquire(VolumeRecord("e" * 64, driver="far", anonymous=True), "t1")
    store.release("t1")  # nobody can remove it now
    assert store.users() == frozenset()
