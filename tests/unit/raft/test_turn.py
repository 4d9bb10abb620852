"""The order of a turn, and what is on disk after it."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from swarm.manager.raft.disk import Disk
from swarm.manager.raft.entries import data_command
from swarm.manager.raft.journal import DurableJournal
from swarm.manager.raft.turn import COMMIT_INDEX_S, Turn
from tests.unit.raft.keys import KEYS
from tests.unit.raft.test_journal import create

NOTHING = lambda *_arguments, **_more: None  # noqa: E731


def a_turn(journal: Any) -> tuple[Turn, SimpleNamespace]:
    time = SimpleNamespace(now_s=100.0)
    core: Any = SimpleNamespace(
        tick=NOTHING,
        is_leader=False,
        commit_index=0,
        now=lambda: time.now_s,
        next_deadline=lambda: time.now_s + 10,
    )
    transport: Any = SimpleNamespace(release=NOTHING)
    return Turn(core, journal, transport, NOTHING), time


def journal_size(directory: Path) -> int:
    return (directory / "log").stat().st_size


def test_a_commit_index_that_has_moved_is_on_disk_a_moment_later(tmp_path: Path) -> None:
    journal = create(tmp_path)
    for index in range(2, 6):
        journal.add(data_command(b"x"), index, 1)
    turn, time = a_turn(journal)
    turn.run()
    size = journal_size(tmp_path)
    journal.setRaftCommitIndex(4)
    turn.run()
    assert turn.pause_s() == COMMIT_INDEX_S
    assert journal_size(tmp_path) == size
    time.now_s += 2 * COMMIT_INDEX_S
    turn.run()
    turn.run()
    assert turn.pause_s() > COMMIT_INDEX_S
    journal._destroy()
    again = DurableJournal(Disk(tmp_path), KEYS)
    assert again.getRaftCommitIndex() == 4
    again._destroy()
