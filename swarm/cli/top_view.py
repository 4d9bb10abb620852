"""What `swarmctl top` shows: nodes, services and tasks with what they use."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from swarm.api.v1.containers_pb2 import ContainerSample
from swarm.api.v1.objects_pb2 import Node, Service, Task
from swarm.cli import names
from swarm.cli.render import Row
from swarm.cli.task_table import task_name
from swarm.model.task_state import RUNNING
from swarm.model.units import format_size

NODES = (
    ("NODE", "Name"),
    ("STATUS", "Status"),
    ("TASKS", "Tasks"),
    ("CPUS", "Cpus"),
    ("OF", "CpusTotal"),
    ("MEMORY", "Memory"),
    ("OF", "MemoryTotal"),
)
SERVICES = (("SERVICE", "Name"), ("REPLICAS", "Replicas"), ("CPUS", "Cpus"), ("MEMORY", "Memory"))
TASKS = (("TASK", "Name"), ("NODE", "Node"), ("CPUS", "Cpus"), ("MEMORY", "Memory"), ("PROCESSES", "PIDs"))
SORTS = ("cpu", "memory", "name")


@dataclass(frozen=True, slots=True)
class Used:
    """What one container, or several, use."""

    cpus: float = 0.0  # processors, on average since the sample before
    memory_bytes: int = 0
    pids: int = 0

    def __add__(self, other: "Used") -> "Used":
        return Used(self.cpus + other.cpus, self.memory_bytes + other.memory_bytes, self.pids + other.pids)

    def row(self) -> Row:
        """Return the columns of it."""
        return {
            "Cpus": f"{self.cpus:.2f}",
            "Memory": format_size(self.memory_bytes),
            "PIDs": str(self.pids),
        }


@dataclass(slots=True)
class Samples:
    """The newest sample of every container, and the processors it used since the one before."""

    _now: dict[str, dict[str, ContainerSample]] = field(default_factory=dict)  # by node, by container
    _cpus: dict[str, float] = field(default_factory=dict)

    def take(self, node_id: str, samples: Iterable[ContainerSample]) -> None:
        """Take all samples of one node: containers that are missing are gone."""
        before, now = self._now.get(node_id, {}), {one.container_id: one for one in samples}
        for gone in before.keys() - now.keys():
            self._cpus.pop(gone, None)
        for container_id, one in now.items():
            earlier = before.get(container_id)
            if earlier is not None and one.at_ns > earlier.at_ns:
                used = max(0, one.cpu_usage_ns - earlier.cpu_usage_ns)
                self._cpus[container_id] = used / (one.at_ns - earlier.at_ns)
        self._now[node_id] = now

    def used(self) -> Mapping[str, Mapping[str, tuple[str, Used]]]:
        """Return name and use of each container, by node id and container id."""
        return {
            node_id: {
                key: (one.name, Used(self._cpus.get(key, 0.0), one.memory_bytes, one.pids))
                for key, one in samples.items()
            }
            for node_id, samples in self._now.items()
        }


@dataclass(frozen=True, slots=True)
class Cluster:
    """What the managers know."""

    nodes: tuple[Node, ...]
    services: tuple[tuple[Service, str], ...]  # with the text of their replicas
    tasks: tuple[Task, ...]


@dataclass(frozen=True, slots=True)
class Screen:
    """Three tables and a line above them."""

    head: str
    nodes: tuple[Row, ...]
    services: tuple[Row, ...]
    tasks: tuple[Row, ...]  # and containers without one


def screen(cluster: Cluster, samples: Samples, sort: str) -> Screen:
    """Return what to show, the greatest first, or by name."""
    tasks = {task.id: task for task in cluster.tasks}
    hostnames = {one.id: one.description.hostname or one.id for one in cluster.nodes}
    by_node: dict[str, Used] = defaultdict(Used)
    by_service: dict[str, Used] = defaultdict(Used)
    rows = []
    for node_id, containers in samples.used().items():
        for container_id, (name, used) in containers.items():
            by_node[node_id] += used
            task = tasks.get(container_id)
            if task is not None:
                by_service[task.service_id] += used
            shown = task_name(task, hostnames) if task is not None else name
            rows.append((used, {"Name": shown, "Node": hostnames.get(node_id, node_id), **used.row()}))
    nodes = [(by_node[one.id], _node(one, by_node[one.id], cluster.tasks)) for one in cluster.nodes]
    services = [
        (
            by_service[one.id],
            {"Name": one.spec.annotations.name, "Replicas": text, **by_service[one.id].row()},
        )
        for one, text in cluster.services
    ]
    ready = sum(row["Status"].startswith("ready") for _, row in nodes)
    running = sum(task.status.state == RUNNING for task in cluster.tasks)
    total = sum(by_node.values(), Used())
    head = (
        f"nodes {ready}/{len(nodes)} ready   services {len(services)}   tasks {running} running   "
        f"cpus {total.cpus:.2f}   memory {format_size(total.memory_bytes)}"
    )
    return Screen(head, _sorted(nodes, sort), _sorted(services, sort), _sorted(rows, sort))


def _sorted(rows: Iterable[tuple[Used, Row]], sort: str) -> tuple[Row, ...]:
    def key(entry: tuple[Used, Row]) -> tuple[float, str]:
        used, row = entry
        amount = {"cpu": used.cpus, "memory": float(used.memory_bytes)}.get(sort, 0.0)
        return (-amount, row["Name"])

    return tuple(row for _, row in sorted(rows, key=key))


def _node(item: Node, used: Used, tasks: Iterable[Task]) -> Row:
    state = names.word(names.NODE_STATE, item.status.state)
    availability = names.word(names.AVAILABILITY, item.spec.availability)
    resources = item.description.resources
    count = sum(task.node_id == item.id and task.status.state == RUNNING for task in tasks)
    return {
        "Name": item.description.hostname or item.id,
        "Status": state if availability == "active" else f"{state}, {availability}",
        "Tasks": str(count),
        **used.row(),
        "CpusTotal": f"{resources.nano_cpus / 1e9:g}",
        "MemoryTotal": format_size(resources.memory_bytes),
    }
