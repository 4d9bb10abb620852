"""All metrics of a node, in one place. Most are computed when somebody asks, from what is known then."""

from collections.abc import Iterator, Mapping, Sequence

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from swarm.telemetry.samples import AgentSample, DiskUse, ManagerSample, NodeSample, TaskUse
from swarm.telemetry.tunnel import tunnel_families

# A commit is one fsync on a majority: around a millisecond on an SSD, seconds when something is wrong.
COMMIT_BUCKETS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)

_WAYS = {
    "network_received": "received",
    "network_sent": "sent",
    "disk_read": "read from disks",
    "disk_written": "written to disks",
}


class Metrics:
    """The registry of one node."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call] # a second series per metric that nobody asks for
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.raft_commit_seconds = Histogram(
            "swarm_raft_commit_duration_seconds",
            "Time from proposing an entry to its being committed by a majority and applied here.",
            buckets=COMMIT_BUCKETS,
            registry=self.registry,
        )

        self._autoscale_changes = Counter(
            "swarm_autoscale_changes",
            "Changes of the number of replicas that this manager decided as the leader.",
            labelnames=("direction",),
            registry=self.registry,
        )
        for direction in ("up", "down"):
            self._autoscale_changes.labels(direction)

    def scaled(self, direction: str) -> None:
        """Count a change of the number of replicas of an autoscaled service: up or down."""
        self._autoscale_changes.labels(direction).inc()

    def render(self, sample: NodeSample) -> bytes:
        """Return the page of a scrape."""
        scraped = CollectorRegistry()
        scraped.register(_Sampled(sample))
        return generate_latest(self.registry) + generate_latest(scraped)


class _Sampled(Collector):
    """One sample as metric families."""

    def __init__(self, sample: NodeSample) -> None:
        self._sample = sample

    def collect(self) -> Iterator[Metric]:
        sample = self._sample
        yield _gauge(
            "swarm_node_manager", "Whether this node is a manager.", int(sample.manager is not None)
        )
        if sample.certificate_expires_at_s is not None:
            yield _gauge(
                "swarm_node_certificate_expires_at_seconds",
                "When this node's certificate ends, seconds since the epoch.",
                sample.certificate_expires_at_s,
            )
        if sample.manager is not None:
            yield from _manager_families(sample.manager)
        if sample.agent is not None:
            yield from _agent_families(sample.agent)


def _manager_families(sample: ManagerSample) -> Iterator[Metric]:
    yield _gauge("swarm_manager_leader", "Whether this manager is the leader.", int(sample.leader))
    yield _gauge("swarm_manager_services", "Services of the cluster.", sample.services)
    yield _gauge("swarm_raft_term", "Term of the Raft group as this manager knows it.", sample.raft_term)
    yield _gauge("swarm_raft_members", "Members of the Raft group.", sample.managers)
    yield _gauge(
        "swarm_raft_delay_seconds",
        "Longest time in the last minute or two that the Raft thread was late.",
        sample.raft_delay_s,
    )
    yield _gauge(
        "swarm_manager_loop_delay_seconds",
        "Longest time in the last minute or two that a committed entry waited for the manager to take it.",
        sample.loop_delay_s,
    )
    yield _gauge("swarm_raft_commit_index", "Newest entry known to be committed.", sample.raft_commit_index)
    yield _gauge(
        "swarm_store_applied_index", "Newest entry applied to this manager's store.", sample.store_index
    )
    yield _by_state("swarm_manager_nodes", "Nodes of the cluster by state.", sample.nodes)
    yield _by_state("swarm_manager_tasks", "Tasks of the cluster by observed state.", sample.tasks)
    replicas = GaugeMetricFamily(
        "swarm_autoscale_replicas", "Replicas that an autoscaled service wants now.", labels=("service",)
    )
    held = GaugeMetricFamily(
        "swarm_autoscale_held",
        "Whether something keeps the replicas of an autoscaled service from following its load.",
        labels=("service",),
    )
    for scaled in sample.autoscaled:
        replicas.add_metric((scaled.service,), scaled.replicas)
        held.add_metric((scaled.service,), int(scaled.held))
    yield from (replicas, held)


def _agent_families(sample: AgentSample) -> Iterator[Metric]:
    yield _gauge(
        "swarm_agent_connected", "Whether the agent has a session with a manager.", int(sample.connected)
    )
    yield _by_state("swarm_agent_containers", "Containers of this node by state.", sample.containers)
    yield _gauge("swarm_agent_containers_unhealthy", "Containers that are unhealthy.", sample.unhealthy)
    yield _gauge("swarm_agent_plain_containers_running", "Running containers without a task.", sample.plain)
    yield _gauge(
        "swarm_node_disk_pressure",
        "Whether a disk is so full that new tasks stay away.",
        int(sample.disk_pressure),
    )
    yield from _disk_families(sample.disks)
    yield from _task_families(sample.uses)
    yield from _name_families(sample.names)
    yield from tunnel_families(sample.tunnel)
    requests = CounterMetricFamily(
        "swarm_http_requests",
        "HTTP requests that the proxy of the node brought to a service, by kind of answer.",
        labels=("service", "code"),
    )
    for (service, code), value in sorted(sample.requests.items()):
        requests.add_metric((service, code), value)
    yield requests


_NAME_COUNTERS = {
    "no_such_name": "Questions of tasks for names that do not exist.",
    "failed": "Questions of tasks that were refused: malformed, or not to be answered yet.",
    "forwarded": "Questions of tasks that other name servers were asked.",
    "forward_failed": "Questions of tasks to which no other name server gave an answer.",
    "dropped": "Messages to the name server that were no questions.",
}


def _name_families(counted: Mapping[str, float]) -> Iterator[Metric]:
    """What the name server of the node counted; nothing while there is none."""
    if not counted:
        return
    questions = CounterMetricFamily(
        "swarm_names_questions", "Questions of tasks for names, by kind.", labels=("kind",)
    )
    for name, value in sorted(counted.items()):
        if name.startswith("questions."):
            questions.add_metric((name.partition(".")[2],), value)
    yield questions
    for name, text in _NAME_COUNTERS.items():
        yield CounterMetricFamily(f"swarm_names_{name}", text, value=counted.get(name, 0))
    took = HistogramMetricFamily(
        "swarm_names_answer_seconds", "Time to an answer, of the node's own or of others.", labels=("by",)
    )
    for by in ("own", "forwarded"):
        found = {
            float(name.partition(".le.")[2]): n
            for name, n in counted.items()
            if name.startswith(f"{by}.le.")
        }
        buckets, so_far = [], 0.0
        for bound, count in sorted(found.items()):
            so_far += count
            buckets.append(("+Inf" if bound == float("inf") else str(bound), so_far))
        if not buckets:
            continue
        took.add_metric((by,), buckets, counted.get(f"{by}.seconds", 0))
    yield took


def _disk_families(disks: Sequence[DiskUse]) -> Iterator[Metric]:
    for field, text in (
        ("total_bytes", "Size of a file system of this node."),
        ("free_bytes", "Bytes free in a file system of this node."),
        ("free_inodes", "Inodes free in a file system of this node."),
    ):
        family = GaugeMetricFamily(f"swarm_node_disk_{field}", text, labels=("path",))
        for disk in disks:
            family.add_metric((disk.path,), getattr(disk, field))
        yield family


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)


def _by_state(name: str, text: str, counts: Mapping[str, int]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=("state",))
    for state, count in sorted(counts.items()):
        family.add_metric((state,), count)
    return family


def _task_families(uses: Sequence[TaskUse]) -> Iterator[Metric]:
    """Yield what running tasks use; what is not known of one is absent."""
    labels = ("service", "task")
    memory = GaugeMetricFamily(
        "swarm_agent_task_memory_bytes", "Memory used by the container of a task.", labels=labels
    )
    cpu = CounterMetricFamily(
        "swarm_agent_task_cpu_seconds", "CPU time used by the container of a task.", labels=labels
    )
    moved = {
        way: CounterMetricFamily(
            f"swarm_agent_task_{way}_bytes", f"Bytes {what} by the container of a task.", labels=labels
        )
        for way, what in _WAYS.items()
    }
    for use in uses:
        cpu.add_metric((use.service, use.task), use.cpu_seconds)
        memory.add_metric((use.service, use.task), use.memory_bytes)
        for way, count in use.moved_bytes.items():
            moved[way].add_metric((use.service, use.task), count)
    yield from (cpu, memory, *moved.values())
