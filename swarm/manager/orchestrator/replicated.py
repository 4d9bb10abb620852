"""How many slots should a replicated service have, and which ones go when there are too many?"""

from collections.abc import Iterable, Mapping

from swarm.manager.orchestrator.plan import NewTask, PlanBuilder, Step
from swarm.manager.orchestrator.reaper import plan_removal
from swarm.manager.orchestrator.restart import is_finished
from swarm.manager.orchestrator.service_view import ServiceView
from swarm.manager.orchestrator.slots import Slot, SlotKey, stopping
from swarm.model import defaults, task_state


def plan_scale(plan: PlanBuilder, view: ServiceView, slots: Mapping[SlotKey, Slot]) -> dict[SlotKey, Slot]:
    """Create and remove slots until there are as many as asked for; return those that stay."""
    filled = {key: slot for key, slot in slots.items() if slot.live or is_finished(slot, view.restart)}
    wanted = defaults.replicas(view.service.spec)
    kept = dict(filled)
    for slot in removal_order(filled.values())[: max(0, len(filled) - wanted)]:
        del kept[slot.key]
        plan_removal(plan, slot.tasks)
    created = _create(plan, view, slots, filled, wanted - len(filled))
    for key, slot in slots.items():
        if key not in filled and key not in created:
            plan_removal(plan, slot.tasks)
    return kept


def removal_order(slots: Iterable[Slot]) -> list[Slot]:
    """Return the slots, the one that is missed least first.

    Those that do not run go first; then those on the nodes with the most copies, so that what stays is
    spread; then the highest numbers.
    """
    copies: dict[str, int] = {}
    ranked: list[tuple[bool, int, int, Slot]] = []
    for slot in sorted(slots, key=lambda slot: (not _runs(slot), slot.number)):
        node_id = next((task.node_id for task in slot.live), "")
        copies[node_id] = copies.get(node_id, 0) + 1
        ranked.append((not _runs(slot), copies[node_id], slot.number, slot))
    ranked.sort(key=lambda item: item[:3], reverse=True)
    return [slot for *_, slot in ranked]


def _create(
    plan: PlanBuilder,
    view: ServiceView,
    slots: Mapping[SlotKey, Slot],
    filled: Mapping[SlotKey, Slot],
    count: int,
) -> set[SlotKey]:
    created: set[SlotKey] = set()
    number = 0
    while len(created) < count:
        number += 1
        key = (number, "")
        if key in filled:
            continue
        created.add(key)
        held = key in slots and stopping(slots[key], view.nodes)
        plan.steps.append(
            Step(
                create=NewTask(
                    slot=number,
                    # One that held the slot before may still be stopping.
                    desired_state=task_state.READY if held else task_state.RUNNING,
                )
            )
        )
    return created


def _runs(slot: Slot) -> bool:
    return any(map(task_state.is_running, slot.live))
