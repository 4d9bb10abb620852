"""What a follower does with entries from its leader: pure.

The rules that keep acknowledged entries: what is there already stays, with everything behind it; only a
real conflict cuts the log, and never below the commit index; the reply speaks only of entries that the
message itself proved equal.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, overload

from swarm.errors import InvariantBroken
from swarm.manager.raft.entries import Entry


class Log(Protocol):
    """Consecutive entries; never empty."""

    @overload
    def __getitem__(self, item: int) -> Entry: ...
    @overload
    def __getitem__(self, item: slice) -> list[Entry]: ...
    def __len__(self) -> int:
        """Return the number of entries."""


@dataclass(frozen=True, slots=True)
class AppendPlan:
    """What to do, and what to answer."""

    next_index: int  # what the leader should send next
    success: bool = False  # everything below next_index is equal to the leader's log
    reset: bool = False  # the leader is too far ahead; go back
    cut_from: int | None = None  # first index that conflicts
    append: Sequence[Entry] = ()

    @property
    def match(self) -> int:
        """Last index known to be equal to the leader's; only after success."""
        return self.next_index - 1


def term_at(log: Log, index: int) -> int | None:
    """Return the term of an entry, None if the log does not reach there."""
    first = log[0][1]
    if not first <= index <= log[-1][1]:
        return None
    return log[index - first][2]


def plan_append(
    log: Log, commit: int, previous: tuple[int, int], entries: Sequence[Entry]
) -> AppendPlan | None:
    """Decide about `entries`, which follow the entry with index and term `previous` in the leader's log.

    Returns None when nothing can be said. Raises InvariantBroken for a conflict with a committed entry.
    """
    previous_index, previous_term = previous
    first, last = log[0][1], log[-1][1]
    match = entries[-1][1] if entries else previous_index
    if previous_index < first:  # compacted here, hence committed, hence equal
        entries = [entry for entry in entries if entry[1] > first]
        if not entries:
            return AppendPlan(max(match, first) + 1, success=True)
        if entries[0][1] != first + 1:
            return None
    elif previous_index > last:
        return AppendPlan(last + 1, reset=True)
    elif log[previous_index - first][2] != previous_term:
        return AppendPlan(_start_of_term(log, previous_index, commit), reset=True)
    return _plan_entries(log, commit, match, entries)


def _plan_entries(log: Log, commit: int, match: int, entries: Sequence[Entry]) -> AppendPlan:
    last = log[-1][1]
    for position, entry in enumerate(entries):
        if entry[1] > last:
            return AppendPlan(match + 1, success=True, append=entries[position:])
        if term_at(log, entry[1]) != entry[2]:
            if entry[1] <= commit:
                raise InvariantBroken(f"the leader's log conflicts with the committed entry {entry[1]}")
            return AppendPlan(match + 1, success=True, cut_from=entry[1], append=entries[position:])
    return AppendPlan(match + 1, success=True)


def _start_of_term(log: Log, index: int, commit: int) -> int:
    """Return the first index of the term that `index` belongs to here, not below what is committed.

    The leader skips a whole term at once instead of walking back entry by entry.
    """
    first = log[0][1]
    term = log[index - first][2]
    floor = max(first, commit)
    while index - 1 > floor and log[index - 1 - first][2] == term:
        index -= 1
    return index
