"""What `inspect`, `ls` and `why` tell of autoscaling."""

from collections.abc import Callable
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from swarm.api.v1.objects_pb2 import AutoscaleStatus, Service
from swarm.api.v1.specs_pb2 import Autoscale, ServiceSpec
from swarm.model.autoscale import autoscaling_of, rule_text, step_text, wanted_replicas

View = dict[str, Any]


def shown_autoscale(autoscale: Autoscale) -> View:
    """Return what the spec says; what the user did not say is absent."""
    view: View = {"ReplicasMax": autoscale.replicas_max}
    if autoscale.HasField("replicas_min"):
        view["ReplicasMin"] = autoscale.replicas_min
    view["ScaleOn"] = [rule_text(rule) for rule in autoscale.rules]
    for key, field in (("ScaleUpWindow", "up_window_ns"), ("ScaleDownWindow", "down_window_ns")):
        if autoscale.HasField(field):
            view[key] = getattr(autoscale, field)
    for key, field in (("ScaleUpStep", "up_step"), ("ScaleDownStep", "down_step")):
        if autoscale.HasField(field):
            view[key] = step_text(getattr(autoscale, field))
    return view


def shown_status(status: AutoscaleStatus, when: Callable[[Timestamp], str]) -> View:
    """Return how many replicas there are to be, why, and what was measured lately."""
    view: View = {"Replicas": status.replicas, "Reason": status.reason}
    if status.HasField("decided_at"):
        view["DecidedAt"] = when(status.decided_at)
    if status.holding:
        view["Holding"] = status.holding
    if status.HasField("read_at"):
        view["ReadAt"] = when(status.read_at)
    view["Readings"] = [_reading(one) for one in status.readings]
    return view


def _reading(one: AutoscaleStatus.Reading) -> View:
    if not one.HasField("value"):
        return {"Rule": one.rule, "Problem": one.problem}
    return {"Rule": one.rule, "Value": round(one.value, 3), "Wish": one.wish}


def bounds_text(spec: ServiceSpec) -> str:
    """Return `2-10` of an autoscaled service, nothing of another one."""
    settings = autoscaling_of(spec)
    return f"{settings.least}-{settings.most}" if settings is not None else ""


def head(service: Service) -> dict[str, str]:
    """Return what `inspect --pretty` says of the decisions."""
    if not service.spec.HasField("autoscale"):
        return {}
    status = service.autoscale_status
    view = {"Autoscaled": bounds_text(service.spec)}
    if status.reason:
        view["Autoscale reason"] = status.reason
    if status.holding:
        view["Autoscale holding"] = status.holding
    readings = [_reading_text(one) for one in status.readings]
    return view | ({"Autoscale readings": "; ".join(readings)} if readings else {})


def _reading_text(one: AutoscaleStatus.Reading) -> str:
    if not one.HasField("value"):
        return f"{one.rule}: {one.problem}"
    return f"{one.rule}: is {one.value:.6g}, wants {one.wish}"


def told(service: Service) -> list[str]:
    """Return lines about the number of replicas of an autoscaled service; nothing for another one."""
    settings, status = autoscaling_of(service.spec), service.autoscale_status
    if settings is None:
        return []
    present = wanted_replicas(service)
    lines = [f"it is autoscaled, {settings.least} to {settings.most} replicas, now {present}"]
    if status.reason:
        lines[0] += f" ({status.reason})"
    if status.holding:
        lines.append(f"it stays at {present}: {status.holding}")
    lines += [f"{one.rule}: {one.problem}" for one in status.readings if not one.HasField("value")]
    return lines
