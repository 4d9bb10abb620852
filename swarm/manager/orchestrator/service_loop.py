"""The shell around services: look at one, commit what it needs."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import structlog

from swarm.api.v1.objects_pb2 import Cluster, Node, Service, Task
from swarm.clock import SECOND, Clock
from swarm.errors import NoQuorum, OutcomeUnknown, StaleVersion
from swarm.ids import new_id
from swarm.manager.orchestrator.agenda_loop import AgendaLoop
from swarm.manager.orchestrator.commit import commit_service_change, commit_steps
from swarm.manager.orchestrator.concerns import services_concerned
from swarm.manager.orchestrator.plan import Plan, ServiceChange, Step
from swarm.manager.orchestrator.preemption import victims_of
from swarm.manager.orchestrator.reconcile import plan_service, plan_without_service
from swarm.manager.orchestrator.service_view import ServiceView
from swarm.manager.store.store import Store
from swarm.manager.store.transaction import Transaction
from swarm.manager.store.watch import Commit
from swarm.model import defaults

log = structlog.get_logger(__name__)

# Shorter rests are not worth an alarm.
REST_MIN_S = 0.002


@dataclass(frozen=True, slots=True)
class ServiceLoopSettings:
    """Limits of the loop, each with its reason."""

    tasks_per_commit: int = 100  # a transaction of this size holds up the event loop for a few ms
    rest: float = 4.0  # a service rests this many times what looking at it took: large ones share the loop
    failure_rest_s: float = 0.2  # after a commit that failed
    new_id: Callable[[], str] = new_id


class ServiceLoop(AgendaLoop):
    """Keeps the tasks of every service what the service asks for, while this manager leads."""

    kinds = (Service, Task, Node, Cluster)

    def __init__(self, store: Store, clock: Clock, settings: ServiceLoopSettings | None = None) -> None:
        super().__init__(store, clock)
        self._settings = settings or ServiceLoopSettings()
        self._resting: dict[str, float] = {}  # until when, by the monotonic clock

    async def _look_at_everything(self) -> None:
        """Put every service on the agenda, also those that are gone and left tasks behind."""
        for service in self._store.view.services:
            self._agenda.add(service.id)
        for task in tuple(self._store.view.tasks):
            self._agenda.add(task.service_id)
            await self._pacer.breathe()

    def _note(self, commit: Commit) -> None:
        for event in commit.events:
            for service_id in services_concerned(event, self._store.view):
                self._agenda.add(service_id)

    async def _look_at(self, service_id: str) -> None:
        """Plan for one service and carry the plan out."""
        began_s = self._clock.monotonic_s()
        resting_s = self._resting.pop(service_id, 0.0) - began_s
        if resting_s > 0:
            self._resting[service_id] = began_s + resting_s
            self._agenda.set_alarm(service_id, self._clock.now_ns() + int(resting_s * SECOND))
            return
        worked_s = self._pacer.worked_s
        version, plan = await self._plan(service_id)
        self._agenda.set_alarm(service_id, plan.wake_at_ns)
        if plan:
            self._agenda.add(service_id)  # the pass that finds nothing to do is the last one
            await self._carry_out(service_id, version, plan)
        else:
            rest_s = (self._pacer.worked_s - worked_s) * self._settings.rest
            if rest_s > REST_MIN_S:
                self._resting[service_id] = self._clock.monotonic_s() + rest_s
        await self._pacer.breathe()

    async def _plan(self, service_id: str) -> tuple[int, Plan]:
        view = self._store.view
        service, tasks = view.services.get(service_id), view.tasks.by_service(service_id)
        if service is None:
            return 0, await self._pacer.run(plan_without_service(tasks, view.nodes))
        limit = defaults.TASK_HISTORY_LIMIT
        if view.cluster is not None:
            limit = defaults.task_history_limit(view.cluster.spec)
        victims, now_ns = victims_of(service, view.tasks), self._clock.now_ns()
        service_view = ServiceView(service, tasks, view.nodes, limit, now_ns, victims)
        return service.meta.version.index, await self._pacer.run(plan_service(service_view))

    async def _carry_out(self, service_id: str, version: int, plan: Plan) -> None:
        """Commit a plan in bounded parts; stop when the service changes in between."""
        try:
            for part in parts(plan.steps, self._settings.tasks_per_commit):
                right = await self._commit(service_id, version, part, plan.service_change)
                if not right or plan.service_change is not None:
                    return
            if not plan.steps and plan.service_change is not None:
                await self._commit(service_id, version, (), plan.service_change)
        except (NoQuorum, OutcomeUnknown, StaleVersion) as error:
            log.warning("orchestrator.commit_failed", service_id=service_id, reason=str(error))
            await asyncio.sleep(self._settings.failure_rest_s)

    async def _commit(
        self, service_id: str, version: int, steps: Sequence[Step], change: ServiceChange | None
    ) -> bool:
        now_ns = self._clock.now_ns()
        task_ids = [self._settings.new_id() for step in steps if step.create is not None]

        def commit(transaction: Transaction) -> bool:
            if not commit_steps(transaction, service_id, version, steps, task_ids, now_ns):
                return False
            return change is None or commit_service_change(transaction, service_id, version, change)

        right = await self._store.update(commit)
        if right:
            _log_commit(service_id, steps, change)
        return right


def parts(steps: Sequence[Step], limit: int) -> Iterator[Sequence[Step]]:
    """Cut `steps` into parts that write no more than `limit` objects each, or hold a single step."""
    part: list[Step] = []
    size = 0
    for step in steps:
        if part and size + step.size > limit:
            yield part
            part, size = [], 0
        part.append(step)
        size += step.size
    if part:
        yield part


def _log_commit(service_id: str, steps: Sequence[Step], change: ServiceChange | None) -> None:
    created = sum(1 for step in steps if step.create is not None)
    told = sum(len(step.desire) for step in steps)
    forgotten = sum(len(step.remove) for step in steps)
    if steps:
        log.info(
            "orchestrator.tasks_changed",
            service_id=service_id,
            created=created,
            told=told,
            forgotten=forgotten,
        )
    if change is not None:
        log.info("orchestrator.update_changed", service_id=service_id, reason=change.reason)
