"""The shell around nodes that change or stay away: constraint enforcer and orphans."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import structlog

from swarm.api.v1.objects_pb2 import Node, Volume
from swarm.api.v1.types_pb2 import TaskState, TaskStatus
from swarm.clock import Clock, timestamp
from swarm.errors import NoQuorum, OutcomeUnknown, StaleVersion
from swarm.manager.orchestrator.agenda_loop import AgendaLoop
from swarm.manager.orchestrator.concerns import node_concerned
from swarm.manager.orchestrator.enforcer import plan_evictions
from swarm.manager.orchestrator.orphans import plan_orphans
from swarm.manager.orchestrator.restart import NO_LONGER_FITS
from swarm.manager.store.store import Store
from swarm.manager.store.tables import copy_of
from swarm.manager.store.transaction import Transaction
from swarm.manager.store.watch import Commit
from swarm.model import task_state
from swarm.model.cluster_volumes import is_drained
from swarm.model.history import record_status

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class NodeLoopSettings:
    """Limits of the loop, each with its reason."""

    tasks_per_commit: int = 100  # a transaction of this size holds up the event loop for a few ms
    failure_rest_s: float = 0.2  # after a commit that failed


class NodeLoop(AgendaLoop):
    """Rejects tasks that their node may not keep, and gives up those whose node stays away."""

    kinds = (Node, Volume)

    def __init__(self, store: Store, clock: Clock, settings: NodeLoopSettings | None = None) -> None:
        super().__init__(store, clock)
        self._settings = settings or NodeLoopSettings()

    async def _look_at_everything(self) -> None:
        for node in tuple(self._store.view.nodes):
            self._agenda.add(node.id)
        for task in tuple(self._store.view.tasks):
            if task.node_id not in self._store.view.nodes:
                self._agenda.add(task.node_id)
            await self._pacer.breathe()

    def _note(self, commit: Commit) -> None:
        for event in commit.events:
            if isinstance(event.object, Volume):
                for one in event.object.publish if is_drained(event.object) else ():
                    self._agenda.add(one.node_id)
            elif node_concerned(event):
                self._agenda.add(event.object.id)

    async def _look_at(self, node_id: str) -> None:
        view, now_ns = self._store.view, self._clock.now_ns()
        node, tasks = view.nodes.get(node_id), view.tasks.by_node(node_id)
        orphans = plan_orphans(node, tasks, now_ns)
        evicted = plan_evictions(node, tasks, view) if node is not None else ()
        self._agenda.set_alarm(node_id, orphans.wake_at_ns)
        try:
            await self._end(node_id, orphans.task_ids, _ORPHANED)
            await self._end(node_id, evicted, REJECTED)
        except (NoQuorum, OutcomeUnknown, StaleVersion) as error:
            log.warning("orchestrator.commit_failed", node_id=node_id, reason=str(error))
            self._agenda.add(node_id)
            await asyncio.sleep(self._settings.failure_rest_s)
        await self._pacer.breathe()

    async def _end(self, node_id: str, task_ids: Sequence[str], status: TaskStatus) -> None:
        """Write a terminal state on behalf of a node."""
        limit = self._settings.tasks_per_commit
        for start in range(0, len(task_ids), limit):
            part, now_ns = task_ids[start : start + limit], self._clock.now_ns()
            await self._store.update(partial(commit_end, task_ids=part, status=status, now_ns=now_ns))
        if task_ids:
            log.info("orchestrator.tasks_ended", node_id=node_id, tasks=len(task_ids), reason=status.message)


_ORPHANED = TaskStatus(
    state=task_state.ORPHANED, message="orphaned", err="the node of the task stayed away for too long"
)
REJECTED = TaskStatus(state=task_state.REJECTED, message="rejected", err=NO_LONGER_FITS)


def commit_end(transaction: Transaction, task_ids: Sequence[str], status: TaskStatus, now_ns: int) -> None:
    """Give tasks that are not finished yet a terminal state."""
    owner = _OWNER_OF[status.state]
    ended = TaskStatus()
    ended.CopyFrom(status)
    ended.timestamp.CopyFrom(timestamp(now_ns))
    for task_id in task_ids:
        current = transaction.tasks.get(task_id)
        if current is None or task_state.is_done(current):
            continue
        task_state.check_transition(current, status.state, owner)
        task = copy_of(current)
        record_status(task, ended)
        transaction.update(task)


_OWNER_OF: dict[TaskState, task_state.Owner] = {
    task_state.ORPHANED: task_state.Owner.ORCHESTRATOR,
    task_state.REJECTED: task_state.Owner.CONSTRAINT_ENFORCER,
}
