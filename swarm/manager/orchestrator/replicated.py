"""How many slots should a replicated service have, and which ones go when there are too many?"""

from collections.abc import Iterable, Mapping
from operator import attrgetter, itemgetter

from swarm.manager.orchestrator.plan import NewTask, PlanBuilder, Step
from swarm.manager.orchestrator.reaper import plan_removal
from swarm.manager.orchestrator.restart import is_finished
from swarm.manager.orchestrator.service_view import ServiceView
from swarm.manager.orchestrator.slots import SLOTS_PER_STEP, Slot, SlotKey, stopping
from swarm.model import task_state
from swarm.model.autoscale import wanted_replicas
from swarm.steps import Steps


def plan_scale(
    plan: PlanBuilder, view: ServiceView, slots: Mapping[SlotKey, Slot]
) -> Steps[dict[SlotKey, Slot]]:
    """Create and remove slots until there are as many as asked for; return those that stay."""
    filled: dict[SlotKey, Slot] = {}
    free: dict[SlotKey, Slot] = {}
    for count, (key, slot) in enumerate(slots.items(), 1):
        (filled if slot.live or is_finished(slot, view.restart) else free)[key] = slot
        if count % SLOTS_PER_STEP == 0:
            yield
    excess = len(filled) - wanted_replicas(view.service)
    if excess < 0:
        yield from _create(plan, view, free, filled, -excess)
    elif excess > 0:
        yield
        for count, slot in enumerate(removal_order(filled.values())[:excess]):
            if count % SLOTS_PER_STEP == 0:
                yield
            del filled[slot.key]
            plan_removal(plan, slot.tasks)
    for slot in free.values():
        plan_removal(plan, slot.tasks)
    return filled


def removal_order(slots: Iterable[Slot]) -> list[Slot]:
    """Return the slots, the one that is missed least first.

    Those that do not run go first; then those on the nodes with the most copies, so that what stays is
    spread; then the highest numbers.
    """
    running: list[Slot] = []
    idle: list[Slot] = []
    for slot in slots:
        (running if any(map(task_state.is_running, slot.live)) else idle).append(slot)
    copies: dict[str, int] = {}
    ranked: list[tuple[bool, int, int, Slot]] = []
    for group in (running, idle):
        for slot in sorted(group, key=attrgetter("number")):
            node_id = slot.live[0].node_id if slot.live else ""
            copies[node_id] = copies.get(node_id, 0) + 1
            ranked.append((group is idle, copies[node_id], slot.number, slot))
    ranked.sort(key=itemgetter(0, 1, 2), reverse=True)
    return [slot for *_, slot in ranked]


def _create(
    plan: PlanBuilder,
    view: ServiceView,
    free: dict[SlotKey, Slot],
    filled: Mapping[SlotKey, Slot],
    wanted: int,
) -> Steps[None]:
    """Fill `wanted` slots, those with the lowest numbers; they are free no more."""
    number = 0
    while wanted > 0:
        number += 1
        key = (number, "")
        if key in filled:
            continue
        wanted -= 1
        before = free.pop(key, None)
        held = before is not None and stopping(before, view.nodes)
        # One that held the slot before may still be stopping.
        desired = task_state.READY if held else task_state.RUNNING
        plan.steps.append(Step(create=NewTask(slot=number, desired_state=desired)))
        if wanted % SLOTS_PER_STEP == 0:
            yield
