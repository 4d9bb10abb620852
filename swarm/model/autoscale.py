"""How many replicas does a service want? By its spec or, where it is autoscaled, as was decided last.

Everybody who needs that number asks `wanted_replicas`.
"""

from dataclasses import dataclass
from math import inf, isfinite

from google.protobuf.timestamp_pb2 import Timestamp

from swarm.api.v1.objects_pb2 import Service
from swarm.api.v1.specs_pb2 import ScaleRule, ScaleStep, ServiceSpec, TaskSpec
from swarm.errors import InvalidArgument
from swarm.model import defaults
from swarm.timestamps import SECOND

REPLICAS_MIN = 1
UP_WINDOW_NS = 0  # who is overloaded needs help now
DOWN_WINDOW_NS = 300 * SECOND  # what was needed a moment ago is probably needed again
UP_STEP = ScaleStep(tasks=4, percent=100)
DOWN_STEP = ScaleStep(percent=100)
BY_HAND = "set by hand"

CPU, MEMORY, PROMETHEUS = ScaleRule.SOURCE_CPU, ScaleRule.SOURCE_MEMORY, ScaleRule.SOURCE_PROMETHEUS
USED = {CPU: "cpu", MEMORY: "memory"}  # what agents measure
_KINDS = {word: source for source, word in USED.items()}
HOW = "write cpu=PERCENT, memory=PERCENT or 'prometheus=URL|QUERY=TARGET'"


@dataclass(frozen=True, slots=True)
class Autoscaling:
    """How a service is autoscaled, with every default in its place."""

    least: int
    most: int
    rules: tuple[ScaleRule, ...]
    up_window_ns: int
    down_window_ns: int
    up_step: ScaleStep
    down_step: ScaleStep

    def bounded(self, replicas: int) -> int:
        """Return `replicas`, or the bound that it is beyond."""
        return max(self.least, min(self.most, replicas))


def autoscaling_of(spec: ServiceSpec) -> Autoscaling | None:
    """Return how a service is autoscaled, None for one that is not."""
    if not spec.HasField("autoscale"):
        return None
    given = spec.autoscale
    return Autoscaling(
        least=given.replicas_min if given.HasField("replicas_min") else REPLICAS_MIN,
        most=given.replicas_max,
        rules=tuple(given.rules),
        up_window_ns=given.up_window_ns if given.HasField("up_window_ns") else UP_WINDOW_NS,
        down_window_ns=given.down_window_ns if given.HasField("down_window_ns") else DOWN_WINDOW_NS,
        up_step=given.up_step if given.HasField("up_step") else UP_STEP,
        down_step=given.down_step if given.HasField("down_step") else DOWN_STEP,
    )


def wanted_replicas(service: Service) -> int:
    """Return how many tasks a replicated service wants now; 0 for a global one."""
    settings = autoscaling_of(service.spec)
    if settings is None:
        return defaults.replicas(service.spec)
    if service.HasField("autoscale_status"):
        return settings.bounded(service.autoscale_status.replicas)
    said = service.spec.replicated
    return settings.bounded(said.replicas if said.HasField("replicas") else settings.least)


def most_replicas(spec: ServiceSpec) -> int:
    """Return the largest number of tasks that a replicated service may come to want."""
    settings = autoscaling_of(spec)
    return settings.most if settings is not None else defaults.replicas(spec)


def keep_replicas(service: Service, present: int, now: Timestamp) -> None:
    """Let `service`, which got another spec, go on with `present` replicas as far as its bounds allow.

    One that is not autoscaled has as many as its spec says. What was measured spoke of the spec before.
    """
    settings = autoscaling_of(service.spec)
    if settings is None:
        service.ClearField("autoscale_status")
        return
    is_new = not service.HasField("autoscale_status")
    status, kept = service.autoscale_status, settings.bounded(present)
    if is_new or status.replicas != kept:
        status.reason = "as many as before" if kept == present else "moved into the bounds of the spec"
        status.decided_at.CopyFrom(now)
    status.replicas = kept
    status.ClearField("holding")
    status.ClearField("readings")
    status.ClearField("read_at")


def is_set_by_hand(before: ServiceSpec, after: ServiceSpec) -> bool:
    """Whether somebody who makes `after` of `before` says how many replicas an autoscaled service has."""
    if not after.HasField("autoscale") or not after.replicated.HasField("replicas"):
        return False
    return (
        before.replicated != after.replicated
        or before.autoscale.scaled_by_hand != after.autoscale.scaled_by_hand
    )


def set_by_hand(service: Service, now: Timestamp) -> None:
    """Have as many replicas of `service`, a copy that the caller owns, as its spec says, for now."""
    status = service.autoscale_status
    status.replicas = service.spec.replicated.replicas
    status.reason = BY_HAND
    status.decided_at.CopyFrom(now)


def capacity_of(spec: TaskSpec, source: "ScaleRule.Source") -> int:
    """Return 100 % of one task, nano CPUs or bytes: its reservation, else its limit, 0 for neither."""
    reserved, limit = spec.resources.reservations, spec.resources.limits
    if source == CPU:
        return reserved.nano_cpus or limit.nano_cpus
    return reserved.memory_bytes or limit.memory_bytes


def step_size(step: ScaleStep, present: int) -> int:
    """Return by how many replicas at most `present` may change at once."""
    return max(step.tasks, -(-present * step.percent // 100), 1)


# As people write it.


def parse_rule(text: str) -> ScaleRule:
    """Return what `cpu=70`, `memory=80` or `prometheus=URL|QUERY=TARGET` says; raises InvalidArgument."""
    kind, equals, rest = text.partition("=")
    if not equals or kind not in {*_KINDS, "prometheus"}:
        raise InvalidArgument(f'--scale-on "{text}": {HOW}')
    if kind in _KINDS:
        return ScaleRule(source=_KINDS[kind], target=_number(rest.removesuffix("%"), text))
    url, bar, rest = rest.partition("|")
    query, equals, target = rest.rpartition("=")
    if not bar or not equals or query[-1:] in {"=", "!", "<", ">"}:
        raise InvalidArgument(
            f'--scale-on "{text}": the target of a replica is missing at the end: {HOW}, e.g. '
            "'prometheus=http://prometheus:9090|sum(rate(requests_total[1m]))=100'"
        )
    return ScaleRule(source=PROMETHEUS, url=url, query=query.strip(), target=_number(target, text))


def rule_name(rule: ScaleRule) -> str:
    """Return a rule without its target: of two with one name the later one counts."""
    return USED.get(rule.source) or f"prometheus={rule.url}|{rule.query}"


def rule_text(rule: ScaleRule) -> str:
    """Return a rule the way `parse_rule` reads it."""
    return f"{rule_name(rule)}={rule.target:.15g}"


def parse_step(text: str, option: str) -> ScaleStep:
    """Return what `4` or `50%` says; raises InvalidArgument."""
    number = text.removesuffix("%")
    if not number.isascii() or not number.isdigit() or not int(number):
        raise InvalidArgument(f'{option} "{text}": write a number of tasks, e.g. 4, or a share, e.g. 50%')
    amount = min(int(number), 2**63)
    return ScaleStep(percent=amount) if text.endswith("%") else ScaleStep(tasks=amount)


def step_text(step: ScaleStep) -> str:
    """Return a step for people; of two the larger one counts."""
    parts = [str(step.tasks)] if step.tasks else []
    parts += [f"{step.percent}%"] if step.percent else []
    return " or ".join(parts)


def _number(text: str, whole: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = inf
    if not isfinite(number):
        raise InvalidArgument(f'--scale-on "{whole}": the target "{text}" is not a number; {HOW}')
    return number
