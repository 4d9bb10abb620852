"""How do the tasks of a service spread over the values of labels?

Each preference is a level of a tree; nodes without the label form one branch. A task goes down the branch
with the fewest tasks of the service that still has room, so the share of a full branch goes to the others.
"""

from collections.abc import Callable, Generator, Iterable
from heapq import heapify, heappop, heappush

from swarm.api.v1.objects_pb2 import Node
from swarm.api.v1.types_pb2 import PlacementStrategy
from swarm.manager.scheduler.demand import Demand
from swarm.manager.scheduler.filters import passes_static
from swarm.manager.scheduler.node_view import ClusterView, NodeView
from swarm.manager.scheduler.rank import LOOKS_MAX, Leaf, LeafRanking, Ranked

Path = tuple[str, ...]

# Pools kept, the ones used last. A cluster's services share a handful of placements.
POOLS_MAX = 64


class Pool:
    """The nodes that can be asked for one placement, as leaves of the tree of its preferences."""

    def __init__(self, demand: Demand, strategy: "PlacementStrategy") -> None:
        self._demand = demand
        self._strategy = strategy
        self.leaves: dict[Path, Leaf] = {}
        self._paths: dict[str, Path] = {}  # by node

    def refresh(self, node: NodeView) -> None:
        """Take `node` in, let it go, or move it to another branch, as its object says now."""
        path = self._path(node)
        before = self._paths.get(node.id)
        if path == before:
            return
        if before is not None:
            self._leave(node, before)
        if path is not None:
            self.leaves.setdefault(path, Leaf("/".join(path), self._strategy)).add(node)
            self._paths[node.id] = path

    def by_leaf(self, node_ids: Iterable[str]) -> dict[Path, list[NodeView]]:
        """Return those of the nodes that are in the pool, by leaf."""
        found: dict[Path, list[NodeView]] = {}
        for node_id in node_ids:
            path = self._paths.get(node_id)
            if path is not None:
                found.setdefault(path, []).append(self.leaves[path].nodes[node_id])
        return found

    def close(self) -> None:
        """Let every node go."""
        for leaf in self.leaves.values():
            for node in tuple(leaf.nodes.values()):
                leaf.discard(node)

    def _leave(self, node: NodeView, path: Path) -> None:
        del self._paths[node.id]
        leaf = self.leaves[path]
        leaf.discard(node)
        if not leaf.nodes:
            del self.leaves[path]

    def _path(self, node: NodeView) -> Path | None:
        if node.node is None or not passes_static(node, self._demand):
            return None
        return tuple(label_of(node.node, key) for key in self._demand.preferences)


class Pools:
    """The pools in use."""

    def __init__(self, cluster: ClusterView) -> None:
        self._cluster = cluster
        self._pools: dict[object, Pool] = {}

    def get(self, demand: Demand) -> Generator[None, None, Pool]:
        """Return the pool for `demand`, made, in steps, when it is asked for the first time."""
        strategy = self._cluster.strategy(demand)
        key = demand.pool_key, strategy
        pool = self._pools.pop(key, None)
        if pool is None:
            pool = Pool(demand, strategy)
            for looks, node in enumerate(tuple(self._cluster), 1):
                pool.refresh(node)
                if looks % LOOKS_MAX == 0:
                    yield
            while len(self._pools) >= POOLS_MAX:
                self._pools.pop(next(iter(self._pools))).close()
        self._pools[key] = pool
        return pool

    def refresh(self, node: NodeView) -> None:
        """Note that the object of `node` changed or is gone."""
        for pool in self._pools.values():
            pool.refresh(node)


class Branch:
    """The rankings below one value of a label, as if they were one."""

    def __init__(self, name: str, children: list["Branch | LeafRanking"]) -> None:
        self.name = name
        self.replicas: int = sum(child.replicas for child in children)
        self.load: float = sum(child.load for child in children) / len(children)
        self._heap = [(child.replicas, child.load, child.name, child) for child in children]
        heapify(self._heap)

    def take(self) -> NodeView | Ranked:
        """Return the best node of the branch with the fewest tasks, and count one more there."""
        while self._heap:
            child = self._heap[0][3]
            taken = child.take()
            if taken is Ranked.BUSY:
                return taken
            heappop(self._heap)
            if taken is Ranked.EXHAUSTED:
                continue
            heappush(self._heap, (child.replicas, child.load, child.name, child))
            self.replicas += 1
            return taken
        return Ranked.EXHAUSTED


def ranking(
    pool: Pool, demand: Demand, view: ClusterView, failures: dict[str, int]
) -> "Branch | LeafRanking":
    """Return the nodes of `pool` for the tasks of one group, best first, spread as they should be.

    `failures`: the nodes where the group failed often, and how often.
    """
    special = pool.by_leaf(_special(demand, view) | failures)

    def ranked(path: Path, leaf: Leaf) -> LeafRanking:
        return LeafRanking(leaf, demand, special.get(path, ()), failures)

    return _tree("", dict(pool.leaves), 0, len(demand.preferences), ranked)


def _special(demand: Demand, view: ClusterView) -> dict[str, int]:
    """Return, as keys, the nodes with tasks of the service, of those it speaks of, or that object to it."""
    found = dict(view.hosts(demand.service_id))
    for one in demand.affinities or ():
        found.update(view.hosts_of(one.facet))
    for facet in demand.facets:
        found.update(view.guarded_from(facet))
    return found


def _tree(
    name: str,
    leaves: dict[Path, Leaf],
    level: int,
    depth: int,
    ranked: Callable[[Path, Leaf], LeafRanking],
) -> "Branch | LeafRanking":
    if level == depth:
        return ranked(*next(iter(leaves.items()), ((), Leaf())))
    values: dict[str, dict[Path, Leaf]] = {}
    for path, leaf in leaves.items():
        values.setdefault(path[level], {})[path] = leaf
    children = [_tree(value, below, level + 1, depth, ranked) for value, below in values.items()]
    return Branch(name, children or [ranked((), Leaf())])


def label_of(node: Node, key: str) -> str:
    """Return the value of `node.labels.KEY` or `engine.labels.KEY`; without it the empty string."""
    for prefix, labels in (
        ("node.labels.", node.spec.annotations.labels),
        ("engine.labels.", node.description.engine_labels),
    ):
        if key.startswith(prefix):
            return str(labels.get(key.removeprefix(prefix), ""))
    return ""
