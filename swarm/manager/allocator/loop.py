"""The allocator: hears of new tasks, gives them what they need, makes them PENDING."""

import asyncio
from dataclasses import dataclass
from itertools import islice

import structlog

from swarm.api.v1.objects_pb2 import Task
from swarm.clock import Clock
from swarm.errors import NoQuorum, OutcomeUnknown, StaleVersion
from swarm.manager.allocator.plan import (
    AllocationPlan,
    commit_allocation,
    needs_allocation,
    plan_allocation,
)
from swarm.manager.store.store import Store
from swarm.manager.store.watch import Action, Watch, WatchOverflow
from swarm.pacing import Pacer

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class AllocatorSettings:
    """Limits of the allocator, each with its reason."""

    tasks_per_commit: int = 100  # a transaction of this size holds up the event loop for a few ms
    failure_rest_s: float = 0.2  # after a commit that failed


class AllocatorLoop:
    """Takes tasks from NEW to PENDING while this manager leads."""

    def __init__(self, store: Store, clock: Clock, settings: AllocatorSettings | None = None) -> None:
        self._store = store
        self._clock = clock
        self._settings = settings or AllocatorSettings()
        self._pacer = Pacer(clock)
        self._new: dict[str, Task] = {}

    async def run(self) -> None:
        """Run until cancelled; raises NotLeader when leadership is lost."""
        with self._store.watch(Task) as watch:
            await self._rebuild()
            while True:
                try:
                    if self._new:
                        await self._commit()
                    await self._follow(watch)
                except WatchOverflow:
                    await self._rebuild()
                except (NoQuorum, OutcomeUnknown, StaleVersion) as error:
                    log.warning("allocator.commit_failed", reason=str(error))
                    await asyncio.sleep(self._settings.failure_rest_s)
                    await self._rebuild()

    async def _rebuild(self) -> None:
        self._new = {}
        for task in tuple(self._store.view.tasks):
            if needs_allocation(task):
                self._new[task.id] = task
            await self._pacer.breathe()

    async def _follow(self, watch: Watch) -> None:
        """Take in what changed; wait for it when there is nothing else to do."""
        commits = watch.drain()
        if not commits and not self._new:
            commits = [await anext(watch)]
        for commit in commits:
            for event in commit.events:
                if not isinstance(event.object, Task):
                    continue
                if event.action is not Action.REMOVE and needs_allocation(event.object):
                    self._new[event.object.id] = event.object
                else:
                    self._new.pop(event.object.id, None)
            await self._pacer.breathe()

    async def _commit(self) -> None:
        tasks = tuple(islice(self._new.values(), self._settings.tasks_per_commit))
        plan: AllocationPlan = plan_allocation(tasks)
        now_ns = self._clock.now_ns()
        done = await self._store.update(lambda transaction: commit_allocation(transaction, plan, now_ns))
        for task in tasks:
            self._new.pop(task.id, None)
        log.info("allocator.tasks_allocated", tasks=done)
