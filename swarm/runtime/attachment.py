"""Looking on at a container where nothing but its log can be had."""

from collections.abc import AsyncIterator, Callable

from swarm.runtime.base import LogLine, LogQuery


class LogAttachment:
    """An Attachment without standard input: it follows the log from now on."""

    def __init__(self, logs: Callable[[LogQuery], AsyncIterator[LogLine]]) -> None:
        """`logs` reads the container's log."""
        self._logs = logs

    async def output(self) -> AsyncIterator[tuple[str, bytes]]:
        """Yield what is written from now on."""
        async for line in self._logs(LogQuery(follow=True, tail=0)):
            yield line.stream, line.data if line.partial else line.data + b"\n"

    async def write(self, data: bytes) -> None:
        """Do nothing: there is no standard input."""

    async def close_stdin(self) -> None:
        """Do nothing: there is no standard input."""

    async def resize(self, rows: int, columns: int) -> None:
        """Do nothing: there is no terminal."""

    async def close(self) -> None:
        """Do nothing: whoever stops reading has left."""
