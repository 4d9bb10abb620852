"""What did the load want lately? Bounded, and in memory only: a new leader begins with nothing."""

from collections.abc import Callable
from dataclasses import dataclass, replace

Wished = tuple[tuple[float, int], ...]  # when (monotonic seconds), how many replicas


@dataclass(frozen=True, slots=True)
class Wishes:
    """The wishes of one service within its windows, only those that can still count; never changed."""

    since_s: float  # when the first one was heard
    last_s: float
    highest_of: Wished = ()  # ever lower ones: each is the highest once those before it are too old
    lowest_of: Wished = ()

    def with_one(self, wish: int, now_s: float, up_window_s: float, down_window_s: float) -> "Wishes":
        """Return these wishes and another one, without what is too old."""
        return replace(
            self,
            last_s=now_s,
            highest_of=_with_one(self.highest_of, wish, now_s, down_window_s, lambda old: old > wish),
            lowest_of=_with_one(self.lowest_of, wish, now_s, up_window_s, lambda old: old < wish),
        )

    @property
    def highest(self) -> int:
        """The highest wish of the window for fewer replicas."""
        return self.highest_of[0][1]

    @property
    def lowest(self) -> int:
        """The lowest wish of the window for more replicas."""
        return self.lowest_of[0][1]

    def covers(self, window_s: float) -> bool:
        """Whether a whole window was seen."""
        return self.last_s - self.since_s >= window_s


def _with_one(
    wished: Wished, wish: int, now_s: float, window_s: float, outlasts: Callable[[int], bool]
) -> Wished:
    kept = [one for one in wished if now_s - one[0] <= window_s and outlasts(one[1])]
    return (*kept, (now_s, wish))
