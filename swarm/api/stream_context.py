"""The context of a stream that a manager or agent serves."""

import asyncio
from typing import Any, TypeAlias

import grpc

Context: TypeAlias = grpc.aio.ServicerContext[Any, Any]


class StreamContext:
    """The context of one stream, which knows whether a message is on its way.

    gRPC sends no status while a message waits for a reader who does not read, so whoever ends the stream
    has to wait for that one message; all else can be let go before.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._writing: asyncio.Future[None] | None = None

    def __getattr__(self, name: str) -> Any:
        """Be the context in all but writing."""
        return getattr(self._context, name)

    async def write(self, message: Any) -> None:
        """Send a message; it is sent in any case, also when this is cancelled."""
        self._writing = asyncio.ensure_future(self._context.write(message))
        self._writing.add_done_callback(_seen)
        await asyncio.shield(self._writing)

    async def settled(self, timeout_s: float | None = None) -> None:
        """Wait until no message is on its way, at most `timeout_s`."""
        if self._writing is not None:
            await asyncio.wait((self._writing,), timeout=timeout_s)


def _seen(writing: "asyncio.Future[None]") -> None:
    if not writing.cancelled():
        writing.exception()
