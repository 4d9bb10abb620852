"""Content by digest: a blob is there whole and checked, or not at all.

`sha256/<hex>` are blobs, `partial/<hex>` are transfers that can go on where they broke.
"""

import asyncio
import contextlib
import hashlib
import os
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from pathlib import Path
from typing import BinaryIO

import structlog

from swarm.errors import InvalidArgument, NotFound, TransientError
from swarm.runtime.images.digests import digest_of, hexadecimal, short
from swarm.runtime.images.durable import publish, sync_folder
from swarm.runtime.images.limits import KIB, MIB, Limits
from swarm.runtime.images.single_flight import SingleFlight

log = structlog.get_logger(__name__)

_CHUNK = 1 * MIB
# A transfer that gets further may break as often as it likes; one that does not is given up.
_FRUITLESS_ATTEMPTS_MAX = 4
_FRUITFUL_BYTES = 1 * KIB
_BACKOFF_S = 0.2

Fetch = Callable[[int], AsyncIterator[bytes]]


class BlobDirectory:
    """The blobs of this node."""

    def __init__(self, root: Path, limits: Limits) -> None:
        """Open or make the folder `root`."""
        self._blobs = root / "sha256"
        self._partial = root / "partial"
        self._limits = limits
        self._flights: SingleFlight[str, None] = SingleFlight()
        self._active: set[str] = set()
        for folder in (self._blobs, self._partial):
            folder.mkdir(parents=True, exist_ok=True)
        sync_folder(root)

    def path(self, digest: str) -> Path:
        """Return where the blob is, or would be."""
        return self._blobs / hexadecimal(digest)

    def has(self, digest: str) -> bool:
        """Tell whether the blob is here."""
        return self.path(digest).is_file()

    def size(self, digest: str) -> int:
        """Return the blob's size in bytes; raises NotFound."""
        try:
            return self.path(digest).stat().st_size
        except FileNotFoundError:
            raise NotFound(f"no blob {digest} here") from None

    def document(self, digest: str) -> bytes:
        """Return a small blob, checked again; raises NotFound, InvalidArgument (damaged or too large)."""
        if self.size(digest) > self._limits.document_bytes_max:
            raise InvalidArgument(f"{digest} is larger than {self._limits.document_bytes_max} bytes")
        content = self.path(digest).read_bytes()
        if digest_of(content) != digest:
            raise InvalidArgument(f"blob {digest} is damaged on this node's disk")
        return content

    async def put(self, content: bytes) -> str:
        """Store `content` and return its digest."""
        digest = digest_of(content)
        if not self.has(digest):

            async def whole(offset: int) -> AsyncIterator[bytes]:
                yield content[offset:]

            await self.receive(digest, len(content), whole)
        return digest

    async def receive(
        self,
        digest: str,
        size_bytes: int | None,
        fetch: Fetch,
        progress: Callable[[str], None] | None = None,
        *,
        document: bool = False,
    ) -> None:
        """Fetch a blob unless it is here, going on after broken transfers.

        `fetch(offset)` yields the content from there on; it raises TransientError when it may be tried
        again. A `document` is refused when it is larger than what is read into memory.
        Raises what `fetch` raised last, InvalidArgument when the content has another digest.
        """
        bound = self._limits.document_bytes_max if document else self._limits.blob_bytes_max
        if size_bytes is not None and size_bytes > bound:
            raise InvalidArgument(f"blob {digest} has {size_bytes} bytes; the limit is {bound}")
        if not self.has(digest):
            await self._flights.run(
                digest, lambda: self._receive(digest, size_bytes, bound, fetch, progress)
            )

    async def _receive(
        self,
        digest: str,
        size_bytes: int | None,
        bound: int,
        fetch: Fetch,
        progress: Callable[[str], None] | None,
    ) -> None:
        path = self._partial / hexadecimal(digest)
        self._active.add(path.name)
        try:
            transfer = await asyncio.to_thread(_Transfer.begin, path)
            await self._carry_out(transfer, digest, size_bytes, bound, fetch, progress)
        finally:
            self._active.discard(path.name)

    async def _carry_out(
        self,
        transfer: "_Transfer",
        digest: str,
        size_bytes: int | None,
        bound: int,
        fetch: Fetch,
        progress: Callable[[str], None] | None,
    ) -> None:
        bound = bound if size_bytes is None else size_bytes
        try:
            try:
                if size_bytes is None or transfer.size < size_bytes:
                    await self._complete(transfer, bound, fetch, progress)
                _check(transfer, digest, size_bytes)
            except InvalidArgument:
                # What was left of an earlier attempt was bad, or a mirror sent it: once more from the start.
                await asyncio.to_thread(transfer.restart)
                await self._complete(transfer, bound, fetch, progress)
                _check(transfer, digest, size_bytes)
            await asyncio.to_thread(transfer.finish, self.path(digest))
        except (TransientError, asyncio.CancelledError):
            if not transfer.size:
                transfer.discard()
            raise
        except BaseException:
            # Bad content would never become good, and a full disk needs the space.
            await asyncio.to_thread(transfer.discard)
            raise
        finally:
            transfer.close()

    async def _complete(
        self, transfer: "_Transfer", size_max: int, fetch: Fetch, progress: Callable[[str], None] | None
    ) -> None:
        fruitless = 0
        while True:
            before = transfer.size
            try:
                await _append_all(transfer, size_max, fetch)
            except TransientError as error:
                # Who sends a byte and breaks off could go on for ever.
                fruitless = 0 if transfer.size - before >= _FRUITFUL_BYTES else fruitless + 1
                if fruitless >= _FRUITLESS_ATTEMPTS_MAX:
                    raise
                if progress is not None:
                    name = transfer.name[:12]
                    progress(f"{name}: transfer broke after {transfer.size} bytes, going on: {error}")
                log.debug(
                    "images.transfer_broken", digest=transfer.name, size=transfer.size, reason=str(error)
                )
                await asyncio.sleep(_BACKOFF_S * 2**fruitless)
            else:
                return

    async def adopt(self, staged: Path, digest: str) -> None:
        """Take a file whose content was hashed and synced already as the blob `digest`."""
        await asyncio.to_thread(publish, staged, self.path(digest))

    def touch(self, digest: str) -> None:
        """Let a blob count as new: somebody counts on it again. Nothing happens when it is not here."""
        with contextlib.suppress(FileNotFoundError):
            os.utime(self.path(digest))

    async def read(self, digest: str, offset: int = 0) -> AsyncIterator[bytes]:
        """Yield the blob from `offset` on; raises NotFound."""
        try:
            file = await asyncio.to_thread(self.path(digest).open, "rb")
        except FileNotFoundError:
            raise NotFound(f"no blob {digest} here") from None
        with file:
            file.seek(offset)
            while chunk := await asyncio.to_thread(file.read, _CHUNK // 4):
                yield chunk

    async def remove_if_damaged(self, digest: str) -> bool:
        """Delete a blob whose content has another digest; tell whether it was so."""
        intact = await asyncio.to_thread(_has_digest, self.path(digest), digest)
        if not intact:
            log.error("images.blob_damaged", digest=digest)
            self.path(digest).unlink(missing_ok=True)
        return not intact

    def digests(self) -> list[str]:
        """Return the digests of all blobs."""
        return [f"sha256:{path.name}" for path in self._blobs.iterdir()]

    def modified_at_ns(self, digest: str) -> int:
        """Return when the blob came; raises FileNotFoundError."""
        return self.path(digest).stat().st_mtime_ns

    def abandoned_transfers(self, before_ns: int) -> list[Path]:
        """Return the partial files that nobody writes to, and nobody wrote to since `before_ns`."""
        return [
            path
            for path in self._partial.iterdir()
            if path.name not in self._active and path.stat().st_mtime_ns < before_ns
        ]


def _has_digest(path: Path, digest: str) -> bool:
    with path.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}" == digest


def _check(transfer: "_Transfer", digest: str, size_bytes: int | None) -> None:
    if transfer.digest != digest:
        raise InvalidArgument(
            f"content of {short(digest)} has the digest {transfer.digest}: damaged or forged"
        )
    if size_bytes is not None and transfer.size != size_bytes:
        raise InvalidArgument(
            f"content of {short(digest)} has {transfer.size} bytes instead of {size_bytes}"
        )


async def _append_all(transfer: "_Transfer", size_max: int, fetch: Fetch) -> None:
    """Append what `fetch` yields, in pieces large enough to be worth a thread."""
    waiting: list[bytes] = []
    waiting_bytes = 0
    try:
        async with closing(fetch(transfer.size)) as chunks:
            async for chunk in chunks:
                waiting.append(chunk)
                waiting_bytes += len(chunk)
                if transfer.size + waiting_bytes > size_max:
                    raise InvalidArgument(f"content of {transfer.name[:12]} is longer than {size_max} bytes")
                if waiting_bytes >= _CHUNK:
                    await asyncio.to_thread(transfer.append, waiting)
                    waiting, waiting_bytes = [], 0
    finally:
        # Also after a break: what has come need not come again.
        await asyncio.to_thread(transfer.append, waiting)


@contextlib.asynccontextmanager
async def closing(chunks: AsyncIterator[bytes]) -> AsyncIterator[AsyncIterator[bytes]]:
    """Close a stream of chunks at once where it is left early, with the connection behind it."""
    try:
        yield chunks
    finally:
        if isinstance(chunks, AsyncGenerator):
            await chunks.aclose()


class _Transfer:
    """A partial file with the hash of what it holds. All methods block."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self._path = path
        self._file = file
        self._hash = hashlib.sha256()
        self.name = path.name
        self.size = 0

    @classmethod
    def begin(cls, path: Path) -> "_Transfer":
        transfer = cls(path, path.open("a+b"))
        transfer._file.seek(0)
        while chunk := transfer._file.read(_CHUNK):
            transfer._hash.update(chunk)
            transfer.size += len(chunk)
        return transfer

    def append(self, chunks: list[bytes]) -> None:
        for chunk in chunks:
            self._file.write(chunk)
            self._hash.update(chunk)
            self.size += len(chunk)
        self._file.flush()

    def restart(self) -> None:
        self._file.truncate(0)
        self._hash = hashlib.sha256()
        self.size = 0

    def finish(self, path: Path) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())
        publish(self._path, path)

    def discard(self) -> None:
        self._path.unlink(missing_ok=True)

    def close(self) -> None:
        self._file.close()

    @property
    def digest(self) -> str:
        return f"sha256:{self._hash.hexdigest()}"
