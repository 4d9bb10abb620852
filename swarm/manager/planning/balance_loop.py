"""The shell around services that balance themselves: waits until all is quiet, then has tasks moved.

Nothing flaps: a node has to be up, and the tasks of the service at peace, for QUIET_NS, and after a
rebalance the service is left alone for COOLDOWN_NS, whatever happens. All of that stands in the store, so
a new leader waits as the old one did.
"""

import asyncio
from collections.abc import Iterable, Sequence

import structlog

from swarm.api.v1.objects_pb2 import Node, Rebalance, Service, Task
from swarm.api.v1.specs_pb2 import REBALANCE_MODE_AUTO
from swarm.clock import SECOND, nanoseconds, timestamp
from swarm.errors import FailedPrecondition, NoQuorum, OutcomeUnknown, StaleVersion
from swarm.manager.orchestrator.agenda_loop import AgendaLoop
from swarm.manager.orchestrator.concerns import node_concerned
from swarm.manager.planning.balance import is_spread, plan_rebalance
from swarm.manager.planning.scratch import freeze, tables_of
from swarm.manager.scheduler.node_view import is_available
from swarm.manager.store.tables import copy_of
from swarm.manager.store.transaction import Transaction
from swarm.manager.store.watch import Commit
from swarm.model import task_state
from swarm.model.service import is_moving, start_moving

log = structlog.get_logger(__name__)

QUIET_NS = 30 * SECOND  # longer than a node that was restarted takes to be itself again
COOLDOWN_NS = 300 * SECOND
FAILURE_REST_S = 0.2  # after a commit that failed


def balances_itself(service: Service) -> bool:
    """Whether `service` asks to be balanced, and is not just being moved."""
    return service.spec.rebalance == REBALANCE_MODE_AUTO and not is_moving(service)


def due_ns(service: Service, tasks: Iterable[Task], nodes: Iterable[Node]) -> int:
    """Return from when on `service` may be balanced: nanoseconds since the epoch, perhaps long ago."""
    times = [nanoseconds(node.meta.updated_at) + QUIET_NS for node in nodes if is_available(node)]
    times += [
        nanoseconds(task.meta.created_at) + QUIET_NS for task in tasks if task_state.wants_to_run(task)
    ]
    if service.rebalance.HasField("completed_at"):
        times.append(nanoseconds(service.rebalance.completed_at) + COOLDOWN_NS)
    return max(times, default=0)


def is_even(service: Service, tasks: Iterable[Task], nodes: Iterable[Node]) -> bool:
    """Whether `service` is balanced wherever its tasks may run: a quick answer that spares the exact one."""
    if service.spec.task.placement.preferences:
        return False
    counts = dict.fromkeys((node.id for node in nodes if is_available(node)), 0)
    for task in tasks:
        if task_state.is_runnable(task) and task.node_id in counts:
            counts[task.node_id] += 1
    return not counts or max(counts.values()) - min(counts.values()) <= 1


class BalanceLoop(AgendaLoop):
    """Balances the services that ask for it, while this manager leads."""

    kinds = (Service, Task, Node)

    async def _look_at_everything(self) -> None:
        for service in self._store.view.services:
            if balances_itself(service):
                self._agenda.add(service.id)

    def _note(self, commit: Commit) -> None:
        """Look at what may be out of balance, once it has been quiet for a while."""
        services = self._store.view.services
        concerned: set[str] = set()
        for event in commit.events:
            changed = event.object
            if isinstance(changed, Service):
                concerned.add(changed.id)
            elif isinstance(changed, Task):
                concerned.add(changed.service_id)
            elif isinstance(changed, Node) and node_concerned(event):
                concerned.update(service.id for service in services)
        # To the second, so that a busy cluster does not pile up alarms.
        quiet_ns = (self._clock.now_ns() + QUIET_NS) // SECOND * SECOND + SECOND
        for service_id in concerned:
            service = services.get(service_id)
            if service is not None and balances_itself(service):
                self._agenda.set_alarm(service_id, quiet_ns)

    async def _look_at(self, service_id: str) -> None:
        view, now_ns = self._store.view, self._clock.now_ns()
        service, tasks = view.services.get(service_id), view.tasks.by_service(service_id)
        if service is None or not balances_itself(service) or not is_spread(service, view.cluster):
            return
        if is_even(service, tasks, view.nodes):
            return
        # A clock of another manager may run ahead: nothing is put off for longer than a cooldown.
        due = min(due_ns(service, tasks, view.nodes), now_ns + COOLDOWN_NS)
        if due > now_ns:
            self._agenda.set_alarm(service_id, due)
            return
        try:
            tables = await self._pacer.run(tables_of(freeze(view), view.index))
            moves = await self._pacer.run(plan_rebalance(tables, service, now_ns))
            if moves:
                await self._begin(service, moves)
        except FailedPrecondition as error:  # the end of the update is heard of
            log.debug("balance.put_off", service_id=service_id, reason=str(error))
        except (NoQuorum, OutcomeUnknown, StaleVersion) as error:
            log.warning("balance.commit_failed", service_id=service_id, reason=str(error))
            self._agenda.add(service_id)
            await asyncio.sleep(FAILURE_REST_S)

    async def _begin(self, service: Service, moves: Sequence[Rebalance.Move]) -> None:
        now_ns = self._clock.now_ns()

        def commit(transaction: Transaction) -> bool:
            current = transaction.services.get(service.id)
            if current is None or current.meta.version.index != service.meta.version.index:
                return False  # what changed is heard of
            changed = copy_of(current)
            start_moving(changed, moves, timestamp(now_ns))
            transaction.update(changed)
            return True

        if await self._store.update(commit):
            log.info("balance.started", service_id=service.id, moves=len(moves))
