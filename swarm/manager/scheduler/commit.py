"""What the scheduler writes, inside a store transaction: everything is checked against the newest state."""

from collections.abc import Iterable, Mapping

from swarm.api.v1.objects_pb2 import Nomination, Task
from swarm.api.v1.specs_pb2 import VolumeSpec
from swarm.api.v1.types_pb2 import Mount, TaskStatus
from swarm.clock import timestamp
from swarm.manager.scheduler.backlog import waits
from swarm.manager.scheduler.filters import first_failure
from swarm.manager.scheduler.node_view import ClusterView
from swarm.manager.scheduler.plan import Assignment, Nominee
from swarm.manager.store.tables import copy_of
from swarm.manager.store.transaction import Transaction
from swarm.model import task_state
from swarm.model.generic_resources import assigned_by
from swarm.model.history import record_status

ASSIGNED_MESSAGE = "scheduler assigned task to node"


def commit_assignments(
    transaction: Transaction, assignments: Iterable[Assignment], now_ns: int, *, recount: bool = False
) -> tuple[str, ...]:
    """Bind tasks to their nodes; return the ids of those whose task or node changed since the plan.

    With `recount` what is left on each node is counted anew, for there may be tasks that the plan did not
    know of: from an earlier commit that came true although nobody was told.
    """
    refused: list[str] = []
    assigned = TaskStatus(timestamp=timestamp(now_ns), state=task_state.ASSIGNED, message=ASSIGNED_MESSAGE)
    for assignment in assignments:
        task = transaction.tasks.get(assignment.task_id)
        if (
            task is not None
            and _still_right(transaction, task, assignment)
            and not (recount and _is_taken(transaction, task, assignment, now_ns))
        ):
            task = copy_of(task)
            task.node_id = assignment.node_id
            task.ClearField("nomination")
            if claims := assignment.claims:
                task.assigned_generic.extend(assigned_by(one for one in claims if not one.shared))
                task.shared_devices.extend(assigned_by(one for one in claims if one.shared))
            del task.volumes[:]
            for given in assignment.volumes:
                task.volumes.add(
                    volume_id=given.volume_id,
                    source=given.wanted.source,
                    target=given.wanted.target,
                    read_only=given.wanted.read_only,
                )
            record_status(task, assigned)
            if assignment.note:
                task.status.message = f"{ASSIGNED_MESSAGE}, {assignment.note}"
            transaction.update(task)
        else:
            refused.append(assignment.task_id)
    return tuple(refused)


def commit_reasons(transaction: Transaction, reasons: Iterable[tuple[str, str]]) -> None:
    """Write on each task, given by id, why it waits; it waits since the same moment as before."""
    for task_id, reason in reasons:
        task = transaction.tasks.get(task_id)
        if task is not None and waits(task) and task.status.err != reason:
            task = copy_of(task)
            task.status.err = reason
            transaction.update(task)


def commit_nominations(
    transaction: Transaction, nominees: Mapping[str, Nominee | None], now_ns: int
) -> tuple[str, ...]:
    """Write for which tasks room is kept where, and (None) for which none is any more.

    Returns the ids of those for whom it is not: they, their node or a victim changed since the plan.
    """
    refused: list[str] = []
    for task_id, nominee in nominees.items():
        task = transaction.tasks.get(task_id)
        if nominee is None:
            if task is not None and task.HasField("nomination"):
                task = copy_of(task)
                task.ClearField("nomination")
                transaction.update(task)
        elif task is not None and _may_be_nominated(transaction, task, nominee):
            task = copy_of(task)
            task.nomination.CopyFrom(
                Nomination(
                    node_id=nominee.node_id,
                    victims=nominee.victims,
                    priority=nominee.priority,
                    decided_at=timestamp(now_ns),
                )
            )
            task.status.err = nominee.reason
            transaction.update(task)
        else:
            refused.append(task_id)
    return tuple(refused)


def _may_be_nominated(transaction: Transaction, task: Task, nominee: Nominee) -> bool:
    node = transaction.nodes.get(nominee.node_id)
    victims = [transaction.tasks.get(victim) for victim in nominee.victims]
    return (
        waits(task)
        and node is not None
        and node.meta.version.index == nominee.node_version
        and all(victim is not None and victim.node_id == nominee.node_id for victim in victims)
    )


def _is_taken(transaction: Transaction, task: Task, assignment: Assignment, now_ns: int) -> bool:
    """Whether the tasks that the node has by now leave no room for `task`."""
    node = transaction.nodes.get(assignment.node_id)
    assert node is not None, "it was found before"
    view = ClusterView()
    there = view.put_node(node)
    if any(one.type == Mount.TYPE_CLUSTER for one in task.spec.container.mounts):
        for volume in transaction.volumes:
            view.volumes.put(volume)
        for other in transaction.tasks:  # who has a volume matters on every node
            if other.volumes and other.id != task.id and other.node_id != node.id:
                view.put_task(other, now_ns)
    for other in transaction.tasks.by_node(node.id):
        if other.id != task.id:  # room may be kept for it there
            view.put_task(other, now_ns)
    granted = there.generic.grants(assignment.claims)
    return not granted or first_failure(there, view.demand(task)) is not None


def _still_right(transaction: Transaction, task: Task, assignment: Assignment) -> bool:
    node = transaction.nodes.get(assignment.node_id)
    return (
        waits(task)
        and task.node_id in ("", assignment.node_id)
        and node is not None
        and node.meta.version.index == assignment.node_version
        and all(_may_be_given(transaction, one.volume_id) for one in assignment.volumes)
    )


def _may_be_given(transaction: Transaction, volume_id: str) -> bool:
    volume = transaction.volumes.get(volume_id)
    return (
        volume is not None
        and not volume.pending_delete
        and volume.spec.availability == VolumeSpec.AVAILABILITY_ACTIVE
    )
