"""How is a tar stream read that a stranger wrote: decompressed, counted, hashed, and never half believed?

Imports nothing but the standard library and zstandard: the unpacking process loads it as well. Python's
own reader takes a damaged header for the end of the archive and holds long names in memory; both are
errors here.
"""

import gzip
import hashlib
import io
import tarfile
import zlib
from collections.abc import Callable
from typing import IO, Any, Protocol, Self, cast

import zstandard

from swarm.runtime.images.limits import MIB, Limits

_GZIP_MAGIC = b"\x1f\x8b"
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
# Larger windows are refused: the decoder allocates the window at once.
_ZSTD_WINDOW_MAX = 128 * MIB
_HEADERS_IN_MEMORY = frozenset(
    {
        tarfile.GNUTYPE_LONGNAME,
        tarfile.GNUTYPE_LONGLINK,
        tarfile.XHDTYPE,
        tarfile.XGLTYPE,
        tarfile.SOLARIS_XHDTYPE,
    }
)


class BadArchive(Exception):
    """The stream is no archive that we accept; `str()` says why."""


class _Readable(Protocol):
    def read(self, size: int = -1, /) -> bytes: ...


class InflatedReader:
    """The decompressed bytes of a stream (gzip, zstd or none), hashed and limited."""

    def __init__(self, source: "io.BufferedReader[Any]", allowance: Callable[[], int]) -> None:
        """Read from `source`; more than `allowance()` decompressed bytes raise BadArchive."""
        magic = source.peek(4)[:4]
        self.compression = "none"
        self._inner: _Readable = source
        if magic.startswith(_GZIP_MAGIC):
            self.compression = "gzip"
            self._inner = gzip.GzipFile(fileobj=source)
        elif magic.startswith(_ZSTD_MAGIC):
            self.compression = "zstd"
            decoder = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW_MAX)
            self._inner = decoder.stream_reader(source, read_across_frames=True)
        self._allowance = allowance
        self._hash = hashlib.sha256()
        self.size = 0

    def read(self, size: int) -> bytes:
        """Return up to `size` bytes, empty at the end."""
        try:
            content = self._inner.read(size)
        except (EOFError, gzip.BadGzipFile, zlib.error, zstandard.ZstdError) as error:
            raise BadArchive(f"damaged {self.compression} data: {error}") from error
        self.size += len(content)
        if self.size > self._allowance():
            raise BadArchive(f"more than {self._allowance()} bytes when unpacked")
        self._hash.update(content)
        return content

    def drain(self) -> None:
        """Read to the end: what follows the last entry belongs to the digest too."""
        while self.read(MIB):
            pass

    @property
    def digest(self) -> str:
        """The digest of all bytes read so far."""
        return f"sha256:{self._hash.hexdigest()}"


class _StrictTarInfo(tarfile.TarInfo):
    """A header that is refused when it is damaged or too large to hold in memory."""

    header_bytes_max = Limits().header_bytes_max

    def _proc_member(self, archive: tarfile.TarFile) -> tarfile.TarInfo:
        """Look at a header before anything that it announces is read.

        The library names this method as the one to override. Not every version asks `frombuf`: Python
        3.11.2 as Debian patches it goes around it.
        """
        if self.size < 0:
            raise BadArchive(f"{self.name!r} has a negative size")
        if self.type in _HEADERS_IN_MEMORY and self.size > self.header_bytes_max:
            raise BadArchive(f"a header of {self.size} bytes")
        if self.type == tarfile.GNUTYPE_SPARSE:
            raise BadArchive(f"{self.name!r} is a sparse file, which images may not have")
        entry: tarfile.TarInfo = super()._proc_member(archive)  # type: ignore[misc]
        return entry

    @classmethod
    def fromtarfile(cls, tarfile: tarfile.TarFile) -> Self:
        try:
            return super().fromtarfile(tarfile)
        except _END:
            raise
        except _HEADER_ERROR as error:
            raise BadArchive(f"damaged tar header: {error}") from error


# Bound here because the method above must name its argument like the module.
_HEADER_ERROR: type[Exception] = tarfile.HeaderError
# The end of a tar: a block of zeros, or the end of the stream between two entries.
_END: tuple[type[Exception], ...] = (
    getattr(tarfile, "EOFHeaderError"),  # noqa: B009 -- public by name, absent from the type stubs
    getattr(tarfile, "EmptyHeaderError"),  # noqa: B009
)


def open_tar(reader: InflatedReader) -> tarfile.TarFile:
    """Return a forward-only reader of the entries; iterate with `entries`."""
    # When streaming, the reader is asked for nothing but read(n).
    source = cast("IO[bytes]", reader)
    try:
        return tarfile.open(
            fileobj=source,
            mode="r|",
            bufsize=256 * 1024,
            tarinfo=_StrictTarInfo,
            encoding="utf-8",
            errors="surrogateescape",
        )
    except tarfile.TarError as error:
        raise BadArchive(f"not a tar archive: {error}") from error


def next_entry(tar: tarfile.TarFile) -> tarfile.TarInfo | None:
    """Return the next entry, None at the end; raises BadArchive."""
    try:
        entry = tar.next()
    except (tarfile.TarError, ValueError, RecursionError, EOFError) as error:
        raise BadArchive(f"damaged tar: {error}") from error
    # The reader keeps every entry for random access; a stream needs none.
    tar.members.clear()  # type: ignore[attr-defined]
    if entry is not None and entry.issparse():
        raise BadArchive(f"{entry.name!r} is a sparse file, which images may not have")
    return entry


def read_content(content: IO[bytes], size: int) -> bytes:
    """Return up to `size` bytes of a file, empty at its end; raises BadArchive."""
    try:
        return content.read(size)
    except tarfile.TarError as error:
        raise BadArchive(f"the archive ends within a file: {error}") from error


def content_of(tar: tarfile.TarFile, entry: tarfile.TarInfo) -> IO[bytes]:
    """Return the content of a regular file, for `read_content`."""
    content = tar.extractfile(entry)
    if content is None:
        raise BadArchive(f"{entry.name!r} has no content")
    return content
