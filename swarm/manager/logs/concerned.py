"""Which tasks and nodes is a log subscription about?"""

from collections.abc import Iterator, Mapping

from swarm.api.v1.logs_pb2 import LogSelector, LogSubscription
from swarm.api.v1.objects_pb2 import Node, Task
from swarm.api.v1.types_pb2 import NODE_STATE_DOWN
from swarm.manager.store.tables import ReadView
from swarm.model.log_selectors import selected
from swarm.model.stacks import NAMESPACE_LABEL
from swarm.model.task import task_name
from swarm.model.task_state import ASSIGNED, ORPHANED, STARTING


def has_output(task: Task, *, follow: bool) -> bool:
    """Whether the task's node has lines of it, or with `follow` may have them later."""
    if not task.node_id or task.status.state == ORPHANED:
        return False
    return task.status.state >= (ASSIGNED if follow else STARTING)


def concerned(task: Task, subscription: LogSubscription) -> bool:
    """Whether the subscription has to reach the node of this task."""
    return selected(subscription.selector, task) and has_output(task, follow=subscription.options.follow)


def concerned_tasks(view: ReadView, subscription: LogSubscription) -> Mapping[str, tuple[Task, ...]]:
    """Return the tasks whose output is wanted, by node id."""
    found: dict[str, dict[str, Task]] = {}
    for task in _selected_tasks(view, subscription.selector):
        if concerned(task, subscription):
            found.setdefault(task.node_id, {})[task.id] = task
    return {node_id: tuple(tasks.values()) for node_id, tasks in found.items()}


def _selected_tasks(view: ReadView, selector: LogSelector) -> Iterator[Task]:
    for service_id in selector.service_ids:
        yield from view.tasks.by_service(service_id)
    for service in view.services if selector.stack else ():
        if service.spec.annotations.labels.get(NAMESPACE_LABEL) == selector.stack:
            yield from view.tasks.by_service(service.id)
    for task_id in selector.task_ids:
        task = view.tasks.get(task_id)
        if task is not None:
            yield task


def is_down(node: Node | None) -> bool:
    """Whether nobody needs to wait for an answer of this node."""
    return node is None or node.status.state == NODE_STATE_DOWN


def missing_notice(node_id: str, node: Node | None, tasks: tuple[Task, ...], reason: str) -> str:
    """Return the sentence that names what is missing."""
    name = node.description.hostname if node is not None and node.description.hostname else node_id
    names = ", ".join(sorted(task_name(task) for task in tasks))
    return f"node {name} {reason}: output may be missing of {names}"
