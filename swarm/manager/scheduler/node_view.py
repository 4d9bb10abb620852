"""What each node has left, and what runs there: kept up to date from events, never rebuilt.

Rules: a task is counted on its node from the moment it is bound there until it reaches a terminal state or
is deleted; one that was nominated is counted on the node where room is kept for it, so that nobody else gets
that room. Putting the same task twice changes nothing, so the scheduler may count a placement before its
commit comes back as an event. Knows nothing of filters and ranking.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, TypeVar
from weakref import WeakValueDictionary

from swarm.api.v1.objects_pb2 import Node, Service, Task
from swarm.api.v1.types_pb2 import NodeAvailability, NodeState, PlacementStrategy
from swarm.clock import SECOND, nanoseconds
from swarm.manager.scheduler.demand import Demand, Group, HostPort, demand_of, group_of, is_taken
from swarm.manager.scheduler.last_places import LastPlaces
from swarm.manager.scheduler.precedence import Precedence, precedence_of
from swarm.manager.scheduler.volumes import Given, VolumeBook, given_to
from swarm.model import task_state
from swarm.model.affinity import Facet
from swarm.model.devices import claims_for, parts_of, task_claims, things_of
from swarm.model.generic_resources import Claim, Ledger
from swarm.model.preemption import is_nominated

K = TypeVar("K")

_NOWHERE = Node()  # has nothing

# A node where one version of a service failed this often in this time is asked last (values of SwarmKit).
FAILURES_MANY = 5
FAILURES_WINDOW_NS = 300 * SECOND


class NodeListener(Protocol):
    """Who must know when what a node runs or has left changes."""

    def changed(self, node: "NodeView") -> None:
        """Take note that `node` has other tasks, or more or less of something, than before."""


@dataclass(frozen=True, slots=True)
class Bound:
    """One task counted on a node."""

    node_id: str
    demand: Demand
    active: bool  # it is meant to run; otherwise it only holds resources until it has stopped
    claims: tuple[Claim, ...]  # generic resources it was given
    is_kept: bool = False  # it is not there: room is kept for it until its victims have stopped
    victims: tuple[str, ...] = ()  # ids of the tasks that it waits for
    volumes: tuple[Given, ...] = ()  # cluster volumes that it has


class NodeView:
    """One node as the scheduler sees it."""

    __slots__ = (
        "active",
        "bound",
        "devices",
        "facets",
        "generic",
        "guards",
        "id",
        "listeners",
        "memory_bytes",
        "memory_bytes_free",
        "nano_cpus",
        "nano_cpus_free",
        "node",
        "ports",
        "ready",
        "tasks",
        "volumes",
    )

    def __init__(self, node_id: str, volumes: VolumeBook | None = None) -> None:
        """`volumes` are those of the cluster."""
        self.id = node_id
        self.volumes = volumes or VolumeBook()
        self.node: Node | None = None  # None: tasks are bound to it, but it does not exist (any more)
        self.ready = False
        self.nano_cpus = self.nano_cpus_free = 0
        self.memory_bytes = self.memory_bytes_free = 0
        self.generic = Ledger()  # whole devices included
        self.devices: dict[str, tuple[str, ...]] = {}  # by their full names, with their parts
        self.active = 0
        self.tasks = 0
        self.bound: dict[str, Bound] = {}  # by the id of the task
        self.ports: Counter[HostPort] = Counter()
        self.listeners: list[NodeListener] = []
        self.facets: dict[Facet, int] = {}  # active tasks by what affinities know them by
        self.guards: dict[Facet, int] = {}  # active tasks that keep others away, by whom they keep away

    @property
    def version(self) -> int:
        """Version of the node object seen last."""
        return self.node.meta.version.index if self.node is not None else 0

    def replicas(self, service_id: str) -> int:
        """Return the number of active tasks of a service here."""
        return self.facets.get(("service", service_id), 0)

    def reserved_permille(self, nano_cpus: int = 0, memory_bytes: int = 0) -> int:
        """Return how much of the scarcer of cpu and memory is reserved, with so much more added."""
        cpus = _permille(self.nano_cpus - self.nano_cpus_free + nano_cpus, self.nano_cpus)
        return max(
            cpus, _permille(self.memory_bytes - self.memory_bytes_free + memory_bytes, self.memory_bytes)
        )

    def things_room(self, demand: Demand, limit: int) -> int:
        """Return for how many tasks generic resources and devices are free, `limit` at most."""
        if demand.devices:
            claims = claims_for(demand.devices, self.devices)
            if not self.generic.grants(claims):
                return 0
            if not all(claim.shared for claim in claims):
                limit = min(limit, 1)
        return self.generic.room(demand.generic, limit) if demand.generic else limit

    def things(self, demand: Demand) -> tuple[Claim, ...]:
        """Return what generic resources and devices the next task is given."""
        claims = self.generic.pick(demand.generic) if demand.generic else ()
        return (*claims, *claims_for(demand.devices, self.devices)) if demand.devices else claims

    def things_to_come(self, demand: Demand) -> tuple[Claim, ...]:
        """Return what is kept for the next task while others have it still."""
        counts = (Claim(kind, self.generic.number(kind, count)) for kind, count in demand.generic)
        return (*counts, *claims_for(demand.devices, self.devices))

    def choose_volumes(self, demand: Demand) -> tuple[Given, ...] | None:
        """Return the cluster volumes that the next task is given, None when it cannot have all."""
        if not demand.volumes or self.node is None:
            return ()
        return self.volumes.choose(self.id, self.node.description, demand.volumes)

    def copy(self) -> "NodeView":
        """Return a node that is the same, has no listeners, and is changed without this one."""
        copy = NodeView(self.id, self.volumes)
        copy.node, copy.ready, copy.devices = self.node, self.ready, self.devices
        copy.nano_cpus, copy.nano_cpus_free = self.nano_cpus, self.nano_cpus_free
        copy.memory_bytes, copy.memory_bytes_free = self.memory_bytes, self.memory_bytes_free
        copy.generic, copy.ports = self.generic.copy(), self.ports.copy()
        copy.active, copy.tasks = self.active, self.tasks
        copy.facets, copy.guards = self.facets.copy(), self.guards.copy()
        copy.bound = self.bound  # read only: what is counted on a copy has no names
        return copy

    def show(self, node: Node | None) -> None:
        """Take over what the node's object says."""
        description = (node or _NOWHERE).description
        resources = description.resources
        self.nano_cpus_free += resources.nano_cpus - self.nano_cpus
        self.memory_bytes_free += resources.memory_bytes - self.memory_bytes
        self.nano_cpus, self.memory_bytes = resources.nano_cpus, resources.memory_bytes
        self.generic.show(things_of(description))
        self.devices = parts_of(description)
        self.node = node
        self.ready = node is not None and is_available(node)
        self._tell()

    def count(self, bound: Bound, sign: int) -> None:
        """Add (1) or take away (-1) a task."""
        demand = bound.demand
        self.tasks += sign
        self.nano_cpus_free -= sign * demand.nano_cpus
        self.memory_bytes_free -= sign * demand.memory_bytes
        for port in demand.ports:
            self.ports[port] += sign
            if not self.ports[port]:
                del self.ports[port]
        if bound.claims:
            self.generic.count(bound.claims, sign)
        if bound.active:
            self.active += sign
            for facet in demand.facets:
                _add(self.facets, facet, sign)
            for facet in demand.guards:
                _add(self.guards, facet, sign)
        self._tell()

    def _tell(self) -> None:
        for listener in self.listeners:
            listener.changed(self)


class ClusterView:
    """All nodes, and the tasks bound to them."""

    def __init__(self) -> None:
        self._nodes: dict[str, NodeView] = {}
        self._bound: dict[str, Bound] = {}
        self._placed: dict[str, int] = {}  # active tasks of services by id, those that are there
        self._condemned: dict[str, int] = {}  # victims by id, and how many wait for each
        self._precedences: dict[str, Precedence] = {}  # of services by id
        self._demands: WeakValueDictionary[Group, Demand] = WeakValueDictionary()
        self._facets: dict[Facet, dict[str, int]] = {}  # what services are known by → node → active tasks
        self._guards: dict[Facet, dict[str, int]] = {}  # whom services keep away → node → active tasks
        self.default_strategy = PlacementStrategy.PLACEMENT_STRATEGY_SPREAD
        self._failures: dict[Group, dict[str, dict[str, int]]] = {}  # group → node → task → when
        self._last = LastPlaces()
        self.volumes = VolumeBook()

    def __iter__(self) -> Iterator[NodeView]:
        """Iterate over the nodes that exist."""
        return (node for node in self._nodes.values() if node.node is not None)

    def get(self, node_id: str) -> NodeView | None:
        """Return a node that exists."""
        node = self._nodes.get(node_id)
        return node if node is not None and node.node is not None else None

    def demand(self, task: Task) -> Demand:
        """Return what `task` asks of a node."""
        group = group_of(task)
        demand = self._demands.get(group)
        if demand is None:
            demand = self._demands[group] = demand_of(task)
        return demand

    def hosts(self, service_id: str) -> dict[str, int]:
        """Return how many active tasks of a service each node has, nodes without any left out."""
        return self.hosts_of(("service", service_id))

    def hosts_of(self, facet: Facet) -> dict[str, int]:
        """Return how many active tasks known by `facet` each node has, nodes without any left out."""
        return self._facets.get(facet, {})

    def placed(self, service_id: str) -> int:
        """Return how many active tasks of a service all nodes have, without those that room is kept for."""
        return self._placed.get(service_id, 0)

    def guarded_from(self, facet: Facet) -> dict[str, int]:
        """Return on which nodes tasks keep those known by `facet` away."""
        return self._guards.get(facet, {})

    def strategy(self, demand: Demand) -> "PlacementStrategy":
        """Return how the nodes for `demand` are ranked."""
        return demand.strategy or self.default_strategy

    def precedence(self, demand: Demand) -> Precedence:
        """Return how the tasks of a service stand to those of others: as it says now, where it is known."""
        return self._precedences.get(demand.service_id, demand.precedence)

    def priority_of(self, task: Task) -> int:
        """Return the priority of `task`, which may wait still."""
        known = self._precedences.get(task.service_id)
        return known.priority if known is not None else task.spec.priority

    def put_service(self, service: Service) -> bool:
        """Take over what a service says; return whether its tasks stand otherwise to others now."""
        before = self._precedences.get(service.id, Precedence())
        after = self._precedences[service.id] = precedence_of(service)
        return (before.priority, before.preempts) != (after.priority, after.preempts)

    def port_holder(self, node_id: str, port: HostPort) -> str:
        """Return the name of a service with an active task on a node that publishes `port` there, or ""."""
        for demand in tuple(self._demands.values()):
            if is_taken(port, demand.ports) and node_id in self.hosts(demand.service_id):
                return demand.service_name
        return ""

    def put_node(self, node: Node) -> NodeView:
        """Add a node, or take over its new state."""
        view = self._nodes.get(node.id)
        if view is None:
            view = self._nodes[node.id] = NodeView(node.id, self.volumes)
        view.show(node)
        return view

    def drop_node(self, node_id: str) -> None:
        """Forget a node; what is bound to it stays counted until it is deleted."""
        view = self._nodes.get(node_id)
        if view is not None:
            view.show(None)
            self._forget_empty(view)

    def put_task(self, task: Task, now_ns: int) -> str:
        """Take over the state of a task; return the id of the node that has more room now, or nothing."""
        before = self._bound.get(task.id)
        after = self._binding(task)
        if task.status.state in _FAILURES and task.node_id:
            self._note_failure(task, now_ns)
        self._last.put(task)
        if before is not None and after is not None and before == after:
            return ""
        self._replace(task.id, before, after)
        if before is None or (after is not None and after.node_id == before.node_id and after.active):
            return ""
        return before.node_id if before.active or after is None else ""

    def drop_task(self, task_id: str) -> str:
        """Forget a deleted task; return the id of the node that has more room now, or nothing."""
        before = self._bound.get(task_id)
        self._replace(task_id, before, None)
        self._last.drop(task_id)
        return before.node_id if before is not None else ""

    def last_place(self, task: Task) -> tuple[str, str]:
        """Return the node on which the slot's last task ran, and its id; empty when none did.

        Known of sticky services; of others only while the task that this one replaces is on its node.
        """
        known, before = self._last.of(task), self._bound.get(task.previous_task_id)
        return known or ((before.node_id, task.previous_task_id) if before is not None else ("", ""))

    def is_stopping(self, task_id: str) -> bool:
        """Whether a task still holds what it has on its node, and is to stop."""
        bound = self._bound.get(task_id)
        return bound is not None and not bound.active

    def bind(self, task: Task, node: NodeView) -> tuple[Claim, ...]:
        """Count `task` on `node` ahead of the commit that binds it; return what it is given there."""
        demand = self.demand(task)
        active = task.desired_state <= task_state.RUNNING
        claims = node.things(demand)
        volumes = node.choose_volumes(demand) or ()
        bound = Bound(node.id, demand, active, claims, volumes=volumes)
        self._replace(task.id, self._bound.get(task.id), bound)
        return claims

    def volumes_of(self, task_id: str) -> tuple[Given, ...]:
        """Return the cluster volumes that a task has."""
        bound = self._bound.get(task_id)
        return bound.volumes if bound is not None else ()

    def keep_room(self, task: Task, node: NodeView, victims: tuple[str, ...]) -> None:
        """Keep room for `task` on `node` until its victims have stopped, ahead of the commit."""
        kept = self._kept(task, node, victims)
        self._replace(task.id, self._bound.get(task.id), kept)

    def kept_for(self, task_id: str) -> Bound | None:
        """Return where room is kept for a task, if it is."""
        bound = self._bound.get(task_id)
        return bound if bound is not None and bound.is_kept else None

    def is_condemned(self, task_id: str) -> bool:
        """Whether some task waits for this one to stop."""
        return task_id in self._condemned

    def many_failures(self, group: Group, now_ns: int) -> dict[str, int]:
        """Return the nodes where tasks of `group` failed often lately, and how often."""
        nodes = self._failures.get(group, {})
        for node_id, tasks in tuple(nodes.items()):
            fresh = {task: at for task, at in tasks.items() if now_ns - at < FAILURES_WINDOW_NS}
            if fresh:
                nodes[node_id] = fresh
            else:
                del nodes[node_id]
        if not nodes:
            self._failures.pop(group, None)
        return {node: len(tasks) for node, tasks in nodes.items() if len(tasks) >= FAILURES_MANY}

    def forget_service(self, service_id: str) -> None:
        """Forget a service that is gone."""
        self._precedences.pop(service_id, None)
        for group in [group for group in self._failures if group[0] == service_id]:
            del self._failures[group]

    def _kept(self, task: Task, node: NodeView, victims: tuple[str, ...]) -> Bound:
        demand = self.demand(task)
        return Bound(node.id, demand, True, node.things_to_come(demand), is_kept=True, victims=victims)

    def _binding(self, task: Task) -> Bound | None:
        if is_nominated(task):
            node = self.get(task.nomination.node_id)
            return self._kept(task, node, tuple(task.nomination.victims)) if node is not None else None
        # A task of a global service has a node from its creation, and is bound there once it is assigned.
        if not task.node_id or task.status.state < task_state.ASSIGNED or task_state.is_done(task):
            return None
        claims = task_claims(task) if task.assigned_generic or task.shared_devices else ()
        active, volumes = task_state.wants_to_run(task), given_to(task) if task.volumes else ()
        return Bound(task.node_id, self.demand(task), active, claims, volumes=volumes)

    def _replace(self, task_id: str, before: Bound | None, after: Bound | None) -> None:
        if before is not None:
            self._count(task_id, before, -1)
            del self._bound[task_id]
        if after is not None:
            self._bound[task_id] = after
            self._count(task_id, after, 1)

    def _count(self, task_id: str, bound: Bound, sign: int) -> None:
        view = self._nodes.get(bound.node_id)
        if view is None:
            view = self._nodes[bound.node_id] = NodeView(bound.node_id, self.volumes)
        if sign > 0:
            view.bound[task_id] = bound
        else:
            del view.bound[task_id]
        for victim in bound.victims:
            _add(self._condemned, victim, sign)
        if bound.volumes:
            self.volumes.count(task_id, bound.node_id, bound.volumes, sign)
        view.count(bound, sign)
        if bound.active:
            if not bound.is_kept:
                _add(self._placed, bound.demand.service_id, sign)
            for facet in bound.demand.facets:
                _add_on(self._facets, facet, bound.node_id, sign)
            for facet in bound.demand.guards:
                _add_on(self._guards, facet, bound.node_id, sign)
        self._forget_empty(view)

    def _forget_empty(self, view: NodeView) -> None:
        if view.node is None and not view.tasks:
            self._nodes.pop(view.id, None)

    def _note_failure(self, task: Task, now_ns: int) -> None:
        # The agent's clock may be wrong: a failure lies between the creation of the task and now.
        at = min(max(nanoseconds(task.status.timestamp), nanoseconds(task.meta.created_at)), now_ns)
        if now_ns - at < FAILURES_WINDOW_NS:
            nodes = self._failures.setdefault(group_of(task), {})
            nodes.setdefault(task.node_id, {}).setdefault(task.id, at)


_FAILURES = frozenset((task_state.FAILED, task_state.REJECTED))


def is_available(node: Node) -> bool:
    """Whether the node takes new tasks."""
    return (
        node.status.state == NodeState.NODE_STATE_READY
        and node.spec.availability == NodeAvailability.NODE_AVAILABILITY_ACTIVE
    )


def _permille(part: int, whole: int) -> int:
    return part * 1000 // whole if whole else 0


def _add(totals: dict[K, int], key: K, number: int) -> None:
    left = totals.get(key, 0) + number
    if left:
        totals[key] = left
    else:
        totals.pop(key, None)


def _add_on(places: dict[Facet, dict[str, int]], facet: Facet, node_id: str, number: int) -> None:
    nodes = places.setdefault(facet, {})
    _add(nodes, node_id, number)
    if not nodes:
        del places[facet]
