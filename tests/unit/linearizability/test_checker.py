"""The checker: what it must accept, what it must refuse, and that it agrees with trying everything."""

import itertools
import math
from collections.abc import Sequence
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.linearizability.checker import check
from tests.linearizability.history import Operation, Outcome, load, save

INITIAL = "0"


def read(begin: float, end: float, seen: str, key: str = "k") -> Operation:
    return Operation("c", key, begin, end, Outcome.OK, seen=seen)


def write(
    begin: float, end: float, expected: str, written: str, outcome: Outcome = Outcome.OK, key: str = "k"
) -> Operation:
    returned = math.inf if outcome is Outcome.UNKNOWN else end
    return Operation("c", key, begin, returned, outcome, expected=expected, written=written)


def fits(*history: Operation) -> bool:
    return not check(history, INITIAL)


def test_one_thing_after_another_is_accepted() -> None:
    assert fits(read(0, 1, "0"), write(2, 3, "0", "a"), read(4, 5, "a"), write(6, 7, "a", "b"))


def test_what_overlaps_may_be_in_either_order() -> None:
    assert fits(write(0, 9, "0", "a"), read(1, 2, "0"), read(3, 4, "a"))
    assert fits(write(0, 9, "0", "a"), read(1, 2, "a"))
    assert fits(read(0, 9, "a"), write(1, 2, "0", "a"), write(3, 4, "a", "b"), read(5, 6, "b"))


def test_a_stale_read_is_refused() -> None:
    assert not fits(write(0, 1, "0", "a"), read(2, 3, "0"))
    assert not fits(write(0, 9, "0", "a"), read(1, 2, "a"), read(3, 4, "0"))


def test_a_lost_update_is_refused() -> None:
    assert not fits(write(0, 1, "0", "a"), write(2, 3, "0", "b"))
    assert not fits(write(0, 9, "0", "a"), write(0, 9, "0", "b"))
    assert not fits(write(0, 1, "0", "a"), read(5, 6, "0"))


def test_a_write_that_failed_must_not_show() -> None:
    assert fits(write(0, 1, "0", "a", Outcome.FAILED), read(2, 3, "0"))
    assert not fits(write(0, 1, "0", "a", Outcome.FAILED), read(2, 3, "a"))


def test_a_write_of_unknown_outcome_may_show_late_or_never() -> None:
    unknown = write(0, 1, "0", "a", Outcome.UNKNOWN)
    assert fits(unknown, read(2, 3, "0"))
    assert fits(unknown, read(2, 3, "0"), read(4, 5, "a"))
    assert fits(unknown, write(2, 3, "0", "b"), read(4, 5, "b"))


def test_a_resurrected_write_is_refused() -> None:
    unknown = write(0, 1, "0", "a", Outcome.UNKNOWN)
    assert not fits(unknown, read(2, 3, "a"), read(4, 5, "0"))
    assert not fits(unknown, write(2, 3, "0", "b"), read(4, 5, "a"))
    assert not fits(write(0, 1, "0", "a"), write(2, 3, "a", "b"), read(4, 5, "b"), read(6, 7, "a"))


def test_a_write_must_not_show_before_it_began() -> None:
    assert not fits(read(0, 1, "a"), write(2, 3, "0", "a"))
    assert not fits(read(0, 1, "a"), write(2, 3, "0", "a", Outcome.UNKNOWN))


def test_a_value_out_of_nowhere_is_refused() -> None:
    assert not fits(read(0, 1, "ghost"))


def test_registers_are_looked_at_one_by_one() -> None:
    history = [write(0, 1, "0", "a", key="x"), read(2, 3, "0", key="y")]
    assert fits(*history)
    (anomaly,) = check([*history, read(4, 5, "0", key="x")], INITIAL)
    assert anomaly.key == "x"
    assert "value is a" in str(anomaly)


def test_versions_stand_for_one_value_and_grow() -> None:
    def versioned(seen: str, version: int) -> Operation:
        return Operation("c", "k", 0, 1, Outcome.OK, seen=seen, version=version)

    overwritten = write(0, 1, "0", "a")
    assert fits(overwritten, versioned("0", 3), versioned("a", 4))
    assert not fits(overwritten, versioned("0", 3), versioned("a", 3))
    assert not fits(overwritten, versioned("a", 3), versioned("a", 4))
    backwards = Operation("c", "k", 0, 1, Outcome.OK, "0", "0", "a", version=3, expected_version=3)
    assert not fits(backwards)


def test_a_long_history_is_checked_quickly_and_one_wrong_read_in_it_is_found() -> None:
    history, last = [], INITIAL
    for number in range(5000):
        value = str(number + 1)
        history += [
            write(number, number + 0.5, last, value),
            write(number, number, last, f"x{value}", Outcome.UNKNOWN),
            read(number - 0.2, number + 0.9, value),
            read(number + 0.6, number + 1.3, value),
        ]
        last = value
    assert fits(*history)
    (anomaly,) = check([*history, read(4000.6, 4000.7, "4000")], INITIAL)
    assert any(operation.seen == "4000" for operation in anomaly.near)


def test_a_history_survives_being_written_down(tmp_path: Path) -> None:
    history = [read(0, 1, "0"), write(0, 1, "0", "a", Outcome.UNKNOWN), write(2, 3, "0", "b")]
    save(history, tmp_path / "history")
    assert load(tmp_path / "history") == history


# Against trying every order.


def explained(order: Sequence[Operation]) -> bool:
    """Tell whether these operations in this order make sense."""
    value = INITIAL
    for position, operation in enumerate(order):
        if any(later.returned < operation.invoked for later in order[position + 1 :]):
            return False
        if (operation.seen if operation.is_read else operation.expected) != value:
            return False
        value = operation.written if operation.written is not None else value
    return True


def fits_by_force(history: Sequence[Operation]) -> bool:
    """Try every order of everything that happened, with every choice of what is unknown."""
    sure = [operation for operation in history if operation.outcome is Outcome.OK]
    unknown = [operation for operation in history if operation.outcome is Outcome.UNKNOWN]
    return any(
        explained(order)
        for count in range(len(unknown) + 1)
        for chosen in itertools.combinations(unknown, count)
        for order in itertools.permutations([*sure, *chosen])
    )


@st.composite
def histories(draw: st.DrawFn) -> list[Operation]:
    """Small histories, most of them nearly right: values follow each other, times are off a little."""
    history: list[Operation] = []
    values = [INITIAL]
    for number in range(draw(st.integers(1, 6))):
        begin = number + draw(st.integers(-3, 2))
        end = begin + draw(st.integers(0, 4))
        value = values[-1] if draw(st.booleans()) else draw(st.sampled_from(values))
        if draw(st.booleans()):
            history.append(read(begin, end, value))
        else:
            values.append(f"v{number}")
            history.append(write(begin, end, value, f"v{number}", draw(st.sampled_from(Outcome))))
    return history


@settings(max_examples=600)
@given(histories())
def test_it_agrees_with_trying_every_order(history: list[Operation]) -> None:
    assert fits(*history) == fits_by_force(history)
