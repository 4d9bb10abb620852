"""Which tasks have to go because the scheduler needs their room for others, and what takes their place?

Read from the nominations that stand on the waiting tasks: a new leader goes on with them.
"""

from collections.abc import Mapping, Sequence

from swarm.api.v1.objects_pb2 import Preemption, Service, Task
from swarm.clock import nanoseconds
from swarm.manager.orchestrator.plan import NewTask, PlanBuilder, Step
from swarm.manager.orchestrator.restart import Cause
from swarm.manager.orchestrator.service_view import ServiceView
from swarm.manager.orchestrator.slots import Slot
from swarm.manager.store.tables import TaskTable
from swarm.model import task_state
from swarm.model.preemption import preempted_text, preemption_by


def victims_of(service: Service, tasks: TaskTable) -> Mapping[str, Preemption]:
    """Return the tasks of `service` that have to go, by id, and for whom each.

    None goes for a task whose priority is not higher than that of the service now.
    """
    found: dict[str, Preemption] = {}
    for nominee in tasks.nominated():
        if nominee.nomination.priority <= service.spec.task.priority:
            continue
        for task_id in nominee.nomination.victims:
            victim = tasks.get(task_id)
            if victim is not None and victim.service_id == service.id:
                found.setdefault(task_id, preemption_by(nominee))
    return found


def preempted(view: ServiceView, task: Task) -> Cause | None:
    """Return the cause for which a task that is well has to go, if it has to."""
    return Cause.PREEMPTED if task.id in view.victims else None


def plan_preempted(
    plan: PlanBuilder, view: ServiceView, slot: Slot, task: Task, well: Sequence[Task]
) -> None:
    """Stop `task`, and put another into its slot unless one of `well` takes its place anyway.

    The end of the task is not its own doing: no restart policy is asked, nothing is counted against it, and
    what it had to wait for its successor waits for.
    """
    by = view.victims[task.id]
    create = None
    if task is slot.live[-1] and all(map(view.is_dirty, well)):
        create = NewTask(
            slot=slot.number,
            node_id=slot.node_id,
            desired_state=task_state.READY,
            previous=task,
            start_not_before_ns=nanoseconds(task.start_not_before),
            as_previous=view.is_dirty(task),
            job_iteration=task.job_iteration,
            run_for_ns=nanoseconds(task.run_for),
            crashes=task.crashes if task.desired_state < task_state.RUNNING else 0,
        )
    plan.steps.append(
        Step(
            desire=((task.id, task_state.SHUTDOWN),),
            create=create,
            live=frozenset(one.id for one in slot.live),
            why=preempted_text(by),
            preempted_by=by,
        )
    )
