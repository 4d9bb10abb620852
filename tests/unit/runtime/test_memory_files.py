"""Files in memory: made whole or not at all, with owner and mode, overwritten when they go."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from swarm.errors import TaskRejected
from swarm.runtime import memory_files
from swarm.runtime.memory_files import FOLDER, MemoryFile, MemoryFiles
from swarm.runtime.oci.overlay import mounts_below, unmount

DATA = b"recognisable-s3cret"
KEY = MemoryFile("/run/secrets/key", DATA, 0, 0, 0o400)
INI = MemoryFile("/etc/app/app.ini", b"a=1", 0, 0, 0o444)
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@pytest.fixture
def run_dir(tmp_path: Path) -> Iterator[Path]:
    """A node's run directory; what is mounted in it is gone afterwards."""
    yield tmp_path / "run"
    for point in mounts_below(tmp_path):
        unmount(point)


@pytest.fixture(params=["mounted", "may not mount"])
def files(request: pytest.FixtureRequest, run_dir: Path, monkeypatch: pytest.MonkeyPatch) -> MemoryFiles:
    """Where the node may mount, and where it has to find a file system in memory."""
    if request.param == "mounted" and os.geteuid() != 0:
        pytest.skip("needs root")
    if request.param != "mounted":
        monkeypatch.setattr(memory_files, "_mount_memory", lambda place, files: False)
        monkeypatch.setattr(memory_files, "_file_system", lambda path: "tmpfs")
    return MemoryFiles(run_dir)


def test_files_are_where_their_targets_say_with_their_modes_and_for_nobody_else(files: MemoryFiles) -> None:
    place = files.make("t1", [KEY, INI])
    assert (place / "run/secrets/key").read_bytes() == DATA
    assert stat.S_IMODE((place / "run/secrets/key").stat().st_mode) == 0o400
    assert stat.S_IMODE((place / "etc/app/app.ini").stat().st_mode) == 0o444
    assert stat.S_IMODE(place.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(place.parent.parent.stat().st_mode) == 0o700
    assert files.find("t1") == files.make("t1", []) == place
    files.wipe("t1")


def test_what_is_wiped_is_overwritten_and_gone_and_wiping_again_is_no_error(files: MemoryFiles) -> None:
    place = files.make("t1", [KEY, INI])
    with (place / "run/secrets/key").open("rb") as held:
        files.wipe("t1")
        assert held.read() == bytes(len(DATA))
    assert not place.parent.exists()
    assert files.find("t1") is None
    files.wipe("t1")
    files.wipe("never-made")


def test_the_next_life_of_an_agent_finds_what_is_there(files: MemoryFiles, run_dir: Path) -> None:
    for task_id in ("t1", "t2", "t3"):
        files.make(task_id, [KEY])
    next_life = MemoryFiles(run_dir)
    assert next_life.task_ids() == ["t1", "t2", "t3"]
    next_life.wipe("t1")
    assert next_life.task_ids() == ["t2", "t3"]
    assert next_life.find("t2") is not None
    assert next_life.find("t1") is None
    next_life.clear()
    assert next_life.task_ids() == []
    assert not (run_dir / FOLDER).exists()
    assert mounts_below(run_dir) == []


def test_what_a_crash_left_half_made_is_made_anew(
    files: MemoryFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(root: Path, file: MemoryFile) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(memory_files, "_write", crash)
        with pytest.raises(KeyboardInterrupt):
            files.make("t1", [KEY])
    assert files.find("t1") is None
    assert (files.make("t1", [KEY]) / "run/secrets/key").read_bytes() == DATA
    files.wipe("t1")


def test_a_failure_leaves_nothing_and_says_nothing_of_the_data(files: MemoryFiles) -> None:
    below = MemoryFile("/run/secrets/key/below", DATA, 0, 0, 0o444)
    with pytest.raises(TaskRejected, match="in memory") as caught:
        files.make("t1", [KEY, below])
    assert "s3cret" not in str(caught.value)
    assert "s3cret" not in repr(KEY)
    assert files.find("t1") is None


def test_a_link_that_a_process_put_there_is_not_followed(files: MemoryFiles, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"mine")
    place = files.make("t1", [KEY])
    (place / "run/secrets/link").symlink_to(victim)
    files.wipe("t1")
    assert victim.read_bytes() == b"mine"


@pytest.mark.parametrize("task_id", ["", ".", "..", "a/b", "/etc", ".hidden"])
def test_an_id_never_leads_out_of_the_folder(run_dir: Path, task_id: str) -> None:
    with pytest.raises(TaskRejected, match="cannot be the id"):
        MemoryFiles(run_dir).wipe(task_id)


@needs_root
def test_each_task_has_a_tmpfs_of_its_own_that_holds_just_its_files(run_dir: Path) -> None:
    files = MemoryFiles(run_dir)
    large = MemoryFile("/large", b"x" * 1_024_000, 1000, 2000, 0o440)
    place = files.make("t1", [KEY, large])
    assert mounts_below(run_dir) == [place.parent]
    status = (place / "large").stat()
    assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (1000, 2000, 0o440)
    assert os.statvfs(place).f_blocks * 4096 < 2 * 1_024_000
    line = next(one for one in Path("/proc/self/mountinfo").read_text().splitlines() if str(run_dir) in one)
    assert " tmpfs " in line
    assert "nosuid,nodev" in line
    files.wipe("t1")
    assert mounts_below(run_dir) == []


def test_without_a_file_system_in_memory_the_task_is_rejected(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory_files, "_mount_memory", lambda place, files: False)
    monkeypatch.setattr(memory_files, "_file_system", lambda path: "ext4")
    with pytest.raises(TaskRejected, match="need a file system in memory"):
        MemoryFiles(run_dir).make("t1", [KEY])
    assert not (run_dir / FOLDER / "t1").exists()


def test_the_fallback_is_used_where_only_shared_memory_is_in_memory(
    run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = tmp_path / "shm"
    shared.mkdir()
    monkeypatch.setattr(memory_files, "_mount_memory", lambda place, files: False)
    monkeypatch.setattr(memory_files, "_file_system", lambda path: "tmpfs" if path == shared else "ext4")
    files = MemoryFiles(run_dir, shared)
    assert files.make("t1", [KEY]).is_relative_to(shared)
    assert MemoryFiles(run_dir, shared).task_ids() == ["t1"]
    MemoryFiles(run_dir, shared).clear()
    assert list(shared.iterdir()) == []


@pytest.mark.parametrize("kind", ["link", "open to others"])
def test_a_folder_that_somebody_else_may_have_put_there_is_not_used(
    run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(memory_files, "_mount_memory", lambda place, files: False)
    monkeypatch.setattr(memory_files, "_file_system", lambda path: "tmpfs")
    run_dir.mkdir()
    if kind == "link":
        (tmp_path / "elsewhere").mkdir(mode=0o700)
        (run_dir / FOLDER).symlink_to(tmp_path / "elsewhere")
    else:
        (run_dir / FOLDER).mkdir()
        (run_dir / FOLDER).chmod(0o755)
    with pytest.raises(TaskRejected, match="not a folder of swarmd's own"):
        MemoryFiles(run_dir).make("t1", [KEY])


def test_the_type_of_a_file_system_is_that_of_the_innermost_mount() -> None:
    assert memory_files._file_system(Path("/proc/self")) == "proc"
    assert memory_files._file_system(Path("/proc/self/no/such/folder")) == "proc"
