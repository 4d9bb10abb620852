"""What a request about tasks returns."""

from collections.abc import Iterable, Sequence

from swarm.api.v1.control_pb2 import ExplainTaskResponse, Filters, ListTasksResponse, NodeVerdict
from swarm.api.v1.logs_pb2 import LogSelector
from swarm.api.v1.objects_pb2 import Task
from swarm.api.v1.types_pb2 import NodeState
from swarm.errors import NotFound
from swarm.manager.controlapi.advice import advice
from swarm.manager.controlapi.redact import shown_task
from swarm.manager.controlapi.resolve import resolve
from swarm.manager.controlapi.stepwise import parts, selected
from swarm.manager.controlapi.why import reason_in, slot_mates
from swarm.manager.store.look import look_at
from swarm.manager.store.tables import ReadView
from swarm.model import task_state
from swarm.model.dependencies import Gate
from swarm.model.selectors import read_filters, task_selected
from swarm.model.stacks import NAMESPACE_LABEL
from swarm.steps import Steps


def resolve_task(view: ReadView, ref: str) -> Task:
    """Return a task by id, `service.slot.id`, the beginning of an id, or `service.slot`: the newest there.

    A task of a global service is `service.node`, with the hostname or id of its node. Raises NotFound and
    Ambiguous.
    """
    try:
        return resolve(view.tasks, "task", ref)
    except NotFound:
        found = _newest_in_place(view, ref)
        if found is None:
            raise
        return found


def _newest_in_place(view: ReadView, ref: str) -> Task | None:
    """Return the newest task of a place, one that is meant to run before others."""
    tasks: list[Task] = []
    for dot in (at for at, letter in enumerate(ref) if letter == "."):  # a hostname may have dots itself
        for service in view.services.named(ref[:dot]):
            tasks += [one for one in view.tasks.by_service(service.id) if _is_at(view, one, ref[dot + 1 :])]
    return max(tasks, key=lambda one: (task_state.wants_to_run(one), _newest_first(one)), default=None)


def _is_at(view: ReadView, task: Task, place: str) -> bool:
    if task.slot:
        return place == str(task.slot)
    node = view.nodes.get(task.node_id)
    return place in (task.node_id, node.description.hostname if node is not None else "")


def within_view(view: ReadView, selector: LogSelector) -> LogSelector:
    """Return a selector of nothing but what somebody sees; raises NotFound for what they name and do not.

    A stack becomes the services that it has: who knows what labels a later one will have?
    """
    check_named(view, selector)
    found = LogSelector(service_ids=selector.service_ids, task_ids=selector.task_ids)
    if selector.stack:
        mine = [
            one.id
            for one in view.services
            if one.spec.annotations.labels.get(NAMESPACE_LABEL) == selector.stack
        ]
        if not mine:
            raise NotFound(f"there is no stack {selector.stack}")
        found.service_ids.extend(mine)
    return found


def check_named(view: ReadView, selector: LogSelector) -> None:
    """Raise NotFound when a service or task that somebody names is not in their view."""
    for service_id in selector.service_ids:
        if service_id not in view.services:
            raise NotFound(f"there is no service {service_id}")
    for task_id in selector.task_ids:
        if task_id not in view.tasks:
            raise NotFound(f"there is no task {task_id}")


def waits_for_node(task: Task) -> bool:
    """Whether it matters what the nodes say to `task`."""
    return task.status.state < task_state.ASSIGNED and task_state.wants_to_run(task)


def explain_task(
    view: ReadView, task: Task, nodes: Sequence[NodeVerdict], now_ns: int
) -> ExplainTaskResponse:
    """Return why `task` does not run; `nodes` are what each says to it while it waits for one."""
    reason = reason_in(view, task, now_ns)
    node = view.nodes.get(task.node_id)
    earlier = [one for one in slot_mates(view, task) if _newest_first(one) < _newest_first(task)]
    refusals = [text for verdict in nodes for text in verdict.reasons]
    return ExplainTaskResponse(
        task=shown_task(task),
        hostname=node.description.hostname if node is not None else "",
        reason=reason,
        nodes=nodes,
        advice=advice(task, reason, more=refusals),
        earlier=[shown_task(one) for one in earlier],
        earlier_reasons=[reason_in(view, one, now_ns) for one in earlier],
    )


def tasks_with_reasons(view: ReadView, filters: Filters, now_ns: int) -> Steps[ListTasksResponse]:
    """Return the tasks asked for, each with why it does not run."""
    tasks = yield from list_tasks(view, filters)
    ready = {node.id for node in view.nodes if node.status.state == NodeState.NODE_STATE_READY}
    gate = Gate(look_at(view), now_ns)
    response = ListTasksResponse()
    for part in parts(tasks):
        response.tasks.extend(map(shown_task, part))
        for task in part:
            # Almost all tasks of a long list run on nodes that are well: for those one look is enough.
            is_well = task_state.is_running(task) and task.node_id in ready
            response.reasons.append("" if is_well else reason_in(view, task, now_ns, gate))
        yield
    return response


def list_tasks(view: ReadView, filters: Filters) -> Steps[list[Task]]:
    """Return the tasks asked for, by service and slot, the newest of a slot first."""
    wanted = read_filters(filters)
    tasks = yield from selected(_candidates(view, filters), lambda task: task_selected(wanted, task))
    tasks.sort(key=_newest_first, reverse=True)
    yield
    tasks.sort(
        key=lambda task: (task.service_annotations.name, task.slot, task.node_id if not task.slot else "")
    )
    return tasks


def _newest_first(task: Task) -> tuple[int, int, str]:
    return task.meta.created_at.seconds, task.meta.created_at.nanos, task.id


def _candidates(view: ReadView, filters: Filters) -> Iterable[Task]:
    """Return few tasks that hold all those asked for, by an index where one helps."""
    if filters.service_ids:
        return [task for service in set(filters.service_ids) for task in view.tasks.by_service(service)]
    if filters.node_ids:
        return [task for node in set(filters.node_ids) for task in view.tasks.by_node(node)]
    return view.tasks
