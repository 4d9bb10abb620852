"""Three managers over real gRPC: what people do to a cluster, and what happens to it."""

import asyncio
import shutil
import time
from pathlib import Path

import grpc
import pytest

from swarm.api.status import from_rpc_error
from swarm.api.v1.raft_pb2 import (
    JoinRaftRequest,
    LeaveRaftRequest,
    RaftHealthRequest,
)
from swarm.api.v1.raft_pb2_grpc import RaftStub
from swarm.errors import (
    FailedPrecondition,
    InvalidArgument,
    NoQuorum,
    NotFound,
    NotLeader,
    OutcomeUnknown,
    SwarmError,
    Unavailable,
)
from tests.unit.raft.group import PATIENCE_S, STEADY, Group, Manager, dial_as, eventually, group, voters

LONG_ELECTION_S = (120.0, 240.0)


async def test_a_lone_manager_leads_at_once_and_commits(tmp_path: Path) -> None:
    managers = Group(tmp_path, election_timeout_s=LONG_ELECTION_S)
    try:
        manager = await managers.listen("n1")
        started = time.monotonic()
        await manager.start()
        await eventually(lambda: manager.node.is_leader)
        assert time.monotonic() - started < LONG_ELECTION_S[0] / 2
        index = await manager.node.propose(b"one", PATIENCE_S)
        assert manager.register.entries == [(index, b"one")]
        assert manager.terms == [manager.node.term]
    finally:
        await managers.close()


async def test_what_is_proposed_is_applied_everywhere(tmp_path: Path) -> None:
    async with group(tmp_path, 3, **STEADY) as managers:
        leader = await managers.settled()
        await asyncio.gather(*(leader.node.propose(b"%d" % number, PATIENCE_S) for number in range(300)))
        expected = leader.register.entries
        assert sorted(leader.register.values) == sorted(b"%d" % number for number in range(300))
        await eventually(lambda: all(m.register.entries == expected for m in managers.managers))


async def test_a_follower_does_not_propose_and_names_the_leader(tmp_path: Path) -> None:
    async with group(tmp_path, 2, **STEADY) as managers:
        leader = await managers.settled()
        follower = next(m for m in managers.managers if m is not leader)
        with pytest.raises(NotLeader) as refused:
            await follower.node.propose(b"x", 1.0)
        assert refused.value.leader_addr == leader.addr
        with pytest.raises(NotLeader):
            await follower.node.barrier(1.0)


async def test_nothing_is_lost_when_the_leader_stops_and_it_catches_up_later(
    tmp_path: Path,
) -> None:
    async with group(tmp_path, 3) as managers:
        for number in range(20):
            await managers.propose(b"before %d" % number)
        old = await managers.settled()
        await old.stop()
        await managers.propose(b"after")
        assert old.terms[-1] is None
        await old.start()
        leader = await managers.settled()
        await eventually(lambda: old.register.entries == leader.register.entries)
        assert old.register.values[-1] == b"after"
        assert len(old.register.values) == 21


async def test_everything_survives_a_stop_of_all(tmp_path: Path) -> None:
    async with group(tmp_path, 3) as managers:
        for number in range(10):
            await managers.propose(b"%d" % number)
        for manager in managers.managers:
            await manager.stop()
        for manager in managers.managers:
            await manager.start()
        await managers.propose(b"again")
        leader = await managers.settled()
        assert leader.register.values == [*(b"%d" % number for number in range(10)), b"again"]
        assert voters(leader) == {"n1", "n2", "n3"}


async def test_without_a_majority_a_proposal_fails_in_time_and_later_works_again(
    tmp_path: Path,
) -> None:
    async with group(tmp_path, 3) as managers:
        leader = await managers.settled()
        others = [m for m in managers.managers if m is not leader]
        for other in others:
            await other.stop()
        started = time.monotonic()
        with pytest.raises((NoQuorum, OutcomeUnknown)):
            await leader.node.propose(b"lost?", 2.0)
        assert time.monotonic() - started < 30
        await eventually(lambda: not leader.node.is_leader)
        with pytest.raises(NoQuorum, match="1 of 3 managers can be reached, and 2 are needed"):
            await leader.node.propose(b"refused", 2.0)
        await others[0].start()
        await managers.propose(b"works")
        assert (await managers.settled()).register.values[-1] == b"works"


async def test_a_member_far_behind_gets_a_snapshot(tmp_path: Path) -> None:
    async with group(tmp_path, 3, snapshot_interval=40, trailing_entries=5, **STEADY) as managers:
        leader = await managers.settled()
        behind = next(m for m in managers.managers if m is not leader)
        await behind.stop()
        for number in range(50):
            await asyncio.gather(
                *(leader.node.propose(b"%d %d" % (number, k), PATIENCE_S) for k in range(5))
            )
        while leader.node._parts.journal[0][1] <= 100:  # kept until it is known that nobody catches up
            await leader.node.propose(b"more", PATIENCE_S)
        written = len(leader.register.values)
        await behind.start()
        await eventually(lambda: behind.register.entries == leader.register.entries)
        assert behind.register.restored > 0
        # Also what was written after the snapshot, and a restart from it.
        await managers.propose(b"last")
        await behind.stop()
        await behind.start()
        await eventually(lambda: behind.register.entries == leader.register.entries)
        assert len(behind.register.values) == written + 1


async def test_a_snapshot_larger_than_a_message_arrives(tmp_path: Path) -> None:
    async with group(tmp_path, 1, snapshot_interval=10, trailing_entries=0) as managers:
        leader = managers.managers[0]
        for number in range(25):
            await leader.node.propose(bytes([number]) * 400_000, PATIENCE_S)
        await eventually(lambda: leader.node._parts.journal[0][1] > 5)
        await managers.grow(2)
        joined = managers.managers[1]
        await eventually(lambda: joined.register.entries == leader.register.entries)
        assert joined.register.restored == 1


async def test_large_entries_replicate(tmp_path: Path) -> None:
    async with group(tmp_path, 3, **STEADY) as managers:
        leader = await managers.settled()
        for size in (70_000, 600_000, 5_000_000):
            await leader.node.propose(b"x" * size, PATIENCE_S)
        await eventually(lambda: all(len(m.register.values) == 3 for m in managers.managers))
        with pytest.raises(InvalidArgument, match="too large"):
            await leader.node.propose(b"x" * 9_000_000, 10.0)


async def test_leadership_is_announced_once_with_its_term(tmp_path: Path) -> None:
    async with group(tmp_path, 3, **STEADY) as managers:
        leader = await managers.settled()
        assert leader.terms == [leader.node.term]
        assert all(m.terms == [] for m in managers.managers if m is not leader)
        await leader.node.transfer_leadership(PATIENCE_S)
        new = await managers.settled()
        assert new is not leader
        await eventually(lambda: leader.terms[-1] is None)
        assert new.terms == [new.node.term]


async def test_a_barrier_sees_everything_that_was_confirmed(tmp_path: Path) -> None:
    async with group(tmp_path, 3, **STEADY) as managers:
        leader = await managers.settled()
        index = await leader.node.propose(b"x", PATIENCE_S)
        answers = await asyncio.gather(*(leader.node.barrier(PATIENCE_S) for _ in range(50)))
        assert set(answers) == {index}
        for other in managers.managers:
            if other is not leader:
                await other.stop()
        with pytest.raises((NoQuorum, NotLeader)):
            await leader.node.barrier(1.0)


async def test_removing_the_leader_hands_leadership_over_first(tmp_path: Path) -> None:
    async with group(tmp_path, 3, **STEADY) as managers:
        leader = await managers.settled()
        with pytest.raises(NotLeader) as moved:
            await leader.node.remove_member(leader.node.raft_id, PATIENCE_S)
        new = await managers.settled()
        assert moved.value.leader_addr == new.addr
        await new.node.remove_member(leader.node.raft_id, PATIENCE_S)
        assert voters(new) == {m.node_id for m in managers.managers} - {leader.node_id}
        await eventually(lambda: leader.removed)
        await new.node.propose(b"goes on", PATIENCE_S)


async def test_a_removed_member_is_told_also_when_it_was_away(tmp_path: Path) -> None:
    async with group(tmp_path, 3, **STEADY) as managers:
        leader = await managers.settled()
        away = next(m for m in managers.managers if m is not leader)
        raft_id = away.node.raft_id
        await away.stop()
        await leader.node.remove_member(raft_id, PATIENCE_S)
        await leader.node.remove_member(raft_id, PATIENCE_S)  # twice is fine
        await away.start()
        await eventually(lambda: away.removed)
        assert away.fatal == []
        channel = dial_as(away.node_id)(leader.addr)
        health = await RaftStub(channel).Health(RaftHealthRequest())
        await channel.close()
        assert health.removed
        assert health.member


async def test_a_removal_that_would_cost_the_majority_is_refused_with_the_numbers(tmp_path: Path) -> None:
    async with group(tmp_path, 3, **STEADY) as managers:
        leader = await managers.settled()
        one, other = (m for m in managers.managers if m is not leader)
        raft_id = other.node.raft_id
        await one.stop()
        await eventually(lambda: len(leader.node._parts.core.reachable()) == 2)
        with pytest.raises(
            FailedPrecondition, match="leave 2 managers, of which 1 can be reached and 2 are needed"
        ):
            await leader.node.remove_member(raft_id, PATIENCE_S)
        with pytest.raises(NotFound):
            await leader.node.remove_member("unheard-of", 5.0)


async def test_a_second_change_is_refused_and_told_which_one_is_under_way(tmp_path: Path) -> None:
    async with group(tmp_path, 3, **STEADY) as managers:
        leader = await managers.settled()
        for other in [m for m in managers.managers if m is not leader]:
            await other.stop()
        first = asyncio.create_task(leader.node.add_member("n8", "127.0.0.1:1", 5.0))
        await asyncio.sleep(0)
        with pytest.raises(Unavailable, match=r"another change .* under way \(manager n8 is joining\)"):
            await leader.node.add_member("n9", "127.0.0.1:2", 0.05)
        with pytest.raises(SwarmError):
            await first  # two of three are away


async def test_the_last_manager_cannot_be_removed(tmp_path: Path) -> None:
    async with group(tmp_path, 1) as managers:
        leader = managers.managers[0]
        with pytest.raises(FailedPrecondition, match="last manager"):
            await leader.node.remove_member(leader.node.raft_id, PATIENCE_S)


async def test_a_wiped_manager_comes_back_under_a_new_id(tmp_path: Path) -> None:
    async with group(tmp_path, 3, **STEADY) as managers:
        await managers.propose(b"kept")
        leader = await managers.settled()
        wiped = next(m for m in managers.managers if m is not leader)
        earlier = wiped.node.raft_id
        await wiped.stop()
        shutil.rmtree(wiped.directory)
        await wiped.join(leader)
        await eventually(lambda: voters(leader) == {"n1", "n2", "n3"} and len(leader.node.members) == 3)
        assert wiped.node.raft_id != earlier
        await eventually(lambda: wiped.register.values == [b"kept"])


async def join_error(manager: Manager, leader: Manager, addr: str) -> SwarmError:
    channel = dial_as(manager.node_id)(leader.addr)
    try:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await RaftStub(channel).Join(JoinRaftRequest(addr=addr))
        return from_rpc_error(refused.value)
    finally:
        await channel.close()


async def test_joining_needs_an_address_that_can_be_reached(tmp_path: Path) -> None:
    async with group(tmp_path, 2, **STEADY) as managers:
        leader = await managers.settled()
        follower = next(m for m in managers.managers if m is not leader)
        joiner = await managers.listen("n3")
        nowhere = await join_error(joiner, leader, "127.0.0.1:1")
        assert isinstance(nowhere, FailedPrecondition)
        assert "the leader cannot reach a manager at 127.0.0.1:1" in str(nowhere)
        assert isinstance(await join_error(joiner, leader, "nonsense"), InvalidArgument)
        assert isinstance(await join_error(joiner, leader, follower.addr), FailedPrecondition)
        elsewhere = await join_error(joiner, follower, joiner.addr)
        assert isinstance(elsewhere, NotLeader)
        assert elsewhere.leader_addr == leader.addr
        assert len(leader.node.members) == 2


async def test_a_manager_leaves_of_its_own_will(tmp_path: Path) -> None:
    async with group(tmp_path, 3, **STEADY) as managers:
        leader = await managers.settled()
        leaver = next(m for m in managers.managers if m is not leader)
        channel = dial_as(leaver.node_id)(leader.addr)
        await RaftStub(channel).Leave(LeaveRaftRequest())
        await RaftStub(channel).Leave(LeaveRaftRequest())
        await channel.close()
        assert leaver.node_id not in voters(leader)
        await eventually(lambda: leaver.removed)


async def test_an_address_can_change(tmp_path: Path) -> None:
    async with group(tmp_path, 2, **STEADY) as managers:
        leader = await managers.settled()
        follower = next(m for m in managers.managers if m is not leader)
        mover = await managers.listen("moved")
        mover.node_id, mover.directory, mover.dial = follower.node_id, follower.directory, follower.dial
        await follower.stop()
        await mover.start()
        await managers.propose(b"y")  # it dials in, and is answered where it says it is
        leader = await managers.settled()
        await leader.node.move_member(mover.node.raft_id, mover.addr, PATIENCE_S)
        addresses = {m.addr for m in managers.running}
        await eventually(lambda: {member.addr for member in mover.node.members} == addresses)
        await mover.stop()
        await mover.start()
        await managers.propose(b"z")


async def test_a_follower_that_returns_does_not_disturb_the_leader(tmp_path: Path) -> None:
    async with group(tmp_path, 3, **STEADY) as managers:
        leader = await managers.settled()
        term = leader.node.term
        away = next(m for m in managers.managers if m is not leader)
        for _ in range(3):
            await away.stop()
            await asyncio.sleep(0.6)
            await away.start()
            await leader.node.propose(b"x", PATIENCE_S)
        await eventually(lambda: away.register.entries == leader.register.entries)
        assert leader.node.is_leader
        assert leader.node.term == term


async def test_a_stalled_event_loop_deposes_nobody(tmp_path: Path) -> None:
    terms = []
    async with group(tmp_path, 3, election_timeout_s=(1.0, 2.0)) as managers:
        for turn in range(10):  # a busy machine holds an election of its own now and then, but not each time
            terms.append((await managers.settled()).node.term)
            for _ in range(2):
                time.sleep(1.2)  # everything but the raft threads stands still
                await asyncio.sleep(0.05)
            leader = await managers.settled()
            if leader.node.term == terms[-1]:
                await managers.propose(b"%d" % turn)
                return
    pytest.fail(f"deposed each time, in the terms {terms}")
