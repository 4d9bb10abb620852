"""Which lines were not sent before? A node begins anew when its session moved. Pure."""

from collections.abc import Hashable

from swarm.api.v1.logs_pb2 import LogMessage
from swarm.clock import nanoseconds


class Replay:
    """Drops lines that were sent before.

    What was under way of a stream that has ended comes late, among what its node says anew in another one.
    Both have the same lines in the same order: whoever is ahead tells on.
    """

    def __init__(self) -> None:
        self._told: dict[str, tuple[Hashable, int]] = {}  # by task id: the stream of the last line, its time

    def is_news(self, stream: Hashable, message: LogMessage) -> bool:
        """Whether this line, of the stream with this name, was not sent before."""
        told_by, told_ns = self._told.get(message.task_id, (stream, 0))
        return stream == told_by or nanoseconds(message.timestamp) > told_ns

    def sent(self, stream: Hashable, message: LogMessage) -> None:
        """Note that this line was sent."""
        self._told[message.task_id] = stream, nanoseconds(message.timestamp)
