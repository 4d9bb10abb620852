"""When is a snapshot due, and how much of the log may then go?

A disk that fails or is full ends the member here, too, and not only in the log: going on without snapshots
would fill the disk to the last byte, and what a failed fsync has lost would be taken for written.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import structlog

from swarm.errors import InvariantBroken
from swarm.manager.raft.entries import Entry
from swarm.manager.raft.journal import Compaction, DurableJournal
from swarm.manager.raft.membership import contacts_beside
from swarm.manager.raft.replication import term_at
from swarm.manager.raft.snapshots import KEPT, Snapshot, SnapshotStore
from swarm.manager.store.proposer import FrozenState

if TYPE_CHECKING:
    from swarm.manager.raft.core import Core

log = structlog.get_logger(__name__)

Rekeyed = Callable[[Exception | None], None]

ENTRY_OVERHEAD_BYTES = 100  # of an entry in memory, beside what is in it
HELD_SNAPSHOTS = 2  # times the bytes between two snapshots: kept at most for members that are catching up
RETRY_S = 10.0  # after a snapshot that the state machine could not give


def recover(journal: DurableJournal, snapshots: SnapshotStore) -> None:
    """Make log and newest snapshot fit each other after a start.

    Raises InvariantBroken when committed entries are missing between them.
    """
    first, last = journal[0][1], journal[-1][1]
    snapshot = snapshots.latest
    if snapshot is not None and snapshot.cluster_id != journal.cluster_id:
        raise InvariantBroken(f"the snapshot {snapshot.name} belongs to cluster {snapshot.cluster_id}")
    if first > max(1, snapshot.index if snapshot else 0):
        have = f"the newest usable snapshot ends at entry {snapshot.index}" if snapshot else "there is none"
        damaged = f" (damaged: {', '.join(snapshots.damaged)})" if snapshots.damaged else ""
        raise InvariantBroken(
            f"the Raft log in {snapshots.disk.directory} needs a snapshot of entry {first} or later, but "
            f"{have}{damaged}; remove this manager's Raft directory and let it join again"
        )
    if snapshot is not None and term_at(journal, snapshot.index) != snapshot.term:
        # Killed between the installation of a snapshot and the reset of the log.
        if snapshot.index <= last and snapshot.index <= journal.getRaftCommitIndex():
            raise InvariantBroken(f"the Raft log and the snapshot {snapshot.name} disagree")
        known = (*journal.history().current.members.values(), *journal.contacts)
        contacts = contacts_beside(snapshot.membership, known)
        journal.reset(snapshot.index, snapshot.term, snapshot.membership, contacts)


def cut_behind(entries: Sequence[Entry], index: int, trailing_entries: int, trailing_bytes: int) -> int:
    """Return which entry may be the first one of the log when there is a snapshot of `index`. Pure.

    `entries` are those of the log. Behind the snapshot stay at most so many of them, and so many bytes.
    """
    first = entries[0][1]
    cut, size = index, 0
    while cut > max(first, index - trailing_entries):
        size += len(entries[cut - first][0]) + ENTRY_OVERHEAD_BYTES
        if size > trailing_bytes:
            break
        cut -= 1
    return cut


class Compactor:
    """Takes snapshots, shortens the log and encrypts both anew, with at most one of these under way."""

    def __init__(self, core: "Core") -> None:
        self._core = core
        self._busy = False
        self._not_before = 0.0
        latest = core.snapshots.latest
        self._bytes_before = 0  # appended up to the last snapshot
        if latest is not None:
            self._bytes_before = sum(
                len(command) for command, index, _ in core.journal[:] if index <= latest.index
            )
        self._waiting: list[Rekeyed] = []  # for all files to need the current key only
        self._rekeying: list[Rekeyed] = []

    def set_policy(self, entries: int, extra_snapshots: int) -> None:
        """Take a snapshot after so many entries from now on, and keep so many more than are needed."""
        self._core.timing = replace(self._core.timing, snapshot_entries=entries)
        self._core.snapshots.kept = KEPT + extra_snapshots

    def rekey(self, done: Rekeyed) -> None:
        """Encrypt log and snapshots anew, soon, if they need another key than the current one.

        `done` hears on the raft thread what went wrong, or None.
        """
        self._waiting.append(done)

    def check(self, now: float) -> None:
        """Start what is due."""
        core = self._core
        if self._busy:
            return
        if self._waiting:
            self._busy = True
            self._rekeying, self._waiting = self._waiting, []
            core.host.work(core.snapshots.rekey, self._snapshots_rekeyed)
            return
        if now < self._not_before:
            return
        entries = core.applied_index - (core.snapshots.latest.index if core.snapshots.latest else 1)
        size = core.journal.appended_bytes - self._bytes_before
        timing = core.timing
        if entries >= timing.snapshot_entries or (size >= timing.snapshot_bytes and entries > 1):
            self._busy = True
            core.host.freeze(self._frozen)

    def _frozen(self, index: int, state: FrozenState) -> None:
        core = self._core
        latest = core.snapshots.latest
        term = term_at(core.journal, index)
        if term is None or index <= (latest.index if latest else 1):  # a newer one was installed meanwhile
            self._finish()
            return
        self._bytes_before = core.journal.appended_bytes
        membership = core.history.at(index)
        write = partial(core.snapshots.write, core.journal.cluster_id, index, term, membership)
        core.host.work(lambda: write(state.records()), self._written)

    def _written(self, result: Snapshot | Exception) -> None:
        core = self._core
        if isinstance(result, OSError):
            raise result
        if isinstance(result, Exception):
            log.error("raft.snapshot_failed", reason=str(result))
            self._finish(RETRY_S)
            return
        core.snapshots.adopt(result)
        log.info("raft.snapshot_written", raft_index=result.index)
        # The log reaches back to the older snapshot, so that a start can do without the newer one.
        entries, timing = core.journal[:], core.timing
        cut = cut_behind(entries, result.index, timing.trailing_entries, timing.trailing_bytes)
        cut = min(cut, core.snapshots.log_needed_from, self._held(entries))
        if cut <= core.journal[0][1]:
            self._finish()
            return
        compaction = core.journal.begin_compaction(cut, core.history.at(cut))
        core.host.work(compaction.write, partial(self._rewritten, compaction))

    def _held(self, entries: Sequence[Entry]) -> int:
        """Return which entry must be the first one for the sake of members that are catching up.

        Else one whose link is slower than snapshots are taken would get one snapshot after another.
        """
        held_bytes = HELD_SNAPSHOTS * self._core.timing.snapshot_bytes
        affordable = cut_behind(entries, entries[-1][1], len(entries), held_bytes)
        return max(self._core.leading.log_wanted_from, affordable)

    def _rewritten(self, compaction: Compaction, result: Exception | None) -> None:
        self._put_in_place(compaction, result)
        self._finish()

    def _put_in_place(self, compaction: Compaction, result: Exception | None) -> None:
        core = self._core
        if result is not None:
            core.journal.abandon_compaction(compaction)
            raise result
        if core.journal.finish_compaction(compaction):
            core.history.compact(core.journal[0][1])

    def _snapshots_rekeyed(self, result: Exception | None) -> None:
        journal = self._core.journal
        if result is not None or journal.key_id == self._core.snapshots.keys.current.id:
            self._rekeyed(result)
            return
        first = journal[0][1]
        compaction = journal.begin_compaction(first, self._core.history.at(first))
        self._core.host.work(compaction.write, partial(self._log_rekeyed, compaction))

    def _log_rekeyed(self, compaction: Compaction, result: Exception | None) -> None:
        try:
            self._put_in_place(compaction, result)
        except Exception as error:
            self._rekeyed(error)
            raise
        self._rekeyed(None)

    def _rekeyed(self, problem: Exception | None) -> None:
        rekeying, self._rekeying = self._rekeying, []
        self._busy = False
        for done in rekeying:
            done(problem)

    def _finish(self, pause_s: float = 0.0) -> None:
        self._busy = False
        self._not_before = self._core.now() + pause_s
