"""Is there an order of the operations on a register that explains what every client saw?

An order must keep what was over before another began, and each read must see, each write must find, what
the last write before it left. The search is the one of Wing and Gong: take an operation that may be next,
go on, and go back where nothing fits; with Lowe's memory of positions that led nowhere. Since a write says
which value it replaces, and values are written once, hardly anything ever has to be taken back.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from tests.linearizability.history import Operation, Outcome, by_key

CONTEXT = 12  # operations shown of a history that cannot be explained


@dataclass(frozen=True, slots=True)
class Anomaly:
    """Why a history cannot be explained."""

    key: str
    reason: str
    near: Sequence[Operation] = ()

    def __str__(self) -> str:
        return "\n".join([f"{self.key}: {self.reason}", *(f"  {operation}" for operation in self.near)])


@dataclass(frozen=True, slots=True)
class _Position:
    """How far an order has come: all operations before `low` are in it, and those of the bits above."""

    low: int
    done: int
    value: str

    def has(self, index: int) -> bool:
        return index < self.low or bool(self.done >> (index - self.low) & 1)

    def after(self, index: int, value: str) -> "_Position":
        low, done = self.low, self.done | 1 << (index - self.low)
        trailing = (~done & (done + 1)).bit_length() - 1  # ones at the lower end
        return _Position(low + trailing, done >> trailing, value)


def check(history: Iterable[Operation], initial: str) -> list[Anomaly]:
    """Return what cannot be explained of a history of registers that all began as `initial`."""
    found: list[Anomaly] = []
    for key, operations in sorted(by_key(history).items()):
        wrong = _unversioned(key, operations) or _unexplained(key, operations, initial)
        if wrong is not None:
            found.append(wrong)
    return found


def _unversioned(key: str, operations: Iterable[Operation]) -> Anomaly | None:
    """A version must stand for one value and a value have one version, and versions must grow."""
    values: dict[int, Operation] = {}
    versions: dict[str, Operation] = {}
    for operation in operations:
        if operation.outcome is not Outcome.OK or not operation.version:
            continue
        if not operation.is_read and operation.version <= operation.expected_version:
            return Anomaly(key, "a write did not raise the version", [operation])
        value = _value(operation)
        other = values.setdefault(operation.version, operation)
        if _value(other) != value:
            return Anomaly(key, "two values have the same version", [other, operation])
        other = versions.setdefault(value, operation)
        if other.version != operation.version:
            return Anomaly(key, "a value has two versions", [other, operation])
    return None


def _value(operation: Operation) -> str:
    value = operation.seen if operation.is_read else operation.written
    assert value is not None
    return value


def _unexplained(key: str, operations: Sequence[Operation], initial: str) -> Anomaly | None:
    order = _relevant(operations)
    written = {operation.written for operation in order} | {initial}
    for operation in order:
        if operation.is_read and operation.seen not in written:
            return Anomaly(key, "a value was read that nobody can have written", [operation])
    furthest = _search(order, initial)
    if furthest is None:
        return None
    around = [order[index] for index in range(furthest.low, len(order)) if not furthest.has(index)]
    return Anomaly(
        key, f"no order explains what follows, where the value is {furthest.value}", around[:CONTEXT]
    )


def _relevant(operations: Iterable[Operation]) -> list[Operation]:
    """Leave out what has no effect: failures, and writes of unknown outcome whose value nobody saw.

    Nothing can depend on the latter: whoever replaces a value must have seen it.
    """
    operations = list(operations)
    seen = {value for operation in operations for value in (operation.seen, operation.expected)}
    return sorted(
        (
            operation
            for operation in operations
            if operation.outcome is Outcome.OK
            or (operation.outcome is Outcome.UNKNOWN and operation.written in seen - {None})
        ),
        key=lambda operation: operation.invoked,
    )


def _search(order: Sequence[Operation], initial: str) -> _Position | None:
    """Return None if an order exists, else the position where most operations were explained."""
    must = sum(operation.outcome is Outcome.OK for operation in order)
    furthest = _Position(0, 0, initial)
    visited = {furthest}
    path = [(furthest, 0, _next(order, furthest))]
    most = 0
    while path:
        position, explained, choices = path[-1]
        if explained == must:
            return None
        if explained > most:
            most, furthest = explained, position
        following = next(choices, None)
        if following is None:
            path.pop()
            continue
        reached, sure = following
        if reached not in visited:
            visited.add(reached)
            path.append((reached, explained + sure, _next(order, reached)))
    return furthest


def _next(order: Sequence[Operation], position: _Position) -> Iterator[tuple[_Position, bool]]:
    """Yield the positions after one more operation, and whether that one is known to have happened."""
    first_end = float("inf")
    for index in range(position.low, len(order)):
        operation = order[index]
        if operation.invoked > first_end:
            return  # something else was over before this one and all later ones began
        if position.has(index):
            continue
        first_end = min(first_end, operation.returned)
        sure = operation.outcome is Outcome.OK
        if operation.is_read and operation.seen == position.value:
            yield position.after(index, position.value), sure
        elif not operation.is_read and operation.expected == position.value:
            assert operation.written is not None
            yield position.after(index, operation.written), sure
