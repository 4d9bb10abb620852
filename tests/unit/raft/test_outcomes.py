"""What a proposer hears: done, not done here, or not known, and always in time."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from swarm.errors import NoQuorum, NotLeader, OutcomeUnknown
from swarm.manager.store.proposer import FrozenState
from tests.unit.raft.group import PATIENCE_S, STEADY, Group, Manager, eventually, group

SLOW = {"election_timeout_s": (30.0, 60.0)}  # a leader without a majority takes long to notice


async def leave_alone(managers: Group) -> Manager:
    """Stop everybody but the leader, and return it."""
    leader = managers.leader()
    await asyncio.gather(*(other.stop() for other in managers.managers if other is not leader))
    return leader


async def test_a_leader_that_is_deposed_does_not_know_what_becomes_of_a_change(tmp_path: Path) -> None:
    async with group(tmp_path, 3) as managers:
        await managers.settled()
        leader = await leave_alone(managers)
        with pytest.raises(OutcomeUnknown, match="leadership was lost before a majority confirmed"):
            await leader.node.propose(b"who knows", PATIENCE_S)
        with pytest.raises((NotLeader, NoQuorum)):  # nothing was appended
            await leader.node.propose(b"never", 1.0)
        for manager in managers.managers:
            if manager is not leader:
                await manager.start()
        await managers.propose(b"last")
        await eventually(lambda: leader.register.values[-1:] == [b"last"])
        assert b"never" not in leader.register.values


async def test_a_deadline_ends_the_waiting_and_the_change_may_still_come_true(tmp_path: Path) -> None:
    async with group(tmp_path, 2, **SLOW) as managers:
        await managers.settled()
        leader = await leave_alone(managers)
        with pytest.raises(NoQuorum, match=r"within 0\.2 s; it may still take effect"):
            await leader.node.propose(b"late", 0.2)
        assert b"late" not in leader.register.values
        for manager in managers.managers:
            if manager is not leader:
                await manager.start()
        await eventually(lambda: leader.register.values == [b"late"])


async def test_a_change_whose_proposer_gave_up_before_it_was_appended_is_not_appended(
    tmp_path: Path,
) -> None:
    async with group(tmp_path, 1) as managers:
        (manager,) = managers.managers
        assert manager.node._parts is not None
        blocked, go_on = threading.Event(), threading.Event()

        def block() -> None:
            blocked.set()
            assert go_on.wait(60.0)

        manager.node._parts.thread.put(block)
        await asyncio.to_thread(blocked.wait)
        try:
            with pytest.raises(NoQuorum):
                await manager.node.propose(b"given up", 0.05)
        finally:
            go_on.set()
        await manager.node.propose(b"next", PATIENCE_S)
        assert manager.register.values == [b"next"]


async def test_the_leader_commits_and_leads_while_a_snapshot_is_written(tmp_path: Path) -> None:
    """Its records are read in another thread, however long that takes."""
    async with group(tmp_path, 3, snapshot_interval=20, **STEADY) as managers:
        leader = await managers.settled()
        term, reading, go_on = leader.node.term, threading.Event(), threading.Event()
        freeze = leader.register.freeze

        def slowly() -> FrozenState:
            picture = freeze()

            def records() -> Iterator[bytes]:
                reading.set()
                assert go_on.wait(10 * PATIENCE_S)
                yield from picture.records()

            return FrozenState(picture.applied_index, records)

        leader.register.freeze = slowly  # type: ignore[method-assign]
        try:
            for number in range(80):
                await leader.node.propose(b"%d" % number, PATIENCE_S)
            assert reading.is_set()
            assert leader.node._parts is not None
            assert leader.node._parts.core.snapshots.latest is None
            assert leader.node.term == term
        finally:
            go_on.set()
        await eventually(lambda: leader.node._parts.core.snapshots.latest is not None)  # type: ignore[union-attr]
        assert len(leader.register.values) == 80
