"""What an agent would report if all went well at once: the assumption behind every plan that is shown."""

from swarm.api.v1.objects_pb2 import Service, Task
from swarm.api.v1.types_pb2 import TaskState, TaskStatus
from swarm.clock import timestamp
from swarm.manager.orchestrator.slots import Condition, condition_of
from swarm.manager.store.tables import ReadView, copy_of
from swarm.manager.store.transaction import Transaction
from swarm.model import defaults, task_state
from swarm.model.history import record_status

ASSUMPTION = "every task runs as soon as it is started, and stops as soon as it is told to"
IN_LARGER_STEPS = "large updates are looked at in larger steps than they are made in"

# Tasks looked at for one update, about half a second's worth: each round costs a look at all of them.
TASK_LOOKS_MAX = 8192


def next_state(task: Task, view: ReadView) -> "TaskState | None":
    """Return the state in which `task` would be by now; None when it is there."""
    state, desired = task.status.state, task.desired_state
    if state < task_state.ASSIGNED or task_state.is_done(task):
        return None
    if condition_of(view.nodes.get(task.node_id)) in (Condition.DOWN, Condition.GONE):
        return None
    if desired > task_state.RUNNING:
        return task_state.SHUTDOWN
    return desired if state < desired else None


def commit_state(transaction: Transaction, task: Task, state: "TaskState", now_ns: int) -> None:
    """Write that `task` reached `state`."""
    changed = copy_of(task)
    record_status(changed, TaskStatus(timestamp=timestamp(now_ns), state=state, message="assumed"))
    transaction.update(changed)


def hastened(service: Service, tasks: int) -> Service | None:
    """Return `service` with updates that take few enough rounds; None when they do anyhow.

    Where its tasks end up is the same but for ties: each round starts from what the one before left.
    """
    rounds = max(2, TASK_LOOKS_MAX // max(1, tasks))
    if rounds >= tasks:
        return None
    changed = copy_of(service)
    for config, now in (
        (changed.spec.update, defaults.update(service.spec)),
        (changed.spec.rollback, defaults.rollback(service.spec)),
    ):
        if now.parallelism:
            config.parallelism = max(now.parallelism, -(-tasks // rounds))
        config.delay_ns = 0
        config.monitor_ns = 0
    return changed
