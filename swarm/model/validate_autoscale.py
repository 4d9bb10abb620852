"""Is what a spec says about autoscaling valid? Every problem is one sentence that says what to change."""

from collections.abc import Iterator
from math import isfinite
from urllib.parse import SplitResult, urlsplit

from swarm.api.v1.specs_pb2 import Autoscale, ScaleRule, ServiceSpec
from swarm.model import limits
from swarm.model.autoscale import CPU, PROMETHEUS, USED, Autoscaling, autoscaling_of, capacity_of, rule_name
from swarm.model.validate_container import negative
from swarm.timestamps import SECOND

WINDOW_MAX_NS = 3600 * SECOND  # a new leader waits for a whole one, and every wish in it is remembered
PERCENT_MAX = 10_000  # of a reservation that is far too small


def autoscale_problems(spec: ServiceSpec) -> Iterator[str]:
    """Return what is wrong with the autoscaling of a service; nothing for one that has none."""
    settings = autoscaling_of(spec)
    if settings is None:
        return
    if spec.WhichOneof("mode") not in (None, "replicated"):
        yield "only replicated services can be autoscaled (--scale-on)"
        return
    yield from _bound_problems(spec, settings)
    yield from _rule_problems(spec, settings)
    yield from negative(
        ("the scale-up window", settings.up_window_ns), ("the scale-down window", settings.down_window_ns)
    )
    for what, window_ns in (("up", settings.up_window_ns), ("down", settings.down_window_ns)):
        if window_ns > WINDOW_MAX_NS:
            yield f"the scale-{what} window is longer than 1 h"
    yield from _step_problems(spec.autoscale)


def autoscale_warnings(spec: ServiceSpec) -> Iterator[str]:
    """Return what of the autoscaling is allowed and will probably not do what its author expects."""
    settings = autoscaling_of(spec)
    allowed = spec.task.resources.limits
    for rule in settings.rules if settings is not None else ():
        limit = allowed.nano_cpus if rule.source == CPU else allowed.memory_bytes
        if rule.source in USED and 0 < limit <= capacity_of(spec.task, rule.source) * rule.target / 100:
            what = USED[rule.source]
            yield (
                f"scale-on {what}={rule.target:g}: no task can use more than that, for its {what} limit is "
                "no higher: the number of replicas will hardly grow"
            )


def _bound_problems(spec: ServiceSpec, settings: Autoscaling) -> Iterator[str]:
    if not settings.most:
        yield "autoscaling needs to know the largest number of replicas: --replicas-max"
        return
    yield from limits.REPLICAS.exceeded("replicas-max", settings.most)
    if settings.least > settings.most:
        yield f"replicas-min {settings.least} is more than replicas-max {settings.most}"
        return
    if not settings.least and not any(rule.source == PROMETHEUS for rule in settings.rules):
        yield (
            "replicas-min 0: tasks that do not run use no cpu and no memory, so there would never be more; "
            "it is for services with a prometheus rule"
        )
    said = spec.replicated
    if said.HasField("replicas") and not settings.least <= said.replicas <= settings.most:
        yield (
            f"{said.replicas} replicas are not between replicas-min {settings.least} and replicas-max "
            f"{settings.most}"
        )


def _rule_problems(spec: ServiceSpec, settings: Autoscaling) -> Iterator[str]:
    if not settings.rules:
        yield "autoscaling needs a rule: --scale-on cpu=70, memory=80 or 'prometheus=URL|QUERY=TARGET'"
    yield from limits.SCALE_RULES.exceeded("scale-on", len(settings.rules))
    names: set[str] = set()
    for rule in settings.rules:
        name = limits.shown(rule_name(rule))
        if rule_name(rule) in names:
            yield f"scale-on {name} is there twice"
        names.add(rule_name(rule))
        if not isfinite(rule.target) or rule.target <= 0:
            yield f"scale-on {name}: the target {rule.target:g} is not a number above 0"
        if rule.source in USED:
            yield from _usage_problems(spec, rule)
        elif rule.source == PROMETHEUS:
            yield from _query_problems(rule)
        else:
            yield f"{rule.source} is nothing to scale on (cpu, memory, prometheus)"


def _usage_problems(spec: ServiceSpec, rule: ScaleRule) -> Iterator[str]:
    what = USED[rule.source]
    if rule.target > PERCENT_MAX:
        yield f"scale-on {what}: a target of {rule.target:g} % is above {PERCENT_MAX} %"
    if not capacity_of(spec.task, rule.source):
        yield (
            f"scale-on {what}={rule.target:g}: percent of what? Set --reserve-{what} (or --limit-{what}) of "
            "the tasks"
        )


def _query_problems(rule: ScaleRule) -> Iterator[str]:
    yield from limits.TEXT_BYTES.exceeded("the address of Prometheus", len(rule.url.encode()))
    yield from limits.QUERY_BYTES.exceeded("the Prometheus query", len(rule.query.encode()))
    if not rule.query.strip():
        yield "scale-on prometheus: there is no query"
    shown = limits.shown(rule.url)
    url = _split(rule.url)
    if url is None or url.scheme not in {"http", "https"} or not url.hostname:
        yield f'scale-on prometheus: "{shown}" is not an address like http://HOST:9090'
    elif url.username is not None or url.password is not None:
        yield "scale-on prometheus: credentials in the address would be shown to everybody who may look"
    elif url.query or url.fragment:
        yield f'scale-on prometheus: "{shown}" has more than host, port and path; the query is said after |'


def _split(text: str) -> SplitResult | None:
    try:
        url = urlsplit(text)
        _ = url.port  # looked at only here: it may be no number
    except ValueError:
        return None
    return url


def _step_problems(autoscale: Autoscale) -> Iterator[str]:
    for name, field in (("up", "up_step"), ("down", "down_step")):
        step = getattr(autoscale, field)
        if autoscale.HasField(field) and not step.tasks and not step.percent:
            yield f"a scale-{name} step of 0: at least 1 replica must be allowed to come or go at once"
