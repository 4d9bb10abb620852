"""Which tasks must leave a node because it changed: other labels, another role, less of something?"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from swarm.api.v1.objects_pb2 import Node, Service, Task
from swarm.clock import nanoseconds
from swarm.manager.orchestrator.slots import Condition, condition_of
from swarm.manager.store.tables import ReadView
from swarm.model import rollout, task_state
from swarm.model.cluster_volumes import is_drained
from swarm.model.devices import task_claims, things_of
from swarm.model.generic_resources import lost_claims
from swarm.model.job import runs_everywhere
from swarm.model.resources import NOTHING, Amount, capacity_of, reserved_by
from swarm.model.task import still_fits


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """What decides which tasks a node may keep; equal facts need no second look."""

    labels: tuple[tuple[str, str], ...]
    engine_labels: tuple[tuple[str, str], ...]
    fixed: tuple[object, ...]
    capacity: Amount
    generic: tuple[bytes, ...]
    enforced: bool


def facts_of(node: Node) -> NodeFacts:
    """Return the facts of a node."""
    platform = node.description.platform
    return NodeFacts(
        labels=tuple(sorted(node.spec.annotations.labels.items())),
        engine_labels=tuple(sorted(node.description.engine_labels.items())),
        fixed=(
            node.role,
            node.description.hostname,
            node.status.addr,
            platform.os,
            platform.architecture,
        ),
        capacity=capacity_of(node),
        generic=tuple(one.SerializeToString() for one in things_of(node.description)),
        enforced=is_enforced(node),
    )


def is_enforced(node: Node) -> bool:
    """Whether anything is enforced here; drained and lost nodes lose their tasks anyway."""
    return condition_of(node) is Condition.ACTIVE and node.HasField("description")


def plan_evictions(node: Node, tasks: Iterable[Task], view: ReadView) -> tuple[str, ...]:
    """Return the ids of the tasks bound to `node` that it may not keep."""
    if not is_enforced(node):
        return ()
    bound = [task for task in tasks if task.status.state >= task_state.ASSIGNED and _is_live(task)]
    misplaced = {task.id for task in bound if not _may_stay(task, node, view)}
    kept = [task for task in bound if task.id not in misplaced]
    crowded = _too_many(kept, capacity_of(node)) | _without_generic(kept, node)
    return tuple(task.id for task in bound if task.id in misplaced or task.id in crowded)


def _is_live(task: Task) -> bool:
    return task_state.wants_to_run(task) and not task_state.is_done(task)


def _may_stay(task: Task, node: Node, view: ReadView) -> bool:
    if task.volumes and any(_is_drained(view, one.volume_id) for one in task.volumes):
        return False
    service = view.services.get(task.service_id)
    if service is None or runs_everywhere(service.spec):
        return True  # the orchestrator stops these, without calling it a rejection
    if not _has_constraints(task, service):
        return True
    # Placement changes without new tasks, so the service's present word counts; during an update the
    # tasks still to be replaced keep to their own, or the update's parallelism would mean nothing.
    spec = task.spec if rollout.is_unfinished(service.update_status) else service.spec.task
    return still_fits(spec, node)


def _is_drained(view: ReadView, volume_id: str) -> bool:
    volume = view.volumes.get(volume_id)
    return volume is not None and is_drained(volume)


def _has_constraints(task: Task, service: Service) -> bool:
    return any(
        placement.constraints or placement.platforms
        for placement in (task.spec.placement, service.spec.task.placement)
    )


def _without_generic(tasks: Sequence[Task], node: Node) -> frozenset[str]:
    """Return the tasks whose generic resources the node has no more; where they are counted, the newest."""
    by_age = sorted(tasks, key=lambda task: (nanoseconds(task.meta.created_at), task.id))
    claims = {task.id: given for task in by_age if (given := task_claims(task))}
    return lost_claims(things_of(node.description), claims) if claims else frozenset()


def _too_many(tasks: Sequence[Task], capacity: Amount) -> frozenset[str]:
    """Return just enough tasks to make the rest fit, the newest first."""
    total = NOTHING
    for task in tasks:
        total += reserved_by(task.spec)
    leaving: set[str] = set()
    by_age = sorted(tasks, key=lambda task: (nanoseconds(task.meta.created_at), task.id), reverse=True)
    for task in by_age:
        cpu_over = total.nano_cpus > capacity.nano_cpus
        memory_over = total.memory_bytes > capacity.memory_bytes
        if not (cpu_over or memory_over):
            break
        reserved = reserved_by(task.spec)
        if (cpu_over and reserved.nano_cpus > 0) or (memory_over and reserved.memory_bytes > 0):
            leaving.add(task.id)
            total -= reserved
    return frozenset(leaving)
