import os
from pathlib import Path

import pytest

from swarm.errors import TaskRejected
from swarm.runtime.oci.rootfs import read_text_inside
from swarm.runtime.oci.users import User, resolve_user

PASSWD = """root:x:0:0:root:/root:/bin/sh
# a comment
web:x:33:34:Web:/var/www:/bin/sh
broken:x:notanumber:1::/:
short:x:1
777:x:50:50::/named-like-a-number:/bin/sh
"""
GROUP = """root:x:0:
web:x:34:
logs:x:40:other,web
disk:x:41:web
odd:x:nan:web
"""


@pytest.mark.parametrize(
    ("wanted", "user"),
    [
        ("", User(0, 0, (), "/root")),
        ("0", User(0, 0, (), "/root")),
        ("web", User(33, 34, (40, 41), "/var/www")),
        ("33", User(33, 34, (40, 41), "/var/www")),
        ("web:logs", User(33, 40, (), "/var/www")),
        ("web:99", User(33, 99, (), "/var/www")),
        ("1000", User(1000, 0, (), "/")),
        ("1000:1001", User(1000, 1001, (), "/")),
        (":logs", User(0, 40, (), "/root")),
        ("777", User(50, 50, (), "/named-like-a-number")),
    ],
)
def test_users(wanted: str, user: User) -> None:
    assert resolve_user(wanted, PASSWD, GROUP) == user


def test_an_image_without_files_has_root_and_numbers() -> None:
    assert resolve_user("", "", "") == User(0, 0, (), "/root")
    assert resolve_user("12:13", "", "") == User(12, 13, (), "/")


@pytest.mark.parametrize("wanted", ["nobody", "web:nogroup", "broken", "-1", "4294967295", "1.5", "٣"])
def test_what_cannot_be_found_is_named(wanted: str) -> None:
    with pytest.raises(TaskRejected, match=wanted.rpartition(":")[2]):
        resolve_user(wanted, PASSWD, GROUP)


def test_links_lead_nowhere_outside(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    outside.write_text("secret")
    (root / "etc").mkdir(parents=True)
    (root / "real").write_text("inside")
    for name, target in {
        "relative": "../../outside",
        "absolute": str(outside),
        "inner": "/real",
        "loop": "loop",
        "magic": "/proc/self/root/etc/passwd",
    }.items():
        (root / "etc" / name).symlink_to(target)
    assert read_text_inside(root, "/etc/inner") == "inside"
    for name in ("relative", "absolute", "loop", "magic", "../../outside", "missing"):
        assert read_text_inside(root, f"/etc/{name}") == ""


def test_what_is_no_plain_file_is_empty(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "directory").mkdir()
    for name in ("pipe", "directory"):
        assert read_text_inside(tmp_path, f"/{name}") == ""
