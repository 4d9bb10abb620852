"""What clusters and services a seed has: a few features each, of all there are."""

import random
from collections.abc import Mapping

from swarm.api.v1.objects_pb2 import Node
from swarm.api.v1.specs_pb2 import REBALANCE_MODE_AUTO, CronJob, ServiceDependency, ServiceSpec
from swarm.api.v1.types_pb2 import (
    Affinity,
    NodeState,
    PlacementStrategy,
    PortConfig,
    RestartPolicy,
    UpdateConfig,
)
from swarm.clock import SECOND
from swarm.manager.store.tables import copy_of
from swarm.manager.store.transaction import Transaction
from swarm.model.network_support import KEY
from swarm.model.validate import validate_service

MIB = 1 << 20
CARD = "acme.com/card"
ZONES = "abc"

# What a service may be and have, with the chance of it in a seed that has the feature at all.
FEATURES = (
    "memory", "cpus", "constraint", "spread", "strategy", "max-per-node", "generic", "device", "port",
    "affinity", "depends", "rebalance", "restart", "canary", "global", "job", "cron", "priority",
)  # fmt: skip
FEATURES_MIN, FEATURES_MAX = 3, 8


def a_node(rng: random.Random, number: int) -> Node:
    """Return a machine."""
    node = Node(id=f"n{number}")
    node.status.state, node.status.addr = NodeState.NODE_STATE_READY, f"addr-of-{node.id}"
    node.description.hostname = node.id
    node.description.runtime_info[KEY] = "overlay"
    resources = node.description.resources
    resources.nano_cpus = rng.choice((2, 4)) * 10**9
    resources.memory_bytes = rng.choice((1024, 2048)) * MIB
    resources.generic.add(kind="ssd", count=rng.choice((1, 2)))
    for name in ("gpu1", "gpu2")[: rng.randrange(3)]:
        resources.generic.add(kind="gpu", named=name)
    for card in ("0", "1")[: rng.randrange(3)]:
        node.description.devices.add(name=f"{CARD}={card}", parts=[card])
    node.spec.annotations.labels["zone"] = rng.choice(ZONES)
    return node


def a_plain_node(node_id: str, labels: Mapping[str, str] | None = None, cpus: int = 4) -> Node:
    """Return a machine with so many CPUs, and as many GiB of memory."""
    node = Node(id=node_id)
    node.status.state, node.status.addr = NodeState.NODE_STATE_READY, f"addr-of-{node.id}"
    node.description.hostname = node_id
    node.description.runtime_info[KEY] = "overlay"
    node.description.resources.nano_cpus = cpus * 10**9
    node.description.resources.memory_bytes = cpus << 30
    node.spec.annotations.labels.update(labels or {})
    return node


def make_roomy(transaction: Transaction, node_id: str) -> None:
    """Give a machine more of what can be counted than anybody wants."""
    node = copy_of(transaction.nodes.get(node_id))
    node.description.resources.nano_cpus = 64 * 10**9
    node.description.resources.memory_bytes = 64 * 1024 * MIB
    next(one for one in node.description.resources.generic if one.kind == "ssd").count = 64
    transaction.update(node)


def shrink(transaction: Transaction, node_id: str) -> None:
    """Take something from a machine: half of its memory, or a card."""
    current = transaction.nodes.get(node_id)
    if current is None:
        return
    node = copy_of(current)
    if node.description.devices and node.meta.version.index % 2:
        del node.description.devices[-1]
    else:
        node.description.resources.memory_bytes //= 2
    transaction.update(node)


class Wishes:
    """Draws the specs of one seed."""

    def __init__(self, rng: random.Random, feature: str = "") -> None:
        """Have a few features, and `feature` whatever is drawn."""
        self._rng = rng
        count = rng.randrange(FEATURES_MIN, FEATURES_MAX + 1)
        self.features = frozenset((*rng.sample(FEATURES, count), feature))
        self.images = ["v1", "v2", "v3", *rng.sample(["bad", "crash", "nostart", "stuck", "quits"], 2)]

    def _has(self, feature: str, chance: float = 0.5) -> bool:
        return feature in self.features and self._rng.random() < chance

    def a_spec(self, name: str, others: list[str]) -> ServiceSpec:
        """Return the spec of a new service; `others` are there already."""
        rng, spec = self._rng, ServiceSpec()
        spec.annotations.name = name
        spec.task.container.image = "v1"
        spec.task.container.stop_grace_period_ns = rng.choice((1, 10)) * SECOND
        spec.task.restart.delay_ns = rng.choice((0, 1, 5)) * SECOND
        self._choose_mode(spec)
        self._choose_needs(spec)
        self._choose_places(spec, others)
        self._choose_updates(spec)
        if self._has("restart", 0.4):
            spec.task.restart.max_attempts = rng.choice((1, 3))
            spec.task.restart.window_ns = rng.choice((0, 20)) * SECOND
            conditions = list(RestartPolicy.Condition.values())
            if self.is_job(spec):
                conditions.remove(RestartPolicy.CONDITION_ANY)
            spec.task.restart.condition = rng.choice(conditions)
        if others and self._has("depends", 0.6):
            condition = rng.choice(
                (ServiceDependency.CONDITION_STARTED, ServiceDependency.CONDITION_HEALTHY)
            )
            spec.depends_on.add(service=rng.choice(others), condition=condition)
        validate_service(spec)
        return spec

    def _choose_mode(self, spec: ServiceSpec) -> None:
        rng = self._rng
        if self._has("cron", 0.4):
            spec.cron.schedule = "* * * * *"
            spec.cron.concurrency_policy = rng.choice(CronJob.ConcurrencyPolicy.values())
            spec.cron.total_completions, spec.cron.max_concurrent = rng.choice(((1, 1), (3, 2)))
        elif self._has("job", 0.4):
            if rng.random() < 0.3:
                spec.global_job.SetInParent()
            else:
                spec.replicated_job.total_completions = rng.randrange(1, 7)
                spec.replicated_job.max_concurrent = rng.randrange(1, 4)
        elif self._has("global", 0.4):
            getattr(spec, "global").SetInParent()
        else:
            spec.replicated.replicas = rng.randrange(1, 6)
        if self.is_job(spec):
            spec.task.container.image = rng.choice(("job", "flaky"))

    def _choose_needs(self, spec: ServiceSpec) -> None:
        rng, reserved = self._rng, spec.task.resources.reservations
        if self._has("memory", 0.7):
            reserved.memory_bytes = rng.choice((256, 512, 900)) * MIB
        if self._has("cpus"):
            reserved.nano_cpus = rng.choice((1, 2)) * 10**9
        if self._has("generic"):
            reserved.generic.add(kind=rng.choice(("ssd", "gpu")), count=1)
        if self._has("device"):
            if rng.random() < 0.5:
                spec.task.container.devices.add(cdi_name=f"{CARD}={rng.choice('01')}")
            else:
                spec.task.container.device_requests.add(kind=CARD, count=1)
        spec.task.priority, spec.task.preempt = self.a_priority()
        if self._has("port"):
            spec.endpoint.ports.add(
                target_port=80,
                published_port=rng.choice((8080, 8081)),
                publish_mode=PortConfig.PUBLISH_MODE_HOST,
            )

    def _choose_places(self, spec: ServiceSpec, others: list[str]) -> None:
        rng, placement = self._rng, spec.task.placement
        if self._has("constraint"):
            placement.constraints.append(f"node.labels.zone{rng.choice(('==', '!='))}{rng.choice(ZONES)}")
        if self._has("spread"):
            placement.preferences.add(spread="node.labels.zone")
        if self._has("strategy"):
            placement.strategy = rng.choice(PlacementStrategy.values())
        if self._has("max-per-node"):
            placement.max_replicas_per_node = rng.choice((1, 2))
        if self._has("affinity"):
            other = rng.choice([*others, spec.annotations.name])
            wants = "!=" if other == spec.annotations.name else rng.choice(("==", "!="))
            placement.affinities.append(
                Affinity(expression=f"service{wants}{other}", weight=rng.choice((0, 0, 50)))
            )
        if spec.HasField("replicated") and self._has("rebalance"):
            spec.rebalance = REBALANCE_MODE_AUTO

    def _choose_updates(self, spec: ServiceSpec) -> None:
        rng = self._rng
        if self.is_job(spec):
            return
        for config in (spec.update, spec.rollback):
            config.parallelism = rng.choice((0, 1, 1, 2))
            config.delay_ns = rng.choice((0, 0, 1)) * SECOND
            config.monitor_ns = rng.choice((0, 1, 3)) * SECOND
            config.failure_action = rng.randrange(3)
            config.max_failure_ratio = rng.choice((0.0, 0.0, 0.5))
            if rng.random() < 0.7:
                config.order = rng.randrange(2)
        if spec.rollback.failure_action == UpdateConfig.FAILURE_ACTION_ROLLBACK:
            spec.rollback.failure_action = UpdateConfig.FAILURE_ACTION_PAUSE
        if self._has("canary"):
            spec.update.canary = 1

    def a_priority(self) -> tuple[int, bool]:
        """Return how important a service is, and whether others have to go for it."""
        if not self._has("priority", 0.8):
            return 0, False
        return self._rng.choice((0, 1, 10)), self._rng.random() < 0.6

    def another_image(self, spec: ServiceSpec) -> str:
        """Return an image for an update; most of them run."""
        return self._rng.choice(("job", "flaky") if self.is_job(spec) else self.images)

    @staticmethod
    def is_job(spec: ServiceSpec) -> bool:
        """Whether the tasks of a service run to their end."""
        return spec.WhichOneof("mode") in ("replicated_job", "global_job", "cron")
