"""Which streams are being served, and may they go on? A right that ends takes its streams with it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import structlog

from swarm.api.status import abort
from swarm.api.stream_context import Context, StreamContext
from swarm.errors import UserError

log = structlog.get_logger(__name__)


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
