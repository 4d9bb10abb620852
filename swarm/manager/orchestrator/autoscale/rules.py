"""How many replicas does one rule want? What is not known is never a reason to have fewer.

As in Kubernetes: tasks whose use is unknown count as idle when there should be more, as fully used when
there should be fewer; those that do not run yet do no work. Within a tenth of the target nothing changes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil

from swarm.api.v1.specs_pb2 import ScaleRule, TaskSpec
from swarm.manager.orchestrator.autoscale.census import Census
from swarm.model.autoscale import CPU, PROMETHEUS, USED, capacity_of, rule_text

TOLERANCE = 0.1
_ROUNDING = 1e-9  # what floating point adds to whole numbers
WISH_MAX = 10**9  # more than any bound; a slip in a query wants infinitely many


@dataclass(frozen=True, slots=True)
class Answer:
    """What Prometheus says: a value, or why there is none."""

    value: float | None = None
    problem: str = ""


Query = tuple[str, str]  # address of Prometheus, expression


@dataclass(frozen=True, slots=True)
class Reading:
    """What one rule says; `wish` goes with `value`."""

    rule: ScaleRule
    value: float | None = None
    wish: int = 0
    problem: str = ""

    @property
    def text(self) -> str:
        """What was measured, for people."""
        if self.value is None:
            return f"{rule_text(self.rule)}: {self.problem}"
        if self.rule.source in USED:
            return f"{USED[self.rule.source]} is at {self.value:.0f}%, the target is {self.rule.target:g}%"
        return f"the query says {self.value:.6g}, the target is {self.rule.target:g} per replica"


def read_rule(
    rule: ScaleRule, spec: TaskSpec, census: Census, answers: Mapping[Query, Answer], present: int
) -> Reading:
    """Return what `rule` says of a service that wants `present` replicas now."""
    if rule.source == PROMETHEUS:
        answer = answers.get((rule.url, rule.query), Answer(problem="Prometheus was not asked yet"))
        if answer.value is None:
            return Reading(rule, problem=answer.problem)
        return Reading(rule, answer.value, wish_by_value(answer.value, rule.target, present))
    capacity = capacity_of(spec, rule.source)
    if not capacity:
        return Reading(rule, problem=f"the tasks have no reservation and no limit of {USED[rule.source]}")
    if not census.uses:
        return Reading(rule, problem="no task has said yet what it uses")
    used = [use.nano_cpus if rule.source == CPU else use.memory_bytes for use in census.uses]
    value = 100 * sum(used) / len(used) / capacity
    return Reading(rule, value, wish_by_use(value, rule.target, census, present))


def wish_by_value(value: float, target: float, present: int) -> int:
    """Return for how many replicas `value` is enough, `target` for each."""
    exact = value / target
    if present and abs(exact - present) <= TOLERANCE * present:
        return present
    return _whole(exact)


def wish_by_use(percent: float, target: float, census: Census, present: int) -> int:
    """Return how many replicas bring the average use from `percent` to `target`."""
    known = len(census.uses)
    work = known * percent  # in percent of one task
    if percent > target:
        others = known + census.missing + census.unready
        if work <= others * target * (1 + TOLERANCE):
            return present
        return max(present, _whole(work / target))
    work += census.missing * max(100.0, target)
    if work >= (known + census.missing) * target * (1 - TOLERANCE):
        return present
    return min(present, _whole(work / target))


def _whole(exact: float) -> int:
    return ceil(min(exact, WISH_MAX) - _ROUNDING)
