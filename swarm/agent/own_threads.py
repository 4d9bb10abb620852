"""Runs what may hang in threads of its own: a few such calls would use up those that all share."""

import asyncio
import contextlib
import threading
from collections import Counter
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


class OwnThreads:
    """A thread for each call, of each key one at a time: after what was given up the next one waits."""

    def __init__(self) -> None:
        """Begin without threads."""
        self._turns: dict[str, asyncio.Lock] = {}
        self._count: Counter[str] = Counter()  # who has or waits for a turn

    async def run(self, key: str, act: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Return what `act` returns, or raise what it raises; who waits may be cancelled at any time."""
        turn = self._turns.setdefault(key, asyncio.Lock())
        self._count[key] += 1
        try:
            await turn.acquire()
        except asyncio.CancelledError:
            self._leave(key)
            raise
        loop = asyncio.get_running_loop()
        done: asyncio.Future[R] = loop.create_future()

        def finish(result: R | None, error: BaseException | None) -> None:
            turn.release()
            self._leave(key)
            if done.done():
                return
            if error is not None:
                done.set_exception(error)
            else:
                done.set_result(result)  # type: ignore[arg-type]

        def work() -> None:
            result, error = None, None
            try:
                result = act(*args, **kwargs)
            except BaseException as problem:  # noqa: BLE001 -- whoever waits has to hear it
                error = problem
            with contextlib.suppress(RuntimeError):  # the loop has ended: nobody waits
                loop.call_soon_threadsafe(finish, result, error)

        # No end of the daemon waits for it.
        threading.Thread(target=work, name=f"apart {key}", daemon=True).start()
        return await done

    def _leave(self, key: str) -> None:
        self._count[key] -= 1
        if not self._count[key]:
            del self._count[key], self._turns[key]
