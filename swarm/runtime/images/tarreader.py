"""The entries of a tar that a stranger wrote, one after the other, never half believed.

Imports nothing but the standard library: processes that unpack load it as well. Python's own reader parses
only single blocks here: it takes a damaged header for the end of the archive, holds as many long names in
memory as there are, and needs hours for some extended headers.
"""

import tarfile
from collections.abc import Iterator
from typing import Protocol

from swarm.runtime.images import tarheaders
from swarm.runtime.images.limits import MIB, Limits
from swarm.runtime.images.shown import shown
from swarm.runtime.images.tarheaders import Area, BadArchive, Extended

_BLOCK = tarfile.BLOCKSIZE
_NO_BLOCK = bytes(_BLOCK)
_BUFFER = MIB // 4
_EXTENDED = (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE)
_WITHOUT_CONTENT = (
    tarfile.LNKTYPE,
    tarfile.SYMTYPE,
    tarfile.CHRTYPE,
    tarfile.BLKTYPE,
    tarfile.DIRTYPE,
    tarfile.FIFOTYPE,
)


class Readable(Protocol):
    """What a tar is read from."""

    def read(self, size: int, /) -> bytes:
        """Return up to `size` bytes, none at the end."""


class TarReader:
    """The entries of a tar, one after the other, each with its content."""

    def __init__(self, source: Readable, header_bytes_max: int = Limits().header_bytes_max) -> None:
        """`header_bytes_max`: how large all headers of one entry may be together."""
        self._source = source
        self._header_bytes_max = header_bytes_max
        self._header_bytes = 0
        self._buffer = b""
        self._at = 0
        self._begun = False
        self._left = 0  # of the content of the entry, and what fills its last block
        self._padding = 0
        self._areas: list[Area] | None = None
        self._name = ""

    def next(self) -> tarfile.TarInfo | None:
        """Return the next entry, None at the end, skipping the rest of the last one; raises BadArchive."""
        self._skip(self._left + self._padding)
        self._left = self._padding = self._header_bytes = 0
        extended = Extended()
        while (header := self._header()) is not None:
            block, entry = header
            if entry.type in _EXTENDED:
                tarheaders.add_records(extended, self._body(entry))
            elif entry.type == tarfile.XGLTYPE:
                self._body(entry)  # like others, we believe nothing that is said of all entries
            elif entry.type == tarfile.GNUTYPE_LONGNAME:
                extended.name = tarheaders.text(self._body(entry))
            elif entry.type == tarfile.GNUTYPE_LONGLINK:
                extended.linkname = tarheaders.text(self._body(entry))
            else:
                self._open(block, entry, extended)
                return entry
        if extended:
            raise BadArchive("damaged tar: it ends after an extended header")
        return None

    def pieces(self, most: int = MIB) -> Iterator[tuple[int, bytes]]:
        """Yield the content of the entry that `next` returned, with its place in the file."""
        if self._areas is None:
            self._areas = [Area(0, self._left)]
        for area in self._areas:
            offset, end = area.offset, area.offset + area.size
            while offset < end:
                piece = self._some(min(most, end - offset))
                if not piece:
                    raise BadArchive(f"the archive ends within a file: {shown(self._name)}")
                self._left -= len(piece)
                yield offset, piece
                offset += len(piece)

    def _header(self) -> tuple[bytes, tarfile.TarInfo] | None:
        block = self._take(_BLOCK, "a header")
        if not block or block == _NO_BLOCK:
            if not block and not self._begun:
                raise BadArchive("not a tar archive: it is empty")
            return None
        try:
            entry = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        except (tarfile.HeaderError, ValueError) as error:
            kind = "damaged tar header" if self._begun else "not a tar archive"
            raise BadArchive(f"{kind}: {error}") from error
        self._begun = True
        return block, entry

    def _body(self, entry: tarfile.TarInfo) -> bytes:
        """Return the content of a header that is about the next one."""
        if entry.size < 0:
            raise BadArchive(f"{shown(entry.name)} has a negative size")
        self._count(entry.size)
        return self._take(entry.size + -entry.size % _BLOCK, "a header", whole=True)[: entry.size]

    def _count(self, size: int) -> None:
        self._header_bytes += size
        if self._header_bytes > self._header_bytes_max:
            raise BadArchive(f"a header of {self._header_bytes} bytes")

    def _open(self, block: bytes, entry: tarfile.TarInfo, extended: Extended) -> None:
        """Make ready for the content of an entry."""
        if entry.type == tarfile.GNUTYPE_SPARSE:
            entry.type = tarfile.REGTYPE
            self._areas = self._old_map(block)
            real_size = tarheaders.old_size(block)
        else:
            self._areas, real_size = None, -1
        tarheaders.apply(entry, extended)
        self._name = entry.name
        if entry.type in _WITHOUT_CONTENT:
            entry.size = 0
        self._padding = -entry.size % _BLOCK
        self._left = entry.size
        if self._areas is None and entry.isreg() and _is_sparse(extended):
            real_size = self._recorded_map(entry, extended)
        if self._areas is not None:
            tarheaders.check_areas(self._areas, real_size, self._left)
            entry.size = real_size

    def _old_map(self, block: bytes) -> list[Area]:
        areas, more = tarheaders.old_areas(block, first=True)
        while more:
            self._count(_BLOCK)
            further, more = tarheaders.old_areas(self._take(_BLOCK, "a header", whole=True), first=False)
            areas += further
        return areas

    def _recorded_map(self, entry: tarfile.TarInfo, extended: Extended) -> int:
        """Read the map of a sparse file as PAX archives have it; return its size with holes."""
        records = extended.records
        if records.get("GNU.sparse.major") == "1":
            self._areas = self._leading_map()
        else:
            self._areas = tarheaders.recorded_areas(extended)
        entry.name = records.get("GNU.sparse.name", entry.name)
        size = records.get("GNU.sparse.realsize") or records.get("GNU.sparse.size") or ""
        if "\0" in entry.name or not (size.isascii() and size.isdigit() and len(size) < 20):
            raise BadArchive(f"{shown(entry.name)} is a sparse file without a name or size")
        return int(size)

    def _leading_map(self) -> list[Area]:
        """Read the map before the content: decimal numbers, one a line, the first their count."""
        lines: list[bytes] = []
        rest, wanted = b"", 1
        while len(lines) < wanted:
            self._count(_BLOCK)
            if self._left < _BLOCK:
                raise BadArchive("a sparse file without a map")
            self._left -= _BLOCK
            *found, rest = (rest + self._take(_BLOCK, "a header", whole=True)).split(b"\n")
            if not lines and found:
                (areas,) = tarheaders.pair_areas([found[0].decode("latin-1"), "0"])
                wanted = 1 + 2 * areas.offset
            lines += found
            if len(rest) > _BLOCK:
                raise BadArchive("a sparse file without a map")
        return tarheaders.pair_areas(line.decode("latin-1") for line in lines[1:wanted])

    def _take(self, size: int, what: str, *, whole: bool = False) -> bytes:
        """Return exactly `size` bytes; none at all at the end, unless `whole`."""
        pieces = []
        missing = size
        while missing and (piece := self._some(missing)):
            pieces.append(piece)
            missing -= len(piece)
        if missing and (pieces or whole):
            raise BadArchive(f"damaged tar: it ends within {what}")
        return b"".join(pieces)

    def _skip(self, size: int) -> None:
        while size:
            piece = self._some(size)
            if not piece:
                raise BadArchive(f"the archive ends within a file: {shown(self._name)}")
            size -= len(piece)

    def _some(self, most: int) -> bytes:
        """Return some of the next bytes, none at the end."""
        if self._at == len(self._buffer):
            if most >= _BUFFER:
                return self._source.read(min(most, MIB))
            self._buffer, self._at = self._source.read(_BUFFER), 0
        piece = self._buffer[self._at : self._at + most]
        self._at += len(piece)
        return piece


def _is_sparse(extended: Extended) -> bool:
    return bool(extended.sparse) or any(key.startswith("GNU.sparse.") for key in extended.records)
