"""A snapshot travels piece by acknowledged piece: whatever is lost on the way is sent again, and no more."""

import asyncio
import itertools
import random
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pysyncobj.node import Node

from swarm.api.v1.raft_pb2 import RaftMember
from swarm.manager.raft import leader as leader_module
from swarm.manager.raft.codec import Message
from swarm.manager.raft.disk import Disk
from swarm.manager.raft.entries import NOOP
from swarm.manager.raft.follower import Follower
from swarm.manager.raft.leader import CHUNK_RETRY_S, Leader
from swarm.manager.raft.membership import membership_of
from swarm.manager.raft.snapshots import Snapshot, SnapshotStore
from tests.unit.raft.group import PATIENCE_S, STEADY, eventually, group
from tests.unit.raft.keys import KEYS

TERM, INDEX = 7, 500
MEMBERS = membership_of(RaftMember(raft_id="a"), RaftMember(raft_id="b"))
RECORDS = [bytes([number]) * 300 for number in range(40)]
CHUNK = 1000


class Link:
    """The leader `a` and the follower `b`, with a clock, and messages that wait to be delivered."""

    def __init__(self, directory: Path) -> None:
        self.now = 0.0
        self.sent: list[Message] = []
        self.answered: list[Message] = []
        self.installed: list[Snapshot] = []
        self.leader, self.core = self._leader(SnapshotStore(Disk(directory / "a"), KEYS))
        self.follower = self._follower(SnapshotStore(Disk(directory / "b"), KEYS))

    def _leader(self, store: SnapshotStore) -> tuple[Leader, Any]:
        store.adopt(store.write("cluster", INDEX, 3, MEMBERS, iter(RECORDS)))
        follower = Node("b")
        core: Any = SimpleNamespace(
            term=TERM,
            commit_index=INDEX,
            last_index=INDEX,
            journal=[(NOOP, INDEX, 3)],
            snapshots=store,
            followers={follower},
            next_index={follower: 2},
            match_index={follower: 0},
            now=lambda: self.now,
            is_connected=lambda _: True,
            send=lambda _, message: self._sent(message),
            hear_follower=lambda _node, term: term == TERM,
        )
        return Leader(core), core

    def _sent(self, message: Message) -> None:
        if message["type"] == "snapshot":
            self.sent.append(message)

    def _follower(self, store: SnapshotStore) -> Follower:
        class Log(list[Any]):
            cluster_id = "cluster"

        core: Any = SimpleNamespace(
            term=TERM,
            commit_index=1,
            last_index=1,
            journal=Log([(NOOP, 1, 0)]),
            snapshots=store,
            follow=lambda _node, term: term == TERM,
            send=lambda _, message: self.answered.append(message),
            advance_commit=lambda _: None,
        )

        def install(snapshot: Snapshot) -> None:
            self.installed.append(snapshot)
            core.commit_index = INDEX

        core.install = install
        return Follower(core)

    def deliver(self, survives: Callable[[], bool]) -> None:
        """Let what is under way arrive, or not."""
        chunks, self.sent = self.sent, []
        for chunk in chunks:
            if survives():
                self.follower.on_snapshot(Node("a"), chunk)
        answers, self.answered = self.answered, []
        for answer in answers:
            if survives():
                handler = {
                    "snapshot_reply": self.leader.on_snapshot_reply,
                    "next_node_idx": self.leader.on_append_reply,
                }
                handler[answer["type"]](Node("b"), {"read_sequence": 0, **answer})


@pytest.fixture
def link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Link:
    monkeypatch.setattr(leader_module, "CHUNK_BYTES", CHUNK)
    return Link(tmp_path)


def test_the_next_piece_goes_out_when_the_one_before_is_acknowledged(link: Link) -> None:
    link.leader.send_all()
    offsets = []
    while link.sent:
        link.leader.send_all()  # a heartbeat meanwhile
        (chunk,) = link.sent
        assert len(chunk["chunk"]) <= CHUNK
        offsets.append((chunk["offset"], len(chunk["chunk"])))
        link.deliver(lambda: True)
    assert len(offsets) > 10
    assert all(at + size == following for (at, size), (following, _) in itertools.pairwise(offsets))
    (snapshot,) = link.installed
    assert list(snapshot.records()) == RECORDS
    assert link.core.match_index[Node("b")] == INDEX
    assert link.leader._transfers == {}


@pytest.mark.parametrize("seed", range(20))
def test_pieces_and_answers_that_are_lost_are_made_up_for(link: Link, seed: int) -> None:
    dice = random.Random(seed)
    while not link.installed or link.core.match_index[Node("b")] < INDEX:
        link.leader.send_all()
        assert len(link.sent) <= 1
        link.deliver(lambda: dice.random() < 0.7)
        link.now += CHUNK_RETRY_S / 3
        assert link.now < 10_000
    assert len(link.installed) == 1
    assert list(link.installed[0].records()) == RECORDS


def test_a_piece_of_an_earlier_term_is_not_taken(link: Link) -> None:
    link.leader.send_all()
    (chunk,) = link.sent
    link.follower.on_snapshot(Node("a"), {**chunk, "term": TERM - 1})
    assert [answer["type"] for answer in link.answered] == ["next_node_idx"]  # tells the later term
    assert not link.answered[0]["success"]


def test_a_follower_that_starts_anew_gets_it_from_the_beginning(link: Link, tmp_path: Path) -> None:
    link.leader.send_all()
    for _ in range(5):
        link.deliver(lambda: True)
    assert link.sent[0]["offset"] > 0
    link.follower = link._follower(SnapshotStore(Disk(tmp_path / "b"), KEYS))
    link.deliver(lambda: True)
    assert link.sent[0]["offset"] == 0
    while link.sent:
        link.deliver(lambda: True)
    assert list(link.installed[0].records()) == RECORDS


async def test_a_member_catches_up_over_a_slow_link_while_others_write_without_a_pause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Several snapshots are taken while one travels: the log behind that one is kept for the member."""
    monkeypatch.setattr(leader_module, "CHUNK_BYTES", 150)
    async with group(tmp_path, 3, snapshot_interval=10, trailing_entries=0, **STEADY) as managers:
        leader = await managers.settled()
        behind = next(manager for manager in managers.managers if manager is not leader)
        await behind.stop()
        done = asyncio.Event()

        async def write() -> None:
            while not done.is_set():
                await leader.node.propose(b"x" * 50, PATIENCE_S)

        writing = asyncio.create_task(write())
        await eventually(lambda: len(leader.register.entries) > 200)
        await behind.start()
        try:
            await eventually(
                lambda: (
                    behind.register.restored > 0
                    and len(behind.register.entries) > len(leader.register.entries) - 20
                ),
            )
        finally:
            done.set()
            await writing
        assert behind.register.restored == 1
