"""How a task comes from a service, and whether it still is what the service asks for."""

from swarm.api.v1.objects_pb2 import Node, Service, Task
from swarm.api.v1.specs_pb2 import TaskSpec
from swarm.api.v1.types_pb2 import EndpointSpec, TaskState
from swarm.errors import InvalidArgument
from swarm.model import task_state
from swarm.model.constraint import node_matches, parse_constraints
from swarm.model.ingress_ports import uses_ingress
from swarm.model.platform import platform_matches
from swarm.timestamps import SECOND, nanoseconds, timestamp


def new_task(  # noqa: PLR0913  # one for each fact of a task
    service: Service,
    task_id: str,
    now_ns: int,
    *,
    slot: int = 0,
    node_id: str = "",
    desired_state: "TaskState" = task_state.RUNNING,
    previous: Task | None = None,
    start_not_before_ns: int = 0,
    job_iteration: int = 0,
    run_for_ns: int = 0,
    crashes: int = 0,
) -> Task:
    """Return a NEW task of `service`: for a slot (replicated) or for a node (global).

    `previous` is the task it replaces. With desired READY it is prepared, and starts no earlier than
    `start_not_before_ns` (nanoseconds since the epoch). Of a job: which run, and for which time.
    """
    task = Task(
        id=task_id,
        spec=service.spec.task,
        spec_version=service.spec_version,
        service_id=service.id,
        slot=slot,
        node_id=node_id,
        service_annotations=service.spec.annotations,
        desired_state=desired_state,
        previous_task_id=previous.id if previous else "",
        job_iteration=job_iteration,
        crashes=crashes,
    )
    task.status.state = task_state.NEW
    task.status.timestamp.CopyFrom(timestamp(now_ns))
    task.status.message = "created"
    if service.spec.HasField("endpoint"):
        task.endpoint.CopyFrom(service.spec.endpoint)
    if start_not_before_ns:
        task.start_not_before.CopyFrom(timestamp(start_not_before_ns))
    if run_for_ns:
        task.run_for.CopyFrom(timestamp(run_for_ns))
    return task


def hold_reason(task: Task, now_ns: int) -> str:
    """Return why `task` is prepared and held back: `restarts in 40 s: 5 crashes in a row`; or nothing."""
    if task.desired_state != task_state.READY or task_state.is_done(task):
        return ""
    left_ns = nanoseconds(task.start_not_before) - now_ns
    if left_ns <= 0:
        return "starts when the task before it has stopped"
    why = f": {task.crashes} crashes in a row" if task.crashes > 1 else ""
    return f"restarts in {-(-left_ns // SECOND)} s{why}"


def task_name(task: Task) -> str:
    """Return `service.slot.id`, of a global service `service.node.id`; the name of what has no service."""
    if not task.service_id:
        return task.service_annotations.name
    place = str(task.slot) if task.slot else task.node_id
    return f"{task.service_annotations.name}.{place}.{task.id}"


def is_dirty(service: Service, task: Task, node: Node | None) -> bool:
    """Whether `task`, on `node`, must be replaced to be what `service` asks for now.

    New credentials need no new task, nor does another priority, which counts for the tasks that are there,
    nor another placement that the task's node satisfies too, nor other routes where there were some.
    """
    if task.spec_version == service.spec_version:
        return False
    if _is_reached_otherwise(task.endpoint, service.spec.endpoint):
        return True
    if task.spec == service.spec.task:
        return False
    if _without_placement(task.spec) != _without_placement(service.spec.task):
        return True
    return task.spec.placement != service.spec.task.placement and not still_fits(service.spec.task, node)


def _is_reached_otherwise(had: EndpointSpec, wanted: EndpointSpec) -> bool:
    if uses_ingress(wanted) and not uses_ingress(had):
        return True  # it has no address in the ingress network
    return _without_routes(had) != _without_routes(wanted)


def _without_routes(endpoint: EndpointSpec) -> EndpointSpec:
    bare = EndpointSpec()
    bare.CopyFrom(endpoint)
    bare.ClearField("routes")
    return bare


def still_fits(spec: TaskSpec, node: Node | None) -> bool:
    """Whether `node` satisfies the constraints and platforms of `spec`."""
    if node is None:
        return False
    try:
        constraints = parse_constraints(spec.placement.constraints)
    except InvalidArgument:
        return False
    return node_matches(constraints, node) and platform_matches(
        spec.placement.platforms, node.description.platform
    )


def _without_placement(spec: TaskSpec) -> TaskSpec:
    bare = TaskSpec()
    bare.CopyFrom(spec)
    for field in ("placement", "priority", "preempt"):
        bare.ClearField(field)
    bare.container.ClearField("registry_auth")
    return bare
