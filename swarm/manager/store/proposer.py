"""The seam between the store and consensus: what each needs of the other.

Everything here runs on the manager's event loop. Consensus calls the state machine in log order, one
entry at a time, and `propose` returns only after the state machine of *this* manager applied the entry.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class FrozenState:
    """A consistent picture of the state machine that a worker thread may serialise."""

    applied_index: int
    records: Callable[[], Iterator[bytes]]  # serialised records; touches no mutable state


class StateMachine(Protocol):
    """What is replicated. Must not raise, and must use neither clock nor randomness."""

    def apply(self, index: int, entry: bytes) -> None:
        """Apply one committed entry."""

    def freeze(self) -> FrozenState:
        """Return a picture of the state as of the last applied entry, in milliseconds."""

    def restore(self, applied_index: int, records: Iterable[bytes]) -> None:
        """Replace the whole state by a snapshot's records."""


class Proposer(Protocol):
    """How the leader appends to the log."""

    async def propose(self, entry: bytes, timeout_s: float) -> int:
        """Append `entry` and return its index once it is committed by a majority and applied here.

        Raises NotLeader when nothing was appended, NoQuorum when no majority answered before
        `timeout_s` (the entry may still be committed later), OutcomeUnknown when leadership was lost.
        """
