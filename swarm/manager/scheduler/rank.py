"""Which of the nodes that may take a task takes it?

Order: a node where this version of the service failed often lately comes after the others; then the one
that the service's wishes about other services speak for most; then, by strategy,

  spread          fewer active tasks of the service; then fewer active tasks in all
  binpack         a larger reserved share of cpu or memory, whichever is scarcer; then more active tasks
  least-reserved  a smaller reserved share; then as spread

A branch keeps its nodes sorted all the time, so that placing a task costs the same with a hundred nodes and
with ten thousand: nodes that no task of the service and no affinity speaks of are taken from that order,
and only the few others are ranked anew for every group.
"""

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator
from enum import Enum
from heapq import heappop, heappush

from swarm.api.v1.types_pb2 import PlacementStrategy
from swarm.manager.scheduler.demand import Demand
from swarm.manager.scheduler.filters import attraction, room
from swarm.manager.scheduler.node_view import NodeView

# Nodes looked at in one go: an answer may take many calls, so that a full cluster does not hold up the loop.
LOOKS_MAX = 1000

# What nodes are compared by; the smallest is the best.
Key = tuple[int, ...]


# Read once: looking a name up in an enumeration of protobuf takes longer than ranking a node.
_BINPACK = PlacementStrategy.PLACEMENT_STRATEGY_BINPACK
_LEAST_RESERVED = PlacementStrategy.PLACEMENT_STRATEGY_LEAST_RESERVED


class Ranked(Enum):
    """What a ranking answers when it has no node to give."""

    EXHAUSTED = "no node has room"
    BUSY = "ask again"


def standing_key(node: NodeView, strategy: "PlacementStrategy") -> Key:
    """Return what nodes without a task of the service are compared by."""
    if strategy == _BINPACK:
        return -node.reserved_permille(), -node.active
    if strategy == _LEAST_RESERVED:
        return node.reserved_permille(), node.active
    return (node.active,)


class Leaf:
    """Nodes that are equal as far as spreading goes, in the order of a strategy."""

    def __init__(
        self, name: str = "", strategy: "PlacementStrategy" = PlacementStrategy.PLACEMENT_STRATEGY_SPREAD
    ) -> None:
        self.name = name
        self.strategy = strategy
        self.active = 0
        self.nodes: dict[str, NodeView] = {}
        self._seen: dict[str, tuple[Key, int]] = {}  # by node: where it is, its active tasks
        self._buckets: dict[Key, dict[str, NodeView]] = {}  # dicts, for they keep the order of arrival
        self._keys: list[Key] = []  # of the buckets, sorted

    @property
    def load(self) -> float:
        """Active tasks per node."""
        return self.active / len(self.nodes) if self.nodes else 0.0

    def add(self, node: NodeView) -> None:
        """Take `node` in."""
        if node.id not in self.nodes:
            self.nodes[node.id] = node
            self._put(node, standing_key(node, self.strategy))
            node.listeners.append(self)

    def discard(self, node: NodeView) -> None:
        """Let `node` go."""
        if self.nodes.pop(node.id, None) is not None:
            self._take_out(node)
            node.listeners.remove(self)

    def changed(self, node: NodeView) -> None:
        """Put `node` where it belongs now."""
        key, (before, active) = standing_key(node, self.strategy), self._seen[node.id]
        if key != before or node.active != active:
            self._take_out(node)
            self._put(node, key)

    def in_order(self) -> Iterator[NodeView]:
        """Iterate over the nodes, the best first; count no placement before the end."""
        for key in self._keys:
            yield from self._buckets[key].values()

    def _put(self, node: NodeView, key: Key) -> None:
        self.active += node.active
        self._seen[node.id] = key, node.active
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = {}
            insort(self._keys, key)
        bucket[node.id] = node

    def _take_out(self, node: NodeView) -> None:
        key, active = self._seen.pop(node.id)
        self.active -= active
        bucket = self._buckets[key]
        del bucket[node.id]
        if not bucket:
            del self._buckets[key]
            del self._keys[bisect_left(self._keys, key)]


class _Candidate:
    """A node in the ranking of one group, and what the group was given of it so far."""

    __slots__ = ("attraction", "failures", "given", "node", "replicas", "room")

    def __init__(self, node: NodeView, demand: Demand, failures: int, free: int) -> None:
        self.node = node
        self.failures = failures
        self.attraction = attraction(node, demand) if demand.affinities else 0
        self.replicas = node.replicas(demand.service_id)
        self.given = 0
        self.room = free

    def give(self, demand: Demand) -> None:
        """Count one more task."""
        self.room -= 1
        self.given += 1
        if demand.affinities and self.replicas + self.given == 1:
            # The first task of the service: those to come may wish to keep away from it.
            self.attraction -= sum(
                one.weight
                for one in demand.affinities
                if not one.together and one.facet in demand.facets and one.facet not in self.node.facets
            )

    def key(self, demand: Demand, strategy: "PlacementStrategy") -> Key:
        """Return what it is compared by."""
        node, given = self.node, self.given
        if strategy not in {_BINPACK, _LEAST_RESERVED}:
            return self.failures, -self.attraction, self.replicas + given, node.active + given
        share = node.reserved_permille(given * demand.nano_cpus, given * demand.memory_bytes)
        if strategy == _BINPACK:
            return self.failures, -self.attraction, -share, -node.active - given
        return self.failures, -self.attraction, share, self.replicas + given, node.active + given


class LeafRanking:
    """The nodes of a leaf for the tasks of one group, best first."""

    def __init__(
        self,
        leaf: Leaf,
        demand: Demand,
        special: Iterable[NodeView],
        failures: dict[str, int],
    ) -> None:
        """`special`: nodes with tasks that matter to this service; `failures`: where it failed often."""
        self._demand = demand
        self._strategy = leaf.strategy
        self._failures = failures
        self._special = {node.id: node for node in special}
        self._to_enter = iter(self._special.values())
        self._heap: list[tuple[Key, int, _Candidate]] = []
        self._order = 0
        self._rest = iter(()) if demand.needs_company else leaf.in_order()
        self._next: tuple[Key, int, _Candidate] | None = None
        self.replicas = sum(node.replicas(demand.service_id) for node in self._special.values())
        self.load = leaf.load
        self.name = leaf.name

    def take(self) -> NodeView | Ranked:
        """Return the best node and count one more task there."""
        if not self._enter_special() or (self._next is None and not self._look_further()):
            return Ranked.BUSY
        best = self._pop_best()
        if best is None:
            return Ranked.EXHAUSTED
        _, order, candidate = best
        self.replicas += 1
        candidate.give(self._demand)
        if candidate.room:
            heappush(self._heap, (candidate.key(self._demand, self._strategy), order, candidate))
        return candidate.node

    def _pop_best(self) -> tuple[Key, int, _Candidate] | None:
        if self._heap and (self._next is None or self._heap[0] < self._next):
            return heappop(self._heap)
        best, self._next = self._next, None
        return best

    def _enter_special(self) -> bool:
        """Rank the nodes with tasks that matter, or failures; False when it takes more than one call."""
        for looks, node in enumerate(self._to_enter, 1):
            entry = self._entry(node)
            if entry is not None:
                heappush(self._heap, entry)
            if looks >= LOOKS_MAX:
                return False
        return True

    def _look_further(self) -> bool:
        """Find the next node that nothing speaks of; False when it takes more than one call."""
        for looks, node in enumerate(self._rest, 1):
            if node.id not in self._special:
                self._next = self._entry(node)
                if self._next is not None:
                    return True
            if looks >= LOOKS_MAX:
                return False
        return True

    def _entry(self, node: NodeView) -> tuple[Key, int, _Candidate] | None:
        free = room(node, self._demand)
        if not free:
            return None
        self._order += 1
        candidate = _Candidate(node, self._demand, self._failures.get(node.id, 0), free)
        return candidate.key(self._demand, self._strategy), self._order, candidate
