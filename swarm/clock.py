"""The only reader of the clock; decisions get the time as an argument."""

import time
from typing import Protocol

from swarm.timestamps import SECOND, nanoseconds, timestamp

__all__ = ["SECOND", "Clock", "SystemClock", "nanoseconds", "timestamp"]


class Clock(Protocol):
    """Two clocks: wall time for records, monotonic time for deadlines."""

    def now_ns(self) -> int:
        """Return nanoseconds since the epoch."""

    def monotonic_s(self) -> float:
        """Return seconds since an arbitrary point; never goes back."""


class SystemClock:
    """The machine's own clocks."""

    def now_ns(self) -> int:
        """Return nanoseconds since the epoch."""
        return time.time_ns()

    def monotonic_s(self) -> float:
        """Return seconds since an arbitrary point; never goes back."""
        return time.monotonic()
