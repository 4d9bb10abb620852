"""A backup becomes the Raft files of one new manager: the cluster it was made of, with nobody else to vote.

The new log begins behind a snapshot of the restored state. Its index and term lie far beyond those of the
backup: whatever the lost managers wrote afterwards, no version of an object is ever given out twice.
"""

import asyncio
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import structlog

from swarm.api.v1.backup_pb2 import BackupHeader, BackupPart
from swarm.api.v1.objects_pb2 import Cluster, Node
from swarm.api.v1.raft_pb2 import RaftMember
from swarm.api.v1.types_pb2 import (
    NODE_ROLE_MANAGER,
    NODE_ROLE_WORKER,
    NODE_STATE_DISCONNECTED,
    NODE_STATE_DOWN,
)
from swarm.clock import Clock, timestamp
from swarm.errors import FailedPrecondition, InvariantBroken
from swarm.ids import new_id, new_raft_id
from swarm.manager.raft.disk import Disk
from swarm.manager.raft.journal import DurableJournal
from swarm.manager.raft.membership import REMOVED_LIMIT, Membership
from swarm.manager.raft.snapshots import SnapshotStore
from swarm.manager.recovery import UPDATE_TIMEOUT_S, Ending, demote_others
from swarm.manager.store.store import Store
from swarm.manager.store.tables import copy_of
from swarm.manager.store.transaction import Transaction
from swarm.manager.store.version import check_store_version
from swarm.security.keyring import DataKeys

log = structlog.get_logger(__name__)

# More entries than any cluster writes between a backup and the day that it is needed.
BEYOND = 1 << 40


@dataclass(frozen=True, slots=True)
class Backup:
    """The content of a backup, checked."""

    header: BackupHeader
    managers: tuple[RaftMember, ...]  # when it was made
    records: tuple[bytes, ...]
    store: Store  # the state as it was

    @property
    def cluster(self) -> Cluster:
        """The cluster that it is a backup of."""
        cluster = self.store.view.cluster
        assert cluster is not None
        return cluster


def read_backup(parts: Iterable[BackupPart], clock: Clock) -> Backup:
    """Return what the parts of a backup say; raises FailedPrecondition when they are not one whole."""
    order = iter(parts)
    header = _expected(order, "header").header
    check_store_version(header.store_version, "the backup")
    managers = tuple(_expected(order, "membership").membership.members)
    records: list[bytes] = []
    for part in order:
        if part.WhichOneof("part") == "end":
            if part.end.records != len(records) or next(order, None) is not None:
                break
            return Backup(header, managers, tuple(records), _state(header, records, clock))
        records.extend(part.records.records)
    raise FailedPrecondition("the backup is not whole: create another one, or use an earlier one")


def _expected(parts: Iterator[BackupPart], kind: str) -> BackupPart:
    part = next(parts, BackupPart())
    if part.WhichOneof("part") != kind:
        raise FailedPrecondition(f"the backup is not whole: its {kind} is missing")
    return part


def _state(header: BackupHeader, records: Iterable[bytes], clock: Clock) -> Store:
    store = Store(clock, f"restore-{new_id()}")
    try:
        store.restore(header.index, records)
    except InvariantBroken as error:
        raise FailedPrecondition(f"the backup cannot be used by this version of swarm: {error}") from error
    cluster = store.view.cluster
    if cluster is None or cluster.id != header.cluster_id:
        raise FailedPrecondition("the backup does not hold the cluster that it names")
    return store


def await_workers(transaction: Transaction) -> None:
    """Let the tasks of workers stay where they are until those are heard: they may not find us at once.

    The managers are lost for good, and so are their tasks. Pure.
    """
    for current in tuple(transaction.nodes):
        if current.role == NODE_ROLE_WORKER and current.status.state != NODE_STATE_DOWN:
            node = copy_of(current)
            node.status.state = NODE_STATE_DISCONNECTED
            node.status.message = "not heard since the cluster was restored; its tasks stay with it"
            node.status.awaited = True
            transaction.update(node)


def write_files(
    directory: Path, keys: DataKeys, backup: Backup, member: RaftMember, expires_at_ns: int
) -> RaftMember:
    """Write log and snapshot of the only manager, on the node of `member`, and return it with its raft id.

    Blocks. `expires_at_ns` is when the node's certificate does. Raises OSError; files stay behind then.
    """
    chosen = RaftMember(raft_id=new_raft_id(), node_id=member.node_id, addr=member.addr)
    end = Ending(backup.store, backup.header.index + BEYOND, backup.header.index + BEYOND)
    backup.store.attach(end)

    def change(transaction: Transaction) -> None:
        node = Node(id=chosen.node_id, role=NODE_ROLE_MANAGER)
        node.spec.desired_role = NODE_ROLE_MANAGER
        node.certificate_expires_at.CopyFrom(timestamp(expires_at_ns))
        transaction.create(node)
        await_workers(transaction)
        demote_others(transaction, chosen.node_id)

    asyncio.run(backup.store.update(change, UPDATE_TIMEOUT_S))
    state = backup.store.freeze()
    membership = Membership({chosen.raft_id: chosen}, backup.managers[-REMOVED_LIMIT:])
    cluster_id = backup.header.cluster_id
    disk = Disk(directory)
    disk.lock()
    try:
        snapshots = SnapshotStore(disk, keys)
        snapshots.write(cluster_id, state.applied_index, end.term, membership, state.records())
        DurableJournal.create(disk, keys, cluster_id, chosen.raft_id, membership)
        journal = DurableJournal(disk, keys)
        try:
            journal.reset(state.applied_index, end.term, membership)
        finally:
            journal._destroy()
    finally:
        disk.unlock()
    log.warning("restoring.files_written", node_id=chosen.node_id, raft_index=state.applied_index)
    return chosen
