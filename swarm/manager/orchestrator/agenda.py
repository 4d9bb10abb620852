"""What to look at next, and when to look again."""

from heapq import heappop, heappush


class Agenda:
    """Ids to look at, first come first served and each once, and alarms for later looks."""

    def __init__(self) -> None:
        self._ids: dict[str, None] = {}
        self._alarms: list[tuple[int, str]] = []
        self._alarm_of: dict[str, int] = {}  # the alarms that count; others in the heap are outdated

    def __bool__(self) -> bool:
        """Whether there is anything to look at now."""
        return bool(self._ids)

    def add(self, one_id: str) -> None:
        """Look at this soon."""
        if one_id:
            self._ids[one_id] = None

    def take(self) -> str:
        """Return what to look at next, and strike it off."""
        one_id = next(iter(self._ids))
        del self._ids[one_id]
        return one_id

    def set_alarm(self, one_id: str, at_ns: int | None) -> None:
        """Look at this again at `at_ns`, in place of any alarm it had; None: at no special time."""
        if at_ns == self._alarm_of.get(one_id):
            return
        self._alarm_of.pop(one_id, None)
        if at_ns is not None:
            self._alarm_of[one_id] = at_ns
            heappush(self._alarms, (at_ns, one_id))

    def ring(self, now_ns: int) -> None:
        """Add what has its time come."""
        alarm_ns = self.next_alarm_ns()
        while alarm_ns is not None and alarm_ns <= now_ns:
            _, one_id = heappop(self._alarms)
            del self._alarm_of[one_id]
            self.add(one_id)
            alarm_ns = self.next_alarm_ns()

    def next_alarm_ns(self) -> int | None:
        """Return the time of the next alarm."""
        while self._alarms and self._alarm_of.get(self._alarms[0][1]) != self._alarms[0][0]:
            heappop(self._alarms)
        return self._alarms[0][0] if self._alarms else None
