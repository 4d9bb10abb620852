"""The only reader of the clock; decisions get the time as an argument."""

import time
from typing import Protocol

from google.protobuf.timestamp_pb2 import Timestamp

SECOND = 1_000_000_000


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


def timestamp(now_ns: int) -> Timestamp:
    """Return `now_ns` (nanoseconds since the epoch) as a protobuf timestamp."""
    return Timestamp(seconds=now_ns // SECOND, nanos=now_ns % SECOND)


def nanoseconds(stamp: Timestamp) -> int:
    """Return a protobuf timestamp as nanoseconds since the epoch; unset is 0."""
    return stamp.seconds * SECOND + stamp.nanos
