"""May a node take a task, and if not, why not?

Static filters look at what only the node's object says; a pool of nodes that pass them is kept (rank.py).
The others look at what the node's tasks leave over, and change with every placement.
"""

from collections.abc import Callable
from dataclasses import dataclass

from swarm.manager.scheduler.demand import Demand
from swarm.manager.scheduler.node_view import NodeView
from swarm.model.constraint import node_matches
from swarm.model.platform import platform_matches

# More tasks than any node runs: the room of a node that nothing limits.
UNLIMITED = 1 << 31


@dataclass(frozen=True, slots=True)
class Filter:
    """One reason for which a node is out of the question."""

    passes: Callable[[NodeView, Demand], bool]
    one: str  # how it reads for one node
    many: str  # and for several: `{}` is their number

    def explain(self, nodes: int) -> str:
        """Return the reason as people read it."""
        return self.one if nodes == 1 else self.many.format(nodes)


def is_ready(node: NodeView, demand: Demand) -> bool:
    """Whether the node takes new tasks at all."""
    return node.ready


def has_resources(node: NodeView, demand: Demand) -> bool:
    """Whether the node has the reserved cpu and memory free."""
    return demand.nano_cpus <= node.nano_cpus_free and demand.memory_bytes <= node.memory_bytes_free


def meets_constraints(node: NodeView, demand: Demand) -> bool:
    """Whether every constraint of the placement holds."""
    if demand.constraints is None or node.node is None:
        return False
    return not demand.constraints or node_matches(demand.constraints, node.node)


def has_platform(node: NodeView, demand: Demand) -> bool:
    """Whether the node can execute one of the image's platforms."""
    if node.node is None:
        return False
    platforms = demand.placement.platforms
    return not platforms or platform_matches(platforms, node.node.description.platform)


def has_host_ports(node: NodeView, demand: Demand) -> bool:
    """Whether the host-mode ports are free."""
    return not any(port in node.ports for port in demand.ports)


def has_replicas_left(node: NodeView, demand: Demand) -> bool:
    """Whether the node runs fewer tasks of the service than the service allows on one node."""
    limit = demand.replicas_max_per_node
    return not limit or node.replicas(demand.service_id) < limit


READY = Filter(is_ready, "1 node not available for new tasks", "{} nodes not available for new tasks")
RESOURCE = Filter(has_resources, "insufficient resources on 1 node", "insufficient resources on {} nodes")
CONSTRAINT = Filter(
    meets_constraints,
    "scheduling constraints not satisfied on 1 node",
    "scheduling constraints not satisfied on {} nodes",
)
PLATFORM = Filter(has_platform, "unsupported platform on 1 node", "unsupported platform on {} nodes")
HOST_PORT = Filter(
    has_host_ports, "host-mode port already in use on 1 node", "host-mode port already in use on {} nodes"
)
MAX_REPLICAS = Filter(
    has_replicas_left, "max replicas per node limit exceed", "max replicas per node limit exceed"
)

FILTERS = (READY, RESOURCE, CONSTRAINT, PLATFORM, HOST_PORT, MAX_REPLICAS)
STATIC_FILTERS = (READY, CONSTRAINT, PLATFORM)


def first_failure(node: NodeView, demand: Demand) -> Filter | None:
    """Return the first filter that refuses the node, in the order of FILTERS; None when none does."""
    return next((one for one in FILTERS if not one.passes(node, demand)), None)


def passes_static(node: NodeView, demand: Demand) -> bool:
    """Whether the node is one of those that could take the task if they had room."""
    return all(one.passes(node, demand) for one in STATIC_FILTERS)


def room(node: NodeView, demand: Demand) -> int:
    """Return how many tasks of this demand the node can still take, as far as the other filters go."""
    count = UNLIMITED
    if demand.nano_cpus > 0:
        count = min(count, node.nano_cpus_free // demand.nano_cpus)
    if demand.memory_bytes > 0:
        count = min(count, node.memory_bytes_free // demand.memory_bytes)
    if demand.ports:
        count = min(count, int(has_host_ports(node, demand)))
    if demand.replicas_max_per_node:
        count = min(count, demand.replicas_max_per_node - node.replicas(demand.service_id))
    return max(count, 0)
