"""What an optional field of a spec means when nobody set it: the only place that knows."""

from dataclasses import dataclass

from swarm.api.v1.specs_pb2 import ClusterSpec, ContainerSpec, NodeSpec, ServiceSpec, TaskSpec
from swarm.api.v1.types_pb2 import EndpointSpec, PlacementStrategy, RestartPolicy, UpdateConfig
from swarm.timestamps import SECOND

REPLICAS = 1
STOP_GRACE_PERIOD_NS = 10 * SECOND
ENDPOINT_DRAIN_NS = SECOND  # from when no node leads anybody there any more
# How long a task that is to stop waits to hear that no node leads anybody to it any more; then it drains.
WITHDRAWAL_NS = 5 * SECOND
RESTART_DELAY_NS = 5 * SECOND
RESTART_MAX_DELAY_NS = 300 * SECOND
DRAIN_TIMEOUT_NS = 60 * SECOND
UPDATE_PARALLELISM = 1
UPDATE_MONITOR_NS = 5 * SECOND
TASK_HISTORY_LIMIT = 5
HEARTBEAT_PERIOD_NS = 5 * SECOND // 2  # three silent periods fit into 10 s with a replacement's start
NODE_CERT_EXPIRY_NS = 90 * 24 * 3600 * SECOND
SNAPSHOT_INTERVAL = 10_000
DATA_PATH_PORT, TUNNEL_PORT = 4789, 4788  # UDP; below those that programs are given for the moment
OVERLAY_KEY_PERIOD_NS = 12 * 3600 * SECOND


@dataclass(frozen=True, slots=True)
class Restart:
    """When a task that ended is replaced."""

    condition: "RestartPolicy.Condition" = RestartPolicy.CONDITION_ANY
    delay_ns: int = RESTART_DELAY_NS
    max_attempts: int = 0  # 0: no limit
    window_ns: int = 0  # 0: the whole history counts
    max_delay_ns: int = RESTART_MAX_DELAY_NS  # most that the delay grows to when tasks keep crashing


@dataclass(frozen=True, slots=True)
class Update:
    """How the tasks of a service are replaced by those of a new spec."""

    parallelism: int = UPDATE_PARALLELISM  # 0: all at once
    delay_ns: int = 0
    failure_action: "UpdateConfig.FailureAction" = UpdateConfig.FAILURE_ACTION_PAUSE
    monitor_ns: int = UPDATE_MONITOR_NS
    max_failure_ratio: float = 0.0
    order: "UpdateConfig.Order" = UpdateConfig.ORDER_STOP_FIRST
    canary: int = 0  # slots to begin with, until somebody promotes the update; 0: all


def is_global(spec: ServiceSpec) -> bool:
    """Whether the service runs one task on every eligible node; no mode at all means replicated."""
    return spec.HasField("global")


def replicas(spec: ServiceSpec) -> int:
    """Return how many tasks a replicated service wants; 0 for a global one."""
    if is_global(spec):
        return 0
    return spec.replicated.replicas if spec.replicated.HasField("replicas") else REPLICAS


def restart(spec: TaskSpec) -> Restart:
    """Return the restart policy in force."""
    policy, default = spec.restart, Restart()
    return Restart(
        condition=policy.condition if policy.HasField("condition") else default.condition,
        delay_ns=policy.delay_ns if policy.HasField("delay_ns") else default.delay_ns,
        max_attempts=policy.max_attempts,
        window_ns=policy.window_ns,
        max_delay_ns=_max_delay_ns(policy),
    )


def _max_delay_ns(policy: RestartPolicy) -> int:
    """Limited attempts come as fast as the user said: within a window, slow ones would never run out."""
    if policy.HasField("max_delay_ns"):
        return policy.max_delay_ns
    return 0 if policy.max_attempts else RESTART_MAX_DELAY_NS


def update(spec: ServiceSpec) -> Update:
    """Return the update settings in force."""
    return _update(spec.update)


def rollback(spec: ServiceSpec) -> Update:
    """Return the settings in force while going back to the previous spec."""
    return _update(spec.rollback)


def _update(config: UpdateConfig) -> Update:
    default = Update()
    return Update(
        parallelism=config.parallelism if config.HasField("parallelism") else default.parallelism,
        delay_ns=config.delay_ns,
        failure_action=config.failure_action,  # zero is the default, set or not
        monitor_ns=config.monitor_ns if config.HasField("monitor_ns") else default.monitor_ns,
        max_failure_ratio=config.max_failure_ratio,
        order=config.order,
        canary=config.canary,
    )


def drain_timeout_ns(spec: NodeSpec) -> int:
    """Return how long a drain waits for replacements before it stops tasks anyway."""
    return spec.drain_timeout_ns if spec.HasField("drain_timeout_ns") else DRAIN_TIMEOUT_NS


def endpoint_drain_ns(endpoint: EndpointSpec) -> int:
    """Return how long a task goes on that others still find by its name, address or port."""
    return endpoint.drain_ns if endpoint.HasField("drain_ns") else ENDPOINT_DRAIN_NS


def stop_grace_period_ns(spec: ContainerSpec) -> int:
    """Return how long a container may take to stop before it is killed."""
    return spec.stop_grace_period_ns if spec.HasField("stop_grace_period_ns") else STOP_GRACE_PERIOD_NS


def task_history_limit(spec: ClusterSpec) -> int:
    """Return how many tasks a slot lists at most, the live one counted; negative: no limit."""
    return spec.task_history_limit if spec.HasField("task_history_limit") else TASK_HISTORY_LIMIT


def heartbeat_period_ns(spec: ClusterSpec) -> int:
    """Return the time between two heartbeats of an agent."""
    return spec.heartbeat_period_ns if spec.HasField("heartbeat_period_ns") else HEARTBEAT_PERIOD_NS


def node_cert_expiry_ns(spec: ClusterSpec) -> int:
    """Return how long a node's certificate is good."""
    return spec.node_cert_expiry_ns if spec.HasField("node_cert_expiry_ns") else NODE_CERT_EXPIRY_NS


def overlay_key_period_ns(spec: ClusterSpec) -> int:
    """Return how long the key of encrypted networks is used."""
    return spec.overlay_key_period_ns if spec.HasField("overlay_key_period_ns") else OVERLAY_KEY_PERIOD_NS


def snapshot_interval(spec: ClusterSpec) -> int:
    """Return after how many log entries a snapshot is taken."""
    return spec.snapshot_interval if spec.HasField("snapshot_interval") else SNAPSHOT_INTERVAL


def placement_strategy(spec: ClusterSpec) -> "PlacementStrategy":
    """Return how nodes are ranked for services that name no strategy."""
    return spec.placement_strategy or PlacementStrategy.PLACEMENT_STRATEGY_SPREAD
