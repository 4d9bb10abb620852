"""What becomes of tasks that wait: they are placed, or room is made for them, or they go on waiting.

A task whose service preempts and that finds no node is nominated: room is kept for it on one node, and the
orchestrator replaces its victims there. Each look asks again whether a node takes it now, the one where room
is kept first, and whether the victims would still be enough.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from heapq import heapify, heappop, heappush

from swarm.api.v1.objects_pb2 import Task
from swarm.manager.scheduler.demand import Demand
from swarm.manager.scheduler.filters import first_failure
from swarm.manager.scheduler.node_view import ClusterView, NodeView
from swarm.manager.scheduler.plan import Assignment, Nominee, Plan, Refusal, plan_bound, plan_group
from swarm.manager.scheduler.preempt import Cost, Eviction, eviction_on, has_promise
from swarm.manager.scheduler.spread import Pools
from swarm.model import task_state
from swarm.steps import Steps

# Nominated in one go; what they change brings the next ones.
NOMINEES_MAX = 100
NODES_PER_STEP = 8  # whose tasks are looked at between two yields: a millisecond or two

NO_USE = "nor would there be without tasks of lower priority"


def plan_waiting(view: ClusterView, pools: Pools, tasks: Sequence[Task], now_ns: int) -> Steps[Plan]:
    """Place `tasks`, or make room for them, and count that in `view`.

    They are all of one group, or all know their node.
    """
    redeemed = [one for task in tasks if (one := _redeem(view, task)) is not None]
    placed = {one.task_id for one in redeemed}
    left = [task for task in tasks if task.id not in placed]
    kept = {task.id: bound.node_id for task in left if (bound := view.kept_for(task.id)) is not None}
    if tasks[0].node_id:
        plan = yield from plan_bound(view, left)
    else:
        plan = yield from plan_group(view, pools, left, now_ns)
    making = _MakingRoom(view)
    for refusal in plan.refusals:
        yield from making.see_to(refusal)
    assignments = (*redeemed, *plan.assignments)
    spared = (kept[one.task_id] for one in plan.assignments if one.task_id in kept)
    return Plan(
        assignments,
        tuple(making.refusals),
        tuple(making.nominees),
        tuple(making.withdrawn),
        freed=tuple(dict.fromkeys((*spared, *making.freed))),
    )


def _redeem(view: ClusterView, task: Task) -> Assignment | None:
    """Give `task` the room that is kept for it, if it is there by now."""
    bound = view.kept_for(task.id)
    node = view.get(bound.node_id) if bound is not None else None
    if bound is None or node is None:
        return None
    without = node.copy()
    without.count(bound, -1)
    if first_failure(without, bound.demand) is not None:
        return None
    claims = view.bind(task, node)
    return Assignment(task.id, node.id, node.version, claims, volumes=view.volumes_of(task.id))


class _MakingRoom:
    """What is done about tasks that no node takes."""

    def __init__(self, view: ClusterView) -> None:
        self._view = view
        self.refusals: list[Refusal] = []
        self.nominees: list[Nominee] = []
        self.withdrawn: list[str] = []
        self.freed: list[str] = []

    def see_to(self, refusal: Refusal) -> Steps[None]:
        """Nominate those of the refused tasks that may push others out."""
        demand = self._view.demand(refusal.tasks[0])
        waiting = [task for task in refusal.tasks if not self._stays_nominated(task)]
        asking: list[Task] = []
        if self._view.precedence(demand).preempts:
            # What is held back waits for one before it to stop, or for its restart: no reason to push.
            asking = [task for task in waiting if task.desired_state == task_state.RUNNING]
        if asking:
            nodes = self._nodes(asking[0])
            nominees = yield from _nominate(self._view, demand, asking, nodes)
            self.nominees += nominees
            chosen = {one.task_id for one in nominees}
            self.withdrawn = [task_id for task_id in self.withdrawn if task_id not in chosen]
            waiting = [task for task in waiting if task.id not in chosen]
            if not nominees:
                detail = "; ".join(filter(None, (refusal.detail, NO_USE)))
                refusal = replace(refusal, detail=detail)
        if waiting:
            self.refusals.append(replace(refusal, tasks=tuple(waiting)))

    def _nodes(self, task: Task) -> Sequence[NodeView]:
        if not task.node_id:
            return tuple(self._view)
        node = self._view.get(task.node_id)
        return (node,) if node is not None else ()

    def _stays_nominated(self, task: Task) -> bool:
        """Whether room is kept for `task` and it will get it; otherwise none is kept any more."""
        bound = self._view.kept_for(task.id)
        node = self._view.get(bound.node_id) if bound is not None else None
        if bound is not None and node is not None and has_promise(self._view, node, bound):
            return True
        if bound is not None:
            self.freed.append(self._view.drop_task(task.id))
        if bound is not None or task.HasField("nomination"):
            self.withdrawn.append(task.id)
        return False


def _nominate(
    view: ClusterView, demand: Demand, tasks: Sequence[Task], nodes: Iterable[NodeView]
) -> Steps[Sequence[Nominee]]:
    """Keep room for `tasks`, which are alike, each where its victims matter least."""
    found: list[tuple[Cost, int, Eviction]] = []
    for place, node in enumerate(nodes):
        eviction = eviction_on(view, node, demand)
        if eviction is not None:
            found.append((eviction.cost, place, eviction))
        if place % NODES_PER_STEP == NODES_PER_STEP - 1:
            yield
    heapify(found)
    nominees: list[Nominee] = []
    for task in tasks[:NOMINEES_MAX]:
        if not found:
            break
        _, place, eviction = heappop(found)
        nominees.append(_nominee(view, task, demand, eviction))
        view.keep_room(task, eviction.node, eviction.victims)
        again = eviction_on(view, eviction.node, demand)
        if again is not None:
            heappush(found, (again.cost, place, again))
        if len(nominees) % NODES_PER_STEP == 0:
            yield
    return nominees


def _nominee(view: ClusterView, task: Task, demand: Demand, eviction: Eviction) -> Nominee:
    node = eviction.node
    return Nominee(
        task_id=task.id,
        node_id=node.id,
        node_version=node.version,
        victims=eviction.victims,
        priority=view.precedence(demand).priority,
        reason=_reason(eviction),
    )


def _reason(eviction: Eviction) -> str:
    """Return e.g. `waits for room on node n1: 2 tasks of web have to stop`."""
    node = eviction.node
    name = (node.node.description.hostname if node.node is not None else "") or node.id
    services = Counter(node.bound[victim].demand.service_name for victim in eviction.victims)
    who = " and ".join(
        f"{number} task{'s' if number > 1 else ''} of {service}"
        for service, number in sorted(services.items())
    )
    if not who:
        return f"waits for room on node {name}: tasks are stopping there"
    return f"waits for room on node {name}: {who}, of lower priority, must stop first"
