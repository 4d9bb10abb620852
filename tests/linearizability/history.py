"""What clients saw of registers: reads, and writes on the condition of a version; kept as lines of JSON."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path


class Outcome(StrEnum):
    """What a client knows of its operation."""

    OK = "ok"
    FAILED = "failed"  # surely nothing was done
    UNKNOWN = "unknown"  # it may have been done, or be done at any later time


@dataclass(frozen=True, slots=True)
class Operation:
    """One read or write of one register, with times of one clock in seconds.

    A read has `seen`; a write has the value `expected` that its version stood for, and the value `written`.
    Every value is written at most once, ever.
    """

    client: str
    key: str
    invoked: float
    returned: float  # infinite when unknown
    outcome: Outcome
    seen: str | None = None
    expected: str | None = None
    written: str | None = None
    version: int = 0  # of `seen` or, after a write, of `written`; 0: not known
    expected_version: int = 0

    @property
    def is_read(self) -> bool:
        return self.written is None

    def __str__(self) -> str:
        what = f"read {self.seen}" if self.is_read else f"{self.expected} → {self.written}"
        return (
            f"{self.invoked:.6f}..{self.returned:.6f} {self.client} {self.key}: {what} "
            f"({self.outcome}, version {self.version}, expected {self.expected_version})"
        )


def by_key(history: Iterable[Operation]) -> Mapping[str, Sequence[Operation]]:
    """Return the operations of each register; a history is linearizable if and only if each of these is."""
    keys: dict[str, list[Operation]] = {}
    for operation in history:
        keys.setdefault(operation.key, []).append(operation)
    return keys


def save(history: Iterable[Operation], path: Path) -> None:
    """Write a history, one operation a line."""
    path.write_text("".join(f"{json.dumps(asdict(operation))}\n" for operation in history))


def load(path: Path) -> list[Operation]:
    """Read what `save` wrote."""
    operations = []
    for line in path.read_text().splitlines():
        fields = json.loads(line)
        fields["outcome"] = Outcome(fields["outcome"])
        fields["returned"] = float(fields["returned"])
        operations.append(Operation(**fields))
    return operations


def unknown_end(outcome: Outcome, now: float) -> float:
    """Return when an operation that a client gave up or finished at `now` is over for sure."""
    return math.inf if outcome is Outcome.UNKNOWN else now
