"""A disk that is full or fails ends the manager with the reason, wherever it happens; nothing is lost."""

import asyncio
import contextlib
import errno
import itertools
from collections.abc import Callable
from pathlib import Path

import pytest

from swarm.errors import FailedPrecondition, SwarmError
from swarm.manager.raft import files
from tests.unit.raft.failing_disk import FailingDisk, Trouble
from tests.unit.raft.group import PATIENCE_S, STEADY, Group, Manager, eventually, group

SNAPSHOTS = {"snapshot_interval": 20, "trailing_entries": 5}

TROUBLES = pytest.mark.parametrize(
    ("error", "at_sync", "says"),
    [
        (errno.ENOSPC, False, "No space left on device"),
        (errno.EIO, True, "Input/output error"),
    ],
)


class Troubles:
    """The trouble of each manager, by node id; the disks are made when a manager starts."""

    def __init__(self) -> None:
        self._by_node: dict[str, Trouble] = {}

    def of(self, node_id: str) -> Trouble:
        return self._by_node.setdefault(node_id, Trouble())

    def disk(self, directory: Path) -> FailingDisk:
        disk = FailingDisk(directory)
        disk.trouble = self.of(directory.name)
        return disk


@pytest.fixture
def troubles(monkeypatch: pytest.MonkeyPatch) -> Troubles:
    troubles = Troubles()
    monkeypatch.setattr(files, "Disk", troubles.disk)
    return troubles


def begin(trouble: Trouble, prefix: str, error: int, *, at_sync: bool) -> None:
    trouble.error, trouble.at_sync, trouble.prefix = error, at_sync, prefix


async def write_until(managers: Group, done: Callable[[], bool]) -> list[bytes]:
    """Write until `done`, and return what was acknowledged."""
    acknowledged: list[bytes] = []
    async with asyncio.timeout(PATIENCE_S):
        for number in itertools.count():
            if done():
                break
            value = b"%d" % number
            with contextlib.suppress(SwarmError, ValueError):  # no leader for a moment
                await managers.leader().node.propose(value, PATIENCE_S)
                acknowledged.append(value)
            await asyncio.sleep(0.002)
    return acknowledged


async def restarted(manager: Manager) -> None:
    await manager.stop()
    await manager.start()


@TROUBLES
@pytest.mark.parametrize("where", ["log", "snapshot-", "log.new."])
async def test_a_disk_that_fails_ends_the_manager_with_the_reason(
    tmp_path: Path, troubles: Troubles, where: str, error: int, at_sync: bool, says: str
) -> None:
    async with group(tmp_path, 1, **SNAPSHOTS) as managers:
        manager = managers.managers[0]
        kept = await write_until(managers, lambda: len(manager.register.entries) >= 10)
        begin(troubles.of("n1"), where, error, at_sync=at_sync)
        kept += await write_until(managers, lambda: bool(manager.fatal))
        assert len(manager.fatal) == 1
        assert "the disk with the Raft log failed" in manager.fatal[0]
        assert says in manager.fatal[0]
        assert not manager.node.is_leader
        assert manager.terms[-1] is None
        await manager.stop()
        troubles.of("n1").prefix = None
        await manager.start()
        await eventually(lambda: manager.node.is_leader)
        assert set(kept) <= set(manager.register.values)


@TROUBLES
async def test_a_disk_that_fails_while_a_snapshot_arrives_ends_that_manager_and_no_other(
    tmp_path: Path, troubles: Troubles, error: int, at_sync: bool, says: str
) -> None:
    async with group(tmp_path, 3, **SNAPSHOTS, **STEADY) as managers:
        leader = await managers.settled()
        behind = next(manager for manager in managers.managers if manager is not leader)
        await behind.stop()
        await write_until(managers, lambda: leader.node._parts.journal[0][1] > 40)
        begin(troubles.of(behind.node_id), "incoming-", error, at_sync=at_sync)
        await behind.start()
        await eventually(lambda: bool(behind.fatal))
        assert says in behind.fatal[0]
        before = len(leader.register.entries)
        await write_until(managers, lambda: len(leader.register.entries) > before)  # the others go on
        troubles.of(behind.node_id).prefix = None
        await restarted(behind)
        await eventually(lambda: behind.register.entries == leader.register.entries)


@TROUBLES
async def test_no_vote_is_given_that_the_disk_did_not_take(
    tmp_path: Path, troubles: Troubles, error: int, at_sync: bool, says: str
) -> None:
    async with group(tmp_path, 3) as managers:
        await managers.propose(b"kept")
        leader = await managers.settled()
        one, other = (manager for manager in managers.managers if manager is not leader)
        begin(troubles.of(one.node_id), "log", error, at_sync=at_sync)
        await leader.stop()
        # Whoever campaigns first: nobody wins without `one`, and `one` ends when it tries to vote.
        await eventually(lambda: bool(one.fatal))
        assert says in one.fatal[0]
        assert not one.node.is_leader
        assert not other.node.is_leader
        troubles.of(one.node_id).prefix = None
        await restarted(one)
        await managers.settled()
        await eventually(lambda: other.register.values[-1:] == one.register.values[-1:] == [b"kept"])


async def test_a_disk_that_still_fails_keeps_the_manager_from_starting_with_the_reason(
    tmp_path: Path, troubles: Troubles
) -> None:
    """What the failed sync left off the disk can be read: it must not count before it is written."""
    async with group(tmp_path, 1) as managers:
        (manager,) = managers.managers
        begin(troubles.of("n1"), "log", errno.EIO, at_sync=True)
        await write_until(managers, lambda: bool(manager.fatal))
        await manager.stop()
        with pytest.raises(FailedPrecondition, match=r"disk with the Raft log failed.*Input/output error"):
            await manager.start()
        troubles.of("n1").prefix = None
        await manager.start()
        await eventually(lambda: manager.node.is_leader)
