"""Is a spec valid? Every problem is one sentence that names the field, what is wrong and what is allowed."""

import re
from collections.abc import Iterator, Mapping
from itertools import chain

from swarm.api.v1.specs_pb2 import REBALANCE_MODE_AUTO, ClusterSpec, NodeSpec, ServiceSpec, TaskSpec
from swarm.api.v1.types_pb2 import (
    Annotations,
    NodeAvailability,
    NodeRole,
    Placement,
    PlacementStrategy,
    PortConfig,
    ResourceRequirements,
    RestartPolicy,
    UpdateConfig,
)
from swarm.errors import InvalidArgument
from swarm.model import limits
from swarm.model.affinity import affinity_problems
from swarm.model.constraint import parse_constraint
from swarm.model.dependencies import dependency_problems
from swarm.model.generic_resources import wanted_problems
from swarm.model.host_addresses import spelled
from swarm.model.http_routes import ingress_problems, route_problems
from swarm.model.ingress_ports import is_ingress, rivals
from swarm.model.sizes import size_problems
from swarm.model.validate_autoscale import autoscale_problems, autoscale_warnings
from swarm.model.validate_container import container_problems, negative
from swarm.model.validate_job import job_problems
from swarm.model.validate_network import attachment_problems, mac_problems, pool_problems
from swarm.model.validate_options import resource_problems
from swarm.timestamps import SECOND

CPU_MIN = 1_000_000  # nano CPUs: what a kernel's quota can express
MEMORY_MIN = 4 * 1024 * 1024  # below it no container starts
HEARTBEAT_MIN_NS = SECOND // 10
CERT_EXPIRY_MIN_NS = 3600 * SECOND  # certificates are renewed from half their life on

_SPREAD = (
    PlacementStrategy.PLACEMENT_STRATEGY_UNSPECIFIED,
    PlacementStrategy.PLACEMENT_STRATEGY_SPREAD,
)
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]*[A-Za-z0-9])?")


def validate_service(spec: ServiceSpec) -> None:
    """Raise InvalidArgument with every problem of a service's spec."""
    _refuse("service", chain(service_problems(spec), mac_problems(spec)))


def validate_node(spec: NodeSpec) -> None:
    """Raise InvalidArgument with every problem of a node's spec."""
    _refuse("node", _node_problems(spec))


def validate_cluster(spec: ClusterSpec) -> None:
    """Raise InvalidArgument with every problem of the cluster's spec."""
    _refuse("cluster", _cluster_problems(spec))


def service_warnings(spec: ServiceSpec) -> list[str]:
    """Return what is allowed but will probably not do what its author expects."""
    warnings = []
    fixed = any(port.published_port and not is_ingress(port) for port in spec.endpoint.ports)
    if fixed and spec.update.order == UpdateConfig.ORDER_START_FIRST:
        warnings.append(
            "update order start-first with a port published on its nodes (mode=host): "
            "each new task needs a node where the port is still free"
        )
    if spec.rebalance == REBALANCE_MODE_AUTO and spec.task.placement.strategy not in _SPREAD:
        warnings.append("rebalance auto moves nothing: only tasks placed by strategy spread are balanced")
    if spec.task.preempt and spec.task.priority <= 0:
        warnings.append(
            f"preempt at priority {spec.task.priority}: only tasks of services with a lower priority "
            "than that would have to go, and 0 is the default"
        )
    warnings.extend(autoscale_warnings(spec))
    return warnings


def _refuse(what: str, problems: Iterator[str]) -> None:
    found = list(problems)
    if found:
        raise InvalidArgument(f"invalid {what}: " + "; ".join(found))


def service_problems(spec: ServiceSpec) -> Iterator[str]:
    """Yield every problem of a service's spec."""
    name = spec.annotations.name
    if not name:
        yield "it has no name"
    yield from _annotation_problems(spec.annotations)
    yield from size_problems(spec)
    yield from _task_problems(spec.task)
    yield from job_problems(spec)
    yield from autoscale_problems(spec)
    yield from dependency_problems(spec)
    yield from affinity_problems(spec.task.placement.affinities, name)
    yield from _update_problems("update", spec.update)
    yield from _update_problems("rollback", spec.rollback)
    yield from _port_problems(spec)
    yield from attachment_problems(spec)
    yield from route_problems(spec)
    if spec.rebalance == REBALANCE_MODE_AUTO and spec.WhichOneof("mode") not in (None, "replicated"):
        yield "rebalance auto: only tasks of replicated services move to be balanced"


def _node_problems(spec: NodeSpec) -> Iterator[str]:
    yield from size_problems(spec)
    yield from _annotation_problems(spec.annotations)
    if spec.desired_role not in NodeRole.values():
        yield f"{spec.desired_role} is not a role"
    if spec.availability not in NodeAvailability.values():
        yield f"{spec.availability} is not an availability (active, pause, drain)"
    yield from negative(("the drain timeout", spec.drain_timeout_ns))


def _cluster_problems(spec: ClusterSpec) -> Iterator[str]:
    yield from size_problems(spec)
    yield from _annotation_problems(spec.annotations)
    if spec.HasField("heartbeat_period_ns") and spec.heartbeat_period_ns < HEARTBEAT_MIN_NS:
        yield "the heartbeat period is shorter than 100 ms"
    if spec.HasField("node_cert_expiry_ns") and spec.node_cert_expiry_ns < CERT_EXPIRY_MIN_NS:
        yield "certificates must be good for at least 1 hour"
    if spec.HasField("snapshot_interval") and not spec.snapshot_interval:
        yield "the snapshot interval is 0; at least 1 log entry is needed"
    yield from _strategy_problems(spec.placement_strategy)
    yield from pool_problems(spec)
    yield from ingress_problems(spec)


def _annotation_problems(annotations: Annotations) -> Iterator[str]:
    name = annotations.name
    yield from limits.NAME_CHARACTERS.exceeded(f"the name {limits.shown(name)}", len(name))
    if name and not _NAME.fullmatch(name):
        yield (
            f'the name "{limits.shown(name)}" is not 1 to {limits.NAME_CHARACTERS.value} letters, digits, '
            '"-" and "_" that begin and end with a letter or digit'
        )
    yield from _label_problems(annotations.labels)


def _label_problems(labels: Mapping[str, str], what: str = "labels") -> Iterator[str]:
    if "" in labels:
        yield f"one of the {what} has no key"


def _task_problems(spec: TaskSpec) -> Iterator[str]:
    yield from container_problems(spec.container)
    yield from _label_problems(spec.container.labels, "container labels")
    yield from _resource_problems(spec.resources)
    if spec.restart.condition not in RestartPolicy.Condition.values():
        yield f"{spec.restart.condition} is not a restart condition (any, on-failure, none)"
    yield from negative(
        ("the restart delay", spec.restart.delay_ns),
        ("the restart window", spec.restart.window_ns),
        ("the restart max delay", spec.restart.max_delay_ns),
    )
    yield from _placement_problems(spec.placement)


def _resource_problems(resources: ResourceRequirements) -> Iterator[str]:
    limits, reservations = resources.limits, resources.reservations
    for what, nano_cpus in (("limit", limits.nano_cpus), ("reservation", reservations.nano_cpus)):
        if nano_cpus and nano_cpus < CPU_MIN:
            yield f"a cpu {what} of {nano_cpus / 1e9:.9f} is below the minimum of 0.001 CPUs"
    for what, memory in (("limit", limits.memory_bytes), ("reservation", reservations.memory_bytes)):
        if memory and memory < MEMORY_MIN:
            yield f"a memory {what} of {memory} bytes is below the minimum of {MEMORY_MIN} (4 MiB)"
    if 0 < limits.memory_bytes < reservations.memory_bytes:
        yield (
            f"the memory reservation of {reservations.memory_bytes} bytes "
            f"is larger than the limit of {limits.memory_bytes}"
        )
    yield from negative(("the limit of processes", limits.pids))
    yield from wanted_problems(reservations.generic)
    yield from resource_problems(resources)


def _placement_problems(placement: Placement) -> Iterator[str]:
    for expression in placement.constraints:
        try:
            parse_constraint(expression)
        except InvalidArgument as problem:
            yield str(problem)
    for preference in placement.preferences:
        key = preference.spread
        if not any(
            key.startswith(prefix) and key != prefix for prefix in ("node.labels.", "engine.labels.")
        ):
            yield f'cannot spread over "{key}": only over node.labels.LABEL or engine.labels.LABEL'
    yield from _strategy_problems(placement.strategy)


def _strategy_problems(strategy: int) -> Iterator[str]:
    if strategy not in PlacementStrategy.values():
        yield f"{strategy} is not a placement strategy (spread, binpack, least-reserved)"


def _update_problems(what: str, config: UpdateConfig) -> Iterator[str]:
    yield from negative(
        (f"the {what} delay", config.delay_ns), (f"the {what} monitor time", config.monitor_ns)
    )
    # Not `<` and `>`: a NaN is in no range.
    if not 0 <= config.max_failure_ratio <= 1:
        yield f"the {what} failure ratio {config.max_failure_ratio:g} is not between 0 and 1"
    if config.failure_action not in UpdateConfig.FailureAction.values():
        yield f"{config.failure_action} is not a failure action (pause, continue, rollback)"
    elif what == "rollback" and config.failure_action == UpdateConfig.FAILURE_ACTION_ROLLBACK:
        yield "the failure action of a rollback cannot be rollback again; it is pause or continue"
    if what == "rollback" and config.canary:
        yield "a rollback has no canaries: --update-canary is for updates only"
    if config.order not in UpdateConfig.Order.values():
        yield f"{config.order} is not an {what} order (stop-first, start-first)"


def _port_problems(spec: ServiceSpec) -> Iterator[str]:
    published: list[PortConfig] = []
    for port in spec.endpoint.ports:
        if not 1 <= port.target_port <= 65535:
            yield f"the target port {port.target_port} is not between 1 and 65535"
        if port.published_port > 65535:
            yield f"the published port {port.published_port} is not between 1 and 65535"
        if port.protocol not in PortConfig.Protocol.values():
            yield f"{port.protocol} is not a protocol (tcp, udp, sctp)"
            continue
        if port.publish_mode not in PortConfig.PublishMode.values():
            yield f"{port.publish_mode} is not a way to publish a port (ingress, host)"
        try:
            spelled(port.host_ip)
        except InvalidArgument as problem:
            yield str(problem)
            continue
        if any(rivals(port, other) for other in published):
            protocol = PortConfig.Protocol.Name(port.protocol).removeprefix("PROTOCOL_").lower()
            yield f"port {port.published_port}/{protocol} is published twice"
        published.append(port)
