"""When is a shim told to go on in a new log file?"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from swarm.runtime.oci.conmon import ShimFiles
from swarm.runtime.oci.log_rotation import LogRotation
from swarm.runtime.state import Record

RECORD = Record("id", "boot", log_max_bytes=10)
ORDER = b"2 0 0\n"


@pytest.fixture
def files(tmp_path: Path) -> ShimFiles:
    files = ShimFiles(tmp_path, tmp_path / "log")
    os.mkfifo(files.control)
    return files


@pytest.fixture
def shim(files: ShimFiles) -> Iterator[int]:
    """The end of the pipe at which a shim would read its orders."""
    fd = os.open(files.control, os.O_RDONLY | os.O_NONBLOCK)
    yield fd
    os.close(fd)


def orders(shim: int) -> bytes:
    try:
        return os.read(shim, 100)
    except BlockingIOError:
        return b""


def rotation() -> LogRotation:
    async def in_thread(*_: object) -> None:
        raise NotImplementedError

    return LogRotation(list, in_thread)


def test_a_shim_that_takes_its_time_is_asked_once(files: ShimFiles, shim: int) -> None:
    """conmon would make a new file for each order, in place of the one that it has just begun."""
    ours = rotation()
    files.log.write_text("x" * 10)
    for _ in range(3):
        ours.rotate([(RECORD, files)])
        assert not files.log.exists()
    assert orders(shim) == ORDER
    files.log.write_text("new")
    ours.rotate([(RECORD, files)])
    files.log.write_text("x" * 10)
    ours.rotate([(RECORD, files)])
    assert orders(shim) == ORDER
    assert sorted(path.name for path in files.log.parent.glob("log*")) == ["log.1", "log.2"]


def test_what_a_killed_agent_has_renamed_is_followed_by_the_order(files: ShimFiles, shim: int) -> None:
    rotation().rotate([(RECORD, files)])
    assert orders(shim) == ORDER


def test_a_shim_that_could_not_be_asked_is_asked_again(files: ShimFiles) -> None:
    ours = rotation()
    ours.rotate([(RECORD, files)])  # nobody reads
    shim = os.open(files.control, os.O_RDONLY | os.O_NONBLOCK)
    try:
        ours.rotate([(RECORD, files)])
        assert orders(shim) == ORDER
    finally:
        os.close(shim)
