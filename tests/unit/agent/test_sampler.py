"""What an agent tells of its tasks' use, and that it reaches the leader's table through another manager."""

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from swarm.agent.sampler import Sampler
from swarm.api.v1.dispatcher_pb2 import TaskUsage, UsageReport
from swarm.api.v1.objects_pb2 import Service
from swarm.manager.store.testing import ManualClock
from swarm.model.autoscale import parse_rule
from swarm.model.task_state import RUNNING, STARTING
from swarm.runtime.base import Sample
from tests.unit.agent.lab import a_lab, a_task, until


class Bench:
    """A sampler over made-up containers."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.cpu_ns: dict[str, int | None] = {}
        self.held: dict[str, Any] = {}
        self.reports: list[UsageReport] = []
        self.sampler = Sampler(
            self,  # type: ignore[arg-type]
            lambda: self.held,
            self.clock,
            self.reports.append,
            period_s=0.01,
        )

    def hold(self, task_id: str, service_id: str = "web", state: int = RUNNING) -> None:
        self.held[task_id] = SimpleNamespace(
            task=SimpleNamespace(service_id=service_id), status=SimpleNamespace(state=state)
        )
        self.cpu_ns[task_id] = 0

    async def sample(self, task_id: str) -> Sample | None:
        used = self.cpu_ns[task_id]
        return None if used is None else Sample(cpu_usage_ns=used, memory_bytes=77, pids=1)

    async def look(self, seconds: float = 5) -> list[TaskUsage]:
        self.clock.advance(seconds)
        return list((await self.sampler.look()).tasks)


async def test_use_is_what_was_used_since_the_look_before() -> None:
    bench = Bench()
    bench.hold("t1")
    bench.sampler.want(["web"])
    assert await bench.look() == [], "one sample says nothing about use"
    bench.cpu_ns["t1"] = 2_500_000_000
    assert await bench.look() == [TaskUsage(task_id="t1", nano_cpus=500_000_000, memory_bytes=77)]
    assert await bench.look() == [TaskUsage(task_id="t1", nano_cpus=0, memory_bytes=77)]


async def test_only_running_tasks_of_wanted_services_are_looked_at() -> None:
    bench = Bench()
    bench.hold("t1")
    bench.hold("t2", "other")
    bench.hold("t3", state=STARTING)
    bench.hold("t4")
    bench.cpu_ns["t4"] = None
    bench.sampler.want(["web"])
    await bench.look()
    assert [one.task_id for one in await bench.look()] == ["t1"]
    bench.sampler.want([])
    assert await bench.look() == []
    bench.sampler.want(["web"])
    assert await bench.look() == [], "what was before the pause is too long ago"


async def test_a_counter_that_could_not_be_read_is_no_use_and_no_peak_afterwards() -> None:
    bench = Bench()
    bench.hold("t1")
    bench.cpu_ns["t1"] = 10**9
    bench.sampler.want(["web"])
    await bench.look()
    bench.cpu_ns["t1"] = 0
    assert await bench.look() == []
    bench.cpu_ns["t1"] = 2 * 10**9
    assert [one.nano_cpus for one in await bench.look()] == [100_000_000]


async def test_it_sleeps_until_somebody_wants_to_know() -> None:
    bench = Bench()
    bench.hold("t1")
    running = asyncio.create_task(bench.sampler.run())
    try:
        for _ in range(10):
            await asyncio.sleep(0)
        assert bench.sampler._before == {}
        bench.sampler.want(["web"])
        await until(lambda: bench.clock.advance(1) or bench.reports)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_it_comes_to_the_leader_also_by_another_manager_and_never_to_the_store(tmp_path: Path) -> None:
    async with a_lab(tmp_path, managers=2, nodes=("n1",)) as lab:
        leader, other = lab.managers
        table = leader.dispatcher.usage_table()
        service = Service(id="service-web")
        service.spec.annotations.name = "web"
        service.spec.autoscale.rules.append(parse_rule("cpu=70"))
        task = a_task("n1")
        await lab.write(service, task)
        node = await lab.agent("n1")
        node.agent._sampler._period_s = 0.1
        await until(lambda: lab.task(task.id).status.state == RUNNING, 60)
        now_s = lab.clock.monotonic_s
        await until(lambda: table.usage_of(task.id, now_s()), 60)
        found = table.usage_of(task.id, now_s())
        assert found is not None
        assert (found.memory_bytes, 0 < found.nano_cpus < 10**9) == (1 << 20, True)
        session = node.agent.manager
        assert session is not None
        index = leader.store.view.index
        if session.addr == leader.member.addr:  # then let the other manager hear it
            stream = leader.dispatcher.sessions.get("n1")
            assert stream is not None
            stream.move(other.node_id)
            await until(lambda: node.agent.manager and node.agent.manager.addr == other.member.addr, 60)
        fresh = leader.dispatcher.usage_table()
        await until(lambda: fresh.usage_of(task.id, now_s()), 60)
        tasks = leader.store.view.tasks.get(task.id)
        assert tasks is not None
        assert tasks.meta.version.index <= index, "no sample was written"
