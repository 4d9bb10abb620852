"""How a task comes from a service, and whether it still is what the service asks for."""

from swarm.api.v1.objects_pb2 import Node, Service, Task
from swarm.api.v1.specs_pb2 import TaskSpec
from swarm.api.v1.types_pb2 import TaskState
from swarm.errors import InvalidArgument
from swarm.model import task_state
from swarm.model.constraint import node_matches, parse_constraints
from swarm.model.platform import platform_matches
from swarm.timestamps import timestamp


def new_task(
    service: Service,
    task_id: str,
    now_ns: int,
    *,
    slot: int = 0,
    node_id: str = "",
    desired_state: "TaskState" = task_state.RUNNING,
    previous: Task | None = None,
    start_not_before_ns: int = 0,
) -> Task:
    """Return a NEW task of `service`: for a slot (replicated) or for a node (global).

    `previous` is the task it replaces. With desired READY it is prepared, and starts no earlier than
    `start_not_before_ns` (nanoseconds since the epoch).
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
    )
    task.status.state = task_state.NEW
    task.status.timestamp.CopyFrom(timestamp(now_ns))
    task.status.message = "created"
    if service.spec.HasField("endpoint"):
        task.endpoint.CopyFrom(service.spec.endpoint)
    if start_not_before_ns:
        task.start_not_before.CopyFrom(timestamp(start_not_before_ns))
    return task


def task_name(task: Task) -> str:
    """Return `service.slot.id`, for a task of a global service `service.node.id`."""
    place = str(task.slot) if task.slot else task.node_id
    return f"{task.service_annotations.name}.{place}.{task.id}"


def is_dirty(service: Service, task: Task, node: Node | None) -> bool:
    """Whether `task`, on `node`, must be replaced to be what `service` asks for now.

    New credentials need no new task, nor does another placement that the task's node satisfies too.
    """
    if task.spec_version == service.spec_version:
        return False
    if (
        task.HasField("endpoint") != service.spec.HasField("endpoint")
        or task.endpoint != service.spec.endpoint
    ):
        return True
    if task.spec == service.spec.task:
        return False
    if _without_placement(task.spec) != _without_placement(service.spec.task):
        return True
    return task.spec.placement != service.spec.task.placement and not still_fits(service.spec.task, node)


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
    bare.ClearField("placement")
    bare.container.ClearField("registry_auth")
    return bare
