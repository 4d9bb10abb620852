"""Which tasks are on nodes that nobody will hear of again?"""

from collections.abc import Iterable
from dataclasses import dataclass

from swarm.api.v1.objects_pb2 import Node, Task
from swarm.clock import SECOND, nanoseconds
from swarm.manager.orchestrator.slots import Condition, condition_of
from swarm.model import task_state

# Long enough for a machine to be repaired and to take up its tasks again; after that nobody waits for it.
ORPHANED_AFTER_NS = 24 * 3600 * SECOND


@dataclass(frozen=True, slots=True)
class OrphanPlan:
    """Tasks to give up, and when to look again."""

    task_ids: tuple[str, ...] = ()
    wake_at_ns: int | None = None


def plan_orphans(node: Node | None, tasks: Iterable[Task], now_ns: int) -> OrphanPlan:
    """Return which of `tasks`, all bound to `node`, are orphans now; at once when the node is gone.

    A node is down at least since its object was last written: nobody writes it without a reason.
    """
    condition = condition_of(node)
    if condition not in (Condition.DOWN, Condition.GONE):
        return OrphanPlan()
    waiting = tuple(
        task.id
        for task in tasks
        if task.status.state >= task_state.ASSIGNED and not task_state.is_done(task)
    )
    if not waiting or node is None:
        return OrphanPlan(waiting)
    due_ns = nanoseconds(node.meta.updated_at) + ORPHANED_AFTER_NS
    return OrphanPlan(waiting) if now_ns >= due_ns else OrphanPlan(wake_at_ns=due_ns)
