"""The shell around autoscaling: look at each service every few seconds, write what was decided."""

import asyncio
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Protocol

import structlog

from swarm.api.v1.objects_pb2 import AutoscaleStatus, Service
from swarm.clock import Clock
from swarm.errors import NoQuorum, OutcomeUnknown, StaleVersion
from swarm.manager.orchestrator.autoscale.census import take_census
from swarm.manager.orchestrator.autoscale.decide import ScalePlan, ScaleView, decide
from swarm.manager.orchestrator.autoscale.rules import Answer, Query
from swarm.manager.orchestrator.autoscale.status import status_of
from swarm.manager.orchestrator.autoscale.wishes import Wishes
from swarm.manager.store.store import Store
from swarm.manager.store.tables import copy_of
from swarm.manager.store.transaction import Transaction
from swarm.model.autoscale import PROMETHEUS, autoscaling_of, wanted_replicas
from swarm.model.usage import Usage
from swarm.pacing import Pacer

log = structlog.get_logger(__name__)

LOOK_S = 5.0  # as often as agents take samples
# Before, a new leader cannot have heard a sample of every task, and would write that it knows nothing.
FIRST_LOOK_S = 10.0


class Samples(Protocol):
    """What tasks use, as agents said lately."""

    def usage_of(self, task_id: str, now_s: float) -> Usage | None:
        """Return what a task uses, None when nobody said so lately."""


class Queries(Protocol):
    """Somebody who answers queries."""

    async def ask(self, queries: Collection[Query]) -> Mapping[Query, Answer]:
        """Return an answer to each, within a few seconds; raises nothing."""

    async def close(self) -> None:
        """Let go of connections."""


@dataclass(frozen=True, slots=True)
class _Remembered:
    """The wishes of a service, as long as its spec is the one that they were about."""

    revision: int
    wishes: Wishes


class AutoscaleLoop:
    """Decides how many replicas autoscaled services have, while this manager leads."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        samples: Samples,
        queries: Queries,
        on_decision: Callable[[str], None] = lambda direction: None,
        *,
        first_look_s: float = FIRST_LOOK_S,
    ) -> None:
        """`on_decision` hears `up` or `down` of every change that was written."""
        self._store = store
        self._clock = clock
        self._samples = samples
        self._queries = queries
        self._on_decision = on_decision
        self._first_look_s = first_look_s
        self._pacer = Pacer(clock)
        self._remembered: dict[str, _Remembered] = {}

    async def run(self) -> None:
        """Run until cancelled; raises NotLeader when leadership is lost."""
        try:
            await asyncio.sleep(self._first_look_s)
            while True:
                await self._look()
                await asyncio.sleep(LOOK_S)
        finally:
            await self._queries.close()

    async def _look(self) -> None:
        """Look at all services; those that need no answers do not wait for them."""
        autoscaled = [service for service in self._store.view.services if service.spec.HasField("autoscale")]
        known = {service.id for service in autoscaled}
        self._remembered = {key: one for key, one in self._remembered.items() if key in known}
        asked = {service.id: _queries_of(service) for service in autoscaled}
        for service in autoscaled:
            if not asked[service.id]:
                await self._look_at(service.id, {})
        answers = await self._queries.ask(set().union(*asked.values()))
        for service_id, queries in asked.items():
            if queries:
                await self._look_at(service_id, answers)

    async def _look_at(self, service_id: str, answers: Mapping[Query, Answer]) -> None:
        view = self._store.view
        service = view.services.get(service_id)
        settings = autoscaling_of(service.spec) if service is not None else None
        if service is None or settings is None:
            return  # it changed meanwhile
        now_ns, now_s = self._clock.now_ns(), self._clock.monotonic_s()
        tasks = view.tasks.by_service(service_id)
        census = await self._pacer.run(
            take_census(tasks, lambda task_id: self._samples.usage_of(task_id, now_s), now_ns)
        )
        before = self._remembered.get(service_id)
        wishes = before.wishes if before is not None and before.revision == service.revision else None
        plan = decide(ScaleView(service, settings, census, answers, wishes, now_ns, now_s))
        self._remembered[service_id] = _Remembered(service.revision, plan.wishes)
        status = status_of(service, plan, now_ns)
        if status is not None:
            await self._write(service, plan, status)

    async def _write(self, service: Service, plan: ScalePlan, status: AutoscaleStatus) -> None:
        def commit(transaction: Transaction) -> bool:
            current = transaction.services.get(service.id)
            if current is None or current.meta.version.index != service.meta.version.index:
                return False  # the next look sees what changed
            changed = copy_of(current)
            changed.autoscale_status.CopyFrom(status)
            transaction.update(changed)
            return True

        try:
            written = await self._store.update(commit)
        except (NoQuorum, OutcomeUnknown, StaleVersion) as error:
            log.warning("autoscale.commit_failed", service_id=service.id, reason=str(error))
            return
        present = wanted_replicas(service)
        if written and plan.replicas != present:
            self._on_decision("up" if plan.replicas > present else "down")
            log.info(
                "autoscale.replicas_changed",
                service_id=service.id,
                replicas=plan.replicas,
                reason=plan.reason,
            )


def _queries_of(service: Service) -> set[Query]:
    return {(rule.url, rule.query) for rule in service.spec.autoscale.rules if rule.source == PROMETHEUS}
