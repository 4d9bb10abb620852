"""The scheduler's decisions over a scratch store: what waits, and where it goes."""

from dataclasses import dataclass, field

from swarm.api.v1.objects_pb2 import Node, Task
from swarm.manager.scheduler.backlog import Backlog
from swarm.manager.scheduler.demand import group_of
from swarm.manager.scheduler.node_view import ClusterView
from swarm.manager.scheduler.plan import Assignment, plan_bound, plan_group
from swarm.manager.scheduler.spread import Pools
from swarm.manager.store.tables import ReadView
from swarm.manager.store.watch import Action, Event
from swarm.model import defaults
from swarm.steps import Steps

OBJECTS_PER_STEP = 250  # counted between two yields: about a millisecond


@dataclass(slots=True)
class Placed:
    """What the scheduler decided: nodes for tasks, and why others wait."""

    assignments: list[Assignment] = field(default_factory=list)
    reasons: list[tuple[str, str]] = field(default_factory=list)  # id of a task, why it waits

    def __bool__(self) -> bool:
        """Whether anything was decided."""
        return bool(self.assignments or self.reasons)


class Placement:
    """The cluster as the scheduler sees it."""

    def __init__(self) -> None:
        self.view = ClusterView()
        self.pools = Pools(self.view)
        self.backlog = Backlog()

    def fill(self, tables: ReadView, now_ns: int) -> Steps[None]:
        """Take in everything there is."""
        if tables.cluster is not None:
            self.view.default_strategy = defaults.placement_strategy(tables.cluster.spec)
        for node in tuple(tables.nodes):
            self.view.put_node(node)
        for count, task in enumerate(tuple(tables.tasks), 1):
            self.view.put_task(task, now_ns)
            self.backlog.put(task)
            if count % OBJECTS_PER_STEP == 0:
                yield

    def take_in(self, event: Event, now_ns: int) -> None:
        """Take note of a change."""
        if isinstance(event.object, Node):
            self._take_in_node(event, event.object)
        elif isinstance(event.object, Task):
            self._take_in_task(event, event.object, now_ns)

    def place(self, now_ns: int) -> Steps[Placed]:
        """Place everything that waits and is worth a look."""
        placed = Placed()
        while True:
            if tasks := self.backlog.take_bound():
                plan = yield from plan_bound(self.view, tasks)
            elif tasks := (self.backlog.take_fresh() or self.backlog.take_stale()):
                plan = yield from plan_group(self.view, self.pools, tasks, now_ns)
            else:
                return placed
            for assignment in plan.assignments:
                self.backlog.drop(assignment.task_id)
            self.backlog.note_company({assignment.node_id: None for assignment in plan.assignments})
            placed.assignments += plan.assignments
            for refusal in plan.refusals:
                waiting = refusal.tasks
                if not waiting[0].node_id:
                    group = group_of(waiting[0])
                    waiting = self.backlog.waiting_in(group)
                    self.backlog.give_up(group)
                placed.reasons += [(task.id, refusal.text) for task in waiting]

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
            more_room = self.view.drop_task(task.id)
            self.backlog.drop(task.id)
        else:
            more_room = self.view.put_task(task, now_ns)
            self.backlog.put(task)
        if more_room:
            self.backlog.note_room(task.node_id)
