"""Looking on at a container where nothing but its log can be had."""

from collections.abc import AsyncIterator, Callable

from swarm.runtime.base import LogLine


class LogAttachment:
    """An Attachment without standard input: it follows the log."""

    def __init__(self, lines: AsyncIterator[LogLine], close: Callable[[], None]) -> None:
        """`lines` are those written since the attachment was asked for; `close` lets go of them."""
        self._lines = lines
        self._close = close

    async def output(self) -> AsyncIterator[tuple[str, bytes]]:
        """Yield what is written from now on."""
        async for line in self._lines:
            yield line.stream, line.data if line.partial else line.data + b"\n"

    async def write(self, data: bytes) -> None:
        """Do nothing: there is no standard input."""

    async def close_stdin(self) -> None:
        """Do nothing: there is no standard input."""

    async def resize(self, rows: int, columns: int) -> None:
        """Do nothing: there is no terminal."""

    async def close(self) -> None:
        """Read no more."""
        self._close()
