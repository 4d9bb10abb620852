"""What must survive the agent's end: which tasks this node was given and what it last said of them.

SQLite in write-ahead mode, every commit fsynced, in a thread of its own: a disk that takes its time must
not hold up heartbeats. Writers share commits, as many as queue up while one is under way. While the disk
is full, they wait. Passwords for registries are not written: a task that still needs one waits for a
manager after a restart.
"""

import asyncio
import contextlib
import secrets
import sqlite3
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import structlog
from google.protobuf.message import DecodeError

from swarm.api.v1.objects_pb2 import Task
from swarm.api.v1.overlay_pb2 import OverlayChanges
from swarm.api.v1.types_pb2 import HealthConfig, HealthStatus, TaskStatus
from swarm.errors import Unavailable

log = structlog.get_logger(__name__)

MILLISECOND = 1_000_000
RETRY_S = 1.0
BATCH_MAX = 2000  # statements in one commit

_SCHEMA = """
CREATE TABLE IF NOT EXISTS tasks (
    id TEXT PRIMARY KEY,
    task BLOB NOT NULL,
    status BLOB NOT NULL,
    wanted INTEGER NOT NULL,
    credentials_withheld INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS health (
    id TEXT PRIMARY KEY,
    config BLOB NOT NULL,
    status BLOB NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS overlays (
    network_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    id TEXT NOT NULL,
    changes BLOB NOT NULL,
    PRIMARY KEY (network_id, kind, id)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS pauses (container_id TEXT PRIMARY KEY) STRICT;
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
"""

# What is kept of an overlay network: itself, and each of its entries.
OVERLAY_NETWORK, OVERLAY_NODE, OVERLAY_SERVICE, OVERLAY_TASK = "", "node", "service", "task"

Statement: TypeAlias = tuple[str, Sequence[str | bytes | int]]


@dataclass(frozen=True, slots=True)
class StoredTask:
    """One task as the last life of the agent left it."""

    task: Task
    status: TaskStatus
    wanted: bool
    credentials_withheld: bool
    health_config: HealthConfig = field(default_factory=HealthConfig)  # the user's and the image's together
    health: HealthStatus = field(default_factory=HealthStatus)


@dataclass(frozen=True, slots=True)
class Stored:
    """Everything that was found."""

    tasks: tuple[StoredTask, ...]
    applied_index: int
    incarnation: int  # of this life of the agent: greater than that of every life before
    rebuilt: bool  # the file was damaged or missing: what the runtime has may well be wanted
    overlays: tuple[OverlayChanges, ...] = ()  # complete, in pieces that add up
    pauses: tuple[str, ...] = ()  # containers that were paused while their files were read


def next_incarnation(last: int, now_ns: int) -> int:
    """Return the number of an agent's new life: the time, unless the clock was set back.

    The random part (up to a millisecond) tells copies of one disk apart that start with wrong clocks.
    """
    return max(last, now_ns) + 1 + secrets.randbelow(MILLISECOND)


class Database:
    """The agent's file. `open` first; writes are queued in order and return a future."""

    def __init__(self, path: Path) -> None:
        """`path` is the file; two more stand beside it while it is open."""
        self._path = path
        self._connection: sqlite3.Connection | None = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="agent-database")
        self._queue: list[tuple[Statement, asyncio.Future[None]]] = []
        self._wake = asyncio.Event()

    async def open(self, node_id: str, now_ns: int) -> Stored:
        """Open the file and return what this node left in it; a damaged one is moved aside and begun anew.

        What an earlier member of another cluster, or under another id, left here is dropped.
        Raises Unavailable.
        """
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._open, node_id, now_ns)

    def _unusable(self, error: sqlite3.OperationalError) -> Unavailable:
        full = "full" in str(error)
        todo = "free some space on its disk" if full else "let this program read and write it"
        return Unavailable(f"cannot open {self._path}: {error}; {todo}, and this node goes on by itself")

    def put_task(self, task: Task, status: TaskStatus) -> asyncio.Future[None]:
        """Keep a task that this node must have; the future is done once it is on disk."""
        kept = Task()
        kept.CopyFrom(task)
        kept.ClearField("status")
        withheld = kept.spec.container.HasField("registry_auth")
        kept.spec.container.ClearField("registry_auth")
        return self._submit(
            "INSERT OR REPLACE INTO tasks VALUES (?, ?, ?, 1, ?)",
            (task.id, kept.SerializeToString(), status.SerializeToString(), int(withheld)),
        )

    def put_status(self, task_id: str, status: TaskStatus) -> asyncio.Future[None]:
        """Keep the newest status of a task."""
        return self._submit(
            "UPDATE tasks SET status = ? WHERE id = ?", (status.SerializeToString(), task_id)
        )

    def put_health_config(self, task_id: str, config: HealthConfig) -> asyncio.Future[None]:
        """Keep the health check in force for a task: the next agent does not ask for its image again."""
        return self._submit(
            "INSERT OR REPLACE INTO health VALUES (?, ?, ?)", (task_id, config.SerializeToString(), b"")
        )

    def put_health(self, task_id: str, health: HealthStatus) -> asyncio.Future[None]:
        """Keep how healthy a task is."""
        return self._submit(
            "UPDATE health SET status = ? WHERE id = ?", (health.SerializeToString(), task_id)
        )

    def put_unwanted(self, task_id: str) -> asyncio.Future[None]:
        """Keep that a task has to go."""
        return self._submit("UPDATE tasks SET wanted = 0 WHERE id = ?", (task_id,))

    def delete_task(self, task_id: str) -> asyncio.Future[None]:
        """Forget a task of which nothing is left."""
        self._submit("DELETE FROM health WHERE id = ?", (task_id,))
        return self._submit("DELETE FROM tasks WHERE id = ?", (task_id,))

    def put_pause(self, container_id: str) -> asyncio.Future[None]:
        """Keep that the agent itself paused a container, and for how long: until `delete_pause`."""
        return self._submit("INSERT OR REPLACE INTO pauses VALUES (?)", (container_id,))

    def delete_pause(self, container_id: str) -> asyncio.Future[None]:
        """Forget it: the container goes on, or is somebody else's to let go on."""
        return self._submit("DELETE FROM pauses WHERE container_id = ?", (container_id,))

    def put_overlay(
        self, network_id: str, kind: str, entry_id: str, changes: OverlayChanges | None
    ) -> asyncio.Future[None]:
        """Keep one entry of an overlay network, as the managers say it; None: forget it."""
        if changes is None:
            return self._submit(
                "DELETE FROM overlays WHERE network_id = ? AND kind = ? AND id = ?",
                (network_id, kind, entry_id),
            )
        return self._submit(
            "INSERT OR REPLACE INTO overlays VALUES (?, ?, ?, ?)",
            (network_id, kind, entry_id, changes.SerializeToString()),
        )

    def delete_overlay(self, network_id: str) -> asyncio.Future[None]:
        """Forget an overlay network with all of its entries."""
        return self._submit("DELETE FROM overlays WHERE network_id = ?", (network_id,))

    def put_applied_index(self, index: int) -> asyncio.Future[None]:
        """Keep how far into the managers' log this node has followed."""
        return self._submit("INSERT OR REPLACE INTO facts VALUES ('applied_index', ?)", (str(index),))

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._queue:
                if not await self._write_batch():
                    await asyncio.sleep(RETRY_S)

    async def close(self) -> None:
        """Write what is queued, if the disk takes it, and close the file."""
        with contextlib.suppress(sqlite3.Error):
            if self._queue and self._connection is not None:
                await self._write_batch()
        await asyncio.get_running_loop().run_in_executor(self._thread, self._close)
        self._thread.shutdown(wait=False)
        for _, done in self._queue:
            done.cancel()

    def _submit(self, sql: str, values: Sequence[str | bytes | int]) -> asyncio.Future[None]:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append(((sql, values), done))
        self._wake.set()
        return done

    async def _write_batch(self) -> bool:
        """Commit what is queued; False when the disk refused."""
        batch = self._queue[:BATCH_MAX]
        statements = [statement for statement, _ in batch]
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._commit, statements)
        except sqlite3.Error as error:
            log.error("agent.database_not_written", path=str(self._path), reason=str(error))  # noqa: TRY400
            return False
        del self._queue[: len(batch)]
        for _, done in batch:
            if not done.done():
                done.set_result(None)
        return True

    # In the thread.

    def _open(self, node_id: str, now_ns: int) -> Stored:
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            return self._open_and_load(node_id, now_ns)
        except (sqlite3.DatabaseError, DecodeError) as error:
            if isinstance(error, sqlite3.OperationalError):
                raise self._unusable(error) from error  # no space, no permission: not damaged
            self._close()
            aside = self._move_aside()
            log.error(  # noqa: TRY400 -- the reason says it all
                "agent.database_damaged", path=str(self._path), moved_to=str(aside), reason=str(error)
            )
            return self._open_and_load(node_id, now_ns)

    def _open_and_load(self, node_id: str, now_ns: int) -> Stored:
        connection = sqlite3.connect(self._path, check_same_thread=False, isolation_level=None)
        self._connection = connection
        self._path.chmod(0o600)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        problem = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if problem != "ok":
            raise sqlite3.DatabaseError(problem)
        connection.executescript(_SCHEMA)
        facts = dict(connection.execute("SELECT name, value FROM facts").fetchall())
        rebuilt = "node_id" not in facts
        if facts.get("node_id", node_id) != node_id:
            connection.execute("DELETE FROM tasks")
            connection.execute("DELETE FROM health")
            connection.execute("DELETE FROM overlays")
            connection.execute("DELETE FROM facts")
            facts = {}
        incarnation = next_incarnation(int(facts.get("incarnation", 0)), now_ns)
        connection.execute(
            "INSERT OR REPLACE INTO facts VALUES ('node_id', ?), ('incarnation', ?)",
            (node_id, str(incarnation)),
        )
        rows = connection.execute(
            "SELECT task, tasks.status, wanted, credentials_withheld, config, health.status "
            "FROM tasks LEFT JOIN health USING (id)"
        ).fetchall()
        tasks = tuple(
            StoredTask(
                Task.FromString(task),
                TaskStatus.FromString(status),
                bool(wanted),
                bool(withheld),
                HealthConfig.FromString(config or b""),
                HealthStatus.FromString(health or b""),
            )
            for task, status, wanted, withheld, config, health in rows
        )
        overlays = tuple(  # of each network itself first
            OverlayChanges.FromString(changes)
            for (changes,) in connection.execute(
                "SELECT changes FROM overlays ORDER BY network_id, kind, id"
            )
        )
        pauses = tuple(one for (one,) in connection.execute("SELECT container_id FROM pauses"))
        return Stored(tasks, int(facts.get("applied_index", 0)), incarnation, rebuilt, overlays, pauses)

    def _commit(self, statements: Sequence[Statement]) -> None:
        connection = self._connection
        assert connection is not None, "the database is not open"
        connection.execute("BEGIN IMMEDIATE")
        try:
            for sql, values in statements:
                connection.execute(sql, values)
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _move_aside(self) -> Path:
        number = 1
        while (aside := self._path.with_name(f"{self._path.name}.damaged-{number}")).exists():
            number += 1
        self._path.rename(aside)
        for suffix in ("-wal", "-shm"):
            self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)
        return aside
