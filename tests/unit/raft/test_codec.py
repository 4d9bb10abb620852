"""Messages survive the wire unchanged, and nothing else gets through."""

import contextlib
from typing import Any

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from swarm.api.v1.raft_pb2 import MembershipChange, RaftEntry, RaftMember, RaftMessage
from swarm.manager.raft.codec import UnknownEntry, WireError, decode, encode
from swarm.manager.raft.entries import NOOP, change_command, data_command

number = st.integers(1, 2**40)
commands = st.one_of(
    st.binary(max_size=50).map(data_command),
    st.just(NOOP),
    st.builds(
        lambda kind, raft_id, learner: change_command(
            MembershipChange(kind=kind, member=RaftMember(raft_id=raft_id, learner=learner))
        ),
        st.sampled_from([0, 1, 2]),
        st.text(max_size=5),
        st.booleans(),
    ),
)


@st.composite
def appends(draw: Any) -> dict[str, Any]:
    previous, term = draw(number), draw(number)
    listed = draw(st.lists(commands, max_size=5))
    entries = [(command, previous + 1 + at, term) for at, command in enumerate(listed)]
    message = {"type": "append_entries", "term": term, "prevLogIdx": previous, "prevLogTerm": draw(number)}
    return message | {"commit_index": draw(number), "read_sequence": draw(number), "entries": entries}


votes = {"last_log_index": number, "last_log_term": number}
messages = st.one_of(
    appends(),
    st.fixed_dictionaries(
        {
            "type": st.just("next_node_idx"),
            "term": number,
            "next_node_idx": number,
            "success": st.booleans(),
            "reset": st.booleans(),
            "read_sequence": number,
        }
    ),
    st.fixed_dictionaries({"type": st.just("request_vote"), "term": number, **votes}),
    st.fixed_dictionaries({"type": st.just("prevote"), "term": number, "nonce": st.floats(0, 1e9), **votes}),
    st.fixed_dictionaries({"type": st.just("prevote_granted"), "term": number, "nonce": st.floats(0, 1e9)}),
    st.fixed_dictionaries(
        {"type": st.sampled_from(["response_vote", "vote_refused", "timeout_now"]), "term": number}
    ),
    st.fixed_dictionaries(
        {
            "type": st.just("snapshot"),
            "term": st.just(2**40),
            "index": number,
            "snapshot_term": number,
            "offset": number,
            "chunk": st.binary(max_size=50),
            "done": st.booleans(),
        }
    ),
    st.fixed_dictionaries(
        {"type": st.just("snapshot_reply"), "term": number, "index": number, "offset": number}
    ),
)


@given(messages)
def test_every_message_survives_the_wire(message: dict[str, Any]) -> None:
    wire = RaftMessage.FromString(encode(message, "a", "b", "cluster").SerializeToString())
    assert (wire.sender, wire.recipient, wire.cluster_id) == ("a", "b", "cluster")
    assert decode(wire) == message


@given(st.binary(max_size=200))
def test_garbage_is_refused_or_harmless(data: bytes) -> None:
    try:
        wire = RaftMessage.FromString(data)
    except DecodeError:
        return
    with contextlib.suppress(WireError):
        decode(wire)


def append(**fields: Any) -> RaftMessage:
    message = RaftMessage(term=5)
    message.append.prev_index = 10
    for name, value in fields.items():
        if name == "entries":
            message.append.entries.extend(value)
        else:
            setattr(message.append, name, value)
    return message


@pytest.mark.parametrize(
    "message",
    [
        RaftMessage(term=5),
        append(prev_index=0),
        append(prev_index=2**63),
        append(entries=[RaftEntry(index=12, term=5, noop=True)]),
        append(entries=[RaftEntry(index=11, term=5, noop=True), RaftEntry(index=11, term=5, noop=True)]),
        append(entries=[RaftEntry(index=11, term=6, noop=True)]),
        append(entries=[RaftEntry(index=11, term=5)]),
        RaftMessage(term=2**63, timeout_now={}),
        RaftMessage(term=5, append_reply={"next_index": 0}),
        RaftMessage(term=5, snapshot={"last_index": 0}),
        RaftMessage(term=5, snapshot={"last_index": 7, "last_term": 6}),
    ],
)
def test_what_no_member_sends_is_refused(message: RaftMessage) -> None:
    with pytest.raises(WireError):
        decode(message)


def test_an_entry_of_an_unknown_kind_is_told_from_nonsense() -> None:
    """Whoever gets one must stop: it can neither be skipped nor applied."""
    wire = RaftMessage(term=3)
    wire.append.prev_index = 4
    wire.append.entries.add(index=5, term=3)  # what a newer version put in is a field that we do not know
    with pytest.raises(UnknownEntry, match=r"entry 5 .* install the version of the other managers"):
        decode(wire)
