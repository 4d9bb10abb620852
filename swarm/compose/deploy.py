"""`deploy` of a service, and what says the same outside of it: mode, resources, updates, placement."""

from collections.abc import Callable

from swarm.api.v1.specs_pb2 import ServiceSpec
from swarm.api.v1.types_pb2 import DeviceRequest, EndpointSpec, GenericResource, RestartPolicy, UpdateConfig
from swarm.compose import values
from swarm.compose.autoscale import apply_autoscale
from swarm.compose.tree import Tree
from swarm.errors import InvalidArgument
from swarm.model.devices import parse_gpus

_MODES = ("replicated", "global", "replicated-job", "global-job")


def apply_deploy(spec: ServiceSpec, service: Tree) -> None:
    """Write into `spec` how a service is deployed; raises InvalidArgument with the place."""
    _mode(spec, service)
    _resources(spec, service)
    _gpus(spec, service)
    deploy = service.get("deploy")
    if deploy is None:
        return
    for key, config in (("update_config", spec.update), ("rollback_config", spec.rollback)):
        if (entry := deploy.get(key)) is not None:
            _update(config, entry)
    if (entry := deploy.get("restart_policy")) is not None:
        _restart(spec.task.restart, entry)
    if (entry := deploy.get("placement")) is not None:
        _placement(spec, entry)
    if (entry := deploy.get("endpoint_mode")) is not None:
        spec.endpoint.mode = values.word(entry, EndpointSpec.Mode, "MODE_")
    apply_autoscale(spec, deploy)


def _mode(spec: ServiceSpec, service: Tree) -> None:
    entry = service.get("deploy", "mode")
    mode = "replicated" if entry is None else values.text(entry)
    replicas = service.get("deploy", "replicas") or service.get("scale")
    if mode not in _MODES:
        raise service.problem(f'deploy.mode "{mode}" is not one of {", ".join(_MODES)}')
    if replicas is not None and mode in {"global", "global-job"}:
        raise replicas.problem(f"replicas make no sense in mode {mode}: it has one task on every node")
    if mode == "replicated":
        spec.replicated.SetInParent()
        if replicas is not None:
            spec.replicated.replicas = values.number(replicas)
    elif mode == "replicated-job":
        spec.replicated_job.SetInParent()
        if replicas is not None:
            spec.replicated_job.total_completions = values.number(replicas)
            spec.replicated_job.max_concurrent = values.number(replicas)
    elif mode == "global":
        getattr(spec, "global").SetInParent()
    else:
        spec.global_job.SetInParent()


_LIMITS: tuple[tuple[str, str, Callable[[Tree], int]], ...] = (
    ("cpus", "nano_cpus", values.nano_cpus),
    ("memory", "memory_bytes", values.size_bytes),
    ("pids", "pids", values.number),
)
_OUTSIDE: tuple[tuple[str, str, str, Callable[[Tree], int]], ...] = (
    ("cpus", "limits", "nano_cpus", values.nano_cpus),
    ("mem_limit", "limits", "memory_bytes", values.size_bytes),
    ("pids_limit", "limits", "pids", values.number),
    ("mem_reservation", "reservations", "memory_bytes", values.size_bytes),
)


def _resources(spec: ServiceSpec, service: Tree) -> None:
    said = [(service.get(key), part, field, read) for key, part, field, read in _OUTSIDE]
    for part in ("limits", "reservations"):
        inside = service.get("deploy", "resources", part)
        if inside is not None:
            said += [(inside.get(key), part, field, read) for key, field, read in _LIMITS]
    for entry, part, field, read in said:
        if entry is not None and entry.value != -1:  # no limit of processes
            setattr(getattr(spec.task.resources, part), field, read(entry))
    generic = service.get("deploy", "resources", "reservations", "generic_resources")
    for item in generic.items if generic is not None else ():
        kind = item.get("discrete_resource_spec", "kind")
        count = item.get("discrete_resource_spec", "value")
        if kind is None or count is None:
            raise item.problem("discrete_resource_spec needs kind and value")
        spec.task.resources.reservations.generic.append(
            GenericResource(kind=values.text(kind), count=values.number(count))
        )


def _gpus(spec: ServiceSpec, service: Tree) -> None:
    gpus = service.get("gpus")
    requests = spec.task.container.device_requests
    if gpus is not None and not isinstance(gpus.value, list):
        requests.append(_request(gpus, [values.text(gpus)]))
    for item in gpus.items if gpus is not None else ():
        requests.append(_long_request(item))
    devices = service.get("deploy", "resources", "reservations", "devices")
    for item in devices.items if devices is not None else ():
        if "gpu" not in values.texts(item.get("capabilities")):
            raise item.problem(
                "only devices with the capability gpu can be reserved; others: generic_resources"
            )
        requests.append(_long_request(item))


def _long_request(item: Tree) -> DeviceRequest:
    ids, count, driver = values.texts(item.get("device_ids")), item.get("count"), item.get("driver")
    if ids and count is not None:
        raise item.problem("say count or device_ids, not both")
    parts = [f"device={','.join(ids)}" if ids else values.text(count) if count is not None else "all"]
    if driver is not None and "/" in values.text(driver):
        parts.append(f"kind={values.text(driver)}")
    return _request(item, parts)


def _request(item: Tree, parts: list[str]) -> DeviceRequest:
    try:
        return parse_gpus(",".join(parts))
    except InvalidArgument as problem:
        raise item.problem(str(problem)) from None


def _update(config: UpdateConfig, entry: Tree) -> None:
    config.SetInParent()
    if (one := entry.get("parallelism")) is not None:
        config.parallelism = values.number(one)
    if (one := entry.get("delay")) is not None:
        config.delay_ns = values.duration_ns(one)
    if (one := entry.get("monitor")) is not None:
        config.monitor_ns = values.duration_ns(one)
    if (one := entry.get("max_failure_ratio")) is not None:
        config.max_failure_ratio = values.real(one)
    if (one := entry.get("failure_action")) is not None:
        config.failure_action = values.word(one, UpdateConfig.FailureAction, "FAILURE_ACTION_")
    if (one := entry.get("order")) is not None:
        config.order = values.word(one, UpdateConfig.Order, "ORDER_")


def _restart(policy: RestartPolicy, entry: Tree) -> None:
    policy.SetInParent()
    if (one := entry.get("condition")) is not None:
        policy.condition = values.word(one, RestartPolicy.Condition, "CONDITION_")
    if (one := entry.get("delay")) is not None:
        policy.delay_ns = values.duration_ns(one)
    if (one := entry.get("max_attempts")) is not None:
        policy.max_attempts = values.number(one)
    if (one := entry.get("window")) is not None:
        policy.window_ns = values.duration_ns(one)


def _placement(spec: ServiceSpec, entry: Tree) -> None:
    placement = spec.task.placement
    placement.constraints.extend(values.texts(entry.get("constraints")))
    preferences = entry.get("preferences")
    for item in preferences.items if preferences is not None else ():
        if (spread := item.get("spread")) is not None:
            placement.preferences.add(spread=values.text(spread))
    if (one := entry.get("max_replicas_per_node")) is not None:
        placement.max_replicas_per_node = values.number(one)
