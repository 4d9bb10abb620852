"""What survives, what is withheld, what happens to a damaged file."""

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from swarm.agent.database import Database, Stored, next_incarnation
from swarm.api.v1.objects_pb2 import Task
from swarm.api.v1.types_pb2 import HEALTH_STATE_HEALTHY, HealthConfig, HealthStatus, TaskStatus
from swarm.errors import Unavailable
from swarm.model.task_state import FAILED, RUNNING

NOW_NS = 10**18


@contextlib.asynccontextmanager
async def opened(
    path: Path, node_id: str = "n1", now_ns: int = NOW_NS
) -> AsyncIterator[tuple[Database, Stored]]:
    database = Database(path)
    stored = await database.open(node_id, now_ns)
    running = asyncio.create_task(database.run())
    try:
        yield database, stored
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await database.close()


async def test_what_was_put_is_found_again(tmp_path: Path) -> None:
    path = tmp_path / "agent" / "tasks.db"
    async with opened(path) as (database, stored):
        assert stored == Stored((), 0, stored.incarnation, rebuilt=True)
        database.put_task(Task(id="a", service_id="s"), TaskStatus(state=RUNNING))
        database.put_task(Task(id="b"), TaskStatus())
        database.put_task(Task(id="c"), TaskStatus())
        database.put_status("a", TaskStatus(state=FAILED, err="why"))
        database.put_unwanted("b")
        database.delete_task("c")
        await database.put_applied_index(77)
    async with opened(path) as (_, stored):
        found = {one.task.id: one for one in stored.tasks}
        assert set(found) == {"a", "b"}
        assert (found["a"].task.service_id, found["a"].status.err) == ("s", "why")
        assert (found["a"].wanted, found["b"].wanted) == (True, False)
        assert (stored.applied_index, stored.rebuilt) == (77, False)


async def test_check_and_health_of_a_task_are_found_again_and_forgotten_with_it(tmp_path: Path) -> None:
    path = tmp_path / "tasks.db"
    config = HealthConfig(test=["TCP", "80"], retries=2)
    health = HealthStatus(state=HEALTH_STATE_HEALTHY, failing_streak=1)
    async with opened(path) as (database, _):
        for task_id in ("a", "b"):
            database.put_task(Task(id=task_id), TaskStatus(state=RUNNING))
        database.put_health_config("a", config)
        database.put_health("a", health)
        await database.put_task(Task(id="a", service_id="again"), TaskStatus(state=RUNNING))
    async with opened(path) as (database, stored):
        found = {one.task.id: one for one in stored.tasks}
        assert (found["a"].health_config, found["a"].health) == (config, health)
        assert (found["b"].health_config, found["b"].health) == (HealthConfig(), HealthStatus())
        await database.delete_task("a")
        await database.put_task(Task(id="a"), TaskStatus())
    async with opened(path) as (_, stored):
        assert {one.health_config.ByteSize() for one in stored.tasks} == {0}


async def test_a_finished_put_is_on_disk_although_nothing_was_closed(tmp_path: Path) -> None:
    path = tmp_path / "tasks.db"
    async with opened(path) as (database, _):
        await database.put_task(Task(id="a"), TaskStatus())
        for file in tmp_path.iterdir():  # as a crash would leave them
            (tmp_path / "crashed").mkdir(exist_ok=True)
            if file.is_file():
                (tmp_path / "crashed" / file.name).write_bytes(file.read_bytes())
    async with opened(tmp_path / "crashed" / "tasks.db") as (_, stored):
        assert [one.task.id for one in stored.tasks] == ["a"]


async def test_passwords_are_not_written_and_only_their_absence_is_noted(tmp_path: Path) -> None:
    path = tmp_path / "tasks.db"
    task = Task(id="a")
    task.spec.container.registry_auth.password = "very-secret-word"
    async with opened(path) as (database, _):
        await database.put_task(task, TaskStatus())
    assert not any(b"very-secret-word" in file.read_bytes() for file in tmp_path.iterdir())
    assert path.stat().st_mode & 0o077 == 0
    async with opened(path) as (_, stored):
        assert stored.tasks[0].credentials_withheld
    assert task.spec.container.registry_auth.password == "very-secret-word"


@pytest.mark.parametrize("damage", ["header", "middle", "content", "empty"])
async def test_a_damaged_file_is_moved_aside_and_begun_anew(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "tasks.db"
    async with opened(path) as (database, _):
        for number in range(200):
            database.put_task(Task(id=f"a{number}", service_id="s" * 50), TaskStatus())
        await database.put_applied_index(5)
    content = bytearray(path.read_bytes())
    if damage == "header":
        content[:40] = b"x" * 40
    elif damage == "middle":
        content[4096:] = b"\xff" * (len(content) - 4096)
    elif damage == "empty":
        content.clear()
    else:
        connection = sqlite3.connect(path)
        connection.execute("UPDATE tasks SET task = ?", (b"\xff\xff\xff",))
        connection.commit()
        connection.close()
        content = bytearray(path.read_bytes())
    path.write_bytes(content)
    async with opened(path) as (database, stored):
        assert stored.tasks == ()
        assert stored.rebuilt
        await database.put_task(Task(id="b"), TaskStatus())
    assert len(list(tmp_path.glob("tasks.db.damaged-*"))) == (0 if damage == "empty" else 1)


async def test_a_file_that_cannot_be_opened_is_named_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "tasks.db"
    path.mkdir()
    with pytest.raises(
        Unavailable, match=r"cannot open .*/tasks.db: unable to open .*; let this program read"
    ):
        await Database(path).open("n1", NOW_NS)

    def full(*_: object, **__: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(sqlite3, "connect", full)
    with pytest.raises(
        Unavailable, match=r"/tasks.db: database or disk is full; free some space on its disk"
    ):
        await Database(path).open("n1", NOW_NS)


async def test_what_another_membership_left_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "tasks.db"
    async with opened(path, "old") as (database, _):
        database.put_task(Task(id="a"), TaskStatus())
        await database.put_applied_index(9)
    async with opened(path, "new") as (_, stored):
        assert stored == Stored((), 0, stored.incarnation, rebuilt=False)


async def test_a_full_disk_delays_writes_and_loses_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("swarm.agent.database.RETRY_S", 0.02)
    path = tmp_path / "tasks.db"
    async with opened(path) as (database, _):
        await database.put_task(Task(id="small"), TaskStatus())
        assert database._connection is not None
        pages = database._connection.execute("PRAGMA page_count").fetchone()[0]
        database._connection.execute(f"PRAGMA max_page_count = {pages}")
        large = database.put_task(Task(id="large", service_id="x" * 100_000), TaskStatus())
        await asyncio.sleep(0.1)
        assert not large.done()
        database._connection.execute("PRAGMA max_page_count = 100000")
        await large
    async with opened(path) as (_, stored):
        assert {one.task.id for one in stored.tasks} == {"small", "large"}


async def test_every_life_has_a_greater_number_also_after_the_clock_was_set_back(tmp_path: Path) -> None:
    numbers = []
    for now_ns in (NOW_NS, NOW_NS, NOW_NS // 2, 2 * NOW_NS):
        async with opened(tmp_path / "tasks.db", now_ns=now_ns) as (_, stored):
            numbers.append(stored.incarnation)
    assert numbers == sorted(set(numbers))
    assert numbers[-1] >= 2 * NOW_NS


def test_copies_of_one_disk_that_start_with_a_wrong_clock_have_different_numbers() -> None:
    assert next_incarnation(NOW_NS, 5) != next_incarnation(NOW_NS, 5)
