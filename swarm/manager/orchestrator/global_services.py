"""On which nodes should a global service have a task?"""

from collections.abc import Mapping

from swarm.api.v1.objects_pb2 import Node
from swarm.api.v1.specs_pb2 import TaskSpec
from swarm.errors import InvalidArgument
from swarm.manager.orchestrator.plan import NewTask, PlanBuilder, Step
from swarm.manager.orchestrator.reaper import plan_removal
from swarm.manager.orchestrator.restart import is_finished
from swarm.manager.orchestrator.service_view import ServiceView
from swarm.manager.orchestrator.slots import SLOTS_PER_STEP, Condition, Slot, SlotKey, condition_of, stopping
from swarm.model import task_state
from swarm.model.constraint import Constraint, node_matches, parse_constraints
from swarm.model.platform import platform_matches
from swarm.steps import Steps

# Who keeps a task of a global service; a node not heard of yet counts as active.
_KEEPS = (Condition.ACTIVE, Condition.PAUSED)


class Eligibility:
    """Which nodes a task spec wants, with its constraints read once."""

    def __init__(self, spec: TaskSpec) -> None:
        self._placement = spec.placement
        self._constraints: tuple[Constraint, ...] | None = None
        try:
            self._constraints = parse_constraints(spec.placement.constraints)
        except InvalidArgument:
            self._constraints = None

    def fits(self, node: Node) -> bool:
        """Whether `node` satisfies the constraints and platforms."""
        return (
            self._constraints is not None
            and node_matches(self._constraints, node)
            and platform_matches(self._placement.platforms, node.description.platform)
        )


def plan_coverage(
    plan: PlanBuilder, view: ServiceView, slots: Mapping[SlotKey, Slot]
) -> Steps[dict[SlotKey, Slot]]:
    """Create a task on every eligible node without one, stop those elsewhere; return the slots that stay."""
    eligibility = Eligibility(view.service.spec.task)
    kept: dict[SlotKey, Slot] = {}
    for count, node in enumerate(tuple(view.nodes), 1):
        key = (0, node.id)
        slot = slots.get(key) or Slot(key, ())
        condition = condition_of(node)
        if condition not in _KEEPS or not eligibility.fits(node):
            _stop(plan, slot)
        elif slot.live or is_finished(slot, view.restart):
            kept[key] = slot
        elif condition is Condition.ACTIVE:
            held = stopping(slot, view.nodes)
            desired = task_state.READY if held else task_state.RUNNING
            plan.steps.append(Step(create=NewTask(node_id=node.id, desired_state=desired)))
        if count % SLOTS_PER_STEP == 0:
            yield
    for slot in slots.values():
        if slot.node_id not in view.nodes:
            plan_removal(plan, slot.tasks)
    return kept


def _stop(plan: PlanBuilder, slot: Slot) -> None:
    if slot.live:
        plan.steps.append(Step(desire=tuple((task.id, task_state.SHUTDOWN) for task in slot.live)))
