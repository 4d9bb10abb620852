"""What a request about tasks returns."""

from collections.abc import Iterable

from swarm.api.v1.control_pb2 import Filters
from swarm.api.v1.objects_pb2 import Task
from swarm.manager.controlapi.redact import shown_task
from swarm.manager.store.tables import ReadView
from swarm.model.selectors import task_selected


def list_tasks(view: ReadView, filters: Filters) -> list[Task]:
    """Return the tasks asked for, by service and slot, the newest of a slot first."""
    tasks = [task for task in _candidates(view, filters) if task_selected(filters, task)]
    tasks.sort(key=_newest_first, reverse=True)
    tasks.sort(
        key=lambda task: (task.service_annotations.name, task.slot, task.node_id if not task.slot else "")
    )
    return [shown_task(task) for task in tasks]


def _newest_first(task: Task) -> tuple[int, int, str]:
    return task.meta.created_at.seconds, task.meta.created_at.nanos, task.id


def _candidates(view: ReadView, filters: Filters) -> Iterable[Task]:
    """Return few tasks that hold all those asked for, by an index where one helps."""
    if filters.service_ids:
        return [task for service in set(filters.service_ids) for task in view.tasks.by_service(service)]
    if filters.node_ids:
        return [task for node in set(filters.node_ids) for task in view.tasks.by_node(node)]
    return view.tasks
