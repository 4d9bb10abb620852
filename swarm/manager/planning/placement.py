"""The scheduler's decisions over a scratch store: what waits, and where it goes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from swarm.api.v1.objects_pb2 import Node, Service, Task
from swarm.manager.scheduler.backlog import Backlog
from swarm.manager.scheduler.demand import group_of
from swarm.manager.scheduler.node_view import ClusterView
from swarm.manager.scheduler.nominate import plan_waiting
from swarm.manager.scheduler.plan import Assignment, Nominee, Refusal
from swarm.manager.scheduler.spread import Pools
from swarm.manager.store.tables import ReadView
from swarm.manager.store.watch import Action, Event
from swarm.model import defaults
from swarm.model.preemption import is_nominated
from swarm.steps import Steps

OBJECTS_PER_STEP = 250  # counted between two yields: about a millisecond


@dataclass(slots=True)
class Placed:
    """What the scheduler decided: nodes for tasks, and why others wait."""

    assignments: list[Assignment] = field(default_factory=list)
    reasons: list[tuple[str, str]] = field(default_factory=list)  # id of a task, why it waits
    nominees: dict[str, Nominee | None] = field(default_factory=dict)  # by id: tasks for which room is kept

    def __bool__(self) -> bool:
        """Whether anything was decided."""
        return bool(self.assignments or self.reasons or self.nominees)


class Placement:
    """The cluster as the scheduler sees it."""

    def __init__(self) -> None:
        self.view = ClusterView()
        self.pools = Pools(self.view)
        self.backlog = Backlog(self.view.priority_of)

    def fill(self, tables: ReadView, now_ns: int) -> Steps[None]:
        """Take in everything there is."""
        if tables.cluster is not None:
            self.view.default_strategy = defaults.placement_strategy(tables.cluster.spec)
        for volume in tuple(tables.volumes):
            self.view.volumes.put(volume)
        for service in tuple(tables.services):
            self.view.put_service(service)
        for node in tuple(tables.nodes):
            self.view.put_node(node)
        for count, task in enumerate(tuple(tables.tasks), 1):
            self.view.put_task(task, now_ns)
            self.backlog.put(task)
            if count % OBJECTS_PER_STEP == 0:
                yield

    def take_in(self, event: Event, now_ns: int) -> None:
        """Take note of a change."""
        if isinstance(event.object, Service):
            if event.action is not Action.REMOVE and self.view.put_service(event.object):
                self.backlog.note_precedence(event.object.id)
        elif isinstance(event.object, Node):
            self._take_in_node(event, event.object)
        elif isinstance(event.object, Task):
            self._take_in_task(event, event.object, now_ns)

    def place(self, now_ns: int) -> Steps[Placed]:
        """Place everything that waits and is worth a look."""
        placed = Placed()
        while tasks := self._next():
            plan = yield from plan_waiting(self.view, self.pools, tasks, now_ns)
            for assignment in plan.assignments:
                self.backlog.drop(assignment.task_id)
                placed.nominees.pop(assignment.task_id, None)
            self.backlog.note_company({assignment.node_id: None for assignment in plan.assignments})
            placed.assignments += plan.assignments
            placed.nominees |= dict.fromkeys(plan.withdrawn)
            placed.nominees |= {one.task_id: one for one in plan.nominees}
            if len(plan.assignments) < len(tasks) and not tasks[0].node_id:
                self.backlog.give_up(group_of(tasks[0]))
            for node_id in plan.freed:
                self.backlog.note_room(node_id)
            placed.reasons += [reason for refusal in plan.refusals for reason in self._reasons(refusal)]
        return placed

    def _next(self) -> Sequence[Task]:
        backlog = self.backlog
        if backlog.has_urgent_stale:
            return backlog.take_stale()
        return backlog.take_bound() or backlog.take_fresh() or backlog.take_stale()

    def _reasons(self, refusal: Refusal) -> Iterator[tuple[str, str]]:
        waiting = refusal.tasks
        if not waiting[0].node_id:
            waiting = self.backlog.waiting_in(group_of(waiting[0]))
        for task in waiting:
            if self.view.kept_for(task.id) is None:
                yield task.id, refusal.text

    def _take_in_node(self, event: Event, node: Node) -> None:
        view = self.view.get(node.id)
        if event.action is not Action.REMOVE:
            self.pools.refresh(self.view.put_node(node))
        elif view is not None:
            self.view.drop_node(node.id)
            self.pools.refresh(view)
        self.backlog.note_room(node.id)

    def _take_in_task(self, event: Event, task: Task, now_ns: int) -> None:
        if event.action is Action.REMOVE:
            roomy = self.view.drop_task(task.id)
            self.backlog.drop(task.id)
        else:
            roomy = self.view.put_task(task, now_ns)
            self.backlog.put(task)
        if is_nominated(task):
            self.backlog.note_room(task.nomination.node_id)
        if roomy:
            self.backlog.note_room(roomy)
