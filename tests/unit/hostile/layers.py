"""The layers: those that must be refused, each with what is said of it, and odd ones that must be taken."""

import gzip
import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import zstandard

from swarm.runtime.images.limits import KIB, MIB, Limits
from tests.unit.hostile.tars import (
    CHAR,
    DEVICE,
    END,
    FILE,
    FOLDER,
    GLOBAL,
    HARD,
    LONG_LINK,
    LONG_NAME,
    PAX,
    PIPE,
    SOFT,
    binary,
    capability,
    entry,
    folder,
    hard,
    header,
    layer,
    named,
    pax,
    record,
    soft,
    sparse_map,
    sparse_new,
    sparse_old,
)

SMALL = Limits(entries_max=50, unpacked_bytes_max=4 * MIB, expansion_free_bytes=MIB, expansion_max=10)


@dataclass(frozen=True)
class Layer:
    content: bytes
    said: str
    limits: Limits = field(default_factory=Limits)
    pack: Callable[[bytes], bytes] = bytes
    raw: bytes | None = None  # the blob, where it does not unpack to `content` at all


@dataclass(frozen=True)
class Odd:
    content: bytes
    # What is in the layer then: None for a folder, bytes for a file.
    files: Mapping[str, bytes | None]
    pack: Callable[[bytes], bytes] = bytes


def bomb(size: int) -> bytes:
    return layer(entry("zeros", content=bytes(size)))


def zstd_frame_with_window(log: int) -> bytes:
    # Magic, a descriptor without content size, the window's logarithm, an empty last block.
    return b"\x28\xb5\x2f\xfd" + b"\x00" + bytes([(log - 10) << 3]) + b"\x01\x00\x00"


def _many(kind: bytes, content: bytes, count: int) -> bytes:
    return layer(entry("long", kind, content) * count, entry("a"))


OUT = "/outside/canary"

HOSTILE: dict[str, Layer] = {
    # Out of the layer.
    "hard link to a file of the node": Layer(layer(hard("link", "/etc/passwd")), "No such file"),
    "hard link upwards": Layer(layer(hard("link", "../../../outside/canary")), "No such file"),
    "hard link through a link to the node": Layer(
        layer(soft("out", "/"), hard("link", "out/etc/passwd")), "No such file"
    ),
    "hard link to nowhere": Layer(layer(hard("link", "missing")), "No such file"),
    "hard link to itself": Layer(layer(entry("a"), hard("a", "a")), "No such file"),
    "hard link to a folder": Layer(layer(folder("dir"), hard("link", "dir")), "Operation not permitted"),
    "hard link in place of the root": Layer(layer(entry("a"), hard(".", "a")), "File exists"),
    "file through a link to nowhere": Layer(layer(soft("out", OUT), entry("out/file")), "No such file"),
    "file through a link to itself": Layer(layer(soft("out", "out"), entry("out/file")), "Too many levels"),
    "file through links in a circle": Layer(
        layer(soft("a", "b"), soft("b", "a"), entry("a/file")), "Too many levels"
    ),
    "file below a file": Layer(layer(entry("a"), entry("a/b")), "Not a directory"),
    "file in place of the root": Layer(layer(entry("./", content=b"x")), "File exists"),
    "file upwards in place of the root": Layer(layer(entry("a/../..", content=b"x")), "File exists"),
    "link in place of the root": Layer(layer(soft(".", "/etc")), "File exists"),
    "pipe in place of the root": Layer(layer(entry("/", PIPE)), "File exists"),
    "device in place of the root": Layer(layer(entry("..", CHAR, major=1, minor=3)), "File exists"),
    # Whiteouts.
    "whiteout of nothing": Layer(layer(entry(".wh.")), "removes nothing"),
    "whiteout of the folder itself": Layer(layer(folder("dir"), entry("dir/.wh..")), "removes nothing"),
    "whiteout of the folder above": Layer(layer(folder("dir"), entry("dir/.wh...")), "removes nothing"),
    "whiteout below a file": Layer(layer(entry("a"), entry("a/.wh.b")), "Not a directory"),
    "whiteout through a link to nowhere": Layer(
        layer(soft("out", OUT), entry("out/.wh.canary")), "No such file"
    ),
    "opaque whiteout of a link to nowhere": Layer(
        layer(soft("out", OUT), entry("out/.wh..wh..opq")), "No such file"
    ),
    "hard link to a whiteout's name": Layer(
        layer(entry(".wh.gone"), hard("link", ".wh.gone")), "No such file"
    ),
    # Names.
    "name longer than a file may have": Layer(layer(named("x" * 300)), "File name too long"),
    "name longer than a path may be": Layer(layer(named("x/" * 3000 + "f")), "a name of 6001 bytes"),
    "name that is no text and too long": Layer(layer(named(b"\xff\x1b[2J" * 60)), "File name too long"),
    "name with a zero byte": Layer(layer(named(b"a\0b")), "zero byte"),
    "target with a zero byte": Layer(layer(pax(record("linkpath", b"a\0b")), entry("x", SOFT)), "zero byte"),
    "target longer than a path may be": Layer(
        layer(pax(record("linkpath", "x" * 5000)), entry("x", SOFT)), "File name too long"
    ),
    "link to an empty name": Layer(layer(entry("x", SOFT)), "No such file"),
    "folders without end in one name": Layer(layer(named("d/" * 400 + "f")), "more than 50 entries", SMALL),
    # Kinds, owners, sizes and times.
    "kind that there is not": Layer(layer(entry("z", b"Z", b"x")), "unknown kind 'Z'"),
    "owner that nobody can be": Layer(layer(pax(record("uid", str(2**32 - 1))), entry("a")), "4294967295:0"),
    "owner below zero": Layer(layer(pax(record("uid", "-1")), entry("a")), "-1:0"),
    "owner below zero in binary": Layer(layer(entry("a", uid=binary(-2, 8))), "-2:0"),
    "owner without end": Layer(layer(pax(record("gid", "9" * 400)), entry("a")), "has the gid"),
    "owner that is a word": Layer(layer(pax(record("uid", "root")), entry("a")), "has the uid 'root'"),
    "device that there cannot be": Layer(layer(entry("d", CHAR, major=binary(1 << 40, 8))), "is the device"),
    "device below zero": Layer(layer(entry("d", DEVICE, minor=binary(-1, 8))), "is the device"),
    "size below zero": Layer(layer(entry("a", size=binary(-512, 12))), "negative size"),
    "size below zero in an extended header": Layer(
        layer(pax(record("size", "-1024")), entry("a")), "negative size"
    ),
    "size that no file has": Layer(layer(pax(record("size", str(2**64))), entry("a")), "a size of"),
    "size that is no number": Layer(layer(pax(record("size", "1e3")), entry("a")), "has the size '1e3'"),
    "size larger than the archive": Layer(
        layer(pax(record("size", "1000000")), entry("a")), "ends within a file"
    ),
    "size larger than any archive": Layer(
        layer(pax(record("size", str(10**12))), entry("a")), "bytes when unpacked"
    ),
    "time that is no number": Layer(layer(pax(record("mtime", "nan")), entry("a")), "has the time 'nan'"),
    "time without end": Layer(layer(pax(record("mtime", "9" * 5000)), entry("a")), "has the time"),
    "capability that makes no sense": Layer(
        layer(pax(record("SCHILY.xattr.security.capability", "x")), entry("a")), "Invalid argument"
    ),
    "attribute with a name too long": Layer(
        layer(pax(record("SCHILY.xattr.user." + "x" * 300, "x")), entry("a")),
        "Numerical result out of range",
    ),
    # Headers.
    "extended header of digits alone": Layer(
        layer(entry("pax", PAX, b"1" * (1 * MIB)), entry("a")), "damaged extended header"
    ),
    "extended header of spaces": Layer(
        layer(entry("pax", PAX, b" " * 5000), entry("a")), "damaged extended"
    ),
    "extended record without end": Layer(
        layer(entry("pax", PAX, b"99 path=a\n"), entry("a")), "damaged extended"
    ),
    "extended record of no length": Layer(
        layer(entry("pax", PAX, b"0 path=a\n"), entry("a")), "damaged extended"
    ),
    "extended record that says nothing": Layer(
        layer(entry("pax", PAX, b"7 path\n"), entry("a")), "damaged extended"
    ),
    "extended header larger than memory": Layer(
        header(b"pax", PAX, size=8_000_000_000 - 1) + END, "a header of 7999999999 bytes"
    ),
    "extended header below zero": Layer(header(b"pax", PAX, size=binary(-5, 12)) + END, "negative size"),
    "global header larger than memory": Layer(
        header(b"pax", GLOBAL, size=binary(1 << 60, 12)) + END, "a header of"
    ),
    "long names without end": Layer(_many(LONG_NAME, b"n" * 900, 2000), "a header of"),
    "long targets without end": Layer(_many(LONG_LINK, b"n" * 900, 2000), "a header of"),
    "extended headers without end": Layer(_many(PAX, record("a", "b" * 900), 2000), "a header of"),
    "long name without a file": Layer(
        layer(entry("l", LONG_NAME, b"name\0")), "ends after an extended header"
    ),
    "damaged checksum": Layer(entry("a") + b"x" + entry("b")[1:] + END, "damaged tar header"),
    "garbage after a file": Layer(entry("a") + b"garbage" * 200, "damaged tar header"),
    # Files with holes.
    "holes in the wrong order": Layer(
        layer(sparse_old([(4096, 512), (0, 512)], 8192, bytes(1024))), "map makes no sense"
    ),
    "holes beyond the end": Layer(layer(sparse_old([(4096, 512)], 512, bytes(512))), "map makes no sense"),
    "holes for more than is there": Layer(
        layer(sparse_old([(0, 5120)], 5120, bytes(512))), "map makes no sense"
    ),
    "map of holes without end": Layer(
        layer(sparse_old([(0, 512)], 512, bytes(512), more=[sparse_map([(0, 1)] * 21, last=False)] * 3000)),
        "a header of",
    ),
    "map of holes that counts to a trillion": Layer(
        layer(sparse_new(b"1000000000000\n" + b"0\n" * MIB, 512, b"")), "a header of"
    ),
    "map of holes below zero": Layer(
        layer(sparse_new(b"1\n-512\n512\n", 512, bytes(512))), "map makes no sense"
    ),
    "map of holes of words": Layer(layer(sparse_new(b"1\nx\ny\n", 512, bytes(512))), "in its map"),
    "map of holes on one line": Layer(
        layer(sparse_new(b"1" * 5000, 512, b"")), "a sparse file without a map"
    ),
    "map of holes in pieces": Layer(
        layer(pax(record("GNU.sparse.size", "9"), record("GNU.sparse.numbytes", "1")), entry("a")),
        "a sparse file without a map",
    ),
    "holes without a size": Layer(
        layer(pax(record("GNU.sparse.map", "0,0")), entry("a")), "without a name or size"
    ),
    "hole larger than any disk": Layer(
        layer(sparse_new(b"1\n0\n512\n", 2**62, b"x" * 512)), "bytes when unpacked"
    ),
    # Bombs.
    "more files than a layer may have": Layer(
        layer(*(entry(f"f{n}") for n in range(60))), "more than 50", SMALL
    ),
    "the same file again and again": Layer(layer(*[entry("f")] * 60), "more than 50 entries", SMALL),
    "gzip bomb": Layer(bomb(8 * MIB), "more than 1048576 bytes when unpacked", SMALL, gzip.compress),
    "zstd bomb": Layer(bomb(8 * MIB), "more than 1048576 bytes when unpacked", SMALL, zstandard.compress),
    "bomb behind the end": Layer(
        layer(entry("a")) + bytes(8 * MIB), "more than 1048576 bytes when unpacked", SMALL, gzip.compress
    ),
    "zstd window larger than memory": Layer(b"", "damaged zstd", raw=zstd_frame_with_window(40)),
    # Not what it should be.
    "nothing": Layer(b"", "not a tar archive"),
    "text": Layer(b"FROM scratch\n" * 100, "not a tar archive"),
    "xz": Layer(b"\xfd7zXZ\0" + bytes(600), "not a tar archive"),
    "gzip within gzip": Layer(gzip.compress(layer(entry("a"))), "damaged tar", pack=gzip.compress),
    "cut within a file": Layer(layer(entry("f", content=b"x" * 5000))[:2000], "ends within a file"),
    "cut within a header": Layer(layer(entry("a"), entry("b"))[:700], "ends within a header"),
    "cut gzip": Layer(b"", "damaged gzip", raw=gzip.compress(b"x" * 100_000)[:60]),
    "cut zstd": Layer(b"", "archive", raw=zstandard.compress(layer(entry("a", content=b"x" * 9000)))[:30]),
    "garbage after gzip": Layer(b"", "damaged gzip", raw=gzip.compress(layer(entry("a"))) + b"garbage" * 50),
    "gzip with a wrong sum": Layer(
        b"", "damaged gzip", raw=gzip.compress(layer(entry("a")))[:-8] + bytes(8)
    ),
    "another layer than the configuration says": Layer(
        layer(entry("real")), "unpacks to sha256:", raw=layer(entry("other"))
    ),
}


def swapped() -> bytes:
    """A link to the node that becomes a folder and the reverse, with files through both."""
    return layer(
        soft("a", "/etc"),
        folder("a"),
        entry("a/canary", content=b"mine"),
        folder("b"),
        entry("b/kept", content=b"1"),
        soft("b", "a"),
        entry("b/through", content=b"2"),
    )


ODD: dict[str, Odd] = {
    "names upwards": Odd(layer(entry("../../up", content=b"1")), {"up": b"1"}),
    "absolute names": Odd(layer(entry("/etc/name", content=b"1")), {"etc/name": b"1"}),
    "names with a dot": Odd(layer(folder("./"), entry("./a", content=b"1")), {"a": b"1"}),
    "names with many slashes": Odd(layer(entry("a//b///c", content=b"1")), {"a/b/c": b"1"}),
    "a link out, replaced by a file": Odd(
        layer(soft("out", "/outside/canary"), entry("out", content=b"1")), {"out": b"1"}
    ),
    "links and folders that change places": Odd(swapped(), {"a/canary": b"mine", "a/through": b"2"}),
    "a relative link up to the root and beyond": Odd(
        layer(folder("usr/lib"), soft("lib", "../../usr/lib"), entry("lib/x", content=b"1")),
        {"usr/lib/x": b"1"},
    ),
    "an absolute link within": Odd(
        layer(folder("run"), folder("var"), soft("var/run", "/run"), entry("var/run/x", content=b"1")),
        {"run/x": b"1"},
    ),
    "hard links": Odd(layer(entry("a", content=b"1"), hard("b", "a"), hard("c", "/b")), {"c": b"1"}),
    "a hard link to a link": Odd(
        layer(soft("a", "x"), hard("b", "a"), entry("x", content=b"1")), {"x": b"1"}
    ),
    "a hard link that says a size": Odd(
        layer(entry("a", content=b"1"), header(b"b", HARD, link=b"a", size=4096), entry("c", content=b"2")),
        {"b": b"1", "c": b"2"},
    ),
    "a file twice": Odd(layer(entry("a", content=b"1"), entry("a", content=b"2")), {"a": b"2"}),
    "a file, then a folder": Odd(layer(entry("a"), folder("a"), entry("a/b", content=b"1")), {"a/b": b"1"}),
    "a full folder, then a file": Odd(
        layer(folder("a"), entry("a/b"), entry("a", content=b"1")), {"a": b"1"}
    ),
    "long names as PAX has them": Odd(
        layer(named("n" * 200 + "/" + "m" * 200, content=b"1")), {"n" * 200 + "/" + "m" * 200: b"1"}
    ),
    "long names as GNU has them": Odd(
        layer(entry("l", LONG_NAME, b"n" * 200 + b"\0"), entry("x", content=b"1")), {"n" * 200: b"1"}
    ),
    "a path as long as Linux takes": Odd(layer(named("d/" * 2000 + "f")), {}),
    "names in Latin 1": Odd(layer(named(b"caf\xe9", content=b"1")), {"caf\udce9": b"1"}),
    "names with a line end": Odd(layer(named("a\nb\x1b[m", content=b"1")), {"a\nb\x1b[m": b"1"}),
    "an owner above 65535": Odd(layer(entry("a", content=b"1", uid=1_000_000, gid=2**21 - 1)), {"a": b"1"}),
    "an owner in binary": Odd(layer(entry("a", content=b"1", uid=binary(2**31 + 5, 8))), {"a": b"1"}),
    "a size in binary": Odd(layer(entry("a", content=b"123", size=binary(3, 12))), {"a": b"123"}),
    "times before 1970 and after 2038": Odd(
        layer(
            pax(record("mtime", "-5.25")) + entry("a", content=b"1"),
            entry("b", content=b"2", mtime=binary(2**34, 12)),
            pax(record("mtime", "99999999999999999999")) + entry("c", content=b"3"),
        ),
        {"a": b"1", "b": b"2", "c": b"3"},
    ),
    "a capability": Odd(
        layer(pax(record("SCHILY.xattr.security.capability", capability())), entry("a", content=b"1")),
        {"a": b"1"},
    ),
    "attributes of others": Odd(
        layer(
            pax(record("SCHILY.xattr.trusted.overlay.opaque", "y"), record("LIBARCHIVE.xattr.x", "eA==")),
            entry("a", content=b"1"),
        ),
        {"a": b"1"},
    ),
    "a header for all": Odd(
        layer(pax(record("comment", "by git"), record("path", "b"), kind=GLOBAL), entry("a", content=b"1")),
        {"a": b"1"},
    ),
    "a record taken back": Odd(
        layer(pax(record("path", "b"), record("path", "")), entry("a", content=b"1")), {"a": b"1"}
    ),
    "holes as GNU wrote them first": Odd(
        layer(sparse_old([(512, 512), (2048, 100)], 4096, b"a" * 512 + b"b" * 100), entry("z")),
        {"sparse": bytes(512) + b"a" * 512 + bytes(1024) + b"b" * 100 + bytes(1948), "z": b""},
    ),
    "holes with more maps": Odd(
        layer(
            sparse_old(
                [(512 * n, 512) for n in (1, 3, 5, 7)], 8192, b"x" * 2560, more=[sparse_map([(6000, 512)])]
            )
        ),
        {
            "sparse": b"".join(
                itertools.chain(itertools.repeat(bytes(512) + b"x" * 512, 4), (bytes(1904), b"x" * 512))
            ).ljust(8192, b"\0")
        },
    ),
    "holes as GNU writes them today": Odd(
        layer(sparse_new(b"2\n1024\n512\n3072\n0\n", 3072, b"x" * 512), entry("z", content=b"1")),
        {"sparse": (bytes(1024) + b"x" * 512).ljust(3072, b"\0"), "z": b"1"},
    ),
    "holes as GNU wrote them in between": Odd(
        layer(
            pax(
                record("GNU.sparse.name", "sparse"),
                record("GNU.sparse.size", "600"),
                record("GNU.sparse.map", "88,512"),
            ),
            entry("x", content=b"x" * 512),
        ),
        {"sparse": bytes(88) + b"x" * 512},
    ),
    "a large hole": Odd(layer(sparse_new(b"1\n100000000\n512\n", 100_000_512, b"x" * 512)), {}),
    "no end": Odd(layer(entry("a", content=b"1"), end=b""), {"a": b"1"}),
    "half of an end": Odd(layer(entry("a", content=b"1"), end=bytes(512)), {"a": b"1"}),
    "much of an end": Odd(layer(entry("a", content=b"1"), end=bytes(100 * KIB)), {"a": b"1"}),
    "no file at all": Odd(END, {}),
    "old Unix": Odd(layer(entry("dir/", b"\0"), entry("dir/a", b"\0", b"1")), {"dir": None, "dir/a": b"1"}),
    "a contiguous file": Odd(layer(entry("a", b"7", b"1")), {"a": b"1"}),
    "folders that nobody may enter": Odd(
        layer(folder("a", mode=0), entry("a/b", content=b"1", mode=0)), {"a/b": b"1"}
    ),
    "sticky folders and programs with rights": Odd(
        layer(folder("tmp", mode=0o1777), entry("su", content=b"1", mode=0o4755)), {"tmp": None, "su": b"1"}
    ),
    "pipes and devices": Odd(
        layer(entry("p", PIPE), entry("null", CHAR, major=1, minor=3), entry("a", content=b"1")), {"a": b"1"}
    ),
    "gzip in several members": Odd(
        layer(entry("a", content=b"1" * 3000)),
        {"a": b"1" * 3000},
        lambda raw: gzip.compress(raw[:700]) + gzip.compress(raw[700:]) + bytes(512),
    ),
    "zstd in several frames": Odd(
        layer(entry("a", content=b"1" * 3000)),
        {"a": b"1" * 3000},
        lambda raw: zstandard.compress(raw[:700]) + zstandard.compress(raw[700:]),
    ),
}
assert FILE != FOLDER
