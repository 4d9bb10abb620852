"""Where do the waiting tasks go?

Pure but for the view, in which every placement is counted at once, so that the next one sees it. Plans
come in steps (generators that yield every millisecond or so): a caller that need not share its event loop
runs them with `complete`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from swarm.api.v1.objects_pb2 import Task
from swarm.manager.scheduler.demand import Demand
from swarm.manager.scheduler.detail import Details, against
from swarm.manager.scheduler.explain import explain
from swarm.manager.scheduler.filters import first_failure
from swarm.manager.scheduler.node_view import ClusterView, NodeView
from swarm.manager.scheduler.rank import Ranked
from swarm.manager.scheduler.spread import Pools, ranking
from swarm.manager.scheduler.sticky import find_returns
from swarm.manager.scheduler.volumes import Given
from swarm.model.generic_resources import Claim
from swarm.steps import Steps, complete

# Tasks placed between two yields: about a millisecond.
TASKS_PER_STEP = 250


@dataclass(frozen=True, slots=True)
class Assignment:
    """A task and the node it is to run on, as it was when that was decided."""

    task_id: str
    node_id: str
    node_version: int
    claims: tuple[Claim, ...] = ()  # generic resources of the node that the task is given
    note: str = ""  # why it is not where its data is
    volumes: tuple[Given, ...] = ()  # of the cluster, that the task is given


@dataclass(frozen=True, slots=True)
class Refusal:
    """Tasks that no node takes now, and why."""

    tasks: tuple[Task, ...]
    reason: str  # which filters refuse how many nodes
    detail: str = ""  # what exactly is missing

    @property
    def text(self) -> str:
        """What the task says of itself."""
        return f"{self.reason}: {self.detail}" if self.detail else self.reason


@dataclass(frozen=True, slots=True)
class Nominee:
    """A task for which room is kept on a node, and who has to go there."""

    task_id: str
    node_id: str
    node_version: int
    victims: tuple[str, ...]
    priority: int
    reason: str  # what the task says of itself meanwhile


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do with the tasks of one group."""

    assignments: tuple[Assignment, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    nominees: tuple[Nominee, ...] = ()
    withdrawn: tuple[str, ...] = ()  # ids of tasks for which no room is kept any more
    freed: tuple[str, ...] = ()  # ids of nodes that kept room for tasks which do not need it


def plan_group(view: ClusterView, pools: Pools, tasks: Sequence[Task], now_ns: int) -> Steps[Plan]:
    """Place `tasks`, which are all of one group, and count them in `view`."""
    if not tasks:
        return Plan()
    demand = view.demand(tasks[0])
    returns = yield from find_returns(view, demand, tasks)
    others, notes = returns.others, returns.notes
    at_once = 1 if demand.volumes else len(others)
    nodes = (yield from _choose(view, pools, demand, at_once, now_ns)) if others else []
    assignments = [
        Assignment(task.id, node.id, node.version, claims, volumes=view.volumes_of(task.id))
        for task, node, claims in returns.back
    ]
    placed = 0
    while nodes:
        for task, node in zip(others[placed:], nodes, strict=False):
            claims, note = view.bind(task, node), notes.get(task.id, "")
            volumes = view.volumes_of(task.id)
            assignments.append(Assignment(task.id, node.id, node.version, claims, note, volumes))
            if len(assignments) % TASKS_PER_STEP == 0:
                yield
        placed += len(nodes)
        # Who has a volume decides where the next task may have it: each is placed after the one before it.
        more = demand.volumes and placed < len(others)
        nodes = (yield from _choose(view, pools, demand, 1, now_ns)) if more else []
    left = (*others[placed:], *returns.waiting)
    if not left:
        return Plan(tuple(assignments))
    if len(left) == len(returns.waiting):
        return Plan(tuple(assignments), (Refusal(left, returns.reason),))
    details = Details(view, demand)
    reason = yield from explain(view, demand, details)
    return Plan(tuple(assignments), (Refusal(left, reason, details.text()),))


def plan_bound(view: ClusterView, tasks: Sequence[Task]) -> Steps[Plan]:
    """Check tasks that have a node already, and count in `view` those that it takes."""
    assignments: list[Assignment] = []
    refusals: list[Refusal] = []
    for place, task in enumerate(tasks, 1):
        if place % TASKS_PER_STEP == 0:
            yield
        node = view.get(task.node_id)
        if node is None:
            continue  # the orchestrator removes the tasks of a node that is gone
        demand = view.demand(task)
        if first_failure(node, demand) is None:
            claims = view.bind(task, node)
            volumes = view.volumes_of(task.id)
            assignments.append(Assignment(task.id, node.id, node.version, claims, volumes=volumes))
        else:
            reason = complete(explain((node,), demand))
            refusals.append(Refusal((task,), reason, "; ".join(against(view, node, demand))))
    return Plan(tuple(assignments), tuple(refusals))


def _choose(
    view: ClusterView, pools: Pools, demand: Demand, count: int, now_ns: int
) -> Steps[list[NodeView]]:
    pool = yield from pools.get(demand)
    best = ranking(pool, demand, view, view.many_failures(demand.group, now_ns))
    chosen: list[NodeView] = []
    while len(chosen) < count:
        taken = best.take()
        if taken is Ranked.EXHAUSTED:
            break
        if isinstance(taken, NodeView):
            chosen.append(taken)
            if len(chosen) % TASKS_PER_STEP:
                continue
        yield
    return chosen
