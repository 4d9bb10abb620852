"""Which streams are being served, and may they go on? A right that ends takes its streams with it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import grpc
import structlog

from swarm.api.status import abort
from swarm.errors import UserError

log = structlog.get_logger(__name__)

Context = grpc.aio.ServicerContext[Any, Any]


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

    async def settled(self) -> None:
        """Wait until no message is on its way."""
        if self._writing is not None:
            await asyncio.wait((self._writing,))


def _seen(writing: "asyncio.Future[None]") -> None:
    if not writing.cancelled():
        writing.exception()


@dataclass(slots=True, eq=False)
class _Call:
    recheck: Callable[[], None]
    task: asyncio.Task[Any]
    refusal: UserError | None = None


class LiveCalls:
    """The streams of one listener."""

    def __init__(self) -> None:
        self._calls: set[_Call] = set()

    def __len__(self) -> int:
        """Return how many streams are being served."""
        return len(self._calls)

    @contextlib.asynccontextmanager
    async def serving(self, context: Context, recheck: Callable[[], None]) -> AsyncIterator[Any]:
        """Register the stream served by this task and yield the context to serve it with.

        `recheck` raises a UserError when it must end.
        """
        task = asyncio.current_task()
        assert task is not None
        call, stream = _Call(recheck, task), StreamContext(context)
        self._calls.add(call)
        try:
            yield stream
        except asyncio.CancelledError:
            if call.refusal is None:  # the caller hung up, or the server stops
                raise
            task.uncancel()
        finally:
            self._calls.discard(call)
        if call.refusal is not None:
            await stream.settled()
            await abort(context, call.refusal)

    def recheck(self) -> None:
        """End every stream whose caller may not go on, with the reason; to be called after each change."""
        for call in tuple(self._calls):
            if call.refusal is not None:
                continue
            try:
                call.recheck()
            except UserError as refusal:
                call.refusal = refusal
                call.task.cancel()
                log.info("authorization.stream_ended", reason=str(refusal))
