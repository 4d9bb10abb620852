"""What do the extended headers of a tar say, and where does the content of a sparse file go? Pure.

Imports nothing but the standard library: the unpacking process loads it as well.
"""

import itertools
import re
import struct
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from swarm.runtime.images.shown import shown

XATTR = "SCHILY.xattr."
_SIZE_MAX = 2**63 - 1
_ID_MAX = 2**32 - 2  # the last number means "leave it as it is" to the kernel
_MAJOR_MAX, _MINOR_MAX = 2**12 - 1, 2**20 - 1
_TIME_MAX_S = 2**55
_NUMBER = re.compile(r"-?[0-9]{1,20}")
_TIME = re.compile(r"-?[0-9]{1,20}(\.[0-9]*)?")
# Where old GNU sparse headers have their map, and how many areas it and each further block names.
_OLD_MAP, _OLD_AREAS, _OLD_MORE, _OLD_SIZE = 386, 4, 482, slice(483, 495)
_BLOCK_AREAS, _BLOCK_MORE = 21, 504


class BadArchive(Exception):
    """The stream is no archive that we accept; `str()` says why."""


@dataclass(frozen=True, slots=True)
class Area:
    """A part of a sparse file that has content; between areas there are holes."""

    offset: int
    size: int


@dataclass(slots=True)
class Extended:
    """What extended headers say about the entry that follows them."""

    records: dict[str, str] = field(default_factory=dict)
    sparse: list[tuple[str, str]] = field(default_factory=list)  # old maps, in the order in which they came
    name: str = ""
    linkname: str = ""

    def __bool__(self) -> bool:
        """Tell whether there is anything."""
        return bool(self.records or self.sparse or self.name or self.linkname)


def text(raw: bytes) -> str:
    """Return the text of a header field, which ends with the first zero byte."""
    return raw.partition(b"\0")[0].decode("utf-8", "surrogateescape")


def add_records(extended: Extended, content: bytes) -> None:
    """Read the records `LENGTH KEY=VALUE` of a PAX header; raises BadArchive."""
    at = 0
    while at < len(content):
        space = content.find(b" ", at, at + 20)
        digits = content[at:space] if space > 0 else b""
        end = at + int(digits) if digits.isdigit() else 0
        record = content[space + 1 : end]
        key, equals, value = record.removesuffix(b"\n").partition(b"=")
        if end > len(content) or not record.endswith(b"\n") or not key or not equals:
            raise BadArchive("damaged extended header")
        _add(extended, key.decode("utf-8", "surrogateescape"), value.decode("utf-8", "surrogateescape"))
        at = end


def _add(extended: Extended, key: str, value: str) -> None:
    if key in ("GNU.sparse.offset", "GNU.sparse.numbytes"):
        extended.sparse.append((key, value))
    elif value:
        extended.records[key] = value
    else:  # takes back what an earlier header says
        extended.records.pop(key, None)


def apply(entry: tarfile.TarInfo, extended: Extended) -> None:
    """Let `entry` be what its extended headers say, and check its numbers; raises BadArchive."""
    records = extended.records
    entry.name = records.get("path") or extended.name or entry.name
    entry.linkname = records.get("linkpath") or extended.linkname or entry.linkname
    entry.size = _number(records, "size", entry.size)
    entry.uid, entry.gid = _number(records, "uid", entry.uid), _number(records, "gid", entry.gid)
    entry.pax_headers = {key: value for key, value in records.items() if key.startswith(XATTR)}
    if "mtime" in records:
        if not _TIME.fullmatch(records["mtime"]):
            raise BadArchive(f"{shown(entry.name)} has the time {shown(records['mtime'])}")
        entry.mtime = float(records["mtime"])
    if abs(entry.mtime) > _TIME_MAX_S:  # further away than any file system goes
        entry.mtime = 0
    if entry.isdir():
        entry.name = entry.name.rstrip("/")
    _check(entry)


def _number(records: Mapping[str, str], key: str, default: int) -> int:
    value = records.get(key)
    if value is None:
        return default
    if not _NUMBER.fullmatch(value):
        raise BadArchive(f"an extended header has the {key} {shown(value)}")
    return int(value)


def _check(entry: tarfile.TarInfo) -> None:
    name = shown(entry.name)
    if "\0" in entry.name or "\0" in entry.linkname:
        raise BadArchive(f"{name}: a name with a zero byte")
    if not 0 <= entry.size <= _SIZE_MAX:
        raise BadArchive(f"{name} has a {'negative size' if entry.size < 0 else f'size of {entry.size}'}")
    if not (0 <= entry.uid <= _ID_MAX and 0 <= entry.gid <= _ID_MAX):
        raise BadArchive(f"{name} belongs to {entry.uid}:{entry.gid}, which no user and group can be")
    if entry.isdev() and not entry.isfifo():
        major, minor = entry.devmajor, entry.devminor
        if not (0 <= major <= _MAJOR_MAX and 0 <= minor <= _MINOR_MAX):
            raise BadArchive(f"{name} is the device {major}:{minor}, which there cannot be")


def old_areas(block: bytes, *, first: bool) -> tuple[list[Area], bool]:
    """Return the areas in an old GNU sparse header or the blocks after it, and whether one more follows."""
    start, count, more = (_OLD_MAP, _OLD_AREAS, _OLD_MORE) if first else (0, _BLOCK_AREAS, _BLOCK_MORE)
    areas = []
    for at in range(start, start + count * 24, 24):
        offset, size = _field(block[at : at + 12]), _field(block[at + 12 : at + 24])
        if offset or size:
            areas.append(Area(offset, size))
    return areas, block[more] != 0


def old_size(block: bytes) -> int:
    """Return how large an old GNU sparse file is with its holes."""
    return _field(block[_OLD_SIZE])


def _field(raw: bytes) -> int:
    """Return the number in a header field: octal, or binary when it is large."""
    if raw[0] & 0x80:
        high, low = struct.unpack(">LQ", raw)
        return ((int(high) & 0x7FFFFFFF) << 64) + int(low)
    digits = raw.strip(b" \0")
    if digits and not re.fullmatch(rb"[0-7]+", digits):
        raise BadArchive("damaged tar header: a sparse file without a map")
    return int(digits or b"0", 8)


def recorded_areas(extended: Extended) -> list[Area]:
    """Return the areas that the records of a sparse file name (formats 0.0 and 0.1 of GNU)."""
    if "GNU.sparse.map" in extended.records:
        numbers: Iterable[str] = extended.records["GNU.sparse.map"].split(",")
    else:
        keys = [key for key, _ in extended.sparse]
        if keys != ["GNU.sparse.offset", "GNU.sparse.numbytes"] * (len(keys) // 2):
            raise BadArchive("a sparse file without a map")
        numbers = [value for _, value in extended.sparse]
    return pair_areas(numbers)


def pair_areas(numbers: Iterable[str]) -> list[Area]:
    """Return areas of alternating offsets and sizes; raises BadArchive."""
    found = []
    for number in numbers:
        if not _NUMBER.fullmatch(number):
            raise BadArchive(f"a sparse file with {shown(number)} in its map")
        found.append(int(number))
    if len(found) % 2:
        raise BadArchive("a sparse file with half of a map")
    return [Area(offset, size) for offset, size in zip(found[::2], found[1::2], strict=True)]


def check_areas(areas: Sequence[Area], real_size: int, stored: int) -> None:
    """Raise BadArchive unless areas follow each other within the file and are what the archive holds."""
    good = all(area.offset >= 0 and area.size >= 0 for area in areas)
    good = good and all(one.offset + one.size <= two.offset for one, two in itertools.pairwise(areas))
    good = good and (not areas or areas[-1].offset + areas[-1].size <= real_size <= _SIZE_MAX)
    if not good or sum(area.size for area in areas) != stored:
        raise BadArchive("a sparse file whose map makes no sense")
