"""One turn of the raft thread, in the order that durability rests on.

What arrived is handled before the timers are looked at, so that a stall makes nobody campaign. Nothing that
promises something leaves before the disk has it: replies, votes, and what the event loop is told. Only
entries may overtake the disk, and only if none of them says "committed" of what is not on disk here.
"""

from collections import deque
from collections.abc import Callable
from typing import Any

from swarm.manager.raft.core import Core
from swarm.manager.raft.journal import DurableJournal
from swarm.manager.raft.outbox import Outbox

# So long a commit index that has moved waits for something else to go to disk with: at most that much of
# what was committed does a member not know of after a kill.
COMMIT_INDEX_S = 0.05
PAUSE_MAX_S = 0.25  # also without a deadline: the library has a timer of one second


class Turn:
    """The steps of a turn; the simulator kills members between any two of them."""

    def __init__(
        self, core: Core, journal: DurableJournal, transport: Outbox, hand_over: Callable[[], None]
    ) -> None:
        """`hand_over` lets go of what the core told its host during the turn."""
        self._core = core
        self._journal = journal
        self._transport = transport
        self._inbox: deque[tuple[Callable[..., None], tuple[Any, ...]]] = deque()
        self._synced_before = journal.synced_index
        self._behind_since_s: float | None = None  # since when the commit index on disk is not the latest
        self.steps: tuple[Callable[[], None], ...] = (
            self._handle_inbox,
            core.tick,
            self._release_entries,
            self._keep_commit_index,
            journal.sync,
            transport.release,
            hand_over,
        )

    def put(self, function: Callable[..., None], *arguments: Any) -> None:
        """Have `function` called at the start of the next turn; for any thread."""
        self._inbox.append((function, arguments))

    @property
    def has_work(self) -> bool:
        """Whether something has arrived since the turn began."""
        return bool(self._inbox)

    def pause_s(self) -> float:
        """Return for how many seconds nothing is due, as long as nothing arrives."""
        if self._inbox:
            return 0.0
        if self._core.is_leader and self._journal.synced_index > self._synced_before:
            return 0.0  # what is on disk here counts from the next turn on
        longest_s = PAUSE_MAX_S if self._behind_since_s is None else COMMIT_INDEX_S
        return min(max(self._core.next_deadline() - self._core.now(), 0.0), longest_s)

    def run(self) -> None:
        """Take one turn; raises OSError when the disk fails, and then nothing more must be done."""
        for step in self.steps:
            step()

    def _handle_inbox(self) -> None:
        self._synced_before = self._journal.synced_index
        for _ in range(len(self._inbox)):
            function, arguments = self._inbox.popleft()
            function(*arguments)

    def _keep_commit_index(self) -> None:
        if not self._journal.is_commit_behind:
            self._behind_since_s = None
        elif self._behind_since_s is None:
            self._behind_since_s = self._core.now()
        elif self._core.now() - self._behind_since_s >= COMMIT_INDEX_S:
            self._journal.write_commit_index()

    def _release_entries(self) -> None:
        if self._core.is_leader and self._core.commit_index <= self._journal.synced_index:
            self._transport.release(appends_only=True)
