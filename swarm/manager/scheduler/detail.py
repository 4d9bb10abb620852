"""What exactly does a node lack for a task? One sentence for one node, and one for all that lack the same.

The filters say whether and count nodes; this says what and how much. A filter without an entry here speaks
for itself.
"""

import functools
import re
from collections.abc import Callable, Iterable, Mapping

from swarm.api.v1.types_pb2 import NodeAvailability, NodeState, PortConfig
from swarm.manager.scheduler.demand import Demand, HostPort, is_taken
from swarm.manager.scheduler.filters import (
    CONSTRAINT,
    DEVICE,
    DISK,
    FILTERS,
    HOST_PORT,
    MAX_REPLICAS,
    NETWORK,
    PLATFORM,
    READY,
    RESOURCE,
    Filter,
    missing_device,
    missing_driver,
)
from swarm.manager.scheduler.node_view import ClusterView, NodeView
from swarm.model.constraint import actual_value, first_unmet, matches
from swarm.model.devices import NamedDevice, claims_for
from swarm.model.generic_resources import ALL
from swarm.model.host_addresses import host_prefix
from swarm.model.units import format_cpus, format_memory

CONSTRAINTS_SHOWN = 3
_VOLATILE = re.compile(r", (?:the most free is [^;]*|[^;,]* free)")


def same_reason(one: str, other: str) -> bool:
    """Whether two reasons differ in figures at most that change with every placement elsewhere."""
    return one == other or _lasting(one) == _lasting(other)


@functools.lru_cache(maxsize=256)  # asked of every task of a group, which all say the same
def _lasting(reason: str) -> str:
    return _VOLATILE.sub("", reason)


# For one node: everything that stands against it.


def against(view: ClusterView, node: NodeView, demand: Demand) -> tuple[str, ...]:
    """Return every reason for which `node` does not take a task of this demand; none when it would."""
    failures = [one for one in FILTERS if not one.passes(node, demand)]
    return tuple(text for one in failures for text in _about_node(view, node, demand, one))


def _about_node(view: ClusterView, node: NodeView, demand: Demand, failure: Filter) -> Iterable[str]:
    describe = _ABOUT_NODE.get(failure)
    texts = tuple(describe(view, node, demand)) if describe is not None else ()
    return texts or (failure.explain(1, failure.detail(node, demand) if failure.detail else ""),)


def _not_ready(view: ClusterView, node: NodeView, demand: Demand) -> Iterable[str]:
    if node.node is None:
        return
    if node.node.spec.availability == NodeAvailability.NODE_AVAILABILITY_PAUSE:
        yield "it is paused: it takes no new tasks"
    if node.node.spec.availability == NodeAvailability.NODE_AVAILABILITY_DRAIN:
        yield "it is drained: it takes no tasks"
    if node.node.status.state != NodeState.NODE_STATE_READY:
        state = NodeState.Name(node.node.status.state).removeprefix("NODE_STATE_").lower()
        said = f": {node.node.status.message}" if node.node.status.message else ""
        yield f"it is {state}{said}"


def _disk_full(view: ClusterView, node: NodeView, demand: Demand) -> Iterable[str]:
    if node.node is not None:
        for one in node.node.description.conditions:
            yield f"{one.type.lower().replace('_', ' ')}: {one.reason}"


def _too_little(view: ClusterView, node: NodeView, demand: Demand) -> Iterable[str]:
    resources = node.node.description.resources if node.node is not None else None
    if demand.nano_cpus > max(0, node.nano_cpus_free):
        total = f" of {format_cpus(resources.nano_cpus)}" if resources else ""
        free = format_cpus(max(0, node.nano_cpus_free))
        yield f"needs {format_cpus(demand.nano_cpus)}, {free}{total} free"
    if demand.memory_bytes > max(0, node.memory_bytes_free):
        total = f" of {format_memory(resources.memory_bytes)}" if resources else ""
        free = format_memory(max(0, node.memory_bytes_free))
        yield f"needs {format_memory(demand.memory_bytes)} of memory, {free}{total} free"
    for kind, count in demand.generic:
        if node.generic.number(kind, count) > node.generic.free(kind):
            yield f"needs {_number(count)} of {kind}, {max(0, node.generic.free(kind))} free"
    for device in _in_use(node, demand):
        yield f"the device {device} is in use by another task"
    for name in sorted({one.demand.service_name for one in node.bound.values() if one.is_kept}):
        yield f"room is kept for service {name}, which waits for others to stop"


def _in_use(node: NodeView, demand: Demand) -> Iterable[NamedDevice]:
    for device in demand.devices:
        there = str(device) in node.devices
        if there and not node.generic.grants(claims_for((device,), node.devices)):
            yield device


def _no_device(view: ClusterView, node: NodeView, demand: Demand) -> Iterable[str]:
    yield f"it has {missing_device(node, demand)}"


def _no_networks(view: ClusterView, node: NodeView, demand: Demand) -> Iterable[str]:
    yield f"its agent can do {missing_driver(node, demand)}"


def _unmet(view: ClusterView, node: NodeView, demand: Demand) -> Iterable[str]:
    if demand.constraints is None:
        yield f"its constraints cannot be read: {', '.join(demand.placement.constraints)}"
    elif node.node is not None:
        for constraint in demand.constraints:
            if not matches(constraint, node.node):
                actual = actual_value(constraint.key, node.node)
                has = f"it has {actual}" if actual else f"it has no {constraint.key}"
                yield f"constraint {constraint} is not met: {has}"


def _other_platform(view: ClusterView, node: NodeView, demand: Demand) -> Iterable[str]:
    wanted = " or ".join(
        f"{one.os or 'any'}/{one.architecture or 'any'}" for one in demand.placement.platforms
    )
    if node.node is not None:
        have = node.node.description.platform
        yield f"the image is for {wanted}, and this node is {have.os}/{have.architecture}"


def _taken_ports(view: ClusterView, node: NodeView, demand: Demand) -> Iterable[str]:
    for port in demand.ports:
        if is_taken(port, node.ports):
            yield f"port {port_text(port)} is taken by {_holder(view, node, port)}"


def _full(view: ClusterView, node: NodeView, demand: Demand) -> Iterable[str]:
    yield (
        f"it runs {node.replicas(demand.service_id)} of the service already, and "
        f"{demand.replicas_max_per_node} are allowed on one node"
    )


_ABOUT_NODE: Mapping[Filter, Callable[[ClusterView, NodeView, Demand], Iterable[str]]] = {
    READY: _not_ready,
    DISK: _disk_full,
    DEVICE: _no_device,
    RESOURCE: _too_little,
    CONSTRAINT: _unmet,
    PLATFORM: _other_platform,
    NETWORK: _no_networks,
    HOST_PORT: _taken_ports,
    MAX_REPLICAS: _full,
}


def port_text(port: HostPort) -> str:
    """Return e.g. `80/tcp`."""
    protocol = PortConfig.Protocol.Name(port[0]).removeprefix("PROTOCOL_").lower()
    return f"{host_prefix(port[2])}{port[1]}/{protocol}"


def _holder(view: ClusterView, node: NodeView, port: HostPort) -> str:
    name = view.port_holder(node.id, port)
    return f"service {name}" if name else "a task that is stopping"


# For all nodes that lack the same.


class Details:
    """Gathers, node by node, what is missing."""

    def __init__(self, view: ClusterView, demand: Demand) -> None:
        self._view = view
        self._demand = demand
        self._cpus: tuple[int, str] | None = None  # the most that is free, and where
        self._generic: dict[str, tuple[int, str]] = {}
        self._devices: dict[str, int] = {}  # in use, on how many nodes
        self._memory: tuple[int, str] | None = None
        self._constraints: dict[str, int] = {}
        self._port: tuple[HostPort, NodeView] | None = None

    def note(self, node: NodeView, failure: Filter) -> None:
        """Take note of a node that `failure` is the first to refuse."""
        if failure is RESOURCE:
            self._note_resources(node)
        elif failure is CONSTRAINT and self._demand.constraints and node.node is not None:
            unmet = str(first_unmet(self._demand.constraints, node.node))
            self._constraints[unmet] = self._constraints.get(unmet, 0) + 1
        elif failure is HOST_PORT and self._port is None:
            self._port = (
                next(port for port in self._demand.ports if is_taken(port, node.ports)),
                node,
            )

    def _note_resources(self, node: NodeView) -> None:
        name = _name(node)
        if self._demand.nano_cpus > max(0, node.nano_cpus_free):
            self._cpus = max(self._cpus or (0, name), (node.nano_cpus_free, name), key=_amount)
        if self._demand.memory_bytes > max(0, node.memory_bytes_free):
            self._memory = max(self._memory or (0, name), (node.memory_bytes_free, name), key=_amount)
        for kind, count in self._demand.generic:
            free = node.generic.free(kind)
            if node.generic.number(kind, count) > free:
                self._generic[kind] = max(self._generic.get(kind, (0, name)), (free, name), key=_amount)

        for device in map(str, _in_use(node, self._demand)):
            self._devices[device] = self._devices.get(device, 0) + 1

    def text(self) -> str:
        """Return what is missing, empty when there is nothing to add to the counts."""
        return "; ".join(self._parts())

    def _parts(self) -> Iterable[str]:
        if self._cpus is not None:
            most, where = self._cpus
            wanted = format_cpus(self._demand.nano_cpus)
            yield f"needs {wanted}, the most free is {format_cpus(most)} on {where}"
        if self._memory is not None:
            most, where = self._memory
            wanted = format_memory(self._demand.memory_bytes)
            yield f"needs {wanted} of memory, the most free is {format_memory(most)} on {where}"
        for kind, count in self._demand.generic:
            if kind in self._generic:
                most, where = self._generic[kind]
                yield f"needs {_number(count)} of {kind}, the most free is {most} on {where}"
        for device, nodes in sorted(self._devices.items()):
            yield f"the device {device} is in use on {nodes} node{'s' if nodes > 1 else ''}"
        for unmet, nodes in sorted(self._constraints.items())[:CONSTRAINTS_SHOWN]:
            yield f"{unmet} is not met by {nodes} node{'s' if nodes > 1 else ''}"
        if self._port is not None:
            port, node = self._port
            yield f"port {port_text(port)} is taken by {_holder(self._view, node, port)} on {_name(node)}"


def _number(count: int) -> str:
    return "all" if count == ALL else str(count)


def _amount(found: tuple[int, str]) -> int:
    return found[0]


def _name(node: NodeView) -> str:
    return (node.node.description.hostname if node.node is not None else "") or node.id
