"""What has to change for one service to be what it should be? All decisions, in order, over one view.

In a slot only one of them acts in one pass: first what became of its tasks, then whether it should exist,
then the update. A pass over a state in which nothing has to change returns an empty plan.
"""

from collections.abc import Iterable, Sequence

from swarm.api.v1.objects_pb2 import Node, Task
from swarm.manager.orchestrator.drain import plan_move, stays_for_now
from swarm.manager.orchestrator.global_services import plan_coverage
from swarm.manager.orchestrator.jobs import plan_job
from swarm.manager.orchestrator.plan import Plan, PlanBuilder, Step
from swarm.manager.orchestrator.preemption import plan_preempted, preempted
from swarm.manager.orchestrator.reaper import history_limit_of, plan_reap, plan_removed_service
from swarm.manager.orchestrator.rebalance import moving_slots, plan_moves
from swarm.manager.orchestrator.replicated import plan_scale
from swarm.manager.orchestrator.restart import (
    Cause,
    cause_of,
    held_back_until_ns,
    plan_replacement,
    plan_start,
)
from swarm.manager.orchestrator.service_view import ServiceView
from swarm.manager.orchestrator.slots import SLOTS_PER_STEP, Condition, Slot, SlotKey, slots_of
from swarm.manager.orchestrator.updater import Updater
from swarm.manager.store.tables import Table
from swarm.model import task_state
from swarm.model.defaults import is_global
from swarm.model.job import job_of
from swarm.steps import Steps


def plan_service(view: ServiceView) -> Steps[Plan]:
    """Return what to do for a service that exists."""
    plan = PlanBuilder()
    job = job_of(view.service.spec)
    if job is not None:
        yield from plan_job(plan, view, job, _plan_slot)
        return plan.build()
    slots = yield from slots_of(view.tasks)
    if is_global(view.service.spec):
        kept = yield from plan_coverage(plan, view, slots)
    else:
        kept = yield from plan_scale(plan, view, slots)
    updater = Updater(view)
    busy: set[SlotKey] = set()
    moving = moving_slots(view)
    for count, slot in enumerate(kept.values(), 1):
        if count % SLOTS_PER_STEP == 0:
            yield
        if view.is_settled(slot) and not (updater.is_active and slot.tasks[0].previous_task_id):
            continue
        if _plan_slot(plan, view, slot):
            busy.add(slot.key)
        if slot.key not in moving and _is_updatable(view, slot):
            updater.add(slot, busy=slot.key in busy)
    updater.plan(plan, busy)
    plan_moves(plan, view, kept, busy)
    yield from _reap(plan, view, slots.values(), updater.learns_from)
    return plan.build()


def plan_without_service(tasks: Sequence[Task], nodes: Table[Node]) -> Steps[Plan]:
    """Return what to do with the tasks of a service that is gone."""
    plan = PlanBuilder()
    yield from plan_removed_service(plan, tasks, nodes)
    return plan.build()


def _plan_slot(plan: PlanBuilder, view: ServiceView, slot: Slot) -> bool:
    """See to the tasks of a slot that stays; return whether something changes in it."""
    before = len(plan.steps)
    causes = [(task, cause_of(task, view.nodes) or preempted(view, task)) for task in slot.live]
    well = [task for task, cause in causes if cause is None]
    newest_live = slot.live[-1] if slot.live else None
    for task, cause in causes:
        if cause is None:
            continue
        held_ns = held_back_until_ns(task)
        if cause is Cause.ENDED and held_ns > view.now_ns:
            # It failed while it was prepared: the delay goes on, or a bad image would be tried in a rush.
            plan.wake(held_ns)
        elif cause is Cause.PREEMPTED:
            plan_preempted(plan, view, slot, task, well)
        elif cause is Cause.MOVED and stays_for_now(view, task):
            plan_move(plan, view, slot, task, well)
        elif task is newest_live and all(map(view.is_dirty, well)):
            as_previous = view.is_dirty(task)
            plan_replacement(
                plan, slot, task, cause, view.nodes, view.restart, view.now_ns, as_previous=as_previous
            )
        else:  # another task holds the slot already
            plan.steps.append(Step(desire=((task.id, task_state.SHUTDOWN),)))
    _plan_doubles(plan, view, well)
    if len(plan.steps) > before:
        return True
    for task in well:
        if task.desired_state < task_state.RUNNING:
            plan_start(plan, slot, task, view.nodes, view.now_ns)
    return len(plan.steps) > before


def _plan_doubles(plan: PlanBuilder, view: ServiceView, well: Sequence[Task]) -> None:
    """Keep one task of the present version and one that it replaces: more are never wanted in a slot.

    They come of a commit whose outcome was not known, or of an update that overtook another.
    """
    if len(well) < 2:
        return
    dirty = [task for task in well if view.is_dirty(task)]
    clean = [task for task in well if not view.is_dirty(task)]
    for group in (dirty, clean):
        for task in sorted(group, key=lambda task: not task_state.is_running(task))[1:]:
            plan.steps.append(Step(desire=((task.id, task_state.SHUTDOWN),)))


def _is_updatable(view: ServiceView, slot: Slot) -> bool:
    """Whether an update concerns itself with `slot`: a paused node gets no new task of a global service.

    What it began there before the node was paused goes on, and holds up other slots as anywhere else.
    """
    if not slot.node_id or view.condition(slot.node_id) is not Condition.PAUSED:
        return True
    return any(not view.is_dirty(task) for task in slot.live)


def _reap(
    plan: PlanBuilder, view: ServiceView, slots: Iterable[Slot], spared: frozenset[str]
) -> Steps[None]:
    limit = history_limit_of(view.history_limit, view.restart)
    for count, slot in enumerate(slots, 1):
        plan_reap(plan, slot, view.nodes, limit, spared)
        if count % SLOTS_PER_STEP == 0:
            yield
