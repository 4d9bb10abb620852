"""How many requests did which service answer, and how? Pure: sums over proxies that follow one another."""

import csv
from collections import Counter
from collections.abc import Mapping

from swarm.agent.http.plan import Wanted

KINDS = ("1xx", "2xx", "3xx", "4xx", "5xx", "other")
NO_ROUTE = ""  # in place of a service
Counted = Mapping[tuple[str, str], float]  # by backend (the frontend for what has none) and kind


def counted(text: str) -> dict[tuple[str, str], float]:
    """Read what `show stat` printed of backends."""
    rows = csv.DictReader(text.lstrip().removeprefix("# ").splitlines())
    return {
        (row["pxname"], kind): float(row.get(f"hrsp_{kind}") or 0)
        for row in rows
        if row.get("svname") == "BACKEND"
        for kind in KINDS
    }


class Sums:
    """What all proxies of this life of the agent counted, each from its own zero."""

    def __init__(self) -> None:
        self._services: dict[str, str] = {}  # by backend
        self._last: dict[tuple[str, str], float] = {}
        self._sums: Counter[tuple[str, str]] = Counter()

    def begin(self, wanted: Wanted) -> None:
        """A proxy begins to count anew, with these backends."""
        self._last = {}
        self._services = {one.name: one.service for one in wanted.backends}

    def add(self, now: Counted) -> None:
        """Take in what the present proxy has counted so far."""
        for key, count in now.items():
            service = self._services.get(key[0])
            if service is not None:
                self._sums[service, key[1]] += max(0.0, count - self._last.get(key, 0.0))  # type: ignore[assignment]
                self._last[key] = count

    def all(self) -> dict[tuple[str, str], float]:
        """Return the sums by service and kind."""
        return dict(self._sums)
