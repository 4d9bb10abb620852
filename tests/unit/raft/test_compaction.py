"""The log stays short: by the number of its entries and by their bytes, also across restarts."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from swarm.manager.raft.compaction import ENTRY_OVERHEAD_BYTES, Compactor, cut_behind
from swarm.manager.raft.config import Timing
from tests.unit.raft.group import PATIENCE_S, Group, Manager, eventually, group

NEVER = 10**6


def first_index(manager: Manager) -> int:
    assert manager.node._parts is not None
    return manager.node._parts.journal[0][1]


def snapshot_index(manager: Manager) -> int:
    assert manager.node._parts is not None
    latest = manager.node._parts.core.snapshots.latest
    return latest.index if latest is not None else 0


async def restart(manager: Manager) -> None:
    await manager.stop()
    await manager.start()
    await eventually(lambda: manager.node.is_leader)


async def write(managers: Group, count: int, size: int) -> None:
    for number in range(count):
        await managers.leader().node.propose(bytes([number % 256]) * size, PATIENCE_S)


async def test_many_small_entries_are_replaced_by_a_snapshot_but_for_the_last_few(tmp_path: Path) -> None:
    async with group(tmp_path, 1, snapshot_interval=50, trailing_entries=20) as managers:
        (manager,) = managers.managers
        await write(managers, 160, 10)
        await eventually(lambda: first_index(manager) > 1)
        assert first_index(manager) <= snapshot_index(manager) - 20
        assert len(manager.register.values) == 160


async def test_few_large_entries_are_as_well(tmp_path: Path) -> None:
    settings = {"snapshot_interval": NEVER, "snapshot_bytes": 200_000, "trailing_bytes": 50_000}
    async with group(tmp_path, 1, **settings) as managers:
        (manager,) = managers.managers
        for _ in range(6):
            await write(managers, 15, 20_000)
            await eventually(lambda: log_bytes(manager) < 600_000)
        assert snapshot_index(manager) > 50


def log_bytes(manager: Manager) -> int:
    assert manager.node._parts is not None
    return sum(len(command) for command, _, _ in manager.node._parts.journal[:])


entry_sizes = st.lists(st.integers(0, 50), min_size=1, max_size=40)


@given(entry_sizes, st.integers(1, 20), st.integers(0, 1000), st.integers(0, 30), st.integers(0, 3000))
def test_what_stays_behind_a_snapshot_is_bounded_by_number_and_bytes(
    sizes: list[int], first: int, at: int, count: int, size: int
) -> None:
    log = [(b"x" * length, first + number, 1) for number, length in enumerate(sizes)]
    index = first + at % len(log)
    cut = cut_behind(log, index, count, size)
    assert first <= cut <= index
    kept = [len(command) + ENTRY_OVERHEAD_BYTES for command, number, _ in log if cut < number <= index]
    assert len(kept) <= count
    assert sum(kept) <= size
    if cut > first and len(kept) < count:  # one more would be too much
        assert sum(kept) + len(log[cut - first][0]) + ENTRY_OVERHEAD_BYTES > size


def test_the_log_is_kept_for_members_that_catch_up_but_not_without_bound() -> None:
    timing = Timing(snapshot_bytes=1000)
    log = [(b"x" * 400, index, 1) for index in range(10, 40)]
    for wanted, first in ((39, 39), (37, 37), (12, 35)):
        leading = SimpleNamespace(log_wanted_from=wanted)
        core: Any = SimpleNamespace(leading=leading, timing=timing, snapshots=SimpleNamespace(latest=None))
        assert Compactor(core)._held(log) == first


async def test_bytes_count_that_were_written_before_a_restart(tmp_path: Path) -> None:
    settings = {"snapshot_interval": NEVER, "snapshot_bytes": 100_000, "trailing_entries": 1}
    async with group(tmp_path, 1, **settings) as managers:
        (manager,) = managers.managers
        for _ in range(2):
            await write(managers, 4, 10_000)
            assert snapshot_index(manager) == 0
            await restart(manager)
        await write(managers, 3, 10_000)
        await eventually(lambda: snapshot_index(manager) > 0)
        # What is in the snapshot does not count for the next one.
        at = snapshot_index(manager)
        await restart(manager)
        await write(managers, 3, 10_000)
        assert snapshot_index(manager) == at
