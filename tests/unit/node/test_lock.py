"""One daemon per folder and socket."""

import socket
from pathlib import Path

import pytest

from swarm.errors import FailedPrecondition
from swarm.node.lock import lock_folder, remove_stale_socket


def test_a_second_daemon_is_refused_and_told_of_the_first(tmp_path: Path) -> None:
    import os

    path = tmp_path / "swarmd.lock"
    with (
        lock_folder(path),
        pytest.raises(FailedPrecondition, match=f"process {os.getpid()}"),
        lock_folder(path),
    ):
        pass
    with lock_folder(path):  # free again
        pass


def test_the_socket_of_a_dead_daemon_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
    remove_stale_socket(path)
    assert not path.exists()
    remove_stale_socket(path)


def test_the_socket_of_a_living_daemon_stays(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        with pytest.raises(FailedPrecondition, match="another daemon listens"):
            remove_stale_socket(path)
        assert path.exists()


def test_a_file_in_the_place_of_the_socket_stays(tmp_path: Path) -> None:
    path = tmp_path / "s"
    path.write_text("precious")
    with pytest.raises(FailedPrecondition, match="no socket"):
        remove_stale_socket(path)
    assert path.read_text() == "precious"
