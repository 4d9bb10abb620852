"""What is said about log, snapshots and state: rows and JSON, without secrets. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from google.protobuf.message import DecodeError, Message

from swarm.api.v1.raft_pb2 import RaftLogBase, RaftMember
from swarm.api.v1.store_pb2 import StoreAction, StoreEntry
from swarm.debug.redact import shown
from swarm.errors import InvariantBroken
from swarm.manager.raft.entries import NOOP, change_of, data_of
from swarm.manager.raft.inspect import Damage, Item
from swarm.manager.raft.journal import RecordKind
from swarm.manager.raft.membership import Membership
from swarm.manager.store.tables import kind_name, object_name, unwrap

_VERBS = {
    StoreAction.KIND_CREATE: "create",
    StoreAction.KIND_UPDATE: "update",
    StoreAction.KIND_REMOVE: "remove",
}


def log_line(item: Item) -> dict[str, Any]:
    """Return what one record of the log says; `detail` holds the redacted messages."""
    kind, first, second, payload = item.record
    line: dict[str, Any] = {"offset": item.offset, "kind": kind.name.lower()}
    if kind == RecordKind.ENTRY:
        line |= {"index": first, "term": second, "bytes": len(payload), **_entry(payload)}
    elif kind == RecordKind.HARDSTATE:
        vote = payload.decode(errors="replace") if second else ""
        line |= {"term": first, "what": f"term {first}, {f'vote for {vote}' if vote else 'no vote'}"}
    elif kind == RecordKind.COMMIT:
        line |= {"what": f"everything up to entry {first} is committed"}
    elif kind == RecordKind.TRUNCATE:
        line |= {"what": f"the entries from {first} on are cut off"}
    else:
        line |= _base(payload, first, second)
    return line


def _base(payload: bytes, first: int, last: int) -> dict[str, Any]:
    try:
        base = RaftLogBase.FromString(payload)
    except DecodeError:
        return {"what": "the beginning cannot be read"}
    what = f"log of member {base.raft_id} of cluster {base.cluster_id}, at first entries {first} to {last}"
    return {"what": what, "detail": shown(base)}


def _entry(command: bytes) -> dict[str, Any]:
    if command[:1] == NOOP:
        return {"what": "nothing: a leader began its term"}
    try:
        change = change_of(command)
        if change is not None:
            kind = type(change).Kind.Name(change.kind).removeprefix("KIND_").lower()
            return {
                "what": f"members: {kind} {member_text(change.member)}",
                "detail": {"change": shown(change)},
            }
        entry = StoreEntry.FromString(data_of(command) or b"")
    except (DecodeError, InvariantBroken):
        return {"what": "an entry that cannot be read"}
    return {"what": "; ".join(_actions(entry)) or "no change", "detail": {"entry": shown(entry)}}


def _actions(entry: StoreEntry) -> Iterator[str]:
    for transaction in entry.transactions:
        for action in transaction.actions:
            obj = unwrap(action.object)
            if obj is None:
                yield "an object of an unknown kind"
                continue
            name = object_name(obj)
            called = f" ({name})" if name and action.kind != StoreAction.KIND_REMOVE else ""
            yield f"{_VERBS.get(action.kind, 'change')} {kind_name(type(obj))} {obj.id}{called}"


def damage_line(damage: Damage) -> dict[str, Any]:
    """Return what is said of a place that cannot be read."""
    kind = "torn end" if damage.is_torn_end else "damage"
    tail = ": what a crash leaves, or swarmd is writing now; nothing acknowledged is in it"
    return {
        "offset": damage.offset,
        "kind": kind,
        "what": damage.reason + (tail if damage.is_torn_end else ""),
    }


def member_text(member: RaftMember) -> str:
    """Return a member in one line."""
    learner = ", joining" if member.learner else ""
    return f"{member.raft_id} (node {member.node_id} at {member.addr}{learner})"


def members_text(membership: Membership) -> list[str]:
    """Return the members, one a line."""
    return [member_text(membership.members[raft_id]) for raft_id in sorted(membership.members)]


def as_row(line: Mapping[str, Any]) -> str:
    """Return a line of the log for people."""
    index, term = line.get("index", "-"), line.get("term", "-")
    return f"{line['offset']:>10}  {line['kind']:<9}  {index!s:>8}  {term!s:>5}  {line['what']}"


def as_paragraph(what: Mapping[str, Any]) -> str:
    """Return a description for people, with an empty line at its end."""
    lines = []
    for key, value in what.items():
        if isinstance(value, dict):
            said = " " + ", ".join(f"{count} {name}" for name, count in value.items())
        elif isinstance(value, list):
            said = "".join(f"\n  {one}" for one in value) or " none"
        else:
            said = f" {value}"
        lines.append(f"{key}:{said}\n")
    return "".join(lines)


HEAD = f"{'OFFSET':>10}  {'KIND':<9}  {'INDEX':>8}  {'TERM':>5}  WHAT"


def within(line: Mapping[str, Any], first: int | None, last: int | None) -> bool:
    """Tell whether a line is of the entries asked for; damage always is."""
    if first is None and last is None:
        return True
    if "index" not in line:
        return line["kind"] in ("damage", "torn end")
    return (first is None or line["index"] >= first) and (last is None or line["index"] <= last)


def objects_shown(objects: Iterable[Message]) -> list[dict[str, Any]]:
    """Return objects as JSON without secrets, in the order of their ids."""
    return sorted((shown(one) for one in objects), key=lambda one: str(one.get("id", "")))
