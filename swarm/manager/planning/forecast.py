"""What would become of the tasks? The decisions of the leader's loops, over a copy of the store.

They are taken one after another until nothing changes any more.

The time is virtual: it goes on, to the next moment at which something is due, only while a task is held back
or an update is under way. What agents would do is assumed (best_case.py). The store's events tell who has to
decide next, as they do in the loops.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TypeVar

from swarm.api.v1.objects_pb2 import Node, Service, Task
from swarm.api.v1.types_pb2 import TaskState, UpdateStatus
from swarm.ids import new_id
from swarm.manager.allocator.plan import commit_allocation, needs_allocation, plan_allocation
from swarm.manager.orchestrator.agenda import Agenda
from swarm.manager.orchestrator.commit import commit_service_change, commit_steps
from swarm.manager.orchestrator.concerns import node_concerned, services_concerned
from swarm.manager.orchestrator.drain import drained_until_ns
from swarm.manager.orchestrator.enforcer import plan_evictions
from swarm.manager.orchestrator.node_loop import REJECTED, commit_end
from swarm.manager.orchestrator.plan import Plan, Step
from swarm.manager.orchestrator.preemption import victims_of
from swarm.manager.orchestrator.reconcile import plan_service, plan_without_service
from swarm.manager.orchestrator.service_view import ServiceView
from swarm.manager.planning.best_case import commit_state, hastened, next_state
from swarm.manager.planning.placement import Placement
from swarm.manager.planning.scratch import Scratch
from swarm.manager.scheduler.commit import commit_assignments, commit_nominations, commit_reasons
from swarm.manager.store.look import look_at
from swarm.manager.store.tables import Object
from swarm.manager.store.transaction import Transaction
from swarm.manager.store.watch import Action, Event
from swarm.model import defaults, task_state
from swarm.model.autoscale import wanted_replicas
from swarm.model.dependencies import COMPLETED, Gate
from swarm.model.job import job_of
from swarm.model.service import is_moving
from swarm.steps import Steps

R = TypeVar("R")

# Looks at one service or node, and moments of virtual time: far more than any update needs.
LOOKS_MAX = 20_000
WRITES_PER_STEP = 100  # between two yields: a few milliseconds

_UPDATING = (UpdateStatus.STATE_UPDATING, UpdateStatus.STATE_ROLLBACK_STARTED)


class Forecast:
    """A scratch store whose loops run until nothing is left to do."""

    def __init__(self, scratch: Scratch) -> None:
        self.scratch = scratch
        self.involved: dict[str, None] = {}  # ids of the services that were looked at, in this order
        self.touched: dict[str, Task] = {}  # tasks that changed, as they are or were last
        self.is_complete = False  # nothing is left to do
        self.is_hastened = False  # updates were looked at in larger steps
        self._placement = Placement()
        self._services = Agenda()
        self._nodes = Agenda()
        self._new: dict[str, Task] = {}  # wait for the allocator
        self._held: dict[str, Task] = {}  # wait for other services
        self._stirred = False  # something changed since they were looked at
        self._acting: dict[str, Task] = {}  # that their agent may have to do something about

    def prepare(self) -> Steps[None]:
        """See what is there; to be done first."""
        tables = self.scratch.tables
        yield from self._placement.fill(tables, self.scratch.now_ns)
        self._new = {task.id: task for task in tables.tasks if needs_allocation(task)}

    def change(self, fn: Callable[[Transaction], R]) -> R:
        """Make a change, as a person or a loop would, and take note of whom it concerns."""
        result, events = self.scratch.change(fn)
        for event in events:
            self._note(event)
        return result

    def involve(self, service_id: str) -> None:
        """Look also at what is still to be done for a service."""
        self._services.add(service_id)

    def run(self) -> Steps[None]:
        """Go on until nothing is left to do, or for LOOKS_MAX looks."""
        for _ in range(LOOKS_MAX):
            if self._nodes:
                self._look_at_node(self._nodes.take())
            elif self._new:
                self._allocate()
            elif (yield from self._place()) or (yield from self._act()):
                pass
            elif self._held and self._stirred:
                self._new, self._held = self._held, {}
                self._stirred = False
            elif self._services:  # last, for a look at a large service costs most
                yield from self._look_at_service(self._services.take())
            elif not (self._wait() or self._finish_jobs()):
                self.is_complete = True
                return
            yield

    def _note(self, event: Event) -> None:
        self._placement.take_in(event, self.scratch.now_ns)
        for service_id in services_concerned(event, self.scratch.tables):
            self._services.add(service_id)
        if isinstance(event.object, Node) and node_concerned(event):
            self._nodes.add(event.object.id)
        if isinstance(event.object, Task):
            self._note_task(event, event.object)

    def _note_task(self, event: Event, task: Task) -> None:
        self._stirred = True
        self.touched[task.id] = task
        self._held.pop(task.id, None)
        if event.action is Action.REMOVE:
            self._new.pop(task.id, None)
            self._acting.pop(task.id, None)
            return
        if needs_allocation(task):
            self._new[task.id] = task
        else:
            self._new.pop(task.id, None)
        if task.service_id in self.involved:
            self._acting[task.id] = task

    def concerns(self, obj: Object) -> bool:
        """Whether `obj`, as it was before, is needed to tell what changed."""
        if isinstance(obj, Task):
            return obj.service_id in self.involved or obj.id in self.touched
        return isinstance(obj, Node | Service)

    # One look at a service, as in service_loop.py.

    def _look_at_service(self, service_id: str) -> Steps[None]:
        if service_id not in self.involved:
            self._begin(service_id)
        version, plan = yield from self._plan(service_id)
        self._services.set_alarm(service_id, plan.wake_at_ns)
        if not plan:
            return
        self._services.add(service_id)
        steps, change, now_ns = plan.steps, plan.service_change, self.scratch.now_ns
        if change is not None:

            def commit(transaction: Transaction) -> None:
                ids = [new_id() for step in steps if step.create is not None]
                commit_steps(transaction, service_id, version, steps, ids, now_ns)
                commit_service_change(transaction, service_id, version, change)

            self.change(commit)
            return
        for start in range(0, len(steps), WRITES_PER_STEP):
            part = steps[start : start + WRITES_PER_STEP]
            ids = [new_id() for step in part if step.create is not None]
            self.change(partial(_commit_steps, service_id, version, part, ids, now_ns))
            yield

    def _begin(self, service_id: str) -> None:
        tables = self.scratch.tables
        self.involved[service_id] = None
        tasks = tables.tasks.by_service(service_id)
        self._acting.update((task.id, task) for task in tasks)
        service = tables.services.get(service_id)
        if service is None or job_of(service.spec) is not None:
            return
        quick = hastened(service, max(len(tasks), wanted_replicas(service)))
        if quick is not None:
            self.is_hastened = True
            self.scratch.change(lambda transaction: transaction.update(quick))

    def _plan(self, service_id: str) -> Steps[tuple[int, Plan]]:
        tables = self.scratch.tables
        service, tasks = tables.services.get(service_id), tables.tasks.by_service(service_id)
        if service is None:
            return 0, (yield from plan_without_service(tasks, tables.nodes))
        limit = defaults.TASK_HISTORY_LIMIT
        if tables.cluster is not None:
            limit = defaults.task_history_limit(tables.cluster.spec)
        victims = victims_of(service, tables.tasks)
        view = ServiceView(service, tasks, tables.nodes, limit, self.scratch.now_ns, victims)
        return service.meta.version.index, (yield from plan_service(view))

    # The other loops.

    def _look_at_node(self, node_id: str) -> None:
        tables, now_ns = self.scratch.tables, self.scratch.now_ns
        node = tables.nodes.get(node_id)
        evicted = plan_evictions(node, tables.tasks.by_node(node_id), tables) if node is not None else ()
        if evicted:
            self.change(lambda transaction: commit_end(transaction, evicted, REJECTED, now_ns))

    def _allocate(self) -> None:
        tasks = tuple(self._new.values())[:WRITES_PER_STEP]
        now_ns = self.scratch.now_ns
        plan = plan_allocation(tasks, Gate(look_at(self.scratch.tables), now_ns, period_ns=0))
        for task in tasks:
            self._new.pop(task.id, None)
            if task.id in plan.held:
                self._held[task.id] = task
        if plan:
            became = self.change(lambda transaction: commit_allocation(transaction, plan, now_ns))
            for task in tasks:
                if task.id in became.lacking:
                    self._new.pop(task.id, None)
                    self._held[task.id] = task

    def _place(self) -> Steps[bool]:
        now_ns = self.scratch.now_ns
        placed = yield from self._placement.place(now_ns)
        for start in range(0, len(placed.assignments), WRITES_PER_STEP):
            part = placed.assignments[start : start + WRITES_PER_STEP]
            self.change(partial(commit_assignments, assignments=part, now_ns=now_ns))
            yield
        self.change(partial(commit_reasons, reasons=placed.reasons))
        self.change(partial(commit_nominations, nominees=placed.nominees, now_ns=now_ns))
        return bool(placed)

    def _act(self) -> Steps[bool]:
        """Let agents do what they are told; return whether anything changed."""
        acting, self._acting = tuple(self._acting.values()), {}
        states = ((task, next_state(task, self.scratch.tables)) for task in acting)
        due = [(task, state) for task, state in states if state is not None]
        now_ns = self.scratch.now_ns
        for start in range(0, len(due), WRITES_PER_STEP):
            part = due[start : start + WRITES_PER_STEP]

            def commit(transaction: Transaction, part: Iterable[tuple[Task, TaskState]] = part) -> None:
                for task, state in part:
                    commit_state(transaction, task, state, now_ns)

            self.change(commit)
            yield
        return bool(due)

    def _finish_jobs(self) -> bool:
        """Let jobs do their work for which tasks of other services wait; return whether there was one."""
        tables, now_ns = self.scratch.tables, self.scratch.now_ns
        awaited = {name for task in self._held.values() for name in self._jobs_awaited(task)}
        jobs = [job for name in awaited if (job := tables.services.by_name(name)) is not None]
        running = [
            task
            for job in jobs
            if job_of(job.spec) is not None
            for task in tables.tasks.by_service(job.id)
            if task_state.is_running(task) and task_state.wants_to_run(task)
        ]
        for task in running:
            self.change(partial(commit_state, task=task, state=task_state.COMPLETE, now_ns=now_ns))
        return bool(running)

    def _jobs_awaited(self, task: Task) -> Iterable[str]:
        service = self.scratch.tables.services.get(task.service_id)
        dependencies = service.spec.depends_on if service is not None else ()
        return [one.service for one in dependencies if one.condition == COMPLETED]

    def _wait(self) -> bool:
        """Let the time go on to the next moment at which something is due; return whether there is one."""
        alarm_ns = self._services.next_alarm_ns()
        if alarm_ns is None or not any(map(self._is_unfinished, self.involved)):
            return False
        self.scratch.now_ns = max(self.scratch.now_ns, alarm_ns)
        self._services.ring(self.scratch.now_ns)
        self._stirred = True
        return True

    def _is_unfinished(self, service_id: str) -> bool:
        tables = self.scratch.tables
        service = tables.services.get(service_id)
        if service is not None and _is_under_way(service):
            return True
        return any(map(self._is_held, tables.tasks.by_service(service_id)))

    def _is_held(self, task: Task) -> bool:
        """Whether `task` is not started yet, or stays on a drained node for as long as that waits for it."""
        if task.desired_state == task_state.RUNNING:
            node = self.scratch.tables.nodes.get(task.node_id)
            return task_state.is_running(task) and drained_until_ns(node) > self.scratch.now_ns
        return task.desired_state < task_state.RUNNING


def _is_under_way(service: Service) -> bool:
    return service.update_status.state in _UPDATING or is_moving(service)


def _commit_steps(
    service_id: str,
    version: int,
    steps: Sequence[Step],
    ids: Sequence[str],
    now_ns: int,
    transaction: Transaction,
) -> None:
    commit_steps(transaction, service_id, version, steps, ids, now_ns)
