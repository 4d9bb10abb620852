"""What a manager writes down survives restarts, stays bounded, and stops nobody when the disk is full."""

import asyncio
import threading

import pytest

from swarm.api.v1.users_pb2 import AuditRecord, ReadAuditRequest
from swarm.clock import timestamp
from swarm.manager.audit import trail as trail_module
from swarm.manager.audit.files import AuditFiles
from swarm.manager.audit.folding import SPAN_NS, Folding
from swarm.manager.audit.selection import RECORDS_MAX, Selection, merged
from swarm.manager.audit.trail import AuditTrail
from swarm.manager.store.testing import ManualClock
from swarm.model.limits import AUDIT_FILE_BYTES, AUDIT_FILES, AUDIT_WAITING

ALL = Selection.of(ReadAuditRequest())


def record(number, outcome="done", user="ann", **more):
    return AuditRecord(id=f"c{number}", user=user, rpc="Control/X", outcome=outcome, **more)


def noted(trail, *records):
    for one in records:
        trail.note(one)


async def ids(trail, selection=ALL):
    return [one.id for one in await trail.read(selection)]


class FullDisk(AuditFiles):
    full = True

    def append(self, records):
        if self.full:
            raise OSError(28, "No space left on device")
        super().append(records)


class SlowDisk(AuditFiles):
    """Begins to write, or has read, and goes on when it is told to."""

    def __init__(self, folder):
        super().__init__(folder)
        self.begun, self.go_on = threading.Event(), threading.Event()

    def _wait(self):
        self.begun.set()
        assert self.go_on.wait(60)

    def append(self, records):
        self._wait()
        super().append(records)


class SlowReader(SlowDisk):
    append = AuditFiles.append

    def read(self, wanted):
        found = super().read(wanted)
        self._wait()
        return found


async def test_records_survive_a_restart_and_are_only_for_root(tmp_path):
    clock = ManualClock()
    before = AuditTrail(AuditFiles(tmp_path / "audit"), "m1", clock)
    noted(before, record(1), record(2, role="local"))
    assert await ids(before) == ["c1", "c2"], "also what is not written yet"
    await before.stop()
    after = await AuditTrail(AuditFiles(tmp_path / "audit"), "m1", clock).read(ALL)
    assert [(one.id, one.manager_id, one.node_id) for one in after] == [("c1", "m1", ""), ("c2", "m1", "m1")]
    assert (tmp_path / "audit" / "trail").stat().st_mode & 0o777 == 0o600


async def test_what_comes_is_written_without_anybody_stopping(tmp_path):
    trail = AuditTrail(AuditFiles(tmp_path), "m1", ManualClock())
    running = asyncio.create_task(trail.run())
    trail.note(record(1))
    async with asyncio.timeout(60):
        while not (tmp_path / "trail").exists():
            await asyncio.sleep(0.01)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await trail.stop()
    assert await ids(AuditTrail(AuditFiles(tmp_path), "m1", ManualClock())) == ["c1"]


async def test_what_is_being_written_when_the_manager_stops_is_written_once(tmp_path):
    files = SlowDisk(tmp_path)
    trail = AuditTrail(files, "m1", ManualClock())
    running = asyncio.create_task(trail.run())
    trail.note(record(1))
    assert await asyncio.to_thread(files.begun.wait, 60)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    trail.note(record(2))
    stopping = asyncio.create_task(trail.stop())
    await asyncio.sleep(0)
    files.go_on.set()
    await stopping
    assert [one.id for one in files.read(lambda _: True)] == ["c1", "c2"]


async def test_what_is_written_while_somebody_reads_is_read(tmp_path):
    files = SlowReader(tmp_path)
    trail = AuditTrail(files, "m1", ManualClock())
    trail.note(record(1))
    reading = asyncio.create_task(ids(trail))
    assert await asyncio.to_thread(files.begun.wait, 60)
    await trail.stop()
    files.go_on.set()
    assert await reading == ["c1"]


def test_a_file_that_gets_its_next_number_while_somebody_reads_is_read(tmp_path):
    files = AuditFiles(tmp_path, file_bytes=1000, files=4)
    files.append([record(1)])
    turned = []

    def wanted(_):
        if not turned:
            turned.append(True)
            files.append(record(number) for number in range(2, 30))
        return True

    (tmp_path / "trail.1").write_bytes((tmp_path / "trail").read_bytes().replace(b"c1", b"c0"))
    assert {"c0", "c1"} <= {one.id for one in files.read(wanted)}


def test_files_are_bounded_and_the_oldest_goes(tmp_path):
    files = AuditFiles(tmp_path, file_bytes=1000, files=3)
    for number in range(200):
        files.append([record(number)])
    assert len(list(tmp_path.iterdir())) <= 3
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 3 * 1200
    kept = [one.id for one in files.read(lambda _: True)]
    assert kept == [f"c{number}" for number in range(200 - len(kept), 200)]
    assert AUDIT_FILE_BYTES.value * AUDIT_FILES.value == 16 * 1024 * 1024


def test_of_a_torn_line_only_that_is_lost(tmp_path):
    files = AuditFiles(tmp_path)
    files.append([record(1)])
    with (tmp_path / "trail").open("ab") as file:
        file.write(b'{"id":"c2","us')
    files.append([record(3)])
    assert [one.id for one in files.read(lambda _: True)] == ["c1", "c3"]


async def test_a_full_disk_stops_nobody_and_is_told_when_it_is_over(tmp_path):
    files = FullDisk(tmp_path)
    trail = AuditTrail(files, "m1", ManualClock(), most=3)
    noted(trail, *(record(number) for number in range(5)))
    await trail.stop()
    assert [one for one in await ids(trail) if one.startswith("c")][:3] == ["c0", "c1", "c2"]
    files.full = False
    await trail.stop()
    *kept, last = await AuditTrail(AuditFiles(tmp_path), "m1", ManualClock()).read(ALL)
    assert {one.id for one in (*kept, last)} >= {"c0", "c1", "c2"}
    lost = next(one for one in (*kept, last) if one.outcome == trail_module.LOST)
    assert lost.times == 2
    assert AUDIT_WAITING.value > 3


async def test_a_disk_that_takes_records_again_gets_those_that_waited(tmp_path, monkeypatch):
    monkeypatch.setattr(trail_module, "RETRY_NS", 10_000_000)
    files = FullDisk(tmp_path)
    trail = AuditTrail(files, "m1", ManualClock())
    running = asyncio.create_task(trail.run())
    trail.note(record(1))
    await asyncio.sleep(0.05)
    files.full = False
    async with asyncio.timeout(60):
        while not (tmp_path / "trail").exists():
            await asyncio.sleep(0.01)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await trail.stop()
    assert [one.id for one in files.read(lambda _: True)][:1] == ["c1"]


async def test_who_follows_hears_what_comes(tmp_path):
    trail = AuditTrail(AuditFiles(tmp_path), "m1", ManualClock())
    with trail.following() as queue:
        trail.note(record(1))
        assert (await asyncio.wait_for(queue.get(), 60)).id == "c1"


# Denials that repeat themselves.


def at(number, second, **more):
    return record(number, "denied", at=timestamp(second * 1_000_000_000), **more)


def test_denials_alike_become_one_with_a_count():
    folding = Folding()
    assert not folding.take(at(1, 0))
    assert folding.take(at(2, 1))
    assert folding.take(at(3, 2))
    assert not folding.take(at(4, 2, reason="another"))
    assert not folding.take(record(5, "done", at=timestamp(0))), "what was done is never counted only"
    assert folding.due(SPAN_NS - 1) == []
    (one,) = folding.due(SPAN_NS)
    assert (one.id, one.times) == ("c3", 2)
    assert list(folding.waiting()) == []
    assert not folding.take(at(6, 61))


def test_what_is_counted_is_written_when_the_manager_stops():
    folding = Folding()
    for number in range(4):
        folding.take(at(number, 0))
    (one,) = folding.due(None)
    assert one.times == 3


# What is asked for.


def test_filters_and_the_tail():
    selection = Selection.of(
        ReadAuditRequest(denied=True, users=["ann"], since=timestamp(5_000_000_000), tail=2)
    )
    told = [at(number, number) for number in range(10)] + [
        at(11, 11, user="bob"),
        record(12, at=timestamp(9)),
    ]
    assert [one.id for one in selection.last(filter(selection.wants, told[:4]))] == []
    wanted = [one for one in told if selection.wants(one) and one.user == "ann"]
    assert [one.id for one in selection.last(wanted)] == ["c8", "c9"]
    assert not selection.wants(told[-1])
    assert Selection.of(ReadAuditRequest(tail=10**9)).tail == RECORDS_MAX


def test_of_a_call_in_two_trails_one_record_is_told_in_order_of_time():
    def said(name, second, outcome, manager):
        return AuditRecord(id=name, at=timestamp(second * 10**9), outcome=outcome, manager_id=manager)

    found = merged(
        [
            said("b", 3, "done", "m1"),
            said("a", 5, "begun", "m2"),
            said("a", 4, "done", "m1"),
            said("c", 1, "begun", "m1"),
        ]
    )
    assert [(one.id, one.outcome) for one in found] == [("c", "begun"), ("b", "done"), ("a", "done")]


@pytest.mark.parametrize("outcome", ["done", "failed"])
def test_what_was_done_is_not_a_denial(outcome):
    assert not Selection.of(ReadAuditRequest(denied=True)).wants(record(1, outcome))
