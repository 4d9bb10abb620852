"""Does a service answer all the time? Asked at every machine in turn, from the network of the machines."""

import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.integration.machine.farm import Farm

ASKING = Path(__file__).with_name("asking.py")


class Asker:
    """Asks from now on, until it is left."""

    GAP_MAX_S = 15.0  # on a busy machine; somebody who goes on to the next machine waits no longer

    def __init__(self, farm: Farm, port: int) -> None:
        addresses = [machine.address for machine in farm.machines]
        self._log = farm.folder / "asked"
        self._command = farm.command(sys.executable, str(ASKING), str(port), *addresses)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=log)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process is not None
        self._process.communicate(timeout=60)

    def _asked(self) -> list[tuple[float, str, bool]]:
        """What came of every request: when it began (monotonic seconds), whom, whether it was answered."""
        whole = self._log.read_text().rpartition("\n")[0].splitlines()
        return [
            (float(began), address, good == "1") for began, address, good in (line.split() for line in whole)
        ]

    def missed(self, began: float, end: float, *, without: str) -> tuple[int, int]:
        """How many requests at other machines had no answer in a time, and of how many."""
        during = [
            good for when, address, good in self._asked() if began <= when <= end and address != without
        ]
        return during.count(False), len(during)

    def longest_gap_s(self) -> float:
        """The longest time in which no machine answered, in seconds."""
        answered = [when for when, _, good in self._asked() if good]
        return max((later - one for one, later in pairwise(answered)), default=0.0)

    def __str__(self) -> str:
        asked = self._asked()
        failed = sum(not good for *_, good in asked)
        gap_s = self.longest_gap_s()
        return f"{len(asked)} times; {failed} had no answer; the longest time without any: {gap_s:.1f} s"
