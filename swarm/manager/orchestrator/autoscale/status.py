"""What of a decision is written down, and when? Samples are many, commits are dear.

A change of the number at once; whether something holds it, or that is over, soon; values that merely move
once a minute.
"""

from collections.abc import Sequence

from swarm.api.v1.objects_pb2 import AutoscaleStatus, Service
from swarm.clock import SECOND, nanoseconds, timestamp
from swarm.manager.orchestrator.autoscale.decide import ScalePlan
from swarm.manager.orchestrator.autoscale.rules import Reading
from swarm.model.autoscale import rule_text, wanted_replicas

NEWS_NS = 10 * SECOND
REFRESH_NS = 60 * SECOND
NOTABLE = 0.1  # values that moved by less than this share are the same


def status_of(service: Service, plan: ScalePlan, now_ns: int) -> AutoscaleStatus | None:
    """Return what to write for `service`; None when that would say nothing new, or it is too early."""
    before = service.autoscale_status
    after = AutoscaleStatus()
    after.CopyFrom(before)
    after.replicas = plan.replicas
    after.holding = plan.holding
    del after.readings[:]
    after.readings.extend(map(_written, plan.readings))
    after.read_at.CopyFrom(timestamp(now_ns))
    changed = plan.replicas != wanted_replicas(service)
    if changed:
        after.reason = plan.reason
        after.decided_at.CopyFrom(timestamp(now_ns))
    return after if changed or _is_news(before, after, now_ns) else None


def _written(reading: Reading) -> AutoscaleStatus.Reading:
    written = AutoscaleStatus.Reading(rule=rule_text(reading.rule), problem=reading.problem)
    if reading.value is not None:
        written.value, written.wish = reading.value, reading.wish
    return written


def _is_news(before: AutoscaleStatus, after: AutoscaleStatus, now_ns: int) -> bool:
    if not before.HasField("read_at"):
        return True
    age_ns = abs(now_ns - nanoseconds(before.read_at))  # the clock of another leader may have been ahead
    if _state(before) != _state(after):
        return age_ns >= NEWS_NS
    if age_ns < REFRESH_NS:
        return False
    return before.holding != after.holding or _moved(before.readings, after.readings)


def _state(status: AutoscaleStatus) -> tuple[bool, list[bool]]:
    return bool(status.holding), [reading.HasField("value") for reading in status.readings]


def _moved(before: Sequence[AutoscaleStatus.Reading], after: Sequence[AutoscaleStatus.Reading]) -> bool:
    return any(
        (old.wish, old.problem) != (new.wish, new.problem)
        or abs(old.value - new.value) > NOTABLE * max(old.value, new.value)
        for old, new in zip(before, after, strict=True)
    )
