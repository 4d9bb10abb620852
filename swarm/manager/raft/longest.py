"""The longest of many short times, lately: what an average would hide."""

WINDOW_S = 60.0


class Longest:
    """The longest time of the last one to two minutes. One thread notes, any thread reads."""

    def __init__(self, window_s: float = WINDOW_S) -> None:
        self._window_s = window_s
        self._began_s = float("-inf")
        self._before_s = self._now_s = 0.0  # the longest of the window before, and of this one

    def note(self, took_s: float, now_s: float) -> None:
        """Count one time, which ended at `now_s` of a monotonic clock."""
        self._turn(now_s)
        self._now_s = max(self._now_s, took_s)

    def read(self, now_s: float) -> float:
        """Return the longest in seconds; 0 when there was none."""
        age = now_s - self._began_s
        if age < self._window_s:
            return max(self._before_s, self._now_s)
        return self._now_s if age < 2 * self._window_s else 0.0

    def _turn(self, now_s: float) -> None:
        age = now_s - self._began_s
        if age < self._window_s:
            return
        self._before_s = self._now_s if age < 2 * self._window_s else 0.0
        self._now_s, self._began_s = 0.0, now_s
