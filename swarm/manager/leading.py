"""Runs the leader's loops while this manager leads, and stops them at once when it does not.

A loop that ends is a bug: without it the cluster would quietly stop doing its work. So the term is given up
to another manager; where there is none, the loops start again after a pause.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

import structlog

from swarm.endings import endless
from swarm.errors import SwarmError

log = structlog.get_logger(__name__)

GIVE_UP_TIMEOUT_S = 5.0
RESTART_PAUSES_S = (1.0, 2.0, 5.0, 10.0, 30.0)
SETTLED_S = 60.0  # loops that ran this long before they failed start again without a longer pause


class Loop(Protocol):
    """One of the leader's loops."""

    async def run(self) -> None:
        """Run until cancelled."""


class Leading:
    """Follows gains and losses of leadership."""

    def __init__(
        self,
        prepare: Callable[[], Awaitable[None]],
        make_loops: Callable[[], Mapping[str, Loop]],
        give_up: Callable[[float], Awaitable[None]],
    ) -> None:
        """`prepare` runs first in each term; `give_up(timeout_s)` makes another manager lead."""
        self._prepare = prepare
        self._make_loops = make_loops
        self._give_up = give_up
        self._term: int | None = None
        self._changed = asyncio.Event()

    def on_leadership(self, term: int | None) -> None:
        """Take note that this manager leads in `term`, or (None) no longer leads."""
        self._term = term
        self._changed.set()

    async def run(self) -> None:
        """Follow until cancelled; then the loops are stopped as well."""
        while True:
            self._changed.clear()
            term, over = self._term, asyncio.Event()
            leading = asyncio.create_task(self._lead(term, over)) if term is not None else None
            try:
                await self._changed.wait()
            finally:
                if leading is not None:
                    over.set()
                    leading.cancel()
                    await asyncio.gather(leading, return_exceptions=True)
            if leading is not None:
                log.info("manager.loops_stopped", term=term)

    async def _lead(self, term: int, over: asyncio.Event) -> None:
        """Run all loops until cancelled, again and again if need be; `over` is set before that."""
        loop = asyncio.get_running_loop()
        failures = 0
        while True:
            started_s = loop.time()
            try:
                await self._run_loops(term)
            except Exception as error:
                # Of a loop that fails while all are cancelled the error comes out of the group, and the
                # cancellation is lost: nobody would end this any more.
                if over.is_set():
                    return
                log.exception("manager.loops_failed", term=term, reason=reason_of(error))
            failures = 1 if loop.time() - started_s > SETTLED_S else failures + 1
            try:
                await self._give_up(GIVE_UP_TIMEOUT_S)
            except SwarmError as error:
                log.warning("manager.leadership_kept", term=term, reason=str(error))
            # On success this is cancelled within moments; if not, the work must go on here.
            await asyncio.sleep(RESTART_PAUSES_S[min(failures, len(RESTART_PAUSES_S)) - 1])

    async def _run_loops(self, term: int) -> None:
        await self._prepare()
        loops = self._make_loops()
        log.info("manager.loops_started", term=term)
        async with asyncio.TaskGroup() as group:
            for name, one in loops.items():
                group.create_task(_run_one(name, one), name=f"leader-{name}")


async def _run_one(name: str, loop: Loop) -> None:
    """Run a loop; its return is an error like any other."""
    try:
        await endless(loop.run, f"the leader's loop {name!r}")
    except Exception as error:
        error.add_note(f"in the leader's loop {name!r}")
        raise


def reason_of(error: BaseException) -> str:
    """Return the first error inside nested groups."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    notes = "; ".join(getattr(error, "__notes__", ()))
    return f"{error!r} {notes}".strip()
