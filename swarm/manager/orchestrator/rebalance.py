"""How does a rebalance go on? Which tasks move was decided before and stands in the service.

As with updates there is nothing to remember but that: how far each move is, its slot tells, so a new leader
goes on where the old one stopped. A move is a replacement: where the new task goes, the scheduler decides.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from swarm.api.v1.objects_pb2 import Rebalance, Task
from swarm.api.v1.types_pb2 import UpdateConfig, UpdateStatus
from swarm.clock import timestamp
from swarm.manager.orchestrator.plan import NewTask, PlanBuilder, ServiceChange, Step
from swarm.manager.orchestrator.restart import ended_by_itself
from swarm.manager.orchestrator.service_view import ServiceView
from swarm.manager.orchestrator.slots import Slot, SlotKey, ran_for_ns, running_since_ns
from swarm.model import defaults, task_state
from swarm.model.service import MOVED, is_moving

_BETWEEN_UPDATES = (
    UpdateStatus.STATE_NONE,
    UpdateStatus.STATE_COMPLETED,
    UpdateStatus.STATE_ROLLBACK_COMPLETED,
)


@dataclass(frozen=True, slots=True)
class MoveProgress:
    """How far one move is."""

    slot: Slot
    old: Task | None  # while it is meant to run
    new: Task | None  # meant to run in its place
    reached_ns: int | None  # when `new` began to run
    trouble: str  # why the move, and with it the rebalance, cannot go on

    @property
    def is_todo(self) -> bool:
        """Whether the move has not begun."""
        return self.old is not None and self.new is None

    @property
    def is_awaited(self) -> bool:
        """Whether the new task is on its way."""
        return self.new is not None and self.reached_ns is None


def may_rebalance(view: ServiceView) -> bool:
    """Whether no update of the service is under way, paused or due."""
    return view.service.update_status.state in _BETWEEN_UPDATES


def moving_slots(view: ServiceView) -> frozenset[SlotKey]:
    """Return the slots that are none of an update's business, for their tasks move."""
    moves = view.service.rebalance.moves if view.moving else ()
    return frozenset((move.slot, "") for move in moves)


def plan_moves(
    plan: PlanBuilder, view: ServiceView, slots: Mapping[SlotKey, Slot], busy: Collection[SlotKey]
) -> None:
    """Take a rebalance one step further; nothing is begun in slots that are `busy`."""
    rebalance = view.service.rebalance
    if rebalance.state != Rebalance.STATE_MOVING or plan.service_change is not None:
        return
    if not is_moving(view.service) or not may_rebalance(view):
        _end(plan, view, Rebalance.STATE_STOPPED, "stopped, for the service is updated")
        return
    config = defaults.update(view.service.spec)
    found = (slots.get((move.slot, "")) for move in rebalance.moves)
    moves = [
        _progress(slot, move.task_id, config.monitor_ns)
        for slot, move in zip(found, rebalance.moves, strict=True)
        if slot is not None
    ]
    trouble = next((move.trouble for move in moves if move.trouble), "")
    if trouble:
        _end(plan, view, Rebalance.STATE_STOPPED, f"stopped, {trouble}")
        return
    _go_on(plan, view, moves, busy, config)


def _progress(slot: Slot, old_id: str, monitor_ns: int) -> MoveProgress:
    old = next((task for task in slot.live if task.id == old_id), None)
    new = next((task for task in reversed(slot.live) if task.id != old_id), None)
    reached_ns = running_since_ns(new) if new is not None and task_state.is_running(new) else None
    return MoveProgress(slot, old, new, reached_ns, _trouble(slot, old_id, new, monitor_ns))


def _trouble(slot: Slot, old_id: str, new: Task | None, monitor_ns: int) -> str:
    ids = [task.id for task in slot.tasks]
    later = slot.tasks[ids.index(old_id) + 1 :] if old_id in ids else ()
    for task in later:
        ran_ns = ran_for_ns(task)
        if ended_by_itself(task) and (ran_ns is None or ran_ns <= monitor_ns):
            why = task.status.err or task.status.message
            return f"because task {task.id} failed or ended early: {why}"
    if new is not None and new.status.state == task_state.PENDING and new.status.err:
        return f"because task {new.id} finds no node any more: {new.status.err}"
    return ""


def _go_on(
    plan: PlanBuilder,
    view: ServiceView,
    moves: Collection[MoveProgress],
    busy: Collection[SlotKey],
    config: defaults.Update,
) -> None:
    """Stop what has been replaced, begin as many moves as may be under way; end when all are done."""
    waiting, todo = 0, []
    for move in moves:
        if move.slot.key in busy or move.is_awaited:
            waiting += 1
        elif move.is_todo:
            todo.append(move)
        elif move.reached_ns is not None:
            if move.old is not None:
                plan.steps.append(Step(desire=((move.old.id, task_state.SHUTDOWN),), why=MOVED))
                waiting += 1
            elif move.reached_ns + config.delay_ns > view.now_ns:
                plan.wake(move.reached_ns + config.delay_ns)
                waiting += 1
    free = config.parallelism - waiting if config.parallelism else len(todo)
    for move in todo[: max(0, free)]:
        _begin(plan, move, config.order)
    if not todo and not waiting:
        count = len(view.service.rebalance.moves)
        _end(plan, view, Rebalance.STATE_COMPLETED, f"{count} task{'s' if count != 1 else ''} moved")


def _begin(plan: PlanBuilder, move: MoveProgress, order: "UpdateConfig.Order") -> None:
    old = move.old
    assert old is not None
    start_first = order == UpdateConfig.ORDER_START_FIRST
    new_task = NewTask(
        slot=move.slot.number,
        desired_state=task_state.RUNNING if start_first else task_state.READY,
        previous=old,
    )
    desire = () if start_first else ((old.id, task_state.SHUTDOWN),)
    live = frozenset(task.id for task in move.slot.live)
    plan.steps.append(Step(desire=desire, create=new_task, live=live, why=MOVED))


def _end(plan: PlanBuilder, view: ServiceView, state: "Rebalance.State", message: str) -> None:
    ended = Rebalance()
    ended.CopyFrom(view.service.rebalance)
    ended.state = state
    ended.message = message
    ended.completed_at.CopyFrom(timestamp(view.now_ns))
    del ended.moves[:]  # what is over need not be copied with every change of the service
    plan.service_change = ServiceChange(rebalance=ended)
