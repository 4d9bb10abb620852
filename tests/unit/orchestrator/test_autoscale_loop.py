"""The shell of autoscaling over a real store, and Prometheus over real HTTP."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager, suppress

import pytest

from swarm.api.v1.objects_pb2 import Service
from swarm.errors import NoQuorum, NotLeader
from swarm.manager.orchestrator.autoscale.loop import AutoscaleLoop
from swarm.manager.orchestrator.autoscale.prometheus import ANSWER_BYTES_MAX, Prometheus, read_answer
from swarm.manager.orchestrator.autoscale.rules import Answer, Query
from swarm.manager.store.store import Store
from swarm.manager.store.tables import copy_of
from swarm.manager.store.testing import LocalProposer, ManualClock, store_with
from swarm.model.autoscale import wanted_replicas
from swarm.model.service import new_service
from swarm.model.usage import Usage
from tests.unit.orchestrator.test_autoscale import Q_RULE, QUERY, a_spec
from tests.unit.orchestrator.test_autoscale_census import a_task


class Answers:
    """Samples and queries as a test wants them."""

    def __init__(self) -> None:
        self.use: Usage | None = None
        self.value = Answer(problem="not yet")
        self.asked: list[set[Query]] = []
        self.closed = False

    def usage_of(self, task_id: str, now_s: float) -> Usage | None:
        return self.use

    async def ask(self, queries: Collection[Query]) -> Mapping[Query, Answer]:
        self.asked.append(set(queries))
        return dict.fromkeys(queries, self.value)

    async def close(self) -> None:
        self.closed = True


class Bench:
    def __init__(self, *rules: str, tasks: int = 2) -> None:
        self.clock = ManualClock()
        spec = a_spec(1, 10, *rules)
        spec.replicated.replicas = tasks
        running = [a_task(slot, name=f"task{slot}") for slot in range(1, tasks + 1)]
        self.store: Store = store_with(new_service("s1", spec), *running, clock=self.clock)
        self.proposer = LocalProposer(self.store)
        self.store.attach(self.proposer)
        self.answers = Answers()
        self.decisions: list[str] = []
        self.loop = self.new_loop()

    def new_loop(self) -> AutoscaleLoop:
        return AutoscaleLoop(
            self.store, self.clock, self.answers, self.answers, self.decisions.append, first_look_s=0
        )

    @property
    def service(self) -> Service:
        found = self.store.view.services.get("s1")
        assert found is not None
        return found

    @property
    def replicas(self) -> int:
        return wanted_replicas(self.service)

    async def look(self, seconds: float = 5) -> int:
        self.clock.advance(seconds)
        await self.loop._look()
        return self.replicas

    async def change(self, edit: Callable[[Service], object]) -> None:
        service = copy_of(self.service)
        edit(service)
        await self.store.update(lambda tx: tx.update(service))


async def test_what_is_decided_is_written_with_its_reason_and_counted() -> None:
    bench = Bench()
    bench.answers.use = Usage(1e9, 10.0)
    assert await bench.look() == 4
    status = bench.service.autoscale_status
    assert status.reason.startswith("2 → 4: cpu is at ")
    assert status.decided_at.ToNanoseconds() == bench.clock.now_ns()
    assert (status.readings[0].value, status.readings[0].wish) == (100.0, 4)
    assert bench.decisions == ["up"]
    assert bench.service.spec.replicated.replicas == 2, "the spec is the user's"


async def test_looks_that_change_nothing_write_nothing() -> None:
    bench = Bench()
    bench.answers.use = Usage(5e8, 10.0)
    await bench.look()
    entries = len(bench.proposer.entries)
    for _ in range(30):
        await bench.look()
    assert len(bench.proposer.entries) == entries


async def test_a_commit_that_fails_is_made_up_for_by_the_next_look() -> None:
    bench = Bench()
    bench.answers.use = Usage(1e9, 10.0)
    bench.proposer.fail_next(NoQuorum("for a moment"))
    assert await bench.look() == 2
    assert bench.decisions == []
    bench.proposer.fail_next(NoQuorum("but it came true"), "committed")
    assert await bench.look() == 4
    assert await bench.look(1) == 4, "nothing is done twice"


async def test_losing_leadership_comes_out() -> None:
    bench = Bench()
    bench.answers.use = Usage(1e9, 10.0)
    bench.proposer.fail_next(NotLeader())
    with pytest.raises(NotLeader):
        await bench.loop.run()
    assert bench.answers.closed


async def test_a_new_leader_and_a_new_spec_begin_with_an_empty_window() -> None:
    bench = Bench(tasks=8)
    bench.answers.use = Usage(5e7, 10.0)
    for _ in range(60):
        assert await bench.look() == 8
    bench.loop = bench.new_loop()
    for _ in range(60):
        assert await bench.look() == 8

    def raise_the_bound(service: Service) -> None:
        service.spec.autoscale.replicas_max = 20
        service.revision += 1

    await bench.change(raise_the_bound)
    for _ in range(60):
        assert await bench.look() == 8
    assert await bench.look() == 1


async def test_each_query_is_asked_once_and_only_if_somebody_has_it() -> None:
    bench = Bench(Q_RULE)
    other = new_service("s2", a_spec(1, 10, "prometheus=http://p|q=7", "cpu=50"))
    other.spec.annotations.name = "other"
    await bench.store.update(lambda tx: tx.create(other))
    bench.answers.value = Answer(350.0)
    assert await bench.look() == 4
    assert bench.answers.asked == [{QUERY}]
    plain = Bench()
    await plain.look()
    assert plain.answers.asked == [set()]


# Prometheus.


def page(result: object, kind: str = "vector") -> bytes:
    return json.dumps({"status": "success", "data": {"resultType": kind, "result": result}}).encode()


def one(value: object) -> list[object]:
    return [{"metric": {}, "value": [1700000000.1, value]}]


def test_one_value_is_read_from_vector_or_scalar() -> None:
    assert read_answer(200, page(one("42.5"))) == Answer(42.5)
    assert read_answer(200, page([1700000000, "7"], "scalar")) == Answer(7.0)
    assert read_answer(200, page(one("0"))) == Answer(0.0)


@pytest.mark.parametrize(
    ("status", "body", "problem"),
    [
        (200, page([]), "the query has no result"),
        (200, page(one("1") * 3), "3 results instead of one"),
        (200, page(one("NaN")), "the value is nan"),
        (200, page(one("+Inf")), "the value is inf"),
        (200, page(one("-1")), "the value is -1"),
        (200, page(one("x")), "no number"),
        (200, page(one(None)), "no number"),
        (200, page([{"metric": {}}]), "no number"),
        (200, page([3]), "no number"),
        (200, page([], "matrix"), "of type matrix"),
        (200, page({}), "of type vector"),
        (200, b'{"status": "success"}', "of type None"),
        (400, b'{"status": "error", "error": "parse error: x"}', "refuses the query: parse error: x"),
        (503, page(one("1")), "503 Service Unavailable"),
        (404, b"<html>no such page", r"not Prometheus' \(HTTP 404 Not Found\)"),
        (200, b"[1, 2]", "not Prometheus'"),
        (200, b"", "not Prometheus'"),
        (200, b"[" * 100_000, "not Prometheus'"),
    ],
)
def test_everything_else_is_a_problem_that_is_told(status: int, body: bytes, problem: str) -> None:
    answer = read_answer(status, body)
    assert answer.value is None
    assert re.search(problem, answer.problem), answer.problem


@asynccontextmanager
async def a_server(body: bytes, head: str = "HTTP/1.1 200 OK", wait_s: float = 0) -> AsyncIterator[str]:
    """A web server with one page; what was asked for is not looked at but by the test."""

    serving: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            asked = await reader.readuntil(b"\r\n\r\n")
            requests.append(asked.split(b"\r\n")[0].decode())
            await asyncio.sleep(wait_s)
            header = f"{head}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
            writer.write(header.encode() + body)
            await writer.drain()
        except (OSError, asyncio.CancelledError):
            pass  # who asked had enough
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.add(asyncio.create_task(serve(reader, writer)))

    requests.clear()
    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)
        await server.wait_closed()


requests: list[str] = []


async def ask(url: str, query: str = "up", timeout_s: float = 60.0) -> Answer:
    prometheus = Prometheus(timeout_s)
    try:
        return (await prometheus.ask({(url, query)}))[url, query]
    finally:
        await prometheus.close()


async def test_a_query_is_sent_as_prometheus_wants_it() -> None:
    async with a_server(page(one("3"))) as url:
        assert await ask(f"{url}/prom/", 'sum(x{a="b"})') == Answer(3.0)
    assert requests == ["GET /prom/api/v1/query?query=sum%28x%7Ba%3D%22b%22%7D%29 HTTP/1.1"]


async def test_slow_large_and_absent_servers_are_problems_and_no_errors() -> None:
    async with a_server(page(one("3")), wait_s=30) as url:
        assert "did not answer within 0.1 s" in (await ask(url, timeout_s=0.1)).problem
    async with a_server(b"x" * (ANSWER_BYTES_MAX + 1)) as url:
        assert (await ask(url)).problem == "the answer is larger than 64 KiB"
    async with a_server(b"", "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/") as url:
        assert "HTTP 302 Found" in (await ask(url)).problem
    assert "cannot be asked" in (await ask(url)).problem, "it is gone"
    assert "cannot be asked" in (await ask(f"http://{'a' * 300}.example")).problem, "it cannot be"
    assert await Prometheus().ask(set()) == {}
