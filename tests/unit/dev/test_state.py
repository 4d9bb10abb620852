import fcntl
import threading
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from swarm.dev import state
from swarm.dev.plan import Folders, Plan


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    return Folders(tmp_path / "data", tmp_path / "run")


def test_a_saved_plan_is_loaded_again(folders: Folders) -> None:
    plan = Plan("dev", True, IPv4Network("10.200.0.0/24"), 3, 2, folders)
    state.save(plan)
    assert state.load(folders, "dev") == plan
    assert state.names(folders) == ["dev"]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"subnet": "10.0.0.0/24"}', "null"])
def test_a_file_that_cannot_be_read_is_no_plan(folders: Folders, content: str) -> None:
    (folders.data / "dev").mkdir(parents=True)
    (folders.data / "dev" / state.FILE).write_text(content)
    assert state.load(folders, "dev") is None
    assert state.names(folders) == ["dev"]


def test_no_folders_are_no_clusters(folders: Folders) -> None:
    assert state.names(folders) == []
    assert state.load(folders, "dev") is None


def test_the_lock_lets_one_in_at_a_time_and_passes_errors_on(folders: Folders) -> None:
    with pytest.raises(FileNotFoundError), state.lock(folders):
        raise FileNotFoundError
    with state.lock(folders), (folders.run / state.LOCK).open("w") as other, pytest.raises(BlockingIOError):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_lock_file_removed_by_its_holder_does_not_let_two_in(folders: Folders) -> None:
    entered = threading.Event()
    with state.lock(folders):
        waiter = threading.Thread(target=lambda: enter(folders, entered))
        waiter.start()
        (folders.run / state.LOCK).unlink()
    waiter.join(60)
    assert entered.is_set()
    assert (folders.run / state.LOCK).exists()


def enter(folders: Folders, entered: threading.Event) -> None:
    with state.lock(folders):
        entered.set()
