"""The files of one member: opened, or created for a new one."""

from pathlib import Path

from swarm.api.v1.raft_pb2 import RaftMember
from swarm.errors import InvariantBroken
from swarm.manager.raft.config import RaftConfig
from swarm.manager.raft.disk import Disk, ReadOnlyDisk
from swarm.manager.raft.journal import NAME as LOG_NAME
from swarm.manager.raft.journal import DurableJournal
from swarm.manager.raft.membership import Membership, membership_of
from swarm.manager.raft.sealed import key_id_of
from swarm.manager.raft.snapshots import SnapshotStore
from swarm.security.keyring import DataKeys


def has_log(directory: Path) -> bool:
    """Tell whether `directory` holds the log of a member."""
    return (directory / LOG_NAME).exists()


def stored_raft_id(directory: Path, keys: DataKeys) -> str | None:
    """Return the raft id that the log in `directory` belongs to, None if there is no log.

    Raises InvariantBroken for a damaged log, MissingKey for one that needs another key.
    """
    if not has_log(directory):
        return None
    owner = DurableJournal.owner(ReadOnlyDisk(directory), keys)
    return owner.raft_id if owner is not None else None


def read_files(directory: Path, keys: DataKeys) -> tuple[DurableJournal, SnapshotStore]:
    """Return log and snapshots to look at, without changing anything: a torn end of the log stays on disk.

    Of a manager that runs, this may find files half replaced. Raises FileNotFoundError when there is no log,
    InvariantBroken for a damaged one, MissingKey when the keys are not those of the files.
    """
    disk = ReadOnlyDisk(directory)
    return DurableJournal(disk, keys), SnapshotStore(disk, keys)


def keys_in_use(disk: Disk) -> frozenset[bytes]:
    """Return the ids of the data keys that the files of a member need."""
    return frozenset(key_id for name in disk.names() if (key_id := _key_id(disk, name)) is not None)


def _key_id(disk: Disk, name: str) -> bytes | None:
    try:
        file = disk.open(name)
    except FileNotFoundError:  # replaced or dropped meanwhile
        return None
    try:
        return key_id_of(file)
    finally:
        file.close()


def open_files(config: RaftConfig) -> tuple[DurableJournal, SnapshotStore, Disk]:
    """Return log, snapshots and the locked directory; reads everything, so it blocks.

    Raises InvariantBroken for damaged files or those of another member, FailedPrecondition if another
    process uses them.
    """
    disk = Disk(config.directory)
    disk.lock()
    try:
        if not DurableJournal.exists(disk):
            DurableJournal.create(
                disk, config.keys, config.cluster_id, config.self_member.raft_id, _first(config)
            )
        return _open_journal(disk, config), SnapshotStore(disk, config.keys), disk
    except BaseException:
        disk.unlock()
        raise


def _open_journal(disk: Disk, config: RaftConfig) -> DurableJournal:
    journal = DurableJournal(disk, config.keys)
    found = (journal.cluster_id, journal.raft_id)
    if found == (config.cluster_id, config.self_member.raft_id):
        return journal
    journal._destroy()
    raise InvariantBroken(
        f"the Raft log in {config.directory} belongs to member {found[1]} of cluster {found[0]}, not to "
        f"{config.self_member.raft_id} of {config.cluster_id}"
    )


def _first(config: RaftConfig) -> Membership:
    """Return the membership that a new member starts with."""
    myself = RaftMember()
    myself.CopyFrom(config.self_member)
    myself.learner = bool(config.members)
    return membership_of(*config.members, myself)
