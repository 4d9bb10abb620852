"""When a disk fills: what is done early, what the managers hear, what people are told."""

import errno
import os
import subprocess
from pathlib import Path

import pytest

from swarm.agent.system import disk_watch
from swarm.agent.system.disk_watch import DiskWatch
from swarm.agent.system.pressure import Level, Limits, Pressure, next_pressure
from swarm.clock import SystemClock
from swarm.errors import TaskRejected
from swarm.runtime.disk import DiskSpace, read_space, tree_bytes
from swarm.runtime.images.collected import Collected

HERE = Path("/data")


def space(used: int, inodes_used: int = 0) -> DiskSpace:
    return DiskSpace(HERE, 100_000_000, (100 - used) * 1_000_000, 100, 100 - inodes_used)


def levels(*used: int) -> list[Level]:
    pressure, found = Pressure(), []
    for one in used:
        pressure = next_pressure(pressure, [space(one)], Limits())
        found.append(pressure.level)
    return found


def test_a_limit_is_left_only_well_below_it() -> None:
    none, soft, hard = Level.NONE, Level.SOFT, Level.HARD
    assert levels(50, 85, 84, 81, 79) == [none, soft, soft, soft, none]
    assert levels(96, 93, 91, 89, 95, 70) == [hard, hard, hard, soft, hard, none]


def test_inodes_count_as_bytes_do_and_the_fullest_disk_decides() -> None:
    pressure = next_pressure(Pressure(), [space(10), space(20, inodes_used=99)], Limits())
    assert pressure.level is Level.HARD
    assert "1 of 100 inodes free" in pressure.reason
    assert "/data" in pressure.reason
    assert "swarmctl system prune" in pressure.reason
    assert [one.type for one in pressure.conditions()] == ["DISK_PRESSURE"]
    assert not next_pressure(Pressure(), [space(90)], Limits()).conditions()  # nobody has to know yet


def test_the_reason_does_not_change_with_every_byte() -> None:
    first = next_pressure(Pressure(), [space(96)], Limits())
    assert next_pressure(first, [space(97)], Limits()) is first
    assert next_pressure(first, [], Limits()) is first


async def test_room_is_made_at_once_and_not_all_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    collections, changes, freed = [], [], []

    async def collect() -> Collected:
        collections.append(1)
        return Collected()

    async def free() -> int:
        freed.append(1)
        return 1

    watch = DiskWatch((HERE,), Limits(), collect, SystemClock(), free, lambda: changes.append(1))
    used = [50]
    monkeypatch.setattr(watch, "spaces", lambda: [space(used[0])])
    await watch.look()
    assert (collections, changes) == ([], [])
    for used[0] in (86, 86, 96, 96):
        await watch.look()
    assert len(collections) == 2  # when soft began, and when hard began
    assert len(freed) == 1  # output of what has ended goes only when it is hard
    assert len(changes) == 2
    monkeypatch.setattr(disk_watch, "ROOM_AGAIN_S", 0.0)
    await watch.look()
    assert len(freed) == 2
    used[0] = 10
    await watch.look()
    assert watch.pressure == Pressure()


def test_an_error_of_a_full_disk_says_which_disk_and_what_to_do(tmp_path: Path) -> None:
    async def free() -> int:
        return 0

    async def collect() -> Collected:
        return Collected()

    watch = DiskWatch((tmp_path,), Limits(), collect, SystemClock(), free, lambda: None)
    caused = TaskRejected("cannot prepare the container")
    caused.__cause__ = OSError(errno.ENOSPC, "full")
    for error in (caused, TaskRejected("cannot get image: No space left on device")):
        assert f"the file system of {tmp_path}" in watch.explain(error)
    assert watch.explain(TaskRejected("no such image")) == "no such image"


def test_what_files_take_is_counted_once(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 100_000)
    (tmp_path / "b").hardlink_to(tmp_path / "a")
    (tmp_path / "skipped").mkdir()
    (tmp_path / "skipped" / "c").write_bytes(b"x" * 100_000)
    (tmp_path / "link").symlink_to("/usr")
    size = tree_bytes(tmp_path, skip=("skipped",))
    assert 100_000 <= size < 150_000
    assert tree_bytes(tmp_path / "nothing") == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount")
def test_what_is_mounted_in_a_folder_takes_nothing_of_its_disk(tmp_path: Path) -> None:
    """The image that a container has as a volume is no part of what the container takes."""
    mounted = tmp_path / "container" / "parts" / "image"
    mounted.mkdir(parents=True)
    before = tree_bytes(tmp_path / "container")
    subprocess.run(["mount", "-t", "tmpfs", "swarm-test", mounted], check=True)
    try:
        (mounted / "busybox").write_bytes(b"x" * 1_000_000)
        assert tree_bytes(tmp_path / "container") == pytest.approx(before, abs=8192)
        assert tree_bytes(mounted) >= 1_000_000
    finally:
        subprocess.run(["umount", mounted], check=True)
    assert 0 <= read_space(tmp_path).used_share <= 1
