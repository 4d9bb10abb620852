"""Which tasks have to move so that a service is spread as the scheduler would spread it now?

The scheduler is asked where it would put further tasks of the service: that is where tasks lack. Each such
place gets a task from the branch, or node, that has at least two more: those whose numbers differ by one
are balanced. So the moves are as few as possible, and afterwards there is nothing left to move.
"""

from collections.abc import Iterable, Iterator, Sequence
from heapq import heapify, heappop, heappush
from operator import attrgetter

from swarm.api.v1.objects_pb2 import Cluster, Rebalance, Service, Task
from swarm.api.v1.types_pb2 import PlacementStrategy
from swarm.errors import FailedPrecondition
from swarm.ids import new_id
from swarm.manager.orchestrator.rebalance import may_rebalance
from swarm.manager.orchestrator.service_view import ServiceView
from swarm.manager.orchestrator.slots import slots_of
from swarm.manager.planning.placement import Placement
from swarm.manager.scheduler.demand import Demand
from swarm.manager.scheduler.filters import passes_static
from swarm.manager.scheduler.node_view import NodeView
from swarm.manager.scheduler.plan import plan_group
from swarm.manager.scheduler.spread import Path, label_of
from swarm.manager.store.tables import ReadView
from swarm.model import defaults, task_state
from swarm.model.job import job_of, mode_of
from swarm.model.task import new_task
from swarm.model.volumes import is_sticky
from swarm.steps import Steps

# Of one rebalance: they stand in the service, which is copied with every change of it.
MOVES_MAX = 500
PLACES_PER_STEP = 250  # looked at between two yields: about a millisecond


def check_rebalance(service: Service) -> None:
    """Raise FailedPrecondition when the tasks of `service` never move: those of jobs and global ones."""
    name = service.spec.annotations.name
    mode = mode_of(service.spec)
    if job_of(service.spec) is not None:
        raise FailedPrecondition(
            f"service {name} is a job ({mode}): its tasks end by themselves and are not moved; "
            "only replicated services can be rebalanced"
        )
    if is_sticky(service.spec.task.container):
        raise FailedPrecondition(
            f"service {name} is sticky: its tasks stay where their data is, and none would move "
            f"(swarmctl service update --no-sticky {name} changes that)"
        )
    if mode != "replicated":
        raise FailedPrecondition(f"service {name} is {mode}: only replicated services can be rebalanced")


def is_spread(service: Service, cluster: Cluster | None) -> bool:
    """Whether the tasks of `service` are placed by their number: otherwise none is misplaced."""
    if is_sticky(service.spec.task.container):
        return False
    strategy = service.spec.task.placement.strategy
    if not strategy and cluster is not None:
        strategy = defaults.placement_strategy(cluster.spec)
    return strategy in (
        PlacementStrategy.PLACEMENT_STRATEGY_UNSPECIFIED,
        PlacementStrategy.PLACEMENT_STRATEGY_SPREAD,
    )


def movable(view: ServiceView) -> Steps[list[Task]]:
    """Return the tasks that may move: each runs, as its service wants it, and is alone in its slot.

    Raises FailedPrecondition while an update is under way, paused or due.
    """
    name = view.service.spec.annotations.name
    if not may_rebalance(view) or any(
        task_state.wants_to_run(task) and view.is_dirty(task) for task in view.tasks
    ):
        raise FailedPrecondition(
            f"service {name} is being updated: wait until that is over (swarmctl service ps {name}), "
            "then rebalance it"
        )
    slots = yield from slots_of(view.tasks)
    alone = (slot.live[0] for slot in slots.values() if len(slot.live) == 1)
    return [task for task in alone if task_state.is_running(task)]


def plan_rebalance(
    tables: ReadView, service: Service, now_ns: int, max_moves: int = 0
) -> Steps[Sequence[Rebalance.Move]]:
    """Return the moves that balance `service`, at most `max_moves` (0: MOVES_MAX); none when it is balanced.

    Raises FailedPrecondition when it cannot be rebalanced, or is being updated.
    """
    check_rebalance(service)
    if not is_spread(service, tables.cluster):
        return ()
    tasks = tables.tasks.by_service(service.id)
    candidates = yield from movable(ServiceView(service, tasks, tables.nodes, 0, now_ns))
    if not candidates:
        return ()
    placement = Placement()
    yield from placement.fill(tables, now_ns)
    balance = _Balance(placement, service, candidates, now_ns)
    limit = min(max_moves or MOVES_MAX, MOVES_MAX)
    while (yield from balance.look(limit)):
        pass
    return balance.moves


class _Balance:
    """The tasks of one service on the nodes that the scheduler may choose, while moves are tried."""

    def __init__(
        self, placement: Placement, service: Service, candidates: Iterable[Task], now_ns: int
    ) -> None:
        self.moves: list[Rebalance.Move] = []
        self._placement = placement
        self._service = service
        self._now_ns = now_ns
        self._demand = placement.view.demand(new_task(service, "", now_ns))
        self._paths: dict[str, Path] = {}  # of the nodes
        self._replicas: dict[Path, int] = {}  # of branches
        self._counts: dict[str, int] = {}  # of nodes
        self._movable: dict[str, list[Task]] = {}  # by node, the one that is missed least last
        for node in placement.view:
            if passes_static(node, self._demand):
                self._enter(node)
        for task in sorted(candidates, key=attrgetter("slot")):
            if task.node_id in self._paths:
                self._movable.setdefault(task.node_id, []).append(task)

    def look(self, limit: int) -> Steps[bool]:
        """Move what can be moved to where the scheduler would put further tasks; return whether any was."""
        before = len(self.moves)
        sources = _Sources(self._counts, self._paths, self._movable)
        wanting = yield from self._wanting(sum(map(len, self._movable.values())))
        for count, node_id in enumerate(wanting, 1):
            if count % PLACES_PER_STEP == 0:
                yield
            if len(self.moves) >= limit:
                return False
            source = self._source_for(node_id, sources)
            if source is not None:
                self._move(source, node_id)
                sources.note(source)
        return len(self.moves) > before

    def _wanting(self, number: int) -> Steps[Sequence[str]]:
        """Return the nodes that the scheduler would give `number` further tasks, in this order."""
        view = self._placement.view
        probes = [new_task(self._service, new_id(), self._now_ns) for _ in range(number)]
        plan = yield from plan_group(view, self._placement.pools, probes, self._now_ns)
        for probe in probes:
            view.drop_task(probe.id)
        return [assignment.node_id for assignment in plan.assignments]

    def _source_for(self, node_id: str, sources: "_Sources") -> str | None:
        """Return the node that has most too many, compared to `node_id`; None when none has."""
        best, excess = None, 1
        for source in sources.heaviest():
            too_many = self._excess(source, node_id)
            if too_many > excess:
                best, excess = source, too_many
        return best

    def _excess(self, source: str, target: str) -> int:
        """Return how many more tasks there are where the branches of two nodes part."""
        here, there = self._paths[source], self._paths[target]
        for level in range(1, len(here) + 1):
            if here[:level] != there[:level]:
                return self._replicas[here[:level]] - self._replicas[there[:level]]
        return self._counts[source] - self._counts[target]

    def _move(self, source: str, target: str) -> None:
        task = self._movable[source].pop()
        self.moves.append(
            Rebalance.Move(task_id=task.id, slot=task.slot, from_node_id=source, to_node_id=target)
        )
        node = self._placement.view.get(target)
        assert node is not None
        self._placement.view.bind(task, node)
        self._count(source, -1)
        self._count(target, 1)

    def _enter(self, node: NodeView) -> None:
        assert node.node is not None
        self._paths[node.id] = path_of(node, self._demand)
        self._counts[node.id] = 0
        for prefix in _prefixes(self._paths[node.id]):
            self._replicas.setdefault(prefix, 0)
        self._count(node.id, node.replicas(self._service.id))

    def _count(self, node_id: str, number: int) -> None:
        self._counts[node_id] += number
        for prefix in _prefixes(self._paths[node_id]):
            self._replicas[prefix] += number


class _Sources:
    """For each leaf of the tree the node with the most tasks, of those that have one to give."""

    def __init__(
        self, counts: dict[str, int], paths: dict[str, Path], movable: dict[str, list[Task]]
    ) -> None:
        self._counts = counts
        self._paths = paths
        self._movable = movable
        self._heaps: dict[Path, list[tuple[int, str]]] = {}
        for node_id in movable:
            self._heaps.setdefault(paths[node_id], []).append((-counts[node_id], node_id))
        for heap in self._heaps.values():
            heapify(heap)

    def heaviest(self) -> Iterator[str]:
        """Return the node with the most tasks of each leaf."""
        for heap in self._heaps.values():
            while heap and not self._is_true(*heap[0]):
                heappop(heap)
            if heap:
                yield heap[0][1]

    def note(self, node_id: str) -> None:
        """Take note that `node_id` gave a task away."""
        heappush(self._heaps[self._paths[node_id]], (-self._counts[node_id], node_id))

    def _is_true(self, negative_count: int, node_id: str) -> bool:
        return bool(self._movable[node_id]) and -negative_count == self._counts[node_id]


def path_of(node: NodeView, demand: Demand) -> Path:
    """Return the branch of the tree of preferences that `node` is on."""
    assert node.node is not None
    return tuple(label_of(node.node, key) for key in demand.preferences)


def _prefixes(path: Path) -> Iterator[Path]:
    return (path[:level] for level in range(1, len(path) + 1))
