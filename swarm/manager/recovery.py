"""Goes on with a cluster whose other managers are lost: offline, on the files of one manager that is left.

The log gets an end that nobody voted for: this manager takes a new raft id, every other member is removed,
and their nodes become workers. All that the log holds stays, also what was not committed yet: nobody can
tell any more whether it was acknowledged. The new log takes the place of the old one in one step, so
whatever interrupts this leaves either the old cluster or the new one.
"""

import asyncio
import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import structlog

from swarm.api.v1.objects_pb2 import Cluster, Node
from swarm.api.v1.raft_pb2 import MembershipChange, RaftMember
from swarm.api.v1.types_pb2 import NODE_ROLE_MANAGER, NODE_ROLE_WORKER
from swarm.clock import Clock
from swarm.errors import FailedPrecondition
from swarm.ids import new_id, new_raft_id
from swarm.manager.raft.compaction import recover
from swarm.manager.raft.disk import Disk
from swarm.manager.raft.entries import Entry, change_command, data_command, data_of
from swarm.manager.raft.files import has_log
from swarm.manager.raft.journal import DurableJournal
from swarm.manager.raft.membership import Membership
from swarm.manager.raft.snapshots import Snapshot, SnapshotStore
from swarm.manager.store.proposer import Proposer
from swarm.manager.store.store import Store
from swarm.manager.store.tables import copy_of
from swarm.manager.store.transaction import Transaction
from swarm.security.keyring import DataKeys

log = structlog.get_logger(__name__)

UPDATE_TIMEOUT_S = 60.0  # of a change that is computed and applied here, whatever its size


@dataclass(frozen=True, slots=True)
class Recovered:
    """What became of the cluster."""

    former: tuple[RaftMember, ...]  # the managers that have no vote any more
    cluster: Cluster


def go_on_alone(directory: Path, keys: DataKeys, node_id: str, addr: str, clock: Clock) -> Recovered:
    """Make this node, reached at `addr`, the only manager of the cluster whose log is in `directory`.

    Blocks; the manager must not run. Raises FailedPrecondition when there is no log or a process uses it,
    InvariantBroken when it is damaged, OSError when the disk fails; then all is as it was.
    """
    if not has_log(directory):
        raise FailedPrecondition(
            f"there is no Raft log in {directory}: this manager has nothing to go on with"
        )
    with _opened(directory, keys) as (journal, snapshots):
        recover(journal, snapshots)
        return asyncio.run(_go_on(journal, snapshots, node_id, addr, clock))


@contextlib.contextmanager
def _opened(directory: Path, keys: DataKeys) -> Iterator[tuple[DurableJournal, SnapshotStore]]:
    disk = Disk(directory)
    disk.lock()
    try:
        journal = DurableJournal(disk, keys)
        try:
            yield journal, SnapshotStore(disk, keys)
        finally:
            journal._destroy()
    finally:
        disk.unlock()


async def _go_on(
    journal: DurableJournal, snapshots: SnapshotStore, node_id: str, addr: str, clock: Clock
) -> Recovered:
    store = restored_store(journal[0:], snapshots.latest, clock)
    before = journal.history().current
    end = Ending(store, journal[-1][1], journal.getCurrentTerm() + 1)
    raft_id = new_raft_id()
    for change in changes_to_one(before, RaftMember(raft_id=raft_id, node_id=node_id, addr=addr)):
        end.append(change_command(change))
    store.attach(end)
    await store.update(lambda transaction: demote_others(transaction, node_id), UPDATE_TIMEOUT_S)
    cluster = store.view.cluster
    assert cluster is not None  # else the update had failed
    journal.hand_on(raft_id, end.term, end.entries)
    former = tuple(member for member in before.members.values() if member.node_id != node_id)
    log.warning("recovery.alone", node_id=node_id, raft_id=raft_id, former=[one.node_id for one in former])
    return Recovered(former, cluster)


def restored_store(entries: Iterable[Entry], latest: Snapshot | None, clock: Clock) -> Store:
    """Return the state after all these entries, committed or not."""
    store = Store(clock, f"recovery-{new_id()}")
    if latest is not None:
        store.restore(latest.index, latest.records())
    for command, index, _ in entries:
        data = data_of(command)
        if data is not None and (latest is None or index > latest.index):
            store.apply(index, data)
    return store


def changes_to_one(before: Membership, member: RaftMember) -> list[MembershipChange]:
    """Return the changes that make `member` the only one; pure."""
    added = MembershipChange(kind=MembershipChange.KIND_ADD, member=member)
    removed = [
        MembershipChange(kind=MembershipChange.KIND_REMOVE, member=before.members[raft_id])
        for raft_id in sorted(before.members)
    ]
    return [added, *removed]


def demote_others(transaction: Transaction, node_id: str) -> None:
    """Make every other manager a worker, and this node a manager whatever it was to become; pure.

    Raises FailedPrecondition when the state does not know the cluster or this node.
    """
    if transaction.cluster is None or transaction.nodes.get(node_id) is None:
        raise FailedPrecondition("the Raft log on this node ends before it was a member: choose another one")
    for current in tuple(transaction.nodes):
        role = NODE_ROLE_MANAGER if current.id == node_id else NODE_ROLE_WORKER
        if current.role != role or current.spec.desired_role != role:
            node: Node = copy_of(current)
            node.role = node.spec.desired_role = role
            transaction.update(node)


class Ending(Proposer):
    """The entries that the log gets at its end; what is proposed counts at once."""

    def __init__(self, store: Store, last_index: int, term: int) -> None:
        self.term = term
        self.entries: list[Entry] = []
        self._store = store
        self._last_index = last_index

    def append(self, command: bytes) -> int:
        """Add a command and return its index."""
        self._last_index += 1
        self.entries.append((command, self._last_index, self.term))
        return self._last_index

    async def propose(self, entry: bytes, timeout_s: float) -> int:
        """Append an entry of the store and apply it."""
        index = self.append(data_command(entry))
        self._store.apply(index, entry)
        return index
