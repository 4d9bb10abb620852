"""What does the store cost? `python -m bench.store`: writes, reads, watching, and bytes of each object.

Writes go through the whole store of one manager: with its log in memory only, and with Raft as a manager has
it, encrypted and synced to a disk. Rates are per second of the processor where the disk has no part in it.
Bytes in memory are what the process grows by, those on disk what a snapshot file does.
"""

import argparse
import asyncio
import contextlib
import json
import logging
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import structlog

from bench.raft.load import summary
from swarm.api.v1.objects_pb2 import Node, Service, Task
from swarm.api.v1.raft_pb2 import RaftMember
from swarm.api.v1.store_pb2 import SnapshotRecord
from swarm.api.v1.types_pb2 import NodeState, TaskStatus
from swarm.clock import SystemClock, timestamp
from swarm.ids import new_id, new_raft_id
from swarm.manager.raft.config import RaftConfig
from swarm.manager.raft.node import RaftNode
from swarm.manager.store.store import Store
from swarm.manager.store.tables import Object, copy_of, wrap
from swarm.manager.store.transaction import Transaction
from swarm.model import task_state
from swarm.model.history import record_status
from swarm.model.task import new_task
from swarm.security.keyring import KeySet, new_data_key

TASKS = 10_000  # in the store while it is measured
TASKS_PER_SERVICE = 100
UNDER_WAY = (1, 16, 256)  # writers at a time, one object each
BATCH = 100  # objects in a transaction, as the loops of the leader write them
WATCHERS = (1, 10, 100)
COUNTS = (10_000, 100_000)  # objects of one kind, to weigh them
RUN_S = 2.0

Row = dict[str, Any]


def make_service(number: int) -> Service:
    service = Service(id=new_id())
    spec = service.spec
    spec.annotations.name = f"web{number}"
    spec.annotations.labels["com.example.tier"] = "front"
    spec.replicated.replicas = TASKS_PER_SERVICE
    container = spec.task.container
    container.image = "registry.example.com/shop/web:1.25.3"
    container.image_digest = "sha256:" + 64 * "a"
    container.env.extend(["DB_HOST=db.example.com", "LOG_LEVEL=info"])
    spec.task.resources.reservations.nano_cpus = 100_000_000
    spec.task.resources.limits.memory_bytes = 256 << 20
    service.spec_version = service.meta.version.index = 1
    return service


def make_node(number: int) -> Node:
    node = Node(id=new_id())
    node.status.state, node.status.addr = (
        NodeState.NODE_STATE_READY,
        f"10.0.{number >> 8 & 255}.{number & 255}",
    )
    description = node.description
    description.hostname = f"worker-{number}.example.com"
    description.platform.os, description.platform.architecture = "linux", "x86_64"
    description.resources.nano_cpus, description.resources.memory_bytes = 8_000_000_000, 32 << 30
    node.spec.annotations.labels.update(zone=f"z{number % 3}", disk="ssd")
    node.certificate_expires_at.seconds = node.meta.created_at.seconds = 1_800_000_000
    node.meta.version.index = 1
    return node


def make_task(service: Service, slot: int, now_ns: int) -> Task:
    """Return a task that runs, with the history of how it came to."""
    task = new_task(service, new_id(), now_ns, slot=slot, desired_state=task_state.RUNNING)
    task.node_id = new_id()
    for state, message in (
        (task_state.PENDING, "pending task scheduling"),
        (task_state.ASSIGNED, "scheduler assigned task to node"),
        (task_state.ACCEPTED, "accepted"),
        (task_state.PREPARING, "preparing"),
        (task_state.STARTING, "starting"),
        (task_state.RUNNING, "started"),
    ):
        record_status(task, TaskStatus(state=state, message=message, timestamp=timestamp(now_ns)))
    task.status.container.container_id = f"{service.spec.annotations.name}.{slot}.{task.id}"
    task.status.container.pid = 12345
    task.meta.created_at.CopyFrom(timestamp(now_ns))
    task.meta.updated_at.CopyFrom(timestamp(now_ns))
    task.meta.version.index = 1
    return task


def objects(kind: str, count: int) -> Iterator[Object]:
    """Return so many objects, made one after another."""
    now_ns = SystemClock().now_ns()
    service = make_service(0)
    for number in range(count):
        if kind == "task":
            if number % TASKS_PER_SERVICE == 0:
                service = make_service(number)
            yield make_task(service, number % TASKS_PER_SERVICE + 1, now_ns)
        else:
            yield make_node(number) if kind == "node" else make_service(number)


def records(kind: str, count: int) -> Iterator[bytes]:
    """Return them as a snapshot has them."""
    for obj in objects(kind, count):
        yield SnapshotRecord(object=wrap(obj)).SerializeToString(deterministic=True)


# Writing.


class MemoryLog:
    """A proposer that keeps nothing."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._index = store.view.index

    async def propose(self, entry: bytes, timeout_s: float) -> int:
        """Apply at the next turn of the event loop."""
        await asyncio.sleep(0)
        self._index += 1
        self._store.apply(self._index, entry)
        return self._index


@contextlib.asynccontextmanager
async def store_on(log: str, folder: Path) -> AsyncIterator[Store]:
    """Run a store with TASKS tasks, writing to `memory` or to `disk`."""
    store = Store(SystemClock(), new_id())
    if log == "memory":
        store.attach(MemoryLog(store))
        await fill(store)
        yield store
        return
    leading = asyncio.Event()
    config = RaftConfig(
        directory=folder / new_id(),
        cluster_id="bench",
        self_member=RaftMember(raft_id=new_raft_id(), node_id=new_id(), addr="127.0.0.1:1"),
        keys=KeySet((new_data_key(),)),
    )
    raft = RaftNode(config, store, _no_dialing, lambda term: leading.set() if term else None, sys.exit)
    store.attach(raft)
    await raft.start()
    await leading.wait()
    try:
        await fill(store)
        yield store
    finally:
        await raft.stop()


def _no_dialing(addr: str) -> Any:
    raise ValueError(f"a group of one has nobody to talk to at {addr}")


async def fill(store: Store) -> None:
    waiting = list(objects("task", TASKS))
    while waiting:
        part, waiting = waiting[:BATCH], waiting[BATCH:]
        await store.update(partial(create, part))


def create(tasks: list[Object], transaction: Transaction) -> None:
    for task in tasks:
        transaction.create(task)


def touch(task_ids: list[str], number: int) -> Callable[[Transaction], None]:
    """Return a change of the status of some tasks, as a report of an agent makes it."""

    def change(transaction: Transaction) -> None:
        for task_id in task_ids:
            current = transaction.tasks.get(task_id)
            assert current is not None
            task = copy_of(current)
            task.status.message = f"started {number}"
            transaction.update(task)

    return change


async def writes(store: Store, under_way: int, batch: int) -> Row:
    ids = [task.id for task in store.view.tasks]
    latencies: list[float] = []
    wall, cpu = time.perf_counter(), time.process_time()
    end = wall + RUN_S

    async def writer(number: int) -> None:
        while (began := time.perf_counter()) < end:
            number = (number + under_way * batch) % (len(ids) - batch)
            await store.update(touch(ids[number : number + batch], len(latencies)), 30.0)
            latencies.append(time.perf_counter() - began)

    async with asyncio.TaskGroup() as group:
        for number in range(under_way):
            group.create_task(writer(number * batch))
    spent, took = time.process_time() - cpu, time.perf_counter() - wall
    sample = summary(latencies, took)
    return {
        "under_way": under_way,
        "objects": batch,
        "transactions_per_s": round(sample.per_second),
        "transactions_per_cpu_s": round(len(latencies) / spent),
        "p50_ms": round(sample.p50_ms, 2),
        "p99_ms": round(sample.p99_ms, 2),
    }


async def measure_writes(log: str, folder: Path) -> list[Row]:
    rows: list[Row] = []
    async with store_on(log, folder) as store:
        for under_way, batch in [(one, 1) for one in UNDER_WAY] + [(1, BATCH)]:
            rows.append({"what": "writes", "log": log} | await writes(store, under_way, batch))
    return rows


# Reading and watching.


def rate(act: Callable[[int], object]) -> int:
    """Return how often in a second of the processor."""
    began, count = time.process_time(), 0
    while (spent := time.process_time() - began) < RUN_S / 4:
        for _ in range(100):
            act(count)
            count += 1
    return round(count / spent)


async def measure_reads(folder: Path) -> list[Row]:
    async with store_on("memory", folder) as store:
        tasks, ids = store.view.tasks, [task.id for task in store.view.tasks]
        services = sorted({task.service_id for task in tasks})
        reads: dict[str, Callable[[int], object]] = {
            "a task by id": lambda number: tasks.get(ids[number % len(ids)]),
            "a task by slot": lambda number: tasks.by_slot(services[number % len(services)], 1),
            f"{TASKS_PER_SERVICE} tasks by service": lambda number: tasks.by_service(
                services[number % len(services)]
            ),
        }
        rows: list[Row] = [
            {"what": "reads", "read": name, "per_cpu_s": rate(act)} for name, act in reads.items()
        ]
        watches: list[Row] = [
            {"what": "watch", "watchers": count} | await fan_out(store, count) for count in WATCHERS
        ]
        return rows + watches


async def fan_out(store: Store, count: int) -> Row:
    """Let so many watchers hear of changes of tasks, BATCH a commit."""
    ids = [task.id for task in store.view.tasks]
    heard, commits = 0, 50

    async def listen() -> None:
        nonlocal heard
        with store.watch(Task) as watch:
            async for commit in watch:
                heard += len(commit.events)

    listeners = [asyncio.create_task(listen()) for _ in range(count)]
    await asyncio.sleep(0)
    began = time.process_time()
    for number in range(commits):
        await store.update(touch(ids[number * BATCH : (number + 1) * BATCH], number))
    while heard < commits * BATCH * count:
        await asyncio.sleep(0)
    spent = time.process_time() - began
    for listener in listeners:
        listener.cancel()
    await asyncio.gather(*listeners, return_exceptions=True)
    return {"events_per_cpu_s": round(heard / spent), "changes_per_cpu_s": round(commits * BATCH / spent)}


# Weighing.


def weigh(kind: str, count: int, folder: Path) -> Row:
    """Fill a store from a snapshot; say what it grew by, and how large the file is."""
    store = Store(SystemClock(), new_id())
    store.restore(1, records(kind, 1))  # whatever is loaded once
    file = folder / "records"
    with file.open("wb") as stream:
        for record in records(kind, count):
            stream.write(len(record).to_bytes(4, "little") + record)
    size, before = file.stat().st_size, resident_bytes()
    with file.open("rb") as stream:
        store.restore(2, iter(lambda: stream.read(int.from_bytes(stream.read(4), "little")), b""))
    grown = resident_bytes() - before
    # A frame of a snapshot has 9 bytes before its record (swarm/manager/raft/snapshots.py).
    return {
        "what": "bytes",
        "object": kind,
        "count": count,
        "memory": round(grown / count),
        "snapshot": round((size + 5 * count) / count),
    }


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def apart(kind: str, count: int) -> Row:
    """Weigh in a process of its own."""
    command = [sys.executable, "-m", "bench.store", "--weigh", kind, str(count)]
    row: Row = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
    return row


def measure(folder: Path, counts: tuple[int, ...]) -> Iterator[Row]:
    for log in ("memory", "disk"):
        yield from asyncio.run(measure_writes(log, folder))
    yield from asyncio.run(measure_reads(folder))
    for kind in ("task", "node", "service"):
        for count in counts:
            yield apart(kind, count)


def show(row: Row) -> str:
    return "  ".join(f"{value}" if name == "what" else f"{name} {value}" for name, value in row.items())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print a list of objects")
    parser.add_argument("--quick", action="store_true", help="weigh the smaller numbers only")
    parser.add_argument("--dir", type=Path, help="folder on the disk to write to (default: the system's)")
    parser.add_argument("--weigh", nargs=2, metavar=("KIND", "COUNT"), help="one weight, in this process")
    given = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    with tempfile.TemporaryDirectory(dir=given.dir) as folder:
        if given.weigh:
            print(json.dumps(weigh(given.weigh[0], int(given.weigh[1]), Path(folder))))
            return
        rows: list[Row] = []
        for row in measure(Path(folder), COUNTS[: 1 if given.quick else None]):
            rows.append(row)
            if not given.json:
                print(show(row), flush=True)
        if given.json:
            print(json.dumps(rows, indent=2))


if __name__ == "__main__":
    main()
