"""The thread that consensus runs on: turn after turn, asleep in between."""

import os
import select
import threading
import time
from collections.abc import Callable
from typing import Any

import structlog

from swarm.manager.raft.longest import Longest
from swarm.manager.raft.turn import Turn

log = structlog.get_logger(__name__)


class RaftThread:
    """Runs turns until stopped, or until one fails: then nothing is ever promised again."""

    def __init__(self, turn: Turn, on_failure: Callable[[BaseException], None]) -> None:
        """`on_failure` is called on the thread, at its very end."""
        self._turn = turn
        self._on_failure = on_failure
        self._stopping = False
        self._woken = False
        self._woken_s = 0.0  # when that was
        self.delay = Longest()  # from the moment in which a turn was due until it began
        self._event = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._closing = threading.Lock()  # nobody writes to a descriptor that is somebody else's by now
        self._thread = threading.Thread(target=self._run, name="raft", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def put(self, function: Callable[..., None], *arguments: Any) -> None:
        """Have `function` called on the thread, soon; for any thread."""
        self._turn.put(function, *arguments)
        if not self._woken:
            self._woken_s = time.monotonic()
            self._woken = True
            self._wake()

    def halt(self) -> None:
        """End the thread after the turn it is in."""
        self._stopping = True
        self._wake()

    def stop(self) -> None:
        """End the thread after the turn it is in, wait for that, and release everything. Blocks."""
        self.halt()
        self._thread.join()
        with self._closing:
            os.close(self._event)
            self._event = -1

    def _wake(self) -> None:
        with self._closing:
            if self._event >= 0:
                os.eventfd_write(self._event, 1)

    def _run(self) -> None:
        try:
            poll = select.poll()
            poll.register(self._event, select.POLLIN)
            while not self._stopping:
                self._turn.run()
                self._wait(poll)
        except BaseException as error:  # noqa: BLE001  # a thread must not die in silence
            self._on_failure(error)

    def _wait(self, poll: select.poll) -> None:
        timeout_s = self._turn.pause_s()
        due_s = time.monotonic() + timeout_s
        # Rounded up: waking a moment too early would spin until the deadline.
        if poll.poll(timeout_s * 1000 + 1 if timeout_s else 0):
            try:
                os.eventfd_read(self._event)
            except BlockingIOError:
                log.debug("raft.wake_missed")
        now_s = time.monotonic()
        self.delay.note(now_s - (min(due_s, self._woken_s) if self._woken else due_s), now_s)
        # Cleared after reading and before the inbox is looked at: a wake-up in between is not lost.
        self._woken = False
