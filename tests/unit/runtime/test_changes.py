"""What a container changed of its image, read from the directories of an overlay, and as a layer."""

import io
import json
import os
import stat
import struct
import subprocess
import sys
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from swarm.runtime.images.tarreader import TarReader
from swarm.runtime.oci import copying
from swarm.runtime.oci.tree_archive import plain_capability

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="whiteouts and marks of overlayfs need root")

OPAQUE, REDIRECT = "trusted.overlay.opaque", "trusted.overlay.redirect"


class Tree:
    """Directories of an overlay, as overlayfs would have left them."""

    def __init__(self, base: Path) -> None:
        self.upper, self.root = base / "upper", base / "root"
        self.lowers = [base / "top", base / "bottom"]
        for path in (self.upper, self.root, *self.lowers):
            path.mkdir()

    def below(self, layer: int, *names: str) -> None:
        for name in names:
            path = self.lowers[layer] / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("old")

    def write(self, name: str, text: str = "new") -> None:
        for side in (self.upper, self.root):
            (side / name).parent.mkdir(parents=True, exist_ok=True)
            (side / name).write_text(text)

    def remove(self, name: str) -> None:
        (self.upper / name).parent.mkdir(parents=True, exist_ok=True)
        (self.root / name).parent.mkdir(parents=True, exist_ok=True)
        os.mknod(self.upper / name, stat.S_IFCHR, os.makedev(0, 0))

    def mark(self, name: str, mark: str, value: bytes = b"y") -> None:
        for side in (self.upper, self.root):
            (side / name).mkdir(parents=True, exist_ok=True)
        os.setxattr(self.upper / name, mark, value)

    def run(self, verb: str, **more: Any) -> subprocess.CompletedProcess[bytes]:
        fds = [os.open(path, os.O_RDONLY | os.O_DIRECTORY) for path in (self.root, self.upper)]
        lowers = [str(path) for path in self.lowers]
        order = {"verb": verb, "root_fd": fds[0], "upper_fd": fds[1], "lowers": lowers, **more}
        command = [sys.executable, "-I", "-S", "-c", copying._COPIER, copying._SOURCES, json.dumps(order)]
        try:
            return subprocess.run(command, pass_fds=fds, capture_output=True, timeout=120, check=False)
        finally:
            for fd in fds:
                os.close(fd)

    def changes(self) -> list[str]:
        done = self.run("changes")
        assert done.returncode == 0, done.stderr
        return [" ".join(json.loads(line)) for line in done.stdout.splitlines()]

    def archive(self, verb: str = "layer", **more: Any) -> dict[str, tarfile.TarInfo]:
        done = self.run(verb, **more)
        assert done.returncode == 0, done.stderr
        return entries(done.stdout)


def entries(data: bytes) -> dict[str, tarfile.TarInfo]:
    """Read an archive with the reader of our own nodes, and with Python's."""
    tar, found = TarReader(io.BytesIO(data)), {}
    while (entry := tar.next()) is not None:
        found[entry.name] = entry
    with tarfile.open(fileobj=io.BytesIO(data)) as other:
        assert sorted(other.getnames()) == sorted(found)
    return found


def content(data: bytes, name: str) -> bytes:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        file = tar.extractfile(name)
        assert file is not None
        return file.read()


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


def test_files_are_added_changed_and_deleted_as_layers_say(tree: Tree) -> None:
    tree.below(1, "etc/hosts", "etc/gone", "srv/deep/old")
    tree.below(0, "etc/passwd")
    os.mknod(tree.lowers[0] / "etc/gone", stat.S_IFCHR, os.makedev(0, 0))  # the image removed it itself
    tree.write("etc/hosts")
    tree.write("etc/gone")
    tree.write("new/file")
    tree.remove("etc/passwd")
    tree.remove("etc/never")
    assert tree.changes() == [
        *("C /etc", "A /etc/gone", "C /etc/hosts", "D /etc/passwd", "A /new", "A /new/file"),
    ]
    assert list(tree.archive()) == [
        *("etc", "etc/gone", "etc/hosts", "etc/.wh.never", "etc/.wh.passwd", "new", "new/file"),
    ]


def test_a_directory_made_anew_hides_what_the_image_has_there(tree: Tree) -> None:
    tree.below(1, "srv/a", "srv/b", "srv/sub/c")
    tree.mark("srv", OPAQUE)
    tree.write("srv/b")
    tree.mark("srv/sub", OPAQUE, b"x")  # a mark of another meaning
    assert tree.changes() == ["C /srv", "D /srv/a", "C /srv/b", "C /srv/sub"]
    assert list(tree.archive()) == ["srv", "srv/.wh..wh..opq", "srv/b", "srv/sub"]


def test_a_directory_that_was_moved_is_there_whole(tree: Tree) -> None:
    tree.below(1, "old/kept/file")
    tree.remove("old")
    tree.mark("moved", REDIRECT, b"/old")
    (tree.root / "moved/kept").mkdir()
    (tree.root / "moved/kept/file").write_text("old")
    assert tree.changes() == ["A /moved", "A /moved/kept", "A /moved/kept/file", "D /old"]
    assert list(tree.archive()) == [
        *("moved", "moved/.wh..wh..opq", "moved/kept", "moved/kept/file", ".wh.old"),
    ]


def test_links_holes_rights_and_owners_are_kept_and_sockets_are_not(tree: Tree) -> None:
    tree.write("one", "shared")
    os.link(tree.root / "one", tree.root / "two")
    (tree.upper / "two").touch()
    (tree.root / "link").symlink_to("/etc/shadow")
    (tree.upper / "link").touch()
    tree.write("holes", "")
    with (tree.root / "holes").open("r+b") as file:
        file.seek(1 << 30)
        file.write(b"end")
    os.mkfifo(tree.root / "pipe")
    (tree.upper / "pipe").touch()
    os.mknod(tree.root / "socket", stat.S_IFSOCK | 0o600)
    (tree.upper / "socket").touch()
    tree.write("able")
    os.setxattr(tree.root / "able", "user.note", b"\xff\x00\x01")
    os.setxattr(tree.root / "able", "trusted.mine", b"x")
    os.chown(tree.root / "able", 100_005, 100_006)
    (tree.root / "able").chmod(0o4755)
    done = tree.run("layer", users=[100_000, 1000])
    found = entries(done.stdout)
    assert sorted(found) == ["able", "holes", "link", "one", "pipe", "two"]
    assert (found["two"].islnk(), found["two"].linkname) == (True, "one")
    assert (found["link"].issym(), found["link"].linkname) == (True, "/etc/shadow")
    assert found["pipe"].isfifo()
    assert found["holes"].size == (1 << 30) + 3
    assert len(done.stdout) < 1 << 20
    able = found["able"]
    assert (able.uid, able.gid, able.mode) == (5, 6, 0o4755)
    (note,) = able.pax_headers.items()
    assert note == ("SCHILY.xattr.user.note", b"\xff\x00\x01".decode("utf-8", "surrogateescape"))
    assert found["one"].uid == 65_534  # nobody that the container knows


def test_content_is_read_from_the_whole_and_no_link_in_between_is_followed(
    tree: Tree, tmp_path: Path
) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/secret").write_text("of the node")
    tree.write("data", "whole")
    (tree.upper / "data").write_text("")  # overlayfs may have its attributes only
    (tree.upper / "way").mkdir()
    (tree.upper / "way/secret").write_text("inside")
    (tree.root / "way").symlink_to(tmp_path / "outside")  # the container was quicker
    done = tree.run("layer")
    assert sorted(entries(done.stdout)) == ["data"]
    assert content(done.stdout, "data") == b"whole"


def test_a_name_that_an_image_would_take_for_a_removal_is_refused(tree: Tree) -> None:
    tree.write("etc/.wh.passwd")
    done = tree.run("layer")
    assert done.returncode == 1
    assert "/etc/.wh.passwd" in json.loads(done.stderr)["reason"]


def test_an_export_has_all_files_by_their_own_names(tree: Tree) -> None:
    tree.write("etc/hosts")
    tree.write("bin/sh")
    assert list(tree.archive("export")) == ["bin", "bin/sh", "etc", "etc/hosts"]


@pytest.mark.parametrize("odd", [b"\xff\xfe", "ä\n".encode()])
def test_names_of_any_bytes_come_through(tree: Tree, odd: bytes) -> None:
    for side in (tree.upper, tree.root):
        Path(os.fsdecode(os.fsencode(side) + b"/" + odd)).write_text("x")
    assert list(tree.archive()) == [os.fsdecode(odd)]
    assert len(tree.changes()) == 1


def test_capabilities_lose_the_namespace_that_they_counted_in() -> None:
    plain: Sequence[int] = (0x02000001, 1 << 10, 0, 0, 0)
    with_root = struct.pack("<6I", 0x03000001, 1 << 10, 0, 0, 0, 100_000)
    assert plain_capability(with_root) == struct.pack("<5I", *plain)
    assert plain_capability(struct.pack("<5I", *plain)) == struct.pack("<5I", *plain)
