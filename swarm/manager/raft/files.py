"""The files of one member: opened, or created for a new one."""

from pathlib import Path

from swarm.api.v1.raft_pb2 import RaftMember
from swarm.errors import InvariantBroken
from swarm.manager.raft.config import RaftConfig
from swarm.manager.raft.disk import Disk
from swarm.manager.raft.journal import DurableJournal
from swarm.manager.raft.membership import Membership, membership_of
from swarm.manager.raft.snapshots import SnapshotStore


def stored_raft_id(directory: Path) -> str | None:
    """Return the raft id that the log in `directory` belongs to, None if there is no log.

    Raises InvariantBroken for a damaged log.
    """
    if not directory.is_dir():
        return None
    owner = DurableJournal.owner(Disk(directory))
    return owner.raft_id if owner is not None else None


def open_files(config: RaftConfig) -> tuple[DurableJournal, SnapshotStore, Disk]:
    """Return log, snapshots and the locked directory; reads everything, so it blocks.

    Raises InvariantBroken for damaged files or those of another member, FailedPrecondition if another
    process uses them.
    """
    disk = Disk(config.directory)
    disk.lock()
    try:
        if not DurableJournal.exists(disk):
            DurableJournal.create(disk, config.cluster_id, config.self_member.raft_id, _first(config))
        return _open_journal(disk, config), SnapshotStore(disk), disk
    except BaseException:
        disk.unlock()
        raise


def _open_journal(disk: Disk, config: RaftConfig) -> DurableJournal:
    journal = DurableJournal(disk)
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
