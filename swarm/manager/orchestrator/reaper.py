"""Which tasks can be forgotten?"""

from collections.abc import Collection, Iterable

from swarm.api.v1.objects_pb2 import Node, Task
from swarm.manager.orchestrator.plan import PlanBuilder, Step
from swarm.manager.orchestrator.slots import SLOTS_PER_STEP, Slot, is_stopped
from swarm.manager.store.tables import Table
from swarm.model import defaults, task_state
from swarm.steps import Steps


def history_limit_of(limit: int, policy: defaults.Restart) -> int:
    """Return how many tasks a slot keeps; attempts that are counted have to be kept. Negative: all."""
    if limit < 0 or not policy.max_attempts:
        return limit
    return max(limit, policy.max_attempts + 1)


def plan_removal(plan: PlanBuilder, tasks: Iterable[Task]) -> None:
    """Stop `tasks`, then forget them."""
    desire = tuple((task.id, task_state.REMOVE) for task in tasks if task.desired_state != task_state.REMOVE)
    if desire:
        plan.steps.append(Step(desire=desire))


def plan_removed_service(plan: PlanBuilder, tasks: Iterable[Task], nodes: Table[Node]) -> Steps[None]:
    """Stop the tasks of a service that does not exist any more, and forget those that have stopped."""
    for count, task in enumerate(tasks, 1):
        if is_stopped(task, nodes):
            plan.steps.append(Step(remove=(task.id,)))
        else:
            plan_removal(plan, (task,))
        if count % SLOTS_PER_STEP == 0:
            yield


def plan_reap(
    plan: PlanBuilder, slot: Slot, nodes: Table[Node], limit: int, spared: Collection[str] = ()
) -> None:
    """Forget the tasks of `slot` that nobody needs any more, oldest first.

    `limit` counts the live task as well; 0 keeps nothing else. The last task of a slot that has done its
    work for good is never forgotten, for it is what tells that the slot is not to be filled again.
    `spared` are ids that an update still has to learn from.
    """
    if len(slot.tasks) == len(slot.live):
        return
    gone = {task.id for task in slot.tasks if _is_forgettable(task, nodes)}
    if limit >= 0:
        past = [task for task in slot.tasks if task.id not in gone and _is_past(task, nodes)]
        excess = len(slot.tasks) - len(gone) - max(limit, 1)
        for task in past[: max(0, excess)]:
            if task is not slot.newest and task.id not in spared:
                gone.add(task.id)
    if gone:
        plan.steps.append(Step(remove=tuple(task.id for task in slot.tasks if task.id in gone)))


def _is_forgettable(task: Task, nodes: Table[Node]) -> bool:
    """Whether `task` is not wanted any more and leaves nothing behind: neither a container nor a story."""
    if task.desired_state == task_state.REMOVE:
        # A node that is down may still run it; when it comes back it is told that it has no such task.
        return is_stopped(task, nodes)
    return task.desired_state > task_state.RUNNING and task.status.state < task_state.ASSIGNED


def _is_past(task: Task, nodes: Table[Node]) -> bool:
    return task.desired_state > task_state.RUNNING and is_stopped(task, nodes)
