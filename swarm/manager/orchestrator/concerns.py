"""Which services, or which node, does a change concern?

Only what can change a decision counts: a deployment of thousands of tasks reports many states that mean
nothing to the orchestrator.
"""

from collections.abc import Iterator

from swarm.api.v1.objects_pb2 import Cluster, Node, Service, Task
from swarm.manager.orchestrator.drain import drained_until_ns
from swarm.manager.orchestrator.enforcer import facts_of
from swarm.manager.orchestrator.slots import condition_of, is_ready
from swarm.manager.store.tables import ReadView
from swarm.manager.store.watch import Action, Event
from swarm.model import defaults, task_state
from swarm.model.job import runs_everywhere
from swarm.model.preemption import is_nominated


def services_concerned(event: Event, view: ReadView) -> Iterator[str]:
    """Return the ids of the services to look at after `event`."""
    changed = event.object
    if isinstance(changed, Task):
        if _task_matters(event, changed):
            yield changed.service_id
        yield from _victims_services(event, changed, view)
    elif isinstance(changed, Service):
        yield changed.id
    elif isinstance(changed, Node):
        if node_concerned(event):
            yield from services_on(changed.id, view)
        elif is_ready(changed) and isinstance(event.previous, Node) and not is_ready(event.previous):
            yield from (one.id for one in view.services if one.spec.HasField("global_job"))
    elif isinstance(changed, Cluster) and _history_limit_changed(event, changed):
        yield from (service.id for service in view.services)


def services_on(node_id: str, view: ReadView) -> Iterator[str]:
    """Return the ids of the services with tasks on a node, and of those that want one on every node."""
    yield from {task.service_id: None for task in view.tasks.by_node(node_id)}
    yield from (service.id for service in view.services if runs_everywhere(service.spec))


def node_concerned(event: Event) -> bool:
    """Whether what changed of a node matters to the tasks it has or could have."""
    node, before = event.object, event.previous
    if event.action is not Action.UPDATE or not isinstance(node, Node) or not isinstance(before, Node):
        return True
    return (
        facts_of(before) != facts_of(node)
        or condition_of(before) is not condition_of(node)
        or drained_until_ns(before) != drained_until_ns(node)
    )


def _task_matters(event: Event, task: Task) -> bool:
    if event.action is not Action.UPDATE or not isinstance(event.previous, Task):
        return event.action is Action.REMOVE  # only the orchestrator creates tasks, and knows it did
    before, after = event.previous.status.state, task.status.state
    return before != after and after >= task_state.RUNNING


def _victims_services(event: Event, task: Task, view: ReadView) -> Iterator[str]:
    """Return the services whose tasks have to go for `task` since `event`."""
    if event.action is Action.REMOVE or not is_nominated(task):
        return
    if isinstance(event.previous, Task) and event.previous.nomination == task.nomination:
        return
    victims = map(view.tasks.get, task.nomination.victims)
    yield from {victim.service_id: None for victim in victims if victim is not None}


def _history_limit_changed(event: Event, cluster: Cluster) -> bool:
    before = event.previous
    return not isinstance(before, Cluster) or (
        defaults.task_history_limit(before.spec) != defaults.task_history_limit(cluster.spec)
    )
