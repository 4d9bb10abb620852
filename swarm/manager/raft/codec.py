"""Messages on the wire: between the core's dictionaries and `RaftMessage`. Nothing else is understood."""

from collections.abc import Callable
from typing import Any

from swarm.api.v1.raft_pb2 import MembershipChange, RaftEntry, RaftMessage
from swarm.manager.raft.entries import CHANGE, DATA, NOOP, Entry

Message = dict[str, Any]  # pysyncobj's form; "type" says which

FRAME_BYTES_MAX = 64 * 1024 * 1024
_INDEX_MAX = 2**62


class WireError(ValueError):
    """A message that no correct member sends."""


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
    if wire.term > _INDEX_MAX:
        raise WireError(f"term {wire.term} is out of range")
    return {"term": wire.term, **_DECODERS[kind](wire)}


def _encode_append(message: Message, wire: RaftMessage) -> None:
    append = wire.append
    append.prev_index = message["prevLogIdx"]
    append.prev_term = message["prevLogTerm"]
    append.commit = message["commit_index"]
    append.read_sequence = message["read_sequence"]
    append.entries.extend(_encode_entry(entry) for entry in message["entries"])


def _encode_entry(entry: Entry) -> RaftEntry:
    command, index, term = entry
    kind = command[:1]
    if kind == DATA:
        return RaftEntry(index=index, term=term, data=command[1:])
    if kind == CHANGE:
        return RaftEntry(index=index, term=term, change=MembershipChange.FromString(command[1:]))
    return RaftEntry(index=index, term=term, noop=True)


def _decode_append(wire: RaftMessage) -> Message:
    append = wire.append
    entries = [_decode_entry(entry) for entry in append.entries]
    for position, (_, index, term) in enumerate(entries, start=1):
        if index != append.prev_index + position:
            raise WireError(f"entry {index} does not follow entry {append.prev_index + position - 1}")
        if term > wire.term:
            raise WireError(f"entry {index} is of term {term}, its sender only at {wire.term}")
    if not 0 < append.prev_index < _INDEX_MAX:
        raise WireError(f"index {append.prev_index} is out of range")
    return {
        "type": "append_entries",
        "prevLogIdx": append.prev_index,
        "prevLogTerm": append.prev_term,
        "commit_index": append.commit,
        "read_sequence": append.read_sequence,
        "entries": entries,
    }


def _decode_entry(entry: RaftEntry) -> Entry:
    body = entry.WhichOneof("body")
    if body == "data":
        return DATA + entry.data, entry.index, entry.term
    if body == "noop":
        return NOOP, entry.index, entry.term
    if body == "change":
        return CHANGE + entry.change.SerializeToString(deterministic=True), entry.index, entry.term
    # Sent by a newer version: it must not be skipped, so the whole message is refused.
    raise WireError(f"entry {entry.index} is of an unknown kind")


def _encode_append_reply(message: Message, wire: RaftMessage) -> None:
    reply = wire.append_reply
    reply.next_index = message["next_node_idx"]
    reply.success = message["success"]
    reply.reset = message["reset"]
    reply.read_sequence = message["read_sequence"]


def _decode_append_reply(wire: RaftMessage) -> Message:
    reply = wire.append_reply
    if not 0 < reply.next_index < _INDEX_MAX:
        raise WireError(f"index {reply.next_index} is out of range")
    return {
        "type": "next_node_idx",
        "next_node_idx": reply.next_index,
        "success": reply.success,
        "reset": reply.reset,
        "read_sequence": reply.read_sequence,
    }


def _encode_vote(message: Message, wire: RaftMessage) -> None:
    wire.vote.last_index = message["last_log_index"]
    wire.vote.last_term = message["last_log_term"]
    if message["type"] == "prevote":
        wire.vote.pre = True
        wire.vote.nonce = message["nonce"]


def _decode_vote(wire: RaftMessage) -> Message:
    vote = wire.vote
    message: Message = {"last_log_index": vote.last_index, "last_log_term": vote.last_term}
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
    chunk = wire.snapshot
    chunk.last_index = message["index"]
    chunk.last_term = message["snapshot_term"]
    chunk.offset = message["offset"]
    chunk.chunk = message["chunk"]
    chunk.done = message["done"]


def _decode_snapshot(wire: RaftMessage) -> Message:
    chunk = wire.snapshot
    if not 0 < chunk.last_index < _INDEX_MAX or chunk.last_term > wire.term:
        raise WireError(f"a snapshot at index {chunk.last_index} and term {chunk.last_term}")
    return {
        "type": "snapshot",
        "index": chunk.last_index,
        "snapshot_term": chunk.last_term,
        "offset": chunk.offset,
        "chunk": chunk.chunk,
        "done": chunk.done,
    }


def _encode_snapshot_reply(message: Message, wire: RaftMessage) -> None:
    wire.snapshot_reply.last_index = message["index"]
    wire.snapshot_reply.offset = message["offset"]


def _decode_snapshot_reply(wire: RaftMessage) -> Message:
    reply = wire.snapshot_reply
    return {"type": "snapshot_reply", "index": reply.last_index, "offset": reply.offset}


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
