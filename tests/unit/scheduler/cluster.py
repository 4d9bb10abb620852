"""Nodes and waiting tasks for the scheduler's plans."""

from itertools import count

from swarm.api.v1.objects_pb2 import Node, Nomination, Task
from swarm.api.v1.types_pb2 import NodeState, PortConfig
from swarm.cli.names import PLACEMENT_STRATEGY
from swarm.clock import SECOND, timestamp
from swarm.manager.scheduler.node_view import ClusterView
from swarm.manager.scheduler.nominate import plan_waiting
from swarm.manager.scheduler.plan import Plan, plan_bound, plan_group
from swarm.manager.scheduler.spread import Pools
from swarm.model import task_state
from swarm.model.affinity import read_affinity
from swarm.model.devices import parse_device, parse_gpus
from swarm.model.generic_resources import assigned_by, parse_owned, parse_wanted
from swarm.steps import complete

NOW_NS = 1_700_000_000 * SECOND


def a_node(
    node_id: str,
    cpus: float = 8,
    memory_gb: float = 8,
    generic: str = "",
    devices: str = "",
    **labels: str,
) -> Node:
    """Return a ready node; `generic` as the daemon reads it, `devices` as VENDOR/CLASS=NAME[:PART+PART]."""
    node = Node(id=node_id)
    node.meta.version.index = 1
    node.status.state = NodeState.NODE_STATE_READY
    node.description.hostname = node_id
    node.description.platform.os = "linux"
    node.description.platform.architecture = "amd64"
    node.description.resources.nano_cpus = int(cpus * 10**9)
    node.description.resources.memory_bytes = int(memory_gb * (1 << 30))
    if generic:
        node.description.resources.generic.extend(parse_owned([generic]))
    for name in filter(None, devices.split(",")):
        kind, _, parts = name.partition("=")
        node.description.devices.add(name=f"{kind}={parts.partition(':')[0]}", parts=_parts(parts))
    for key, value in labels.items():
        node.spec.annotations.labels[key] = value
    return node


def _parts(text: str) -> list[str]:
    name, _, parts = text.partition(":")
    return parts.split("+") if parts else [name]


class Cluster:
    """A view that is kept up to date, and the tasks placed in it."""

    def __init__(self, *nodes: Node) -> None:
        self.view = ClusterView()
        self.pools = Pools(self.view)
        self.tasks: dict[str, Task] = {}
        self._ids = count(1)
        for node in nodes:
            self.put_node(node)

    def put_node(self, node: Node) -> None:
        node.meta.version.index += 1
        self.pools.refresh(self.view.put_node(node))

    def drop_node(self, node_id: str) -> None:
        node = self.view.get(node_id)
        assert node is not None
        self.view.drop_node(node_id)
        self.pools.refresh(node)

    def new_tasks(self, number: int, service: str = "s", version: int = 1, **needs: object) -> list[Task]:
        """Return waiting tasks; `needs`: cpus, constraints, platforms, spread, ports, per_node, node_id,
        generic, device, gpus, affinity, strategy, labels (of the service), priority, preempt."""
        tasks = []
        for _ in range(number):
            task = Task(id=f"t{next(self._ids)}", service_id=service, spec_version=version)
            task.desired_state = task_state.RUNNING
            task.status.state = task_state.PENDING
            task.meta.created_at.CopyFrom(timestamp(NOW_NS - SECOND))
            _require(task, needs)
            tasks.append(task)
        return tasks

    def place(self, tasks: list[Task], now_ns: int = NOW_NS) -> Plan:
        """Plan for tasks of one group and carry the plan out."""
        plan = complete(plan_group(self.view, self.pools, tasks, now_ns))
        self._carry_out(plan, tasks)
        return plan

    def wait(self, tasks: list[Task]) -> Plan:
        """Plan for tasks as the loop does, room being made for those that preempt, and carry that out."""
        plan = complete(plan_waiting(self.view, self.pools, tasks, NOW_NS))
        self._carry_out(plan, tasks)
        known = {task.id: task for task in tasks}
        for task_id in plan.withdrawn:
            known[task_id].ClearField("nomination")
        for nominee in plan.nominees:
            task = known[nominee.task_id]
            task.nomination.CopyFrom(
                Nomination(node_id=nominee.node_id, victims=nominee.victims, priority=nominee.priority)
            )
            self.report(task, task_state.PENDING)
        return plan

    def tell_to_stop(self, task_id: str) -> None:
        """Do as the orchestrator does with a victim."""
        task = Task()
        task.CopyFrom(self.tasks[task_id])
        task.desired_state = task_state.SHUTDOWN
        self.report(task, task.status.state)

    def stop(self, task_id: str) -> None:
        self.tell_to_stop(task_id)
        self.report(self.tasks[task_id], task_state.SHUTDOWN)

    def check_bound(self, tasks: list[Task]) -> Plan:
        plan = complete(plan_bound(self.view, tasks))
        self._carry_out(plan, tasks)
        return plan

    def _carry_out(self, plan: Plan, tasks: list[Task]) -> None:
        known = {task.id: task for task in tasks}
        for assignment in plan.assignments:
            task = known[assignment.task_id]
            task.node_id = assignment.node_id
            del task.assigned_generic[:]
            task.assigned_generic.extend(assigned_by(one for one in assignment.claims if not one.shared))
            task.shared_devices.extend(assigned_by(one for one in assignment.claims if one.shared))
            self.report(task, task_state.ASSIGNED)

    def report(self, task: Task, state: int, at_ns: int = NOW_NS) -> None:
        changed = Task()
        changed.CopyFrom(task)
        changed.status.state = state
        changed.status.timestamp.CopyFrom(timestamp(at_ns))
        task.CopyFrom(changed)
        self.tasks[task.id] = changed
        self.view.put_task(changed, at_ns)

    def run_new(self, number: int, service: str = "s", version: int = 1, **needs: object) -> Plan:
        """Create and place tasks."""
        return self.place(self.new_tasks(number, service, version, **needs))

    def spread(self, service: str = "s") -> dict[str, int]:
        """Return how many unfinished tasks of a service each node has."""
        found = {node.id: 0 for node in self.view}
        for task in self.tasks.values():
            if task.service_id == service and not task_state.is_done(task):
                found[task.node_id] += 1
        return found


def _require(task: Task, needs: dict[str, object]) -> None:
    placement = task.spec.placement
    if "cpus" in needs:
        task.spec.resources.reservations.nano_cpus = int(float(str(needs["cpus"])) * 10**9)
    if "memory_gb" in needs:
        task.spec.resources.reservations.memory_bytes = int(float(str(needs["memory_gb"])) * (1 << 30))
    task.service_annotations.name = str(needs.get("name", task.service_id))
    for text in _texts(needs, "labels"):
        key, _, value = text.partition("=")
        task.service_annotations.labels[key] = value
    task.spec.resources.reservations.generic.extend(map(parse_wanted, _texts(needs, "generic")))
    task.spec.container.devices.extend(map(parse_device, _texts(needs, "device")))
    task.spec.container.device_requests.extend(map(parse_gpus, _texts(needs, "gpus")))
    placement.affinities.extend(map(read_affinity, _texts(needs, "affinity")))
    if "strategy" in needs:
        placement.strategy = PLACEMENT_STRATEGY[str(needs["strategy"])]
    placement.constraints.extend(_texts(needs, "constraints"))
    for label in _texts(needs, "spread"):
        placement.preferences.add(spread=label)
    for platform in _texts(needs, "platforms"):
        system, _, architecture = platform.partition("/")
        placement.platforms.add(os=system, architecture=architecture)
    for port in _texts(needs, "ports"):
        number, _, protocol = port.partition("/")
        added = task.endpoint.ports.add(published_port=int(number), target_port=80)
        added.protocol = PortConfig.Protocol.Value(f"PROTOCOL_{protocol.upper() or 'TCP'}")
        added.publish_mode = PortConfig.PUBLISH_MODE_HOST
    task.spec.priority = int(str(needs.get("priority", 0)))
    task.spec.preempt = bool(needs.get("preempt", False))
    if "per_node" in needs:
        placement.max_replicas_per_node = int(str(needs["per_node"]))
    if "node_id" in needs:
        task.node_id = str(needs["node_id"])


def _texts(needs: dict[str, object], name: str) -> list[str]:
    found = needs.get(name, [])
    return [found] if isinstance(found, str) else [str(one) for one in found]  # type: ignore[attr-defined]


def reasons(plan: Plan) -> list[str]:
    """Return why tasks were not placed."""
    return [refusal.reason for refusal in plan.refusals]
