"""How a plan is carried out inside a store transaction: each step only as far as it is still right.

Between plan and commit a task may have ended or gone, and an entry whose outcome was unknown may have come
true. So nothing is written back that the plan saw: every object is read again.
"""

from collections.abc import Iterable, Sequence

from google.protobuf.message import Message

from swarm.api.v1.objects_pb2 import Service, Task
from swarm.clock import timestamp
from swarm.manager.orchestrator.plan import NewTask, ServiceChange, Step
from swarm.manager.store.tables import copy_of
from swarm.manager.store.transaction import Transaction
from swarm.model import task_state
from swarm.model.preemption import is_nominated
from swarm.model.service import roll_back
from swarm.model.task import new_task


def commit_service_change(
    transaction: Transaction, service_id: str, version: int, change: ServiceChange
) -> bool:
    """Change a service; return False, having done nothing, when it is not at `version` any more."""
    current = transaction.services.get(service_id)
    if current is None or current.meta.version.index != version:
        return False
    service = copy_of(current)
    if change.job_status is not None:
        service.job_status.CopyFrom(change.job_status)
    elif change.rebalance is not None:
        service.rebalance.CopyFrom(change.rebalance)
    elif change.roll_back:
        reason = change.update_status.message
        roll_back(service, change.update_status.started_at, reason, keep_previous=False)
    else:
        service.update_status.CopyFrom(change.update_status)
    transaction.update(service)
    return True


def commit_steps(
    transaction: Transaction,
    service_id: str,
    version: int,
    steps: Sequence[Step],
    task_ids: Sequence[str],
    now_ns: int,
) -> bool:
    """Carry out `steps`, giving new tasks `task_ids` in turn.

    Returns False, having done nothing, when the service is not at `version` any more (0: is still gone).
    """
    service = transaction.services.get(service_id)
    if (service.meta.version.index if service is not None else 0) != version:
        return False
    fresh_ids = iter(task_ids)
    for step in steps:
        if step.create is None:
            if _is_called_for(transaction, step):
                _commit_step(transaction, step, now_ns)
        elif service is not None:
            task_id = next(fresh_ids)
            if _is_called_for(transaction, step) and _is_free(transaction, service_id, step):
                _commit_step(transaction, step, now_ns)
                task = task_of(service, step.create, task_id, now_ns)
                task.status.message = _first_message(step) or task.status.message
                transaction.create(task)
    return True


def task_of(service: Service, wanted: NewTask, task_id: str, now_ns: int) -> Task:
    """Return the task that a plan asks for."""
    task = new_task(
        service,
        task_id,
        now_ns,
        slot=wanted.slot,
        node_id=wanted.node_id,
        desired_state=wanted.desired_state,
        previous=wanted.previous,
        start_not_before_ns=wanted.start_not_before_ns,
        job_iteration=wanted.job_iteration,
        run_for_ns=wanted.run_for_ns,
        crashes=wanted.crashes,
    )
    if wanted.as_previous and wanted.previous is not None:
        task.spec.CopyFrom(wanted.previous.spec)
        task.spec_version = wanted.previous.spec_version
        _copy_field(task, wanted.previous, "endpoint")
    return task


def _copy_field(target: Message, source: Message, name: str) -> None:
    target.ClearField(name)
    if source.HasField(name):
        getattr(target, name).CopyFrom(getattr(source, name))


def _commit_step(transaction: Transaction, step: Step, now_ns: int) -> None:
    for task_id, desired in step.desire:
        current = transaction.tasks.get(task_id)
        if current is not None and current.desired_state < desired:
            task_state.check_desired(current, desired)
            task = copy_of(current)
            task.desired_state = desired
            if desired > task_state.RUNNING and not current.HasField("stopping_since"):
                task.stopping_since.CopyFrom(timestamp(now_ns))
            task.status.message = step.why or task.status.message
            if step.preempted_by is not None:
                task.preempted_by.CopyFrom(step.preempted_by)
            transaction.update(task)
    for task_id in step.remove:
        current = transaction.tasks.get(task_id)
        if current is not None:
            transaction.remove(current)


def _first_message(step: Step) -> str:
    return f"in place of a task that was {step.why}" if step.preempted_by is not None else step.why


def _is_called_for(transaction: Transaction, step: Step) -> bool:
    """Whether the task that others are to stop for waits for them still."""
    if step.preempted_by is None:
        return True
    nominee = transaction.tasks.get(step.preempted_by.task_id)
    if nominee is None or not is_nominated(nominee):
        return False
    return all(task_id in nominee.nomination.victims for task_id, _ in step.desire)


def _is_free(transaction: Transaction, service_id: str, step: Step) -> bool:
    """Whether nothing lives in the slot of a new task but what the plan knew of."""
    assert step.create is not None
    return all(
        task.id in step.live or task.desired_state > task_state.RUNNING
        for task in _slot_mates(transaction, service_id, step.create)
    )


def _slot_mates(transaction: Transaction, service_id: str, wanted: NewTask) -> Iterable[Task]:
    if wanted.slot:
        found = transaction.tasks.by_slot(service_id, wanted.slot)
    else:
        found = transaction.tasks.by_node(wanted.node_id)
    return (
        task
        for task in found
        if task.service_id == service_id and task.job_iteration == wanted.job_iteration
    )
