"""Whose log is it, and how far does it go? Pure."""

from collections.abc import Iterable, Sequence
from typing import Any

from swarm.api.v1.raft_pb2 import RaftLogBase
from swarm.debug.view import members_text
from swarm.manager.raft.entries import Entry, change_of
from swarm.manager.raft.inspect import Damage, Item
from swarm.manager.raft.journal import RecordKind
from swarm.manager.raft.membership import Membership, from_message
from swarm.manager.raft.snapshots import Snapshot


def summary(
    found: Iterable[Item | Damage], entries: Sequence[Entry], latest: Snapshot | None
) -> dict[str, Any]:
    """Return what the log says of itself; `entries` are those that hold in the end."""
    base, term, vote, commit = RaftLogBase(), 0, "", 0
    for one in found:
        if isinstance(one, Damage):
            continue
        kind, first, second, payload = one.record
        if kind == RecordKind.BASE:
            base = RaftLogBase.FromString(payload)
        elif kind == RecordKind.HARDSTATE:
            term, vote = first, payload.decode(errors="replace") if second else ""
        elif kind == RecordKind.COMMIT:
            commit = first
    membership = _membership(from_message(base.membership), entries)
    return {
        "cluster": base.cluster_id,
        "raft id": base.raft_id,
        "term": term,
        "vote": vote or "none",
        "first entry": entries[0][1] if entries else 0,
        "last entry": entries[-1][1] if entries else 0,
        "committed": f"at least {commit}",
        "snapshot": f"entry {latest.index}" if latest is not None else "none",
        "members": members_text(membership),
    }


def _membership(membership: Membership, entries: Sequence[Entry]) -> Membership:
    for command, _, _ in entries:
        change = change_of(command)
        if change is not None:
            membership = membership.changed(change)
    return membership
