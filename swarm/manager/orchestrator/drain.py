"""When may a task leave a drained node? When its replacement runs elsewhere, or when waiting has to end."""

from collections.abc import Sequence

from swarm.api.v1.objects_pb2 import Node, Service, Task
from swarm.api.v1.types_pb2 import UpdateConfig
from swarm.clock import nanoseconds
from swarm.manager.orchestrator.plan import NewTask, PlanBuilder, Step
from swarm.manager.orchestrator.service_view import ServiceView
from swarm.manager.orchestrator.slots import Slot
from swarm.model import task_state
from swarm.model.defaults import drain_timeout_ns
from swarm.model.job import job_of, runs_everywhere


def may_overlap(service: Service) -> bool:
    """Whether two tasks of one slot may run at the same time while a node is drained.

    Not those of a job or a global service, and not where the user said stop-first in so many words.
    """
    update = service.spec.update
    stop_first = update.HasField("order") and update.order == UpdateConfig.ORDER_STOP_FIRST
    return not stop_first and job_of(service.spec) is None and not runs_everywhere(service.spec)


def drained_until_ns(node: Node | None) -> int:
    """Return until when a drained node keeps tasks whose replacement does not run; 0: not at all."""
    if node is None or not node.spec.HasField("drain_started_at"):
        return 0
    return nanoseconds(node.spec.drain_started_at) + drain_timeout_ns(node.spec)


def stays_for_now(view: ServiceView, task: Task) -> bool:
    """Whether `task`, on a drained node, goes on until another takes its place."""
    return (
        task_state.is_running(task)
        and may_overlap(view.service)
        and drained_until_ns(view.nodes.get(task.node_id)) > view.now_ns
    )


def plan_move(plan: PlanBuilder, view: ServiceView, slot: Slot, task: Task, well: Sequence[Task]) -> None:
    """Have another task take the place of `task`; `well` are others that may stay.

    Only for a task that stays for now.
    """
    if any(map(task_state.is_running, well)):
        plan.steps.append(Step(desire=((task.id, task_state.SHUTDOWN),)))
        return
    plan.wake(drained_until_ns(view.nodes.get(task.node_id)))
    if well or task is not slot.live[-1]:
        return
    replacement = NewTask(
        slot=slot.number,
        desired_state=task_state.RUNNING,
        previous=task,
        as_previous=view.is_dirty(task),
    )
    plan.steps.append(Step(create=replacement, live=frozenset(one.id for one in slot.live)))
