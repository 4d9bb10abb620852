"""Archives of strangers, copied into a container and out of one: nothing is written outside."""

import asyncio
import bz2
import gzip
import lzma
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from swarm.cli.archive import Destination, extract
from swarm.errors import SwarmError
from swarm.runtime.images.limits import MIB
from swarm.runtime.oci.copying import copy_from, copy_to
from tests.unit.hostile.stores import assert_is_one_clear_line, everything
from tests.unit.hostile.tars import (
    CHAR,
    LONG_NAME,
    PAX,
    PIPE,
    binary,
    entry,
    folder,
    hard,
    header,
    layer,
    named,
    pax,
    record,
    soft,
    sparse_new,
)
from tests.unit.images.building import pieces

# Bad wherever it goes, with what is said.
BOTH = {
    "no archive": (b"<html>" * 500, "no"),
    "nothing": (b"", "it is empty"),
    "cut": (layer(entry("t/a", content=b"x" * 5000))[:2000], "ends within"),
    "an extended header of digits alone": (
        layer(entry("pax", PAX, b"1" * MIB), entry("t")),
        "damaged extended",
    ),
    "a header larger than memory": (header(b"pax", PAX, size=8 * 10**9) + bytes(1024), "a header of"),
    "long names without end": (layer(entry("l", LONG_NAME, b"n" * 900) * 2000), "a header of"),
    "a map of holes without end": (
        layer(sparse_new(b"1000000000000\n" + b"0\n" * MIB, 512, b"")),
        "a header",
    ),
    "a size below zero": (layer(entry("t", size=binary(-512, 12))), "negative size"),
    "a name with a zero byte": (layer(named(b"t/a\0b")), "zero byte"),
    "a name that is too long": (layer(named("t/" + "\x1b" * 300)), "File name too long"),
}
IN = {
    "a file below a file": (layer(entry("t"), entry("t/a")), "File exists"),
    "a device": (layer(entry("t", CHAR, major=1, minor=3)), "neither a file"),
    "a pipe": (layer(entry("t", PIPE)), "neither a file"),
    "a hard link to the node": (layer(hard("t", "/outside/canary")), "No such file"),
    "a file through a link to the node": (layer(soft("t", "/outside"), entry("t/canary")), "File exists"),
    "a file in place of the root": (layer(entry("/", content=b"x")), "is a directory"),
    "a file in place of a folder": (layer(folder("t"), entry("t")), "is a directory"),
    "folders without end": (layer(named("d/" * 2000 + "f")), "nested too deeply"),
}
OUT = {
    "a file below a file": (layer(entry("t"), entry("t/a")), "ot a directory"),
    "a name upwards": (layer(entry("t/../../outside/canary")), "would leave"),
    "the folder above": (layer(folder("..")), "would leave"),
    "a file through a link upwards": (
        layer(soft("t/x", "../../outside"), entry("t/x/canary")),
        "ot a directory",
    ),
    "a link in place of the root": (layer(soft("t", "/"), entry("t/x")), "ot a directory"),
    "a link that becomes a folder": (
        layer(soft("t/x", "../../outside"), folder("t/x"), entry("t/x/canary")),
        "ot a directory",
    ),
}


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """Where things are copied to; what lies beside must stay as it is."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "canary").write_text("untouched")
    before = everything(tmp_path / "outside")
    (tmp_path / "here").mkdir()
    yield tmp_path / "here"
    assert everything(tmp_path / "outside") == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["here", "outside"]


def out(place: Path, archive: bytes) -> None:
    extract(
        iter([archive[at : at + 7000] for at in range(0, len(archive), 7000)]), Destination(place, ""), False
    )


async def into(place: Path, archive: bytes) -> None:
    root = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
    try:
        async with asyncio.timeout(60):
            await copy_to(root, "/", pieces(archive, 65536), keep_owner=True)
    finally:
        os.close(root)


@pytest.mark.parametrize(("archive", "said"), (BOTH | OUT).values(), ids=BOTH | OUT)
def test_what_comes_from_a_container_is_refused(place: Path, archive: bytes, said: str) -> None:
    with pytest.raises(SwarmError) as refused:
        out(place, archive)
    assert said in str(refused.value)
    assert_is_one_clear_line(str(refused.value).replace(str(place), ""))


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root for chroot")
@pytest.mark.parametrize(
    ("kind", "said"), [("device", "left out"), ("pipe", "left out"), ("socket", "socket")]
)
async def test_what_is_no_file_is_not_copied_in_silence(place: Path, kind: str, said: str) -> None:
    source = place / "t"
    if kind == "device":
        os.mknod(source, 0o20600, os.makedev(1, 3))
    elif kind == "pipe":
        os.mkfifo(source)
    else:
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(source))
    root = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with pytest.raises(SwarmError, match=said):
            out(place, b"".join([part async for part in copy_from(root, "/t", follow=False)]))
    finally:
        os.close(root)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root for chroot")
@pytest.mark.parametrize(("archive", "said"), (BOTH | IN).values(), ids=BOTH | IN)
async def test_what_goes_into_a_container_is_refused(place: Path, archive: bytes, said: str) -> None:
    with pytest.raises(SwarmError) as refused:
        await into(place, archive)
    assert said in str(refused.value)
    assert_is_one_clear_line(str(refused.value))


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root for chroot")
@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress, lzma.compress])
async def test_a_good_archive_arrives(place: Path, pack: Callable[[bytes], bytes]) -> None:
    archive = layer(
        folder("./t"),
        entry("./t/a", content=b"1", uid=70_000),
        hard("t/b", "t/a"),
        pax(record("path", "t/" + "n" * 200)) + entry("x", content=b"2"),
        sparse_new(b"1\n600\n512\n", 2000, b"x" * 512, name="t/holes"),
    )
    await into(place, pack(archive))
    assert (place / "t/b").read_bytes() == b"1"
    assert (place / "t/a").stat().st_uid == 70_000
    assert (place / "t" / ("n" * 200)).read_bytes() == b"2"
    assert (place / "t/holes").read_bytes() == (bytes(600) + b"x" * 512).ljust(2000, b"\0")
