"""Which status reports count, and what do they do to a task?

A report counts when the task is known, belongs to the node that reports, and moves forward. The manager
that holds the session checks against its own copy of the store, which may only be older than the
leader's, so what it drops the leader would drop as well; the leader checks again when it writes.
"""

from collections.abc import Iterable, Sequence
from itertools import islice

from swarm.api.v1.dispatcher_pb2 import ReportTaskStatusesRequest, TaskStatusUpdate
from swarm.api.v1.objects_pb2 import Task
from swarm.api.v1.types_pb2 import TaskStatus
from swarm.clock import nanoseconds, timestamp
from swarm.manager.store.tables import ReadView
from swarm.manager.store.transaction import Transaction
from swarm.model.history import record_status
from swarm.model.task_state import ACCEPTED, OWNERS, Owner, may_follow
from swarm.model.truncate import bounded_status

BATCH_UPDATES = 200  # per transaction: as many as the store puts into one log entry


def counts(task: Task | None, node_id: str, status: TaskStatus) -> bool:
    """Whether a node's report about a task is new, true to the rules, and about its own task."""
    if task is None or task.node_id != node_id:
        return False
    if status.state < ACCEPTED or Owner.AGENT not in OWNERS.get(status.state, ()):
        return False
    if not may_follow(task.status.state, status.state):
        return False
    return task.status.state != status.state or not _same_content(task.status, status)


def _same_content(old: TaskStatus, new: TaskStatus) -> bool:
    """Whether two statuses of one state say the same; when it was said does not matter."""
    return (
        old.message == new.message
        and old.err == new.err
        and old.container == new.container
        and old.address == new.address
        and list(old.ports) == list(new.ports)
    )


def worth_forwarding(
    view: ReadView, node_id: str, updates: Iterable[TaskStatusUpdate]
) -> list[TaskStatusUpdate]:
    """Return the updates that count, as far as this manager knows."""
    bounded = (_bounded(update) for update in updates)
    return [update for update in bounded if counts(view.tasks.get(update.task_id), node_id, update.status)]


def _bounded(update: TaskStatusUpdate) -> TaskStatusUpdate:
    status = bounded_status(update.status)
    return update if status is update.status else TaskStatusUpdate(task_id=update.task_id, status=status)


def write_statuses(
    transaction: Transaction, batch: Sequence[tuple[str, TaskStatusUpdate]], now_ns: int
) -> int:
    """Write every update of `batch` ((node id, update)) that counts; return how many did."""
    written = 0
    for node_id, reported in batch:
        update = _bounded(reported)
        task = transaction.tasks.get(update.task_id)
        if task is not None and counts(task, node_id, update.status):
            transaction.update(with_status(task, update.status, now_ns))
            written += 1
    return written


def with_status(task: Task, status: TaskStatus, now_ns: int) -> Task:
    """Return a copy of `task` in that status; a clock that is ahead puts no future into the store."""
    copy = Task()
    copy.CopyFrom(task)
    record_status(copy, status)
    if nanoseconds(status.timestamp) > now_ns or not status.HasField("timestamp"):
        copy.status.timestamp.CopyFrom(timestamp(now_ns))
    return copy


def batches(request: ReportTaskStatusesRequest) -> list[list[tuple[str, TaskStatusUpdate]]]:
    """Return the updates of a request in pieces that fit one transaction each."""
    pairs = ((node.node_id, update) for node in request.nodes for update in node.updates)
    pieces: list[list[tuple[str, TaskStatusUpdate]]] = []
    while piece := list(islice(pairs, BATCH_UPDATES)):
        pieces.append(piece)
    return pieces
