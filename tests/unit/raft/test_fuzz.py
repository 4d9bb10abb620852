"""Whatever comes from network or disk is understood, or refused in the way that is meant for it.

A few hundred inputs each; SWARM_FUZZ_SECONDS=600 (`make fuzz`) goes on for so long in all.
"""

import contextlib
import os
import random
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from swarm.api.v1.raft_pb2 import RaftBatch, RaftMessage
from swarm.errors import InvariantBroken
from swarm.manager.raft.codec import Message, WireError, decode, encode
from swarm.manager.raft.entries import Entry, data_command
from swarm.manager.raft.frames import parse
from swarm.manager.raft.journal import NAME, DurableJournal
from swarm.manager.raft.sealed import MissingKey
from swarm.manager.raft.snapshots import DamagedSnapshot, SnapshotStore
from tests.simulation.raft.disk import KEYS, SimDisk
from tests.simulation.raft.member import CLUSTER
from tests.simulation.raft.simulator import Cluster, virtual_time
from tests.unit.raft.test_codec import messages
from tests.unit.raft.test_journal import MEMBERS

TESTS = 5
SECONDS = float(os.environ.get("SWARM_FUZZ_SECONDS", "0")) / TESTS

DAMAGE = ("flip", "cut", "double", "insert", "end", "zero")
State = tuple[list[Entry], int, str | None]

fuzzed = settings(max_examples=200, suppress_health_check=list(HealthCheck))


def go_on(test: Callable[[], None]) -> None:
    """Run a test once, and again with other inputs while there is time."""
    until = time.monotonic() + SECONDS
    test()
    while time.monotonic() < until:
        test()


@st.composite
def mutations(draw: Any) -> Callable[[bytes], bytes]:
    """Make damage: bytes changed, cut out, doubled, put in; one place or several."""
    kinds = draw(st.lists(st.sampled_from(DAMAGE), min_size=1, max_size=4))
    seed = draw(st.integers(0, 2**32))

    def mutate(data: bytes) -> bytes:
        rng, changed = random.Random(seed), bytearray(data)
        for kind in kinds:
            at = rng.randrange(len(changed) + 1)
            upto = min(len(changed), at + rng.choice((1, 2, 8, 40, 400)))
            if kind == "flip" and at < len(changed):
                changed[at] ^= 1 << rng.randrange(8)
            elif kind == "cut":
                del changed[at:upto]
            elif kind == "double":
                changed[at:at] = changed[at:upto]
            elif kind == "insert":
                changed[at:at] = rng.randbytes(upto - at)
            elif kind == "zero":
                changed[at:upto] = bytes(upto - at)
            elif kind == "end":
                del changed[at:]
        return bytes(changed)

    return mutate


# The wire.


def refused_or_read(frame: bytes) -> None:
    try:
        for wire in parse(frame).messages:
            decode(wire)
    except WireError:
        pass


def test_frames_of_any_bytes_are_read_or_refused() -> None:
    @fuzzed
    @given(st.binary(max_size=300), st.booleans())
    def test(data: bytes, large: bool) -> None:
        refused_or_read(data + bytes(70_000 if large else 0))

    go_on(test)


def test_damaged_frames_are_read_or_refused() -> None:
    @fuzzed
    @given(st.lists(messages, min_size=1, max_size=4), mutations(), st.booleans())
    def test(listed: list[Message], mutate: Callable[[bytes], bytes], large: bool) -> None:
        batch = RaftBatch(messages=[encode(message, "a", "b", "c") for message in listed])
        if large:
            batch.messages[0].append.entries.add(data=bytes(70_000))
        refused_or_read(mutate(batch.SerializeToString()))

    go_on(test)


small = st.integers(0, 12)


@st.composite
def near_messages(draw: Any) -> RaftMessage:
    """Make messages with numbers near those that the cluster is at."""
    wire: RaftMessage = encode(draw(messages), "m1", "m0", CLUSTER)
    wire.term = draw(small)
    part = getattr(wire, str(wire.WhichOneof("message")))
    for field, value in part.ListFields():
        if isinstance(value, int) and not isinstance(value, bool):
            setattr(part, field.name, draw(small))
    if wire.HasField("append"):
        for position, entry in enumerate(wire.append.entries, start=1):
            entry.index, entry.term = wire.append.prev_index + position, draw(small)
    return wire


def test_a_member_takes_any_message_or_ends_on_purpose() -> None:
    def talk(cluster: Cluster, listed: Sequence[tuple[str, RaftMessage]]) -> None:
        member = cluster.members["m0"]
        for sender, wire in listed:
            wire.sender = sender
            try:
                member._outbox.received(sender, [wire])
                member.turn.run()
            except WireError:
                continue
            except InvariantBroken:
                return  # a conflict below the commit index, say: only a liar's message does that
            cluster.step()

    @settings(fuzzed, max_examples=60)
    @given(
        st.lists(st.tuples(st.sampled_from(["m1", "m2", "x"]), near_messages()), min_size=1, max_size=12),
        st.integers(0, 3),
    )
    def test(listed: list[tuple[str, RaftMessage]], seed: int) -> None:
        with virtual_time(seed) as clock:
            cluster = Cluster(seed, clock, 3)
            for _ in range(100):
                cluster.step()
            for leader in cluster.leaders():
                cluster.submit(leader)
            talk(cluster, listed)

    go_on(test)


# Files.


def file_of(disk: SimDisk, name: str) -> bytes:
    return bytes(disk._names[name].data)


def disk_with(name: str, content: bytes) -> SimDisk:
    disk = SimDisk()
    disk.create(name).append(content)
    return disk


def state_of(journal: DurableJournal) -> State:
    return list(journal[:]), journal.getCurrentTerm(), journal.getVotedForNodeId()


@pytest.fixture(scope="module")
def log() -> tuple[bytes, list[State]]:
    """Return a log file, and everything that was true of it after one of its syncs."""
    disk, rng = SimDisk(), random.Random(1)
    DurableJournal.create(disk, KEYS, "cluster", "a", MEMBERS)
    journal = DurableJournal(disk, KEYS)
    states = [state_of(journal)]
    for term in range(1, 15):
        journal.setCurrentTerm(term, rng.choice((None, "a", "b")))
        for _ in range(rng.randrange(4)):
            journal.add(data_command(rng.randbytes(rng.randrange(60))), journal[-1][1] + 1, term)
        if rng.random() < 0.3 and len(journal) > 2:
            journal.deleteEntriesFrom(len(journal) - 1)
        journal.sync()
        states.append(state_of(journal))
    return file_of(disk, NAME), states


def test_a_damaged_log_is_what_it_once_was_or_is_refused(log: tuple[bytes, list[State]]) -> None:
    content, states = log

    @fuzzed
    @given(mutations())
    def test(mutate: Callable[[bytes], bytes]) -> None:
        try:
            journal = DurableJournal(disk_with(NAME, mutate(content)), KEYS)  # type: ignore[arg-type]
        except (InvariantBroken, MissingKey):
            return
        assert state_of(journal) in states

    go_on(test)


def test_a_damaged_snapshot_is_complete_or_refused() -> None:
    records = [b"one", b"", b"three" * 50, bytes(3000)]
    source = SimDisk()
    snapshot = SnapshotStore(source, KEYS).write("cluster", 10, 1, MEMBERS, iter(records))  # type: ignore[arg-type]
    on_disk = file_of(source, snapshot.name)
    sent = snapshot.open().read(0, 1 << 20)

    def found(disk: SimDisk) -> list[bytes]:
        latest = SnapshotStore(disk, KEYS).latest  # type: ignore[arg-type]
        return records if latest is None else list(latest.records())

    @fuzzed
    @given(mutations())
    def test(mutate: Callable[[bytes], bytes]) -> None:
        with contextlib.suppress(MissingKey):
            assert found(disk_with(snapshot.name, mutate(on_disk))) == records
        incoming = SnapshotStore(SimDisk(), KEYS).receive("cluster", 10, 1)  # type: ignore[arg-type]
        incoming.append(mutate(sent))
        with contextlib.suppress(DamagedSnapshot):
            assert list(incoming.finish().records()) == records

    go_on(test)
