"""How are the bytes of a stream read that a stranger wrote: decompressed, counted and hashed?

Imports nothing but the standard library and zstandard: the unpacking process loads it as well.
"""

import gzip
import hashlib
import io
import zlib
from collections.abc import Callable
from typing import Any

import zstandard

from swarm.runtime.images.limits import MIB
from swarm.runtime.images.tarheaders import BadArchive
from swarm.runtime.images.tarreader import Readable

_GZIP_MAGIC = b"\x1f\x8b"
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
# Larger windows are refused: the decoder allocates the window at once.
_ZSTD_WINDOW_MAX = 128 * MIB


class InflatedReader:
    """The decompressed bytes of a stream (gzip, zstd or none), hashed and limited."""

    def __init__(self, source: "io.BufferedReader[Any]", allowance: Callable[[], int]) -> None:
        """Read from `source`; more than `allowance()` decompressed bytes raise BadArchive."""
        magic = source.peek(4)[:4]
        self.compression = "none"
        self._inner: Readable = source
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
