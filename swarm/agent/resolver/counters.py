"""What a name server counts: numbers that only grow, by name."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Mapping

# Own answers take tens of microseconds, those of others milliseconds to seconds.
BUCKETS_S = (0.0001, 0.0005, 0.001, 0.005, 0.02, 0.1, 0.5, 2.0, 5.0)


class Counters:
    """Counts questions and how they were dealt with."""

    def __init__(self) -> None:
        self._values: defaultdict[str, float] = defaultdict(float)
        for how in ("own", "forwarded"):
            self._values.update({f"{how}.le.{bound}": 0.0 for bound in (*BUCKETS_S, "inf")})

    def count(self, name: str, amount: float = 1) -> None:
        """Add to a counter."""
        self._values[name] += amount

    def took(self, how: str, seconds: float) -> None:
        """Count an answer that was given `own` or `forwarded`, and how long it took."""
        at = bisect_left(BUCKETS_S, seconds)
        bucket = BUCKETS_S[at] if at < len(BUCKETS_S) else "inf"
        self._values[f"{how}.le.{bucket}"] += 1
        self._values[f"{how}.seconds"] += seconds

    def values(self) -> Mapping[str, float]:
        """Return all counters, also buckets in which nothing is."""
        return dict(self._values)
