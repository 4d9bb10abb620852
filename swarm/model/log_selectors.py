"""Whose output does somebody want to read?"""

from swarm.api.v1.logs_pb2 import LogSelector
from swarm.api.v1.objects_pb2 import Task
from swarm.model.stacks import NAMESPACE_LABEL


def selected(selector: LogSelector, task: Task) -> bool:
    """Whether a selector names this task, its service, or the stack of which it was made."""
    if task.id in selector.task_ids or task.service_id in selector.service_ids:
        return True
    return bool(selector.stack) and task.service_annotations.labels.get(NAMESPACE_LABEL) == selector.stack
