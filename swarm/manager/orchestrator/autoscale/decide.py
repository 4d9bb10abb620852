"""How many replicas shall an autoscaled service have? A function of what is known of it, and the time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from swarm.api.v1.objects_pb2 import Service
from swarm.clock import SECOND, nanoseconds
from swarm.manager.orchestrator.autoscale.census import Census
from swarm.manager.orchestrator.autoscale.rules import Answer, Query, Reading, read_rule
from swarm.manager.orchestrator.autoscale.wishes import Wishes
from swarm.model import rollout
from swarm.model.autoscale import Autoscaling, step_size, wanted_replicas
from swarm.model.units import format_duration

# After a change its effect has to be seen before the next one: two samples of a new task.
REST_NS = 10 * SECOND
# Longer without a look (the machine was suspended), and the windows have a hole: they begin anew.
GAP_S = 30.0
# More crashing slots than this share, and the load is not what is wrong with the service.
CRASHING_SHARE = 0.1


@dataclass(frozen=True, slots=True)
class ScaleView:
    """What is known of an autoscaled service."""

    service: Service
    settings: Autoscaling
    census: Census
    answers: Mapping[Query, Answer]
    wishes: Wishes | None  # None: this leader looks at it for the first time
    now_ns: int
    now_s: float  # monotonic


@dataclass(frozen=True, slots=True)
class ScalePlan:
    """How many replicas there shall be, and what to remember for the next look."""

    replicas: int
    wishes: Wishes
    readings: Sequence[Reading]
    reason: str = ""  # of a change
    holding: str = ""  # why the number stays although the load says otherwise, or is not known


def decide(view: ScaleView) -> ScalePlan:
    """Return the plan; its replicas are within the bounds of the spec."""
    settings, present = view.settings, wanted_replicas(view.service)
    task = view.service.spec.task
    readings = [read_rule(rule, task, view.census, view.answers, present) for rule in settings.rules]
    load = max((one.wish for one in readings if one.value is not None), default=present)
    wish = settings.bounded(load)
    holding = _holding(view, readings, wish, present)
    if holding:
        wish = present
    elif load > settings.most == present:
        holding = f"the load wants {load}, and the most is {settings.most} (--replicas-max)"
    wishes = _remembered(view, wish)
    target = _stabilised(settings, wishes, present)
    if target == present:
        if wish != present:
            holding = _waiting(settings, wish, present)
        return ScalePlan(present, wishes, readings, holding=holding)
    if 0 <= view.now_ns - nanoseconds(view.service.autoscale_status.decided_at) < REST_NS:
        return ScalePlan(present, wishes, readings)
    step = settings.up_step if target > present else settings.down_step
    size = step_size(step, present)
    replicas = settings.bounded(max(present - size, min(present + size, target)))
    return ScalePlan(replicas, wishes, readings, _reason(readings, present, replicas, target))


def _holding(view: ScaleView, readings: Sequence[Reading], wish: int, present: int) -> str:
    """Return why the number of replicas must not follow `wish`; empty when it may."""
    held = _held_by_update(view.service, fewer=wish < present) or _held_by_crashes(view.census)
    unknown = next((one for one in readings if one.value is None), None)
    if not held and unknown is not None and wish <= present > view.settings.least:
        held = f"{unknown.text}; without that there are no fewer replicas"
    return held


def _held_by_update(service: Service, *, fewer: bool) -> str:
    status = service.update_status
    if not rollout.is_unfinished(status):
        return ""
    if status.state in rollout.PAUSED:
        return "its update is paused: more replicas would be of the new spec"
    is_rollback = status.state in rollout.ROLLING_BACK
    if service.spec.update.canary and not status.promoted and not is_rollback:
        return "its canaries are not promoted: more replicas would be of the new spec"
    return "it is being updated: no fewer replicas meanwhile" if fewer else ""


def _held_by_crashes(census: Census) -> str:
    slots = len(census.uses) + census.missing + census.unready
    if census.crashing <= CRASHING_SHARE * slots:
        return ""
    return (
        f"its tasks crash ({census.crashing} of {max(slots, census.crashing)}): more of them would not help"
    )


def _remembered(view: ScaleView, wish: int) -> Wishes:
    wishes = view.wishes
    if wishes is None or view.now_s - wishes.last_s > GAP_S:
        wishes = Wishes(view.now_s, view.now_s)
    settings = view.settings
    return wishes.with_one(
        wish, view.now_s, settings.up_window_ns / SECOND, settings.down_window_ns / SECOND
    )


def _stabilised(settings: Autoscaling, wishes: Wishes, present: int) -> int:
    """Return `present`, or the wish nearest to it of a window whose wishes were all beyond it."""
    if wishes.lowest > present and wishes.covers(settings.up_window_ns / SECOND):
        return wishes.lowest
    if wishes.highest < present and wishes.covers(settings.down_window_ns / SECOND):
        return wishes.highest
    return present


def _waiting(settings: Autoscaling, wish: int, present: int) -> str:
    window_ns = settings.up_window_ns if wish > present else settings.down_window_ns
    return f"the load wants {wish}, and has to want it for {format_duration(window_ns)}"


def _reason(readings: Sequence[Reading], present: int, replicas: int, target: int) -> str:
    """Return what led to a change, the rule that wanted the most first."""
    known = sorted((one for one in readings if one.value is not None), key=lambda one: -one.wish)
    why = known[0].text if known else "as it was wanted before"
    slowly = f", on the way to {target}" if replicas != target else ""
    return f"{present} → {replicas}{slowly}: {why}"
