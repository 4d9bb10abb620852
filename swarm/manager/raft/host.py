"""What the core asks of whoever runs it: the raft thread, or the simulator. Nothing here blocks."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from swarm.api.v1.raft_pb2 import RaftMember
from swarm.errors import SwarmError
from swarm.manager.raft.membership import Membership
from swarm.manager.raft.snapshots import Snapshot
from swarm.manager.store.proposer import FrozenState

T = TypeVar("T")


@dataclass(slots=True, eq=False)
class Proposal:
    """A command that waits to be committed. `ticket` belongs to the host."""

    command: bytes
    ticket: Any = None
    abandoned: bool = False  # its caller has given up: do not append it any more


@dataclass(slots=True, eq=False)
class ReadRequest:
    """Somebody who waits until this manager has applied all that was committed when they asked."""

    ticket: Any = None
    abandoned: bool = False


@dataclass(frozen=True, slots=True)
class Committed:
    """An entry that may be applied, with the proposal that it came from if that was made here."""

    index: int
    command: bytes
    proposal: Proposal | None


class Host(Protocol):
    """Everything is called on the raft thread, and what concerns the state machine keeps its order."""

    def room(self) -> int:
        """Return how many more entries may be handed over now."""

    def apply(self, entries: Sequence[Committed]) -> None:
        """Apply these entries next."""

    def restore(self, snapshot: Snapshot) -> None:
        """Replace the state by a snapshot before applying anything further."""

    def lead(self, term: int | None) -> None:
        """Announce leadership in `term` once all before is applied; None: it is lost."""

    def answer(self, read: ReadRequest) -> None:
        """Tell the reader, once all before is applied."""

    def refuse(self, request: Proposal | ReadRequest, error: SwarmError) -> None:
        """Tell whoever asked that it will not happen, or is not known to."""

    def freeze(self, then: Callable[[int, FrozenState], None]) -> None:
        """Take a picture of the state once all before is applied; `then` gets the index and the picture."""

    def work(self, job: Callable[[], T], then: Callable[[T | Exception], None]) -> None:
        """Run `job` in a worker thread and `then` on the raft thread."""

    def membership_changed(
        self, membership: Membership, contacts: Sequence[RaftMember], *, committed: bool
    ) -> None:
        """Connect to these members and contacts, and to no others."""

    def removed(self) -> None:
        """Say that this member was removed from the group."""
