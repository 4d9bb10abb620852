"""May a node take a task, and if not, why not?

Static filters look at what only the node's object says; a pool of nodes that pass them is kept (rank.py).
The others look at what the node's tasks leave over, and change with every placement.
"""

from collections.abc import Callable
from dataclasses import dataclass

from swarm.manager.scheduler.demand import Demand, is_taken
from swarm.manager.scheduler.node_view import NodeView
from swarm.model.affinity import Affinity
from swarm.model.constraint import node_matches
from swarm.model.network_support import ENCRYPTED, drivers_of, why_not_encrypted
from swarm.model.platform import platform_matches

# More tasks than any node runs: the room of a node that nothing limits.
UNLIMITED = 1 << 31


@dataclass(frozen=True, slots=True)
class Filter:
    """One reason for which a node is out of the question."""

    passes: Callable[[NodeView, Demand], bool]
    one: str  # how it reads for one node
    many: str  # and for several: the last `{}` is their number
    detail: Callable[[NodeView, Demand], str] | None = (
        None  # what the first `{}` of both is, if there is one
    )

    def explain(self, nodes: int, detail: str = "") -> str:
        """Return the reason as people read it."""
        text = self.one if nodes == 1 else self.many
        return text.format(detail, nodes) if self.detail else text.format(nodes)


def is_ready(node: NodeView, demand: Demand) -> bool:
    """Whether the node takes new tasks at all."""
    return node.ready


def has_resources(node: NodeView, demand: Demand) -> bool:
    """Whether the node has the reserved cpu, memory and generic resources free.

    What is not reserved need not be there: less than nothing is free where room is kept for another task.
    """
    return (
        demand.nano_cpus <= max(0, node.nano_cpus_free)
        and demand.memory_bytes <= max(0, node.memory_bytes_free)
        and node.things_room(demand, 1) > 0
    )


def has_disk(node: NodeView, demand: Demand) -> bool:
    """Whether the node says of itself that it can take more."""
    return node.node is None or not node.node.description.conditions


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


def has_devices(node: NodeView, demand: Demand) -> bool:
    """Whether the node has the devices that are asked for, in use or not."""
    return not ((demand.devices or demand.device_kinds) and missing_device(node, demand))


def missing_device(node: NodeView, demand: Demand) -> str:
    """Return which device, or kind of devices, the node does not have; empty when it has all."""
    for one in demand.devices:
        if str(one) not in node.devices:
            return f"no device {one}"
    for kind in demand.device_kinds:
        if not node.generic.has(kind):
            return f"no device {kind}"
    return ""


def joins_networks(node: NodeView, demand: Demand) -> bool:
    """Whether the node can give its tasks networks of these kinds."""
    return not (demand.network_drivers and missing_driver(node, demand))


def missing_driver(node: NodeView, demand: Demand) -> str:
    """Return which kind of network the node cannot give to a task; empty when it can all."""
    able = drivers_of(node.node) if node.node is not None else frozenset()
    missing = next((one for one in demand.network_drivers if one not in able), "")
    if missing == ENCRYPTED and node.node is not None:
        return f"no {missing} networks: {why_not_encrypted(node.node)}"
    return f"no {missing} networks" if missing else ""


def has_host_ports(node: NodeView, demand: Demand) -> bool:
    """Whether the host-mode ports are free."""
    return not any(is_taken(port, node.ports) for port in demand.ports)


def has_volumes(node: NodeView, demand: Demand) -> bool:
    """Whether a task here can have all cluster volumes that it wants."""
    return not demand.volumes or node.choose_volumes(demand) is not None


def missing_volume(node: NodeView, demand: Demand) -> str:
    """Return why a task here cannot have a cluster volume; empty when it can have all."""
    if node.node is None:
        return ""
    return node.volumes.problem(node.id, node.node.description, demand.volumes)


def has_replicas_left(node: NodeView, demand: Demand) -> bool:
    """Whether the node runs fewer tasks of the service than the service allows on one node."""
    limit = demand.replicas_max_per_node
    return not limit or node.replicas(demand.service_id) < limit


def satisfies_affinities(node: NodeView, demand: Demand) -> bool:
    """Whether the services that must be there are, those that must not are not, and none there objects."""
    return not objection(node, demand)


def objection(node: NodeView, demand: Demand) -> str:
    """Return which affinity forbids the node; empty when none does."""
    if demand.affinities is None:
        return "affinity that this version cannot read"
    for one in demand.affinities:
        if not one.weight and one.together != has_company(node, demand, one):
            return f"affinity {one} not satisfied"
    if node.guards and any(facet in node.guards for facet in demand.facets):
        return "kept away by the affinity of another service"
    return ""


def has_company(node: NodeView, demand: Demand, affinity: Affinity) -> bool:
    """Whether a task that `affinity` speaks of is there; its own tasks a service may avoid, never seek."""
    tasks = node.facets.get(affinity.facet, 0)
    if tasks and affinity.together and affinity.facet in demand.facets:
        tasks -= node.replicas(demand.service_id)
    return tasks > 0


def attraction(node: NodeView, demand: Demand) -> int:
    """Return how much the wishes of the service speak for the node; negative: against it."""
    return sum(
        one.weight if one.together else -one.weight
        for one in demand.affinities or ()
        if one.weight and has_company(node, demand, one)
    )


READY = Filter(is_ready, "1 node not available for new tasks", "{} nodes not available for new tasks")
DISK = Filter(has_disk, "disk pressure on 1 node", "disk pressure on {} nodes")
RESOURCE = Filter(has_resources, "insufficient resources on 1 node", "insufficient resources on {} nodes")
CONSTRAINT = Filter(
    meets_constraints,
    "scheduling constraints not satisfied on 1 node",
    "scheduling constraints not satisfied on {} nodes",
)
PLATFORM = Filter(has_platform, "unsupported platform on 1 node", "unsupported platform on {} nodes")
DEVICE = Filter(has_devices, "{} on 1 node", "{} on {} nodes", detail=missing_device)
NETWORK = Filter(joins_networks, "{} on 1 node", "{} on {} nodes", detail=missing_driver)
HOST_PORT = Filter(
    has_host_ports, "host-mode port already in use on 1 node", "host-mode port already in use on {} nodes"
)
MAX_REPLICAS = Filter(
    has_replicas_left, "max replicas per node limit exceed", "max replicas per node limit exceed"
)
VOLUME = Filter(has_volumes, "{} on 1 node", "{} on {} nodes", detail=missing_volume)
AFFINITY = Filter(satisfies_affinities, "{} on 1 node", "{} on {} nodes", detail=objection)

FILTERS = (
    *(READY, DISK, DEVICE, NETWORK, RESOURCE, CONSTRAINT, PLATFORM),
    *(HOST_PORT, VOLUME, MAX_REPLICAS, AFFINITY),
)
STATIC_FILTERS = (READY, DISK, DEVICE, NETWORK, CONSTRAINT, PLATFORM)


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
    if demand.generic or demand.devices:
        count = node.things_room(demand, count)
    if demand.ports:
        count = min(count, int(has_host_ports(node, demand)))
    if demand.volumes:
        count = min(count, int(has_volumes(node, demand)))
    if demand.replicas_max_per_node:
        count = min(count, demand.replicas_max_per_node - node.replicas(demand.service_id))
    if demand.affinities is None or demand.affinities or node.guards:
        count = min(count, _room_beside_others(node, demand))
    return max(count, 0)


def _room_beside_others(node: NodeView, demand: Demand) -> int:
    if not satisfies_affinities(node, demand):
        return 0
    return 1 if any(facet in demand.facets for facet in demand.guards) else UNLIMITED
