"""How much of an image has come? Counted over all layers that come at the same time."""

from collections.abc import AsyncIterator, Callable

from swarm.model.units import format_size
from swarm.runtime.images.blobs import closing

REPORT_BYTES = 1 << 20  # said again no more often than this


class Meter:
    """Counts what an origin yields, and says how far that is."""

    def __init__(self, what: str, total_bytes: int, progress: Callable[[str], None]) -> None:
        """`what` is pulled, of which `total_bytes` are missing at first."""
        self._what = what
        self._total_bytes = total_bytes
        self._progress = progress
        self._came: dict[str, int] = {}  # by digest
        self._said_bytes = 0

    async def count(self, digest: str, offset: int, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Yield `chunks`, the content of a blob from `offset` on."""
        self._came[digest] = offset  # after a broken transfer, or what an earlier attempt left
        async with closing(chunks) as open_chunks:
            async for chunk in open_chunks:
                self._came[digest] += len(chunk)
                self._say()
                yield chunk

    def _say(self) -> None:
        came = sum(self._came.values())
        if came - self._said_bytes >= REPORT_BYTES:
            self._said_bytes = came
            total = format_size(max(self._total_bytes, came))
            self._progress(f"{self._what}: {format_size(came)} of {total}")
