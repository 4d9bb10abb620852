"""From when to when `swarmctl events` tells what happened: times of the leader's clock."""

import time
from typing import Any

from swarm.api.v1 import control_pb2 as c
from swarm.cli import parse
from swarm.cli.connect import Connection, connect
from swarm.clock import nanoseconds
from swarm.errors import InvalidArgument

ALL_KEPT_NS = 1  # as `since_ns`: whatever is kept
PAUSE_S = 0.05
LATER_S = 0.01  # so much after its end a call is cut off, so that it is over then by every clock here


class Window:
    """The time that is told of, its ends included; open where nothing was said."""

    def __init__(self, since_ns: int | None = None, until_ns: int | None = None, now_ns: int = 0) -> None:
        """`now_ns` is what the leader's clock says now."""
        self.since_ns = since_ns
        self._until_ns = until_ns
        self._over_s = None if until_ns is None else time.monotonic() + (until_ns - now_ns) / 1e9

    @property
    def ends(self) -> bool:
        """Whether it ends some time, or has."""
        return self._until_ns is not None

    @property
    def left_s(self) -> float | None:
        """For how long to wait for more; None: for ever, or no more."""
        return None if self._over_s is None or self.is_over else self._over_s - time.monotonic() + LATER_S

    @property
    def is_over(self) -> bool:
        """Whether nothing that is told of can happen any more."""
        return self._over_s is not None and time.monotonic() >= self._over_s

    def holds(self, event: dict[str, Any]) -> bool:
        """Whether an event is of this time."""
        at_ns = event["timeNano"]
        return at_ns >= (self.since_ns or 0) and (self._until_ns is None or at_ns <= self._until_ns)

    def last_version(self, conn: Connection) -> int:
        """Return a version with everything of this time, once there is one: changes may be on their way."""
        assert self._until_ns is not None
        while True:
            moment = conn.control.GetMoment(c.GetMomentRequest())
            if nanoseconds(moment.at) >= self._until_ns:
                return int(moment.version)
            time.sleep(PAUSE_S)


def window_of(host: str, since: str, until: str, *, by_version: bool = False) -> Window:
    """Return what the options say; ages are counted from the leader's time. Raises InvalidArgument.

    Without a beginning it is all that is kept, unless that is said `by_version`.
    """
    if not since and not until:
        return Window()
    with connect(host) as conn:
        now_ns = nanoseconds(conn.control.GetMoment(c.GetMomentRequest()).at)
    since_ns = None if by_version else ALL_KEPT_NS
    if since:
        since_ns = max(parse.moment(since, now_ns), ALL_KEPT_NS)
    if not until:
        return Window(since_ns)
    until_ns = parse.moment(until, now_ns)
    if until_ns < (since_ns or 0):
        raise InvalidArgument(f"--until {until} is before --since {since}: nothing happens between them")
    return Window(since_ns, until_ns, now_ns)
