"""The unpacking process against friendly and hostile layers; as root in a chroot, otherwise without one."""

import gzip
import hashlib
import io
import os
import stat
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from swarm.errors import InvalidArgument
from swarm.runtime.images.layers import LayerDirectory
from swarm.runtime.images.limits import Limits
from swarm.runtime.images.unpack import Outcome

ROOT = os.geteuid() == 0
as_root = pytest.mark.skipif(not ROOT, reason="needs root for chroot and device nodes")
# What a confined unpacker must never touch: it lies beside the layers.
CANARY = "canary"


def entry(name: str, kind: bytes = tarfile.REGTYPE, content: bytes = b"", **fields: object) -> tuple:
    info = tarfile.TarInfo(name)
    info.type, info.size, info.mode = kind, len(content), 0o755 if kind == tarfile.DIRTYPE else 0o644
    for field, value in fields.items():
        setattr(info, field, value)
    return info, content


def folder(name: str, **fields: object) -> tuple:
    return entry(name, tarfile.DIRTYPE, **fields)


def tar(*entries: tuple) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for info, content in entries:
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


async def unpack(
    place: Path, layer: bytes, *, overlay: bool = ROOT, limits: Limits | None = None, pack=lambda raw: raw
) -> tuple[Path, Outcome]:
    (place / CANARY).write_text("untouched")
    blob = place / "blob"
    blob.write_bytes(pack(layer))
    directory = LayerDirectory(place / "store", limits or Limits(), overlay=overlay)
    try:
        return await directory.unpack(blob, digest(layer))
    finally:
        assert (place / CANARY).read_text() == "untouched"
        left = [path for path in (place / "store" / "unpacking").iterdir() if path not in directory._active]
        assert left == []


@pytest.mark.parametrize(
    "pack", [lambda raw: raw, gzip.compress, zstandard.compress], ids=["plain", "gzip", "zstd"]
)
async def test_a_layer_is_unpacked_whatever_its_compression(
    tmp_path: Path, pack: Callable[[bytes], bytes]
) -> None:
    layer = tar(folder("etc/", mtime=7), entry("etc/name", content=b"swarm", mode=0o600, mtime=5))
    path, outcome = await unpack(tmp_path, layer, pack=pack)
    assert (path / "etc/name").read_bytes() == b"swarm"
    assert stat.S_IMODE((path / "etc/name").stat().st_mode) == 0o600
    assert ((path / "etc/name").stat().st_mtime, (path / "etc").stat().st_mtime) == (5, 7)
    assert (outcome.entries, outcome.size_bytes) == (2, 5)


async def test_gzip_in_several_members_is_one_layer(tmp_path: Path) -> None:
    layer = tar(entry("a", content=b"x" * 5000))
    path, _ = await unpack(
        tmp_path, layer, pack=lambda raw: gzip.compress(raw[:700]) + gzip.compress(raw[700:])
    )
    assert (path / "a").stat().st_size == 5000


async def test_what_follows_the_end_of_the_tar_counts_for_the_digest(tmp_path: Path) -> None:
    layer = tar(entry("a")) + bytes(3 * 1024 * 1024)
    path, _ = await unpack(tmp_path, layer)
    assert (path / "a").exists()


@as_root
async def test_owner_links_and_special_files_are_kept(tmp_path: Path) -> None:
    layer = tar(
        entry("file", content=b"1", uid=1234, gid=5678, mode=0o4755),
        entry("hard", tarfile.LNKTYPE, linkname="file"),
        entry("soft", tarfile.SYMTYPE, linkname="/nowhere", uid=9),
        entry("pipe", tarfile.FIFOTYPE),
        entry("null", tarfile.CHRTYPE, devmajor=1, devminor=3),
        entry("capable", content=b"1", pax_headers={"SCHILY.xattr.user.colour": "blue"}),
    )
    path, _ = await unpack(tmp_path, layer)
    found = (path / "file").stat()
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode), found.st_nlink) == (
        1234,
        5678,
        0o4755,
        2,
    )
    assert (path / "soft").readlink() == Path("/nowhere")
    assert (path / "soft").lstat().st_uid == 9
    assert (path / "pipe").is_fifo()
    assert (path / "null").stat().st_rdev == os.makedev(1, 3)
    assert os.getxattr(path / "capable", "user.colour") == b"blue"


@as_root
async def test_whiteouts_take_the_form_of_overlayfs(tmp_path: Path) -> None:
    layer = tar(folder("dir/"), entry("dir/.wh.gone"), folder("hidden/"), entry("hidden/.wh..wh..opq"))
    path, _ = await unpack(tmp_path, layer)
    gone = (path / "dir/gone").lstat()
    assert stat.S_ISCHR(gone.st_mode)
    assert gone.st_rdev == 0
    assert os.getxattr(path / "hidden", "trusted.overlay.opaque") == b"y"
    assert [child.name for child in (path / "hidden").iterdir()] == []


@as_root
@pytest.mark.parametrize("whiteout_first", [True, False])
async def test_a_folder_removed_and_made_anew_in_one_layer_hides_what_lies_below(
    tmp_path: Path, whiteout_first: bool
) -> None:
    anew = [folder("dir/"), entry("dir/new", content=b"1")]
    layer = tar(*([entry(".wh.dir"), *anew] if whiteout_first else [*anew, entry(".wh.dir")]))
    path, _ = await unpack(tmp_path, layer)
    assert (path / "dir/new").read_bytes() == b"1"
    assert os.getxattr(path / "dir", "trusted.overlay.opaque") == b"y"


@as_root
async def test_a_file_after_its_own_whiteout_is_kept(tmp_path: Path) -> None:
    path, _ = await unpack(tmp_path, tar(entry(".wh.file"), entry("file", content=b"new")))
    assert (path / "file").read_bytes() == b"new"


async def test_whiteouts_stay_as_they_are_where_there_is_no_overlay(tmp_path: Path) -> None:
    path, _ = await unpack(tmp_path, tar(entry("dir/.wh.gone"), entry("dir/.wh..wh..opq")), overlay=False)
    assert sorted(child.name for child in (path / "dir").iterdir()) == [".wh..wh..opq", ".wh.gone"]


@pytest.mark.parametrize("name", ["../../../canary", "/canary", "a/../../canary", "./../canary"])
@pytest.mark.parametrize("overlay", [pytest.param(True, marks=as_root), False])
async def test_names_cannot_lead_out_of_the_layer(tmp_path: Path, name: str, overlay: bool) -> None:
    path, _ = await unpack(tmp_path, tar(entry(name, content=b"hostile")), overlay=overlay)
    assert (path / "canary").read_bytes() == b"hostile"


@as_root
@pytest.mark.parametrize("hard", [False, True])
async def test_links_out_of_the_layer_lead_nowhere(tmp_path: Path, hard: bool) -> None:
    outside = str(tmp_path / CANARY)
    kind = tarfile.LNKTYPE if hard else tarfile.SYMTYPE
    layer = tar(entry("link", kind, linkname=outside), entry("link", content=b"hostile"))
    try:
        path, _ = await unpack(tmp_path, layer)
    except InvalidArgument:
        assert hard  # there is no such file in the layer
    else:
        assert not (path / "link").is_symlink()


@as_root
async def test_a_folder_that_is_a_link_is_followed_inside_the_layer_only(tmp_path: Path) -> None:
    layer = tar(
        entry("out", tarfile.SYMTYPE, linkname=str(tmp_path)),
        folder(str(tmp_path).lstrip("/")),
        entry(f"out/{CANARY}", content=b"hostile"),
    )
    path, _ = await unpack(tmp_path, layer)
    assert (path / str(tmp_path).lstrip("/") / CANARY).read_bytes() == b"hostile"


@pytest.mark.parametrize(
    "entries",
    [
        lambda out: [
            entry("out", tarfile.SYMTYPE, linkname=out),
            entry(f"out/{CANARY}", content=b"hostile"),
        ],
        lambda out: [
            entry("out", tarfile.SYMTYPE, linkname=out),
            entry("own", tarfile.LNKTYPE, linkname=f"out/{CANARY}"),
        ],
        lambda out: [
            entry("a", tarfile.SYMTYPE, linkname="."),
            entry("a/b/../../x", content=b"1"),
            entry("a/y"),
        ],
    ],
    ids=["symbolic link as folder", "hard link through one", "link to itself"],
)
async def test_without_chroot_no_name_may_pass_through_a_link(
    tmp_path: Path, entries: Callable[[str], list]
) -> None:
    with pytest.raises(InvalidArgument, match="leads through a symbolic link"):
        await unpack(tmp_path, tar(*entries(str(tmp_path))), overlay=False)


async def test_without_chroot_devices_and_dangerous_modes_are_left_out(tmp_path: Path) -> None:
    layer = tar(
        entry("null", tarfile.CHRTYPE, devmajor=1, devminor=3),
        entry("program", content=b"1", mode=0o6777, uid=1234),
        folder("locked/", mode=0o000),
    )
    path, _ = await unpack(tmp_path, layer, overlay=False)
    assert not (path / "null").exists()
    assert stat.S_IMODE((path / "program").stat().st_mode) == 0o755
    assert (path / "program").stat().st_uid == os.geteuid()
    assert stat.S_IMODE((path / "locked").stat().st_mode) == 0o700


@as_root
async def test_images_cannot_write_the_marks_of_overlayfs(tmp_path: Path) -> None:
    headers = {"SCHILY.xattr.trusted.overlay.redirect": "/etc", "SCHILY.xattr.security.selinux": "x"}
    path, _ = await unpack(tmp_path, tar(folder("dir/", pax_headers=headers)))
    assert os.listxattr(path / "dir") == []


@pytest.mark.parametrize(
    ("layer", "limits", "reason"),
    [
        (tar(*(entry(f"f{n}") for n in range(30))), Limits(entries_max=20), "more than 20 entries"),
        (
            tar(entry("f", content=bytes(200_000))),
            Limits(unpacked_bytes_max=100_000),
            "more than 100000 bytes",
        ),
        (tar(entry("x/" * 900 + "f")), Limits(name_bytes_max=1000), "a name of 1801 bytes"),
        (tar(entry("x" * 300)), Limits(), "File name too long"),
        (tar(entry("f", content=b"x" * 5000))[:2000], Limits(), "ends within a file"),
        (tar(entry("a"), entry("b"))[:700], Limits(), "damaged tar"),
        (tar(entry("a"))[:512] + b"garbage" * 200, Limits(), "damaged tar header"),
        (tar(entry("s", tarfile.GNUTYPE_SPARSE, content=b"x")), Limits(), "sparse"),
        (tar(entry("link", tarfile.LNKTYPE, linkname="missing")), Limits(), "No such file"),
        (b"", Limits(), "not a tar archive"),
        (b"\x1f\x8b" + b"nonsense" * 100, Limits(), "damaged gzip"),
        (gzip.compress(b"x" * 100_000)[:60], Limits(), "damaged gzip"),
        (b"\x28\xb5\x2f\xfd" + b"nonsense" * 100, Limits(), "damaged zstd"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_bombs_and_damaged_layers_are_refused(
    tmp_path: Path, layer: bytes, limits: Limits, reason: str
) -> None:
    with pytest.raises(InvalidArgument, match=reason):
        await unpack(tmp_path, layer, limits=limits)


async def test_what_compresses_too_well_is_a_bomb(tmp_path: Path) -> None:
    bomb = tar(entry("zeros", content=bytes(4_000_000)))
    limits = Limits(expansion_max=100, expansion_free_bytes=1_000_000)
    with pytest.raises(InvalidArgument, match="more than 1000000 bytes"):
        await unpack(tmp_path, bomb, limits=limits, pack=gzip.compress)


async def test_a_header_too_large_for_memory_is_refused(tmp_path: Path) -> None:
    long_name = tarfile.TarInfo("././@LongLink")
    long_name.type, long_name.size = tarfile.GNUTYPE_LONGNAME, 8_000_000_000
    with pytest.raises(InvalidArgument, match="a header of 8000000000 bytes"):
        await unpack(tmp_path, long_name.tobuf(tarfile.GNU_FORMAT) + bytes(10_000))


@as_root
@pytest.mark.parametrize("name", [".wh.", ".wh..", "dir/.wh..."])
async def test_a_whiteout_must_name_something(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidArgument, match="removes nothing"):
        await unpack(tmp_path, tar(folder("dir/"), entry(name)))


def test_an_unpacker_that_begins_when_its_node_has_ended_leaves_no_trace(tmp_path: Path) -> None:
    blob, target = tmp_path / "blob", tmp_path / "target"
    blob.write_bytes(tar(entry("a")))
    target.mkdir()
    command = LayerDirectory(tmp_path / "store", Limits(), overlay=ROOT)._command(blob, target)
    with blob.open("rb") as layer:
        somebody_elses = subprocess.run(
            ["sh", "-c", '"$@"; exit $?', "sh", *command], stdin=layer, capture_output=True, check=False
        )
    assert (somebody_elses.returncode, somebody_elses.stderr) == (1, b"the node has ended\n")
    assert list(target.iterdir()) == []


async def test_content_with_another_digest_is_refused(tmp_path: Path) -> None:
    blob = tmp_path / "blob"
    blob.write_bytes(tar(entry("a")))
    directory = LayerDirectory(tmp_path / "store", Limits(), overlay=ROOT)
    with pytest.raises(InvalidArgument, match="unpacks to sha256:"):
        await directory.unpack(blob, digest(b"something else"))
    assert list((tmp_path / "store" / "unpacking").iterdir()) == []


@as_root
async def test_a_tree_deeper_than_python_recurses_can_be_deleted(tmp_path: Path) -> None:
    entries = [entry("s0", tarfile.SYMTYPE, linkname=".")]
    for level in range(1, 5):
        entries.append(folder(f"s{level - 1}/" + "d/" * 400))
        entries.append(entry(f"s{level}", tarfile.SYMTYPE, linkname=f"s{level - 1}/" + "d/" * 400))
    with pytest.raises(InvalidArgument):
        await unpack(tmp_path, tar(*entries, entry("link", tarfile.LNKTYPE, linkname="missing")))
