"""Which of the nodes that may take a task takes it?

Order: a node where this version of the service failed often lately comes after the others; then fewer
active tasks of the service; then fewer active tasks in all. Reservations do not rank.

A branch keeps its nodes sorted by active tasks all the time, so that placing a task costs the same with a
hundred nodes and with ten thousand: nodes without a task of the service are taken from that order, and
only the few with one are ranked anew for every group.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from heapq import heappop, heappush

from swarm.manager.scheduler.demand import Demand
from swarm.manager.scheduler.filters import room
from swarm.manager.scheduler.node_view import NodeView

# Nodes looked at in one go: an answer may take many calls, so that a full cluster does not hold up the loop.
LOOKS_MAX = 1000


class Ranked(Enum):
    """What a ranking answers when it has no node to give."""

    EXHAUSTED = "no node has room"
    BUSY = "ask again"


class Leaf:
    """Nodes that are equal as far as spreading goes, by number of active tasks."""

    def __init__(self, name: str = "") -> None:
        self.name = name
        self.active = 0
        self.nodes: dict[str, NodeView] = {}
        self._buckets: dict[int, dict[str, NodeView]] = {}  # dicts, for they keep the order of arrival

    @property
    def load(self) -> float:
        """Active tasks per node."""
        return self.active / len(self.nodes) if self.nodes else 0.0

    def add(self, node: NodeView) -> None:
        """Take `node` in."""
        if node.id not in self.nodes:
            self.nodes[node.id] = node
            self.active += node.active
            self._buckets.setdefault(node.active, {})[node.id] = node
            node.listeners.append(self)

    def discard(self, node: NodeView) -> None:
        """Let `node` go."""
        if self.nodes.pop(node.id, None) is not None:
            self.active -= node.active
            self._take_out(node, node.active)
            node.listeners.remove(self)

    def active_changed(self, node: NodeView, before: int) -> None:
        """Put `node`, which had `before` active tasks, where it belongs now."""
        self.active += node.active - before
        self._take_out(node, before)
        self._buckets.setdefault(node.active, {})[node.id] = node

    def ascending(self) -> Iterator[NodeView]:
        """Iterate over the nodes, the fewest active tasks first; count no placement before the end."""
        for active in sorted(self._buckets):
            yield from self._buckets[active].values()

    def _take_out(self, node: NodeView, active: int) -> None:
        bucket = self._buckets[active]
        del bucket[node.id]
        if not bucket:
            del self._buckets[active]


@dataclass(order=True, slots=True)
class _Candidate:
    """A node in the ranking of one group; its numbers include what the group was given so far."""

    failures: int
    replicas: int
    active: int
    order: int
    room: int = field(compare=False)
    node: NodeView = field(compare=False)


class LeafRanking:
    """The nodes of a leaf for the tasks of one group, best first."""

    def __init__(self, leaf: Leaf, demand: Demand, hosts: dict[str, int], failures: dict[str, int]) -> None:
        """`hosts`: active tasks of the service by node; `failures`: nodes where the group failed often."""
        self._demand = demand
        self._failures = failures
        self._known = dict.fromkeys(node_id for node_id in (*hosts, *failures) if node_id in leaf.nodes)
        self._to_enter = iter([leaf.nodes[node_id] for node_id in self._known])
        self._heap: list[_Candidate] = []
        self._order = 0
        self._rest = leaf.ascending()
        self._next: _Candidate | None = None
        self.replicas = sum(hosts.get(node_id, 0) for node_id in self._known)
        self.load = leaf.load
        self.name = leaf.name

    def take(self) -> NodeView | Ranked:
        """Return the best node and count one more task there."""
        if not self._enter_known() or (self._next is None and not self._look_further()):
            return Ranked.BUSY
        best = self._pop_best()
        if best is None:
            return Ranked.EXHAUSTED
        self.replicas += 1
        best.room -= 1
        best.replicas += 1
        best.active += 1
        if best.room:
            heappush(self._heap, best)
        return best.node

    def _pop_best(self) -> _Candidate | None:
        if self._heap and (self._next is None or self._heap[0] < self._next):
            return heappop(self._heap)
        best, self._next = self._next, None
        return best

    def _enter_known(self) -> bool:
        """Rank the nodes known to run the service, or to fail it; False when it takes more than one call."""
        for looks, node in enumerate(self._to_enter, 1):
            candidate = self._candidate(node)
            if candidate is not None:
                heappush(self._heap, candidate)
            if looks >= LOOKS_MAX:
                return False
        return True

    def _look_further(self) -> bool:
        """Find the next node without a task of the service; False when it takes more than one call."""
        for looks, node in enumerate(self._rest, 1):
            if node.id not in self._known:
                self._next = self._candidate(node)
                if self._next is not None:
                    return True
            if looks >= LOOKS_MAX:
                return False
        return True

    def _candidate(self, node: NodeView) -> _Candidate | None:
        free = room(node, self._demand)
        if not free:
            return None
        self._order += 1
        return _Candidate(
            failures=self._failures.get(node.id, 0),
            replicas=node.replicas(self._demand.service_id),
            active=node.active,
            order=self._order,
            room=free,
            node=node,
        )
