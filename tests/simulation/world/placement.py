"""C7 and C8: nothing is given twice, and no task is where it may not be.

A ledger of its own, kept from the commits alone: it shares no line with the scheduler's.
"""

from dataclasses import dataclass, field

from swarm.api.v1.objects_pb2 import Node, Task
from swarm.api.v1.types_pb2 import NodeAvailability, NodeState
from swarm.manager.store.tables import ReadView
from swarm.manager.store.watch import Action, Commit
from swarm.model import task_state
from swarm.model.constraint import node_matches, parse_constraints
from tests.simulation.world.story import Broken

Facet = tuple[str, str]  # ("service", name) or ("service.labels.KEY", value)


@dataclass(frozen=True)
class Need:
    """What one task takes of its node. Addresses of networks, once there are any, go into `named`."""

    task: Task
    service: str
    nano_cpus: int
    memory_bytes: int
    ports: tuple[int, ...]
    counted: dict[str, int]  # kind → number
    named: frozenset[tuple[str, str]]  # that nobody else has
    shared: frozenset[tuple[str, str]]  # devices, by kind and name
    facets: frozenset[Facet]
    avoids: frozenset[Facet]
    seeks: frozenset[Facet]


def need_of(task: Task) -> Need:
    """Return what a task needs, and what it was given."""
    reserved, name = task.spec.resources.reservations, task.service_annotations.name
    hard = [one.expression for one in task.spec.placement.affinities if not one.weight]
    counted: dict[str, int] = {}
    for one in reserved.generic:
        counted[one.kind] = counted.get(one.kind, 0) + one.count
    for one in task.spec.container.device_requests:
        counted[one.kind] = counted.get(one.kind, 0) + one.count
    return Need(
        task=task,
        service=task.service_id,
        nano_cpus=reserved.nano_cpus,
        memory_bytes=reserved.memory_bytes,
        ports=tuple(port.published_port for port in task.endpoint.ports),
        counted=counted,
        named=frozenset((one.kind, one.named) for one in task.assigned_generic if one.named),
        shared=frozenset(_device(one.cdi_name) for one in task.spec.container.devices),
        facets=frozenset({("service", name), ("service", task.service_id)}),
        avoids=frozenset(_facet(one, "!=") for one in hard if "!=" in one),
        seeks=frozenset(_facet(one, "==") for one in hard if "==" in one),
    )


def _device(name: str) -> tuple[str, str]:
    kind, _, one = name.partition("=")
    return kind, one


def _facet(expression: str, operator: str) -> Facet:
    key, _, value = expression.partition(operator)
    return key, value


def holds(task: Task) -> bool:
    """Whether a task takes something of its node."""
    return (
        bool(task.node_id)
        and task.status.state >= task_state.ASSIGNED
        and task.status.state not in task_state.TERMINAL
    )


@dataclass
class Have:
    """What one node has."""

    nano_cpus: int
    memory_bytes: int
    kinds: dict[str, int]
    devices: frozenset[tuple[str, str]]


def have_of(node: Node) -> Have:
    """Return what a node has."""
    resources = node.description.resources
    kinds: dict[str, int] = {}
    for one in resources.generic:
        kinds[one.kind] = kinds.get(one.kind, 0) + (1 if one.named else one.count)
    devices = frozenset(_device(one.name) for one in node.description.devices)
    for kind, _ in devices:
        kinds[kind] = kinds.get(kind, 0) + 1
    return Have(resources.nano_cpus, resources.memory_bytes, kinds, devices)


@dataclass
class Placement:
    """Who has what, on which node."""

    view: ReadView
    by_node: dict[str, dict[str, Need]] = field(default_factory=dict)

    def check(self, commit: Commit) -> None:
        """Take over a commit; raises Broken when it gives something twice, or to the wrong task."""
        bound: list[tuple[Task, Node | None]] = []
        nodes: dict[str, Node | None] = {}  # as they were before this commit changed them, and after
        for event in reversed(commit.events):
            if isinstance(event.object, Node):
                nodes[event.object.id] = event.previous if isinstance(event.previous, Node) else None
            elif isinstance(event.object, Task) and event.object.node_id:
                node_id = event.object.node_id
                bound.append((event.object, nodes.get(node_id) or self.view.nodes.get(node_id)))
        fresh = []
        for event in commit.events:
            task = event.object
            if (
                isinstance(task, Task)
                and task.node_id
                and self._put(task, removed=event.action is Action.REMOVE)
            ):
                fresh.append(task.id)
        for task, node in bound:
            need = self.by_node[task.node_id].get(task.id)
            if task.id in fresh and need is not None and need.task is task:
                self._check_bound(need, node)

    def _put(self, task: Task, *, removed: bool) -> bool:
        """Take over what a task is now; return whether it is new on its node."""
        held = self.by_node.setdefault(task.node_id, {})
        before = held.get(task.id)
        if removed or not holds(task):
            held.pop(task.id, None)
            return False
        if before is None or before.task.desired_state != task.desired_state:
            held[task.id] = need_of(task)
        return before is None

    def _check_bound(self, need: Need, node: Node | None) -> None:
        task = need.task
        if node is None:
            raise Broken(f"task {task.id} is assigned to node {task.node_id}, which does not exist")
        others = [one for one in self.by_node[node.id].values() if one is not need]
        problem = self.objection(node, need, others)
        if problem:
            ids = ", ".join(one.task.id for one in others)
            raise Broken(f"task {task.id} is assigned to node {node.id}, beside {ids}, but {problem}")

    def fits(self, task: Task, node: Node) -> bool:
        """Whether a node could take a task that waits."""
        others = list(self.by_node.get(node.id, {}).values())
        return not self.objection(node, need_of(task), others)

    def excess(self, node: Node) -> str:
        """Return what a node has less of than its tasks were promised, empty when nothing."""
        held = list(self.by_node.get(node.id, {}).values())
        have = have_of(node)
        return next(
            filter(None, (_shortage(have, one, [o for o in held if o is not one]) for one in held)), ""
        )

    def objection(self, node: Node, need: Need, others: list[Need]) -> str:
        """Return why a task may not be on a node, empty when it may."""
        if (
            node.status.state != NodeState.NODE_STATE_READY
            or node.spec.availability != NodeAvailability.NODE_AVAILABILITY_ACTIVE
        ):
            return "the node is not available"
        placement = need.task.spec.placement
        if not node_matches(parse_constraints(placement.constraints), node):
            return f"the node does not meet {list(placement.constraints)}"
        return _shortage(have_of(node), need, others) or _company(need, others)


def _shortage(have: Have, need: Need, others: list[Need]) -> str:
    everybody = [need, *others]
    if need.nano_cpus and sum(one.nano_cpus for one in everybody) > have.nano_cpus:
        return "there are not so many CPUs"
    if need.memory_bytes and sum(one.memory_bytes for one in everybody) > have.memory_bytes:
        return "there is not so much memory"
    for port in need.ports:
        if any(port in one.ports for one in others):
            return f"port {port} is taken"
    for kind in need.counted:
        if sum(one.counted.get(kind, 0) for one in everybody) > have.kinds.get(kind, 0):
            return f"there are not so many {kind}"
    if not need.shared <= have.devices:
        return "a device is not there"
    if any(kind in need.counted and _unavailable(kind, need, have, others) for kind, _ in have.devices):
        return "the devices are shared by others"
    for one in others:
        if need.named & (one.named | one.shared) or need.shared & one.named:
            return f"it has the same thing as {one.task.id}"
    return ""


def _unavailable(kind: str, need: Need, have: Have, others: list[Need]) -> bool:
    """Whether nobody can have so many devices of a kind for itself, because others share them."""
    in_use = {one for other in others for one in other.shared | other.named if one[0] == kind}
    free = [one for one in have.devices if one[0] == kind and one not in in_use]
    return len(free) < need.counted[kind]


def _company(need: Need, others: list[Need]) -> str:
    active = [one for one in others if one.task.desired_state <= task_state.RUNNING]
    limit = need.task.spec.placement.max_replicas_per_node
    if limit and sum(one.service == need.service for one in active) >= limit:
        return f"there are {limit} tasks of the service"
    if any(need.avoids & one.facets or one.avoids & need.facets for one in active):
        return "it keeps away from another task there, or that one from it"
    for facet in need.seeks:
        # Also one that was told to stop since: the scheduler could not know.
        if not any(facet in one.facets and one.service != need.service for one in others):
            return f"nothing known as {facet} is there"
    return ""
