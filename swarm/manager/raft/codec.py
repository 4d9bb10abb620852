"""Messages on the wire: between the core's dictionaries and `RaftMessage`. Nothing else is understood."""

from collections.abc import Callable
from typing import Any

from swarm.api.v1.raft_pb2 import MembershipChange, RaftEntry, RaftMessage
from swarm.errors import InvariantBroken
from swarm.manager.raft.entries import CHANGE, DATA, NOOP, Entry

Message = dict[str, Any]  # pysyncobj's form; "type" says which

_NUMBER_MAX = 2**62  # of terms, indices, offsets: nobody ever gets there

# The core's names of a message's fields, and their names on the wire.
_APPEND = {
    "prevLogIdx": "prev_index",
    "prevLogTerm": "prev_term",
    "commit_index": "commit",
    "read_sequence": "read_sequence",
}
_APPEND_REPLY = {
    "next_node_idx": "next_index",
    "success": "success",
    "reset": "reset",
    "read_sequence": "read_sequence",
}
_VOTE = {"last_log_index": "last_index", "last_log_term": "last_term"}
_SNAPSHOT = {
    "index": "last_index",
    "snapshot_term": "last_term",
    "offset": "offset",
    "chunk": "chunk",
    "done": "done",
}
_SNAPSHOT_REPLY = {"index": "last_index", "offset": "offset"}


class WireError(ValueError):
    """A message that no correct member sends."""


class UnknownEntry(WireError):
    """An entry of a kind that this version does not know: neither to be skipped nor to be applied."""


def encode(message: Message, sender: str, recipient: str, cluster_id: str) -> RaftMessage:
    """Return the message to send; the sender and recipient are raft ids."""
    wire = RaftMessage(cluster_id=cluster_id, sender=sender, recipient=recipient, term=message["term"])
    _ENCODERS[message["type"]](message, wire)
    return wire


def decode(wire: RaftMessage) -> Message:
    """Return the core's form of a message; raises WireError."""
    kind = wire.WhichOneof("message")
    if kind is None:
        raise WireError("a message of an unknown kind")
    if wire.term > _NUMBER_MAX:
        raise WireError(f"term {wire.term} is out of range")
    return {"term": wire.term, **_DECODERS[kind](wire)}


def _write(message: Message, part: Any, names: dict[str, str]) -> None:
    for name, wire_name in names.items():
        setattr(part, wire_name, message[name])


def _read(part: Any, names: dict[str, str]) -> Message:
    message = {name: getattr(part, wire_name) for name, wire_name in names.items()}
    for name, value in message.items():
        if isinstance(value, int) and value > _NUMBER_MAX:
            raise WireError(f"{names[name]} {value} is out of range")
    return message


def _encode_append(message: Message, wire: RaftMessage) -> None:
    _write(message, wire.append, _APPEND)
    wire.append.entries.extend(_encode_entry(entry) for entry in message["entries"])


def _encode_entry(entry: Entry) -> RaftEntry:
    command, index, term = entry
    kind = command[:1]
    if kind == DATA:
        return RaftEntry(index=index, term=term, data=command[1:])
    if kind == CHANGE:
        return RaftEntry(index=index, term=term, change=MembershipChange.FromString(command[1:]))
    if kind == NOOP:
        return RaftEntry(index=index, term=term, noop=True)
    raise InvariantBroken(f"an entry of the unknown kind {kind.hex()}: it is from a newer version of swarm")


def _decode_append(wire: RaftMessage) -> Message:
    append = wire.append
    entries = [_decode_entry(entry) for entry in append.entries]
    for position, (_, index, term) in enumerate(entries, start=1):
        if index != append.prev_index + position:
            raise WireError(f"entry {index} does not follow entry {append.prev_index + position - 1}")
        if term > wire.term:
            raise WireError(f"entry {index} is of term {term}, its sender only at {wire.term}")
    if append.prev_index < 1:
        raise WireError(f"index {append.prev_index} is out of range")
    return {"type": "append_entries", **_read(append, _APPEND), "entries": entries}


def _decode_entry(entry: RaftEntry) -> Entry:
    body = entry.WhichOneof("body")
    if body == "data":
        return DATA + entry.data, entry.index, entry.term
    if body == "noop":
        return NOOP, entry.index, entry.term
    if body == "change" and entry.change.kind in MembershipChange.Kind.values():
        return CHANGE + entry.change.SerializeToString(deterministic=True), entry.index, entry.term
    # Sent by a newer version: it must not be skipped.
    raise UnknownEntry(
        f"entry {entry.index} of the log is of a kind that this version does not know: it is from a newer "
        "version of swarm; install the version of the other managers"
    )


def _encode_append_reply(message: Message, wire: RaftMessage) -> None:
    _write(message, wire.append_reply, _APPEND_REPLY)


def _decode_append_reply(wire: RaftMessage) -> Message:
    reply = wire.append_reply
    if reply.next_index < 1:
        raise WireError(f"index {reply.next_index} is out of range")
    return {"type": "next_node_idx", **_read(reply, _APPEND_REPLY)}


def _encode_vote(message: Message, wire: RaftMessage) -> None:
    _write(message, wire.vote, _VOTE)
    if message["type"] == "prevote":
        wire.vote.pre = True
        wire.vote.nonce = message["nonce"]


def _decode_vote(wire: RaftMessage) -> Message:
    vote = wire.vote
    message = _read(vote, _VOTE)
    if vote.pre:
        return {"type": "prevote", "nonce": vote.nonce, **message}
    return {"type": "request_vote", **message}


def _encode_vote_reply(message: Message, wire: RaftMessage) -> None:
    reply = wire.vote_reply
    reply.granted = message["type"] in {"response_vote", "prevote_granted"}
    if message["type"] == "prevote_granted":
        reply.pre = True
        reply.nonce = message["nonce"]


def _decode_vote_reply(wire: RaftMessage) -> Message:
    reply = wire.vote_reply
    if not reply.granted:
        return {"type": "vote_refused"}
    if reply.pre:
        return {"type": "prevote_granted", "nonce": reply.nonce}
    return {"type": "response_vote"}


def _encode_snapshot(message: Message, wire: RaftMessage) -> None:
    _write(message, wire.snapshot, _SNAPSHOT)


def _decode_snapshot(wire: RaftMessage) -> Message:
    chunk = wire.snapshot
    if chunk.last_index < 1 or chunk.last_term > wire.term:
        raise WireError(f"a snapshot at index {chunk.last_index} and term {chunk.last_term}")
    return {"type": "snapshot", **_read(chunk, _SNAPSHOT)}


def _encode_snapshot_reply(message: Message, wire: RaftMessage) -> None:
    _write(message, wire.snapshot_reply, _SNAPSHOT_REPLY)


def _decode_snapshot_reply(wire: RaftMessage) -> Message:
    return {"type": "snapshot_reply", **_read(wire.snapshot_reply, _SNAPSHOT_REPLY)}


def _encode_timeout_now(message: Message, wire: RaftMessage) -> None:  # one signature for all
    wire.timeout_now.SetInParent()


_ENCODERS: dict[str, Callable[[Message, RaftMessage], None]] = {
    "append_entries": _encode_append,
    "next_node_idx": _encode_append_reply,
    "request_vote": _encode_vote,
    "prevote": _encode_vote,
    "response_vote": _encode_vote_reply,
    "prevote_granted": _encode_vote_reply,
    "vote_refused": _encode_vote_reply,
    "snapshot": _encode_snapshot,
    "snapshot_reply": _encode_snapshot_reply,
    "timeout_now": _encode_timeout_now,
}

_DECODERS: dict[str, Callable[[RaftMessage], Message]] = {
    "append": _decode_append,
    "append_reply": _decode_append_reply,
    "vote": _decode_vote,
    "vote_reply": _decode_vote_reply,
    "snapshot": _decode_snapshot,
    "snapshot_reply": _decode_snapshot_reply,
    "timeout_now": lambda _: {"type": "timeout_now"},
}
