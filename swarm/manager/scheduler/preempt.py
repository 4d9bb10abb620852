"""Who has to go so that a waiting task finds room?

Only tasks of lower priority, on a node that would then take the task, and no more of them than are needed.
Of several nodes the one whose victims matter least: lower priorities first, then fewer services that are
being updated or would be left without any task, then fewer victims, then smaller ones. What stops anyway,
or has to go for somebody else, costs nothing; room that is kept for a task of lower priority does not count.

Pure: looks at copies of the nodes.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from operator import attrgetter

from swarm.api.v1.types_pb2 import NodeAvailability, NodeState
from swarm.manager.scheduler.demand import Demand
from swarm.manager.scheduler.filters import READY, STATIC_FILTERS, passes_static, room
from swarm.manager.scheduler.node_view import Bound, ClusterView, NodeView
from swarm.model import limits

# Of one task: more would be a list that nobody reads, and a node that is all but emptied for one task.
VICTIMS_MAX = 256

_NOBODY = -limits.PRIORITY.value - 1  # lower than any priority


@dataclass(frozen=True, slots=True, order=True)
class Cost:
    """What nodes are compared by; the least is the best."""

    priority: int  # the highest among the victims
    harmed: int  # services that are being updated, or lose their last task
    victims: int
    size: int  # of what they reserve, in thousandths of the node
    replicas: int  # tasks of the waiting task's own service there: it is spread, if nothing else matters


@dataclass(frozen=True, slots=True)
class Eviction:
    """One node, and the tasks that have to go there."""

    node: NodeView
    victims: tuple[str, ...]
    cost: Cost


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A task that may have to go."""

    task_id: str
    bound: Bound
    priority: int
    harm: bool  # its service is being updated, or has no other task
    size: int  # of what it reserves of the node, in thousandths


def eviction_on(view: ClusterView, node: NodeView, demand: Demand) -> Eviction | None:
    """Return the fewest tasks that have to go so that `node` takes one of this demand; None when none help.

    Without victims: enough is stopping there already.
    """
    if not passes_static(node, demand):
        return None
    leaving, candidates = _sort_out(view, node, demand)
    if not leaving and not candidates:
        return None
    bare = node.copy()
    for bound in (*leaving, *(one.bound for one in candidates)):
        bare.count(bound, -1)
    if not room(bare, demand):
        return None
    choices = (_needed(bare, demand, sorted(candidates, key=order)) for order in _ORDERS)
    best = min((_eviction(view, node, demand, victims) for victims in choices), key=attrgetter("cost"))
    return best if len(best.victims) <= VICTIMS_MAX else None


def has_promise(view: ClusterView, node: NodeView, bound: Bound) -> bool:
    """Whether the task that `node` keeps room for gets it once its victims and all that leave have stopped.

    No more when somebody of higher priority came in between, a victim became too important, or the node
    changed.
    """
    demand = bound.demand
    precedence = view.precedence(demand)
    if not precedence.preempts or _is_lost(node) or not all(one.passes(node, demand) for one in _LASTING):
        return False
    victims = [one for task_id in bound.victims if (one := node.bound.get(task_id)) is not None]
    if any(one.active and view.precedence(one.demand).priority >= precedence.priority for one in victims):
        return False
    bare = node.copy()
    bare.count(bound, -1)
    for leaving in _sort_out(view, node, demand)[0]:
        bare.count(leaving, -1)
    return room(bare, demand) > 0


# Filters that a node passes for good, or until somebody changes it.
_LASTING = tuple(one for one in STATIC_FILTERS if one is not READY)


def _is_lost(node: NodeView) -> bool:
    """Whether the node takes no task for now; one that was not heard of for a moment is expected back."""
    return (
        node.node is None
        or node.node.status.state == NodeState.NODE_STATE_DOWN
        or node.node.spec.availability != NodeAvailability.NODE_AVAILABILITY_ACTIVE
    )


def _sort_out(
    view: ClusterView, node: NodeView, demand: Demand
) -> tuple[Sequence[Bound], Sequence[_Candidate]]:
    """Return what leaves the node anyway, and who may have to go."""
    priority = view.precedence(demand).priority
    company = {one.facet for one in demand.affinities or () if one.together and not one.weight}
    leaving: list[Bound] = []
    candidates: list[_Candidate] = []
    for task_id, bound in node.bound.items():
        precedence = view.precedence(bound.demand)
        if not bound.active or view.is_condemned(task_id):
            leaving.append(bound)
        elif precedence.priority >= priority:
            continue
        elif bound.is_kept:
            leaving.append(bound)
        elif not company.intersection(bound.demand.facets):
            harm = precedence.is_updated or view.placed(bound.demand.service_id) < 2
            candidates.append(_Candidate(task_id, bound, precedence.priority, harm, _size(node, bound)))
    return leaving, candidates


def _size(node: NodeView, bound: Bound) -> int:
    cpus = bound.demand.nano_cpus * 1000 // (node.nano_cpus or 1)
    return max(cpus, bound.demand.memory_bytes * 1000 // (node.memory_bytes or 1))


# In which order they may try to stay. To find the fewest of all would take too long; these find them where
# tasks are alike, or one large one will do.
_ORDERS: Sequence[Callable[[_Candidate], tuple[int, ...]]] = (
    lambda one: (-one.priority, not one.harm, one.size),
    lambda one: (-one.priority, not one.harm, -one.size),
    lambda one: (-one.priority, one.size),
    lambda one: (-one.priority, -one.size),
)


def _needed(bare: NodeView, demand: Demand, order: Iterable[_Candidate]) -> Sequence[_Candidate]:
    """Return those who cannot stay: everybody is put back for whom there is room beside the waiting task.

    As nobody makes room by coming back, each one that is left out is needed.
    """
    trial = bare.copy()
    needed: list[_Candidate] = []
    for one in order:
        trial.count(one.bound, 1)
        if not room(trial, demand):
            trial.count(one.bound, -1)
            needed.append(one)
    return needed


def _eviction(view: ClusterView, node: NodeView, demand: Demand, victims: Sequence[_Candidate]) -> Eviction:
    lost = Counter(one.bound.demand.service_id for one in victims)
    updated = {
        one.bound.demand.service_id for one in victims if view.precedence(one.bound.demand).is_updated
    }
    emptied = {service for service, number in lost.items() if view.placed(service) <= number}
    cost = Cost(
        priority=max((one.priority for one in victims), default=_NOBODY),
        harmed=len(updated | emptied),
        victims=len(victims),
        size=sum(one.size for one in victims),
        replicas=node.replicas(demand.service_id),
    )
    # The lowest priorities first, in which order they are told and shown.
    ordered = sorted(victims, key=lambda one: (one.priority, one.task_id))
    return Eviction(node, tuple(one.task_id for one in ordered), cost)
