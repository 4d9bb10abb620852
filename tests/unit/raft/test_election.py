"""Whose votes count, and who is encouraged to campaign: nobody deposes a leader that others hear."""

from types import SimpleNamespace
from typing import Any

import pytest
from pysyncobj.node import Node

from swarm.manager.raft.config import Timing
from swarm.manager.raft.election import Election
from swarm.manager.raft.membership import Membership, membership_of
from tests.unit.raft.test_membership import member

NOW, TERM = 100.0, 4
LOG = (b"", 10, 3)  # command, index, term of the last entry


def made(**changes: Any) -> tuple[Election, Any, list[dict[str, Any]]]:
    """Return the election part of a member that follows nobody, what it belongs to, and what it sends."""
    sent: list[dict[str, Any]] = []
    core = SimpleNamespace(
        raft_id="a",
        term=TERM,
        journal=[LOG],
        is_leader=False,
        is_voter=True,
        heard_leader_at=float("-inf"),
        election_deadline=0.0,
        timing=Timing(),
        other_voters={Node("b"), Node("c")},
        history=SimpleNamespace(current=group_of("a", "b", "c")),
        now=lambda: NOW,
        is_connected=lambda _: True,
        send=lambda _, message: sent.append(message),
    )
    core.postpone_election = lambda: setattr(core, "election_deadline", NOW + 1)
    vars(core).update(changes)
    return Election(core), core, sent


def group_of(*raft_ids: str) -> Membership:
    return membership_of(*(member(raft_id) for raft_id in raft_ids))


def asked(**changes: Any) -> dict[str, Any]:
    message = {"type": "prevote", "term": TERM + 1, "nonce": 1.0, "last_log_index": 10, "last_log_term": 3}
    return message | changes


def test_a_vote_counts_once_in_a_term_and_from_voters_only() -> None:
    election, _, _ = made()
    assert election.is_first_vote(Node("b"), TERM)
    assert not election.is_first_vote(Node("b"), TERM)
    assert not election.is_first_vote(Node("learner"), TERM)
    assert election.is_first_vote(Node("b"), TERM + 1)


def test_before_it_campaigns_a_member_asks_and_no_term_changes() -> None:
    election, core, sent = made()
    election.prepare(NOW)
    assert [message["type"] for message in sent] == ["prevote", "prevote"]
    assert (core.term, core.election_deadline) == (TERM, NOW + 1)
    election.on_granted(Node("b"), {"nonce": NOW - 1})  # of an earlier round
    assert core.election_deadline == NOW + 1
    election.on_granted(Node("b"), {"nonce": NOW})
    assert core.election_deadline == 0.0  # two of three: a real election follows
    election.cancel()
    core.election_deadline = NOW + 1
    election.on_granted(Node("c"), {"nonce": NOW})
    assert core.election_deadline == NOW + 1


def test_the_yes_of_one_member_is_no_majority_however_often_it_comes() -> None:
    election, core, _ = made(history=SimpleNamespace(current=group_of(*"abcde")))
    election.prepare(NOW)
    for _ in range(3):
        election.on_granted(Node("b"), {"nonce": NOW})
    election.on_granted(Node("stranger"), {"nonce": NOW})
    assert core.election_deadline == NOW + 1


@pytest.mark.parametrize(
    ("changes", "message", "answer"),
    [
        ({}, asked(), ["prevote_granted"]),
        ({}, asked(last_log_index=9), []),
        ({}, asked(last_log_term=2, last_log_index=99), []),
        ({}, asked(term=TERM), ["vote_refused"]),
        ({"is_leader": True}, asked(), []),
        ({"heard_leader_at": NOW - Timing().election_min_s / 2}, asked(), []),
        ({"heard_leader_at": NOW - 2 * Timing().election_min_s}, asked(), ["prevote_granted"]),
    ],
)
def test_who_is_encouraged(changes: dict[str, Any], message: dict[str, Any], answer: list[str]) -> None:
    election, _, sent = made(**changes)
    election.on_prevote(Node("b"), message)
    assert [one["type"] for one in sent] == answer


def test_a_member_without_a_vote_never_campaigns() -> None:
    election, core, sent = made(is_voter=False)
    election.prepare(NOW)
    election.on_granted(Node("b"), {"nonce": NOW})
    assert not sent
    assert core.election_deadline == NOW + 1
