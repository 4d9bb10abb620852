"""The allocator: hears of new tasks, gives them what they need, makes them PENDING.

Tasks that wait for other services are looked at again after changes that could let them go.
"""

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice

import structlog

from swarm.api.v1.objects_pb2 import Node, Service, Task
from swarm.api.v1.specs_pb2 import ClusterSpec
from swarm.clock import SECOND, Clock
from swarm.errors import NoQuorum, OutcomeUnknown, StaleVersion
from swarm.manager.allocator.plan import (
    AllocationPlan,
    commit_allocation,
    needs_allocation,
    plan_allocation,
)
from swarm.manager.store.look import look_at
from swarm.manager.store.store import Store
from swarm.manager.store.watch import Action, Commit, Event, Watch, WatchOverflow
from swarm.model import defaults
from swarm.model.dependencies import SETTLE_PERIODS, Gate, Hold
from swarm.pacing import Pacer

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class AllocatorSettings:
    """Limits of the allocator, each with its reason."""

    tasks_per_commit: int = 100  # a transaction of this size holds up the event loop for a few ms
    failure_rest_s: float = 0.2  # after a commit that failed
    look_again_s: float = 0.2  # between two looks at all that is held: deployments report many states


class AllocatorLoop:
    """Takes tasks from NEW to PENDING while this manager leads."""

    def __init__(self, store: Store, clock: Clock, settings: AllocatorSettings | None = None) -> None:
        self._store = store
        self._clock = clock
        self._settings = settings or AllocatorSettings()
        self._pacer = Pacer(clock)
        self._new: dict[str, Task] = {}  # to be looked at
        self._held: dict[str, Hold] = {}  # were looked at, and wait for other services
        self._stirred = False  # something happened that could let them go
        self._looked_ns = 0  # when they were looked at last
        self._settled_ns = 0
        self._period_ns = defaults.HEARTBEAT_PERIOD_NS

    async def run(self) -> None:
        """Run until cancelled; raises NotLeader when leadership is lost."""
        with self._store.watch(Task, Service, Node) as watch:
            cluster = self._store.view.cluster
            self._period_ns = defaults.heartbeat_period_ns(
                cluster.spec if cluster is not None else ClusterSpec()
            )
            self._settled_ns = self._clock.now_ns() + SETTLE_PERIODS * self._period_ns
            await self._rebuild()
            while True:
                try:
                    self._release_due()
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
        self._new, self._held = {}, {}
        for task in tuple(self._store.view.tasks):
            if needs_allocation(task):
                self._new[task.id] = task
            await self._pacer.breathe()

    async def _follow(self, watch: Watch) -> None:
        """Take in what changed; wait for it when there is nothing else to do."""
        commits = watch.drain()
        if not commits and not self._new:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._rest_s()):
                    commits = [await anext(watch)]
        await self._take_in(commits)

    async def _take_in(self, commits: Iterable[Commit]) -> None:
        for commit in commits:
            for event in commit.events:
                self._stirred = self._stirred or _could_let_go(event)
                if not isinstance(event.object, Task):
                    continue
                self._held.pop(event.object.id, None)
                if event.action is not Action.REMOVE and needs_allocation(event.object):
                    self._new[event.object.id] = event.object
                else:
                    self._new.pop(event.object.id, None)
            await self._pacer.breathe()

    def _rest_s(self) -> float | None:
        """Return how long to wait for a change; None: for as long as there is none."""
        at_ns = self._look_again_ns()
        return None if at_ns is None else max(0.0, (at_ns - self._clock.now_ns()) / SECOND)

    def _look_again_ns(self) -> int | None:
        """Return when tasks that are held have to be looked at again."""
        if not self._held:
            return None
        due = [hold.until_ns for hold in self._held.values() if hold.until_ns is not None]
        if self._stirred:
            due.append(self._looked_ns + int(self._settings.look_again_s * SECOND))
        return min(due, default=None)

    def _release_due(self) -> None:
        """Look at all tasks that are held, when it is time to."""
        at_ns, now_ns = self._look_again_ns(), self._clock.now_ns()
        if at_ns is None or at_ns > now_ns:
            return
        held, self._held = self._held, {}
        self._stirred, self._looked_ns = False, now_ns
        for task_id in held:
            task = self._store.view.tasks.get(task_id)
            if task is not None and needs_allocation(task):
                self._new.setdefault(task_id, task)

    async def _commit(self) -> None:
        tasks = tuple(islice(self._new.values(), self._settings.tasks_per_commit))
        now_ns = self._clock.now_ns()
        gate = Gate(look_at(self._store.view), now_ns, self._settled_ns, self._period_ns)
        plan: AllocationPlan = plan_allocation(tasks, gate)
        done = 0
        if plan.task_ids:
            done = await self._store.update(lambda transaction: commit_allocation(transaction, plan, now_ns))
        for task in tasks:
            self._new.pop(task.id, None)
        self._held.update(plan.held)
        if done:
            log.info("allocator.tasks_allocated", tasks=done)


def _could_let_go(event: Event) -> bool:
    """Whether tasks that are held could go after `event`."""
    before, after = event.previous, event.object
    if isinstance(before, Task) and isinstance(after, Task):
        return (before.status.state, before.desired_state) != (after.status.state, after.desired_state)
    if isinstance(before, Node) and isinstance(after, Node):
        return before.status.state != after.status.state
    return True
