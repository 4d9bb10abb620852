"""Which new tasks have everything that must be given to them before they can be placed?

Tasks whose service depends on others are let go when swarm/model/dependencies.py says so. Host-mode ports
need nothing: whether one is free depends on the node. Addresses of networks will be given here.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from swarm.api.v1.objects_pb2 import Task
from swarm.api.v1.types_pb2 import TaskStatus
from swarm.clock import timestamp
from swarm.manager.store.tables import copy_of
from swarm.manager.store.transaction import Transaction
from swarm.model import task_state
from swarm.model.dependencies import Gate, Hold
from swarm.model.history import record_status

PENDING_MESSAGE = "pending task scheduling"


@dataclass(frozen=True, slots=True)
class AllocationPlan:
    """Ids of tasks that go from NEW to PENDING, in the order in which they came."""

    task_ids: tuple[str, ...] = ()
    held: dict[str, Hold] = field(default_factory=dict)  # by task id: those that must wait, and why


def needs_allocation(task: Task) -> bool:
    """Whether `task` waits for the allocator."""
    return task.status.state == task_state.NEW and task_state.wants_to_run(task)


def plan_allocation(tasks: Iterable[Task], gate: Gate) -> AllocationPlan:
    """Return what to give to `tasks`, which may be in any state."""
    ready: list[str] = []
    held: dict[str, Hold] = {}
    for task in filter(needs_allocation, tasks):
        hold = gate.hold(task)
        if hold is None:
            ready.append(task.id)
        else:
            held[task.id] = hold
    return AllocationPlan(tuple(ready), held)


def commit_allocation(transaction: Transaction, plan: AllocationPlan, now_ns: int) -> int:
    """Carry out a plan, except for tasks that changed since; return how many tasks are PENDING now."""
    done = 0
    for task_id in plan.task_ids:
        task = transaction.tasks.get(task_id)
        if task is None or not needs_allocation(task):
            continue
        task = copy_of(task)
        status = TaskStatus(timestamp=timestamp(now_ns), state=task_state.PENDING, message=PENDING_MESSAGE)
        record_status(task, status)
        transaction.update(task)
        done += 1
    return done
