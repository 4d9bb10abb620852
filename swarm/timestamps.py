"""Moments and durations as numbers and messages; reads no clock, so that pure code may use it."""

from google.protobuf.timestamp_pb2 import Timestamp

SECOND = 1_000_000_000  # nanoseconds


def timestamp(now_ns: int) -> Timestamp:
    """Return `now_ns` (nanoseconds since the epoch) as a protobuf timestamp."""
    return Timestamp(seconds=now_ns // SECOND, nanos=now_ns % SECOND)


def nanoseconds(stamp: Timestamp) -> int:
    """Return a protobuf timestamp as nanoseconds since the epoch; unset is 0."""
    return stamp.seconds * SECOND + stamp.nanos
