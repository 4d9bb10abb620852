"""Tasks that wait for others to stop, and those that have to: who, and in words why."""

from swarm.api.v1.objects_pb2 import Nomination, Preemption, Task
from swarm.model import task_state


def is_nominated(task: Task) -> bool:
    """Whether `task` waits for others to stop on a node where room is kept for it."""
    return (
        task.HasField("nomination")
        and task.status.state == task_state.PENDING
        and task_state.wants_to_run(task)
    )


def preemption_by(nominee: Task) -> Preemption:
    """Return what is written on the victims of a nominated task."""
    nomination: Nomination = nominee.nomination
    return Preemption(
        task_id=nominee.id,
        service_name=nominee.service_annotations.name or nominee.service_id,
        priority=nomination.priority,
    )


def preempted_text(by: Preemption) -> str:
    """Return e.g. `preempted by task 3x8f of shop (priority 10)`."""
    return f"preempted by task {by.task_id} of {by.service_name} (priority {by.priority})"


def preempted_for(by: Preemption) -> str:
    """Return the same where the task has no id yet: `preempted by shop (priority 10)`."""
    return f"preempted by {by.service_name} (priority {by.priority})"
