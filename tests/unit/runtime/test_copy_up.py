"""What an image has at a place fills an empty volume, whole and nowhere else."""

import os
import stat
from pathlib import Path

import pytest

from swarm.errors import TaskRejected
from swarm.runtime.volumes import copy_up as module
from swarm.runtime.volumes.copy_up import TEMPORARY, copy_up

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="owners need root")


class Bench:
    def __init__(self, folder: Path) -> None:
        self.root, self.volume, self.progress = folder / "root", folder / "_data", folder / "copy-up"
        self.place = self.root / "srv/data"
        self.place.mkdir(parents=True)
        self.volume.mkdir()

    def fill(self, target: str = "/srv/data") -> list[str]:
        copy_up(self.root, target, self.volume, self.progress)
        return sorted(str(path.relative_to(self.volume)) for path in self.volume.rglob("*"))


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_content_comes_with_owner_mode_times_links_and_attributes(bench: Bench) -> None:
    (bench.place / "sub").mkdir()
    file = bench.place / "sub/file"
    file.write_bytes(b"x" * 100_000)
    os.setxattr(file, "user.note", b"hi")
    os.chown(file, 12, 34)
    file.chmod(0o4751)
    os.utime(file, ns=(5, 7_000_000_123))
    (bench.place / "link").symlink_to("/etc/passwd")
    os.chown(bench.place / "link", 56, 78, follow_symlinks=False)
    os.mkfifo(bench.place / "pipe")
    (bench.place / "pipe").chmod(0o622)
    os.chown(bench.place, 90, 91)
    bench.place.chmod(0o1770)
    assert bench.fill() == ["link", "pipe", "sub", "sub/file"]
    found = (bench.volume / "sub/file").stat()
    assert (found.st_size, found.st_uid, found.st_gid) == (100_000, 12, 34)
    assert (stat.S_IMODE(found.st_mode), found.st_mtime_ns) == (0o4751, 7_000_000_123)
    assert os.getxattr(bench.volume / "sub/file", "user.note") == b"hi"
    assert (bench.volume / "link").readlink() == Path("/etc/passwd")
    assert (bench.volume / "link").lstat().st_uid == 56
    assert stat.filemode((bench.volume / "pipe").lstat().st_mode) == "prw--w--w-"
    top = bench.volume.stat()
    assert (top.st_uid, top.st_gid, stat.S_IMODE(top.st_mode)) == (90, 91, 0o1770)
    assert bench.progress.read_bytes() == b""


def test_a_file_with_several_names_stays_one_file_also_after_a_crash(bench: Bench) -> None:
    for name in ("deep", "sub"):
        (bench.place / name).mkdir()
    (bench.place / "deep/first").write_text("same")
    for name in ("other", "sub/third"):
        (bench.place / name).hardlink_to(bench.place / "deep/first")
    assert bench.fill() == ["deep", "deep/first", "other", "sub", "sub/third"]
    one = (bench.volume / "deep/first").stat()
    assert {(bench.volume / name).stat().st_ino for name in ("other", "sub/third")} == {one.st_ino}
    (bench.volume / "other").unlink()
    bench.progress.write_text("begun\n")
    bench.fill()
    assert (bench.volume / "other").stat().st_ino == one.st_ino


def test_a_name_whose_first_one_was_swapped_for_a_link_gets_the_content(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    (bench.place / "a").write_text("same")
    (bench.place / "b").hardlink_to(bench.place / "a")
    copy_file = module._copy_file

    def swapping(source: int, to: int, name: str, found: os.stat_result) -> None:
        copy_file(source, to, name, found)
        if name == "a":
            os.unlink(TEMPORARY, dir_fd=to)
            os.symlink("/etc/passwd", TEMPORARY, dir_fd=to)

    monkeypatch.setattr(module, "_copy_file", swapping)
    assert bench.fill() == ["a", "b"]
    assert not (bench.volume / "b").is_symlink()
    assert (bench.volume / "b").read_text() == "same"


def test_a_volume_that_has_something_stays_as_it_is(bench: Bench) -> None:
    (bench.place / "of-image").touch()
    (bench.volume / "mine").touch()
    assert bench.fill() == ["mine"]


def test_what_a_crash_cut_off_goes_on_and_overwrites_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b", "c"):
        (bench.place / name).write_text("of the image")
    os.chown(bench.place, 90, 91)
    whole = module._copy_file

    def killed(source: int, to: int, name: str, found: os.stat_result) -> None:
        whole(source, to, name, found)
        if name == "b":
            raise KeyboardInterrupt

    monkeypatch.setattr(module, "_copy_file", killed)
    with pytest.raises(KeyboardInterrupt):
        bench.fill()
    monkeypatch.undo()
    assert sorted(path.name for path in bench.volume.iterdir()) == [TEMPORARY, "a"]
    (bench.volume / "a").write_text("changed since")
    assert bench.fill() == ["a", "b", "c"]
    assert (bench.volume / "a").read_text() == "changed since"
    assert bench.volume.stat().st_uid == 90
    (bench.volume / "b").unlink()
    assert bench.fill() == ["a", "c"]  # it is done with, once for all


def test_no_link_of_the_image_leads_out_of_it(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "host").mkdir()
    (tmp_path / "host/secret").touch()
    (bench.root / "out").symlink_to(tmp_path / "host")
    (bench.root / "up").symlink_to("../../../../host")
    assert bench.fill("/out") == []
    assert bench.fill("/up") == []
    (bench.root / "inside").symlink_to("/srv/data")
    (bench.place / "file").touch()
    (bench.place / "dir").symlink_to(tmp_path / "host")
    assert bench.fill("/inside") == ["dir", "file"]
    assert (bench.volume / "dir").is_symlink()


def test_no_link_that_somebody_puts_into_the_volume_is_followed(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "host").mkdir()
    (bench.place / "sub").mkdir()
    (bench.place / "sub/file").touch()
    os.mkfifo(bench.place / "pipe")
    made, mknod = os.mkdir, os.mknod

    def swapped(name: str, *arguments: int, dir_fd: int) -> None:
        os.symlink(tmp_path / "host", name, dir_fd=dir_fd)

    monkeypatch.setattr(os, "mkdir", swapped)
    with pytest.raises(OSError, match=r"Not a directory|symbolic"):
        bench.fill()
    monkeypatch.setattr(os, "mkdir", made)
    (bench.volume / "sub").unlink()
    before = (tmp_path / "host").stat().st_mode
    (bench.volume / "pipe").unlink()
    monkeypatch.setattr(os, "mknod", swapped)
    with pytest.raises(TaskRejected, match="somebody changes the volume"):
        bench.fill()
    monkeypatch.setattr(os, "mknod", mknod)
    assert (tmp_path / "host").stat().st_mode == before
    assert list((tmp_path / "host").iterdir()) == []
    assert bench.fill() == ["pipe", "sub", "sub/file"]


def test_a_file_of_the_image_is_no_place_for_a_volume(bench: Bench) -> None:
    (bench.root / "file").touch()
    with pytest.raises(TaskRejected, match="the image has a file at /file"):
        bench.fill("/file")
    assert bench.fill("/nothing") == []
