"""One manager when something is wrong with its disk, its files, its state machine or its peers."""

import asyncio
import contextlib
import errno
import threading
from pathlib import Path
from typing import Any

import grpc
import pytest

from swarm.api.v1.raft_pb2 import RaftBatch, RaftHealthRequest, RaftMember, RaftMessage
from swarm.api.v1.raft_pb2_grpc import RaftStub
from swarm.errors import InvalidArgument, InvariantBroken, NoQuorum, NotLeader, OutcomeUnknown, SwarmError
from swarm.manager.raft import pinned
from swarm.manager.raft.config import RaftConfig
from swarm.manager.raft.disk import DiskFile
from swarm.manager.raft.frames import FRAME_BYTES_MAX, PARTS_MAX
from swarm.manager.raft.links import ADDR_KEY, RAFT_ID_KEY, STREAM
from swarm.manager.raft.node import RaftNode, stored_raft_id
from tests.unit.raft.group import (
    CLUSTER,
    PATIENCE_S,
    STEADY,
    Group,
    Manager,
    Register,
    dial_as,
    eventually,
    group,
)
from tests.unit.raft.keys import KEYS


async def test_a_full_disk_is_fatal_and_nothing_is_acknowledged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with group(tmp_path, 1) as managers:
        manager = managers.managers[0]
        await manager.node.propose(b"kept", PATIENCE_S)

        # The commit index is written a moment later: that must not be what fails.
        await eventually(lambda: not manager.node._parts.journal.is_commit_behind)  # type: ignore[union-attr]

        def full(_: DiskFile) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(DiskFile, "sync", full)
        with pytest.raises(OutcomeUnknown):
            await manager.node.propose(b"lost", PATIENCE_S)
        assert len(manager.fatal) == 1
        assert "the disk with the Raft log failed" in manager.fatal[0]
        assert "No space left on device" in manager.fatal[0]
        assert manager.terms[-1] is None
        assert not manager.node.is_leader
        with pytest.raises(NotLeader):
            await manager.node.propose(b"more", 2.0)
        monkeypatch.undo()
        await manager.stop()
        await manager.start()
        await eventually(lambda: manager.node.is_leader)
        assert manager.register.values[0] == b"kept"


async def test_a_state_machine_that_fails_is_fatal_and_gets_nothing_more(tmp_path: Path) -> None:
    async with group(tmp_path, 1) as managers:
        manager = managers.managers[0]
        applied: list[bytes] = []

        def failing(_: int, entry: bytes) -> None:
            applied.append(entry)
            raise ValueError("a bug")

        manager.register.apply = failing  # type: ignore[method-assign]
        results = await asyncio.gather(
            *(manager.node.propose(b"%d" % number, PATIENCE_S) for number in range(3)),
            return_exceptions=True,
        )
        assert all(isinstance(result, SwarmError) for result in results)
        assert applied == [b"0"]
        assert len(manager.fatal) == 1
        assert "a bug" in manager.fatal[0]


async def test_an_entry_of_a_newer_version_stops_the_member_that_has_it(tmp_path: Path) -> None:
    """As after going back to an older version; to skip it would be to have another state than the others."""
    async with group(tmp_path, 3) as managers:
        await managers.propose(b"known")
        leader = await managers.settled()
        assert leader.node._parts is not None
        with pytest.raises(SwarmError):
            await leader.node._parts.requests.propose(b"\x2anew", PATIENCE_S)
        await eventually(lambda: bool(leader.fatal))
        assert "newer version" in leader.fatal[0]
        await leader.stop()
        others = [manager for manager in managers.managers if manager is not leader]
        await managers.propose(b"later")
        await eventually(lambda: all(m.register.values == [b"known", b"later"] for m in others))
        assert not any(manager.fatal for manager in others)


async def test_the_files_of_another_member_are_refused(tmp_path: Path) -> None:
    async with group(tmp_path, 1) as managers:
        manager = managers.managers[0]
        raft_id = manager.node.raft_id
        assert stored_raft_id(manager.directory, KEYS) == raft_id
        await manager.stop()
        with pytest.raises(InvariantBroken, match=f"belongs to member {raft_id} of cluster {CLUSTER}"):
            await start_as(manager, raft_id="other")
        with pytest.raises(InvariantBroken, match="of elsewhere"):
            await start_as(manager, raft_id=raft_id, cluster_id="elsewhere")
        await manager.start()  # the refusals left nothing locked


async def start_as(manager: Manager, *, raft_id: str, cluster_id: str = CLUSTER) -> None:
    config = RaftConfig(
        directory=manager.directory,
        keys=KEYS,
        cluster_id=cluster_id,
        self_member=RaftMember(raft_id=raft_id, node_id=manager.node_id, addr=manager.addr),
    )
    node = RaftNode(config, Register(), dial_as("x"), lambda _: None, lambda _: None)
    await node.start()


def test_no_log_no_member(tmp_path: Path) -> None:
    assert stored_raft_id(tmp_path / "nowhere", KEYS) is None
    assert stored_raft_id(tmp_path, KEYS) is None


async def test_timeouts_that_make_no_sense_are_refused(tmp_path: Path) -> None:
    for low, high, heartbeat in ((0.6, 0.5, 0.1), (0.3, 0.6, 0.1), (0.0, 1.0, 0.0)):
        config = RaftConfig(
            tmp_path,
            CLUSTER,
            RaftMember(raft_id="a"),
            KEYS,
            election_timeout_s=(low, high),
            heartbeat_s=heartbeat,
        )
        with pytest.raises(InvalidArgument):
            config.timing  # noqa: B018


def test_another_pysyncobj_is_refused(tmp_path: Path) -> None:
    pinned.check_installed()
    with pytest.raises(InvariantBroken, match=r"install pysyncobj==0\.3\.17"):
        pinned.check(tmp_path)


async def test_what_waits_is_told_when_the_manager_stops(tmp_path: Path) -> None:
    async with group(tmp_path, 3, **STEADY) as managers:
        leader = await managers.settled()
        for other in managers.managers:
            if other is not leader:
                await other.stop()
        waiting = asyncio.create_task(leader.node.propose(b"x", PATIENCE_S))
        await asyncio.sleep(0.05)
        await leader.stop()
        with pytest.raises(OutcomeUnknown):
            await waiting


async def test_bytes_under_way_are_bounded_and_waiting_ends_in_time(tmp_path: Path) -> None:
    async with group(tmp_path, 3, inflight_bytes_max=1000, **STEADY) as managers:
        leader = await managers.settled()
        many = [leader.node.propose(b"x" * 400, PATIENCE_S) for _ in range(50)]
        assert len(await asyncio.gather(*many)) == 50
        for other in managers.managers:
            if other is not leader:
                await other.stop()
        results = await asyncio.gather(
            *(leader.node.propose(b"x" * 400, 0.3) for _ in range(5)), return_exceptions=True
        )
        assert all(isinstance(result, NoQuorum) for result in results)
        assert sum("nothing was changed" in str(result) for result in results) == 3


async def test_a_busy_thread_does_not_cost_leadership(tmp_path: Path) -> None:
    async with group(tmp_path, 3) as managers:
        leader = await managers.settled()
        term = leader.node.term
        done = threading.Event()

        def hog() -> None:
            numbers: dict[int, str] = {}
            while not done.is_set():
                for number in range(1000):
                    numbers[number] = str(number * number)

        thread = threading.Thread(target=hog)
        thread.start()
        try:
            for _ in range(10):
                await leader.node.propose(b"x", PATIENCE_S)
                await asyncio.sleep(0.05)
        finally:
            done.set()
            thread.join()
        assert leader.node.term == term


# Strangers.


async def stream_error(
    target: Manager, raft_id: str, *, node_id: str, role: str = "manager", messages: list[RaftMessage]
) -> grpc.aio.AioRpcError | None:
    """Open a stream and send; return how the other side ended it, None if it took everything."""
    channel = dial_as(node_id, role)(target.addr)
    try:
        stream: Any = channel.stream_unary(STREAM, None, None)
        call = stream(metadata=((RAFT_ID_KEY, raft_id), (ADDR_KEY, "")))
        try:
            await send_all(call, RaftBatch(messages=messages).SerializeToString())
        except grpc.aio.AioRpcError as error:
            return error
        return None
    finally:
        await channel.close()


async def send_all(call: Any, frame: bytes) -> None:
    # A refusal may come before the frame is out; only the end of the call tells its reason for sure.
    with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
        await call.write(frame)
        await call.done_writing()
    await call


def vote_for(sender: str, recipient: str, cluster_id: str = CLUSTER, term: int = 99) -> RaftMessage:
    vote = {"last_index": 10**6, "last_term": 98}
    return RaftMessage(cluster_id=cluster_id, sender=sender, recipient=recipient, term=term, vote=vote)


async def test_a_certificate_of_one_member_is_no_good_for_another(tmp_path: Path) -> None:
    async with group(tmp_path, 2, **STEADY) as managers:
        leader = await managers.settled()
        follower = next(m for m in managers.managers if m is not leader)
        term = leader.node.term
        error = await stream_error(leader, follower.node.raft_id, node_id="evil", messages=[])
        assert error is not None
        assert error.code() == grpc.StatusCode.PERMISSION_DENIED
        assert "belongs to another node" in (error.details() or "")
        error = await stream_error(leader, "any", node_id="w1", role="worker", messages=[])
        assert error is not None
        assert error.code() == grpc.StatusCode.PERMISSION_DENIED
        error = await stream_error(leader, "", node_id="n9", messages=[])
        assert error is not None
        assert leader.node.term == term


async def refused(target: Manager, frame: bytes) -> str:
    """Send a frame as a manager that is no member; return why the stream was ended."""
    channel = dial_as("n9")(target.addr)
    try:
        stream: Any = channel.stream_unary(STREAM, None, None)
        call = stream(metadata=((RAFT_ID_KEY, "x"),))
        await call.write(frame)
        with pytest.raises(grpc.aio.AioRpcError) as ended:
            await asyncio.wait_for(call, 60)
        assert ended.value.code() == grpc.StatusCode.PERMISSION_DENIED
        return ended.value.details() or ""
    finally:
        await channel.close()


async def test_messages_that_lie_about_sender_recipient_or_cluster_end_the_stream(tmp_path: Path) -> None:
    async with group(tmp_path, 2, **STEADY) as managers:
        leader = await managers.settled()
        follower = next(m for m in managers.managers if m is not leader)
        me, other = leader.node.raft_id, follower.node.raft_id
        term = leader.node.term
        nothing = RaftMessage(cluster_id=CLUSTER, sender="x", recipient=me, term=99)
        from_nowhere = RaftMessage(append={"prev_index": 0})
        from_nowhere.MergeFrom(nothing)
        for lie, reason in (
            (vote_for(other, me), "a message from"),
            (vote_for("x", other), "a message from"),
            (vote_for("x", me, cluster_id="elsewhere"), "in cluster elsewhere"),
            (nothing, "unknown kind"),
            (from_nowhere, "out of range"),
        ):
            assert reason in await refused(leader, RaftBatch(messages=[lie]).SerializeToString())
        await leader.node.propose(b"x", PATIENCE_S)
        assert leader.node.term == term


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (b"\x80\x04\x95pickle", "cannot be read"),
        (b"\xff" * 100, "cannot be read"),
        (b"\x0a\x00" * (PARTS_MAX + 1), "more than 100000 parts"),
        (b"\x0a\x7f" + bytes(100_000), "cannot be read"),
        (bytes(FRAME_BYTES_MAX + 1), "at most 16777216 are allowed"),
    ],
    ids=["pickle", "noise", "too many parts", "nonsense", "huge"],
)
async def test_garbage_on_a_stream_ends_it_and_nothing_else(
    tmp_path: Path, frame: bytes, reason: str
) -> None:
    async with group(tmp_path, 1) as managers:
        manager = managers.managers[0]
        assert reason in await refused(manager, frame)
        await manager.node.propose(b"x", PATIENCE_S)


async def test_a_node_has_one_stream_the_newest(tmp_path: Path) -> None:
    async with group(tmp_path, 1) as managers:
        manager = managers.managers[0]
        channel = dial_as("n9")(manager.addr)
        stream: Any = channel.stream_unary(STREAM, None, None)
        calls = []
        for number in range(5):
            calls.append(stream(metadata=((RAFT_ID_KEY, f"x{number}"),)))
            await calls[-1].initial_metadata()
        ended = [asyncio.ensure_future(call) for call in calls]
        await eventually(lambda: sum(one.done() for one in ended) == 4)
        assert not ended[-1].done()
        await channel.close()
        await asyncio.gather(*ended, return_exceptions=True)


async def test_a_node_that_is_no_manager_yet_answers_health_and_refuses_streams(tmp_path: Path) -> None:
    managers = Group(tmp_path)
    try:
        manager = await managers.listen("n1")
        error = await stream_error(manager, "x", node_id="n2", messages=[])
        assert error is not None
        assert error.code() == grpc.StatusCode.UNAVAILABLE
        channel = dial_as("n2")(manager.addr)
        answer = await RaftStub(channel).Health(RaftHealthRequest())
        await channel.close()
        assert not answer.member
    finally:
        await managers.close()
