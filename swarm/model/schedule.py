"""When does a cron job run? Times of a cron expression in a time zone, as nanoseconds since the epoch.

Where clocks change, the rules are Debian cron's: a time that does not exist runs at the first moment after
the gap, one that comes twice runs the first time only; minutes or hours that begin with a star follow the
clock on the wall, whatever it does. No time is ever returned twice.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

from swarm.errors import InvalidArgument
from swarm.timestamps import SECOND

FIELDS = 5
_NICKNAMES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}


class Schedule:
    """The times of one expression in one time zone."""

    def __init__(self, expression: str, timezone: str) -> None:
        """Raises InvalidArgument for an expression or time zone that nobody knows; no zone means UTC."""
        self._zone = _zone(timezone)
        self._expression = _NICKNAMES.get(expression.strip(), expression)
        if len(self._expression.split()) != FIELDS:
            raise InvalidArgument(
                f'the schedule "{expression}" has not five fields '
                '(minute hour day-of-month month day-of-week), e.g. "*/5 * * * *"'
            )
        self._check(expression)

    def next_after(self, at_ns: int) -> int | None:
        """Return the first time later than `at_ns`; None when there is none for decades."""
        # A repeated hour can make the library answer with its first half.
        return next((time_ns for time_ns in self._times(at_ns, reverse=False) if time_ns > at_ns), None)

    def latest_until(self, at_ns: int) -> int | None:
        """Return the last time that is not later than `at_ns`."""
        # Searched for backwards, one time zone's oddities may hide times: what follows is looked at again.
        found = (time_ns for time_ns in self._times(at_ns + SECOND, reverse=True) if time_ns <= at_ns)
        latest = next(found, None)
        while latest is not None:
            later = self.next_after(latest)
            if later is None or later > at_ns:
                return latest
            latest = later
        return None

    def _check(self, expression: str) -> None:
        from cronsim import CronSimError

        try:
            impossible = next(self._times(0, reverse=False), None) is None
        except (CronSimError, ValueError) as problem:
            raise InvalidArgument(f'the schedule "{expression}" is not valid: {problem}') from None
        if impossible:
            raise InvalidArgument(f'the schedule "{expression}" is valid and never comes')

    def _times(self, from_ns: int, *, reverse: bool) -> Iterator[int]:
        from cronsim import CronSim

        start = datetime.fromtimestamp(from_ns // SECOND, UTC).astimezone(self._zone)
        for moment in CronSim(self._expression, start, reverse=reverse):
            yield int(moment.timestamp()) * SECOND


@lru_cache(maxsize=1024)
def schedule(expression: str, timezone: str) -> Schedule:
    """Return the schedule of an expression; reading one takes longer than asking it."""
    return Schedule(expression, timezone)


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name or "UTC")
    except (OSError, ValueError, KeyError):  # a folder of zones, a path, no such zone
        raise InvalidArgument(
            f'"{name}" is not a time zone: write its IANA name, e.g. Europe/Berlin or UTC'
        ) from None
