"""What do the tasks of this node use? Only of services that somebody wants to know it of."""

import asyncio
from collections.abc import Callable, Iterable, Mapping

from swarm.agent.task_machine import TaskRecord
from swarm.api.v1.dispatcher_pb2 import UsageReport
from swarm.clock import Clock
from swarm.model.task_state import RUNNING
from swarm.runtime.base import RuntimeDriver

PERIOD_S = 5.0


class Sampler:
    """Looks at running containers and reports what they used since the look before."""

    def __init__(
        self,
        driver: RuntimeDriver,
        held: Callable[[], Mapping[str, TaskRecord]],
        clock: Clock,
        report: Callable[[UsageReport], None],
        period_s: float = PERIOD_S,
    ) -> None:
        """`held` returns the tasks of this node by id."""
        self._driver = driver
        self._held = held
        self._clock = clock
        self._report = report
        self._period_s = period_s
        self._services: frozenset[str] = frozenset()
        self._before: dict[str, tuple[float, int]] = {}  # by task: when, and its cpu time until then
        self._wanted = asyncio.Event()

    def want(self, service_ids: Iterable[str]) -> None:
        """Hear which services are to be sampled."""
        self._services = frozenset(service_ids)
        if self._services:
            self._wanted.set()
        else:
            self._wanted.clear()

    async def run(self) -> None:
        """Sample until cancelled; costs nothing while nobody wants to know."""
        while True:
            await self._wanted.wait()
            report = await self.look()
            if report.tasks:
                self._report(report)
            await asyncio.sleep(self._period_s)

    async def look(self) -> UsageReport:
        """Return what tasks used since the last look, those that were there then."""
        now: dict[str, tuple[float, int]] = {}
        report = UsageReport()
        for task_id, record in self._held().items():
            if record.task.service_id not in self._services or record.status.state != RUNNING:
                continue
            sample = await self._driver.sample(task_id)
            if sample is None:
                continue
            at_s = self._clock.monotonic_s()
            before_s, before_ns = self._before.get(task_id, (at_s, 0))
            if sample.cpu_usage_ns < before_ns:  # it could not be read
                now[task_id] = (before_s, before_ns)
                continue
            now[task_id] = (at_s, sample.cpu_usage_ns)
            if at_s > before_s:
                report.tasks.add(
                    task_id=task_id,
                    nano_cpus=int((sample.cpu_usage_ns - before_ns) / (at_s - before_s)),
                    memory_bytes=sample.memory_bytes,
                )
        self._before = now
        return report
