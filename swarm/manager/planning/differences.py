"""What is different for each slot between the tasks there are now and those that a forecast ends with?"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from swarm.api.v1.control_pb2 import PlanChangesResponse, PlannedService, PlannedStep
from swarm.api.v1.objects_pb2 import Node, Service, Task
from swarm.manager.orchestrator.restart import cause_of
from swarm.manager.planning.forecast import Forecast
from swarm.manager.store.look import look_at
from swarm.manager.store.tables import ReadView, Table
from swarm.model import task_state
from swarm.model.dependencies import Gate
from swarm.model.job import is_completed, runs_everywhere
from swarm.model.preemption import preempted_for
from swarm.model.service import MOVED
from swarm.steps import Steps

SLOTS_PER_STEP = 50  # between two yields: about a millisecond
TASKS_PER_STEP = 500

SlotKey = tuple[str, int, str, int]  # service id; number, or node id for a global service; run of a job

FEWER = "fewer tasks are wanted"
GONE = "the service is removed"
UNWANTED = "the node is not to run this service"
OTHER_VERSION = "another version"
OTHER_RUN = "another run of the job begins"
ENDED = "the task before it ended"
ON_ITS_WAY = "on its way"
MISFIT = "its node does not fit any more"


@dataclass(frozen=True, slots=True)
class Holder:
    """Who is in a slot: the task that has a node, and one that waits for a node."""

    placed: Task | None = None
    waiting: Task | None = None
    ended: Task | None = None  # meant to run, but it does not any more
    completed: Task | None = None  # of a job: it did its work


def holder_of(tasks: Iterable[Task]) -> Holder:
    """Return who is in the slot of `tasks`; of several the one that runs, then the newest."""
    placed: Task | None = None
    waiting: Task | None = None
    ended: Task | None = None
    completed: Task | None = None
    for task in tasks:
        if is_completed(task):
            completed = task
        elif not task_state.wants_to_run(task):
            continue
        elif task_state.is_done(task):
            ended = task
        elif task.status.state < task_state.ASSIGNED:
            waiting = task
        elif placed is None or not task_state.is_running(placed) or task_state.is_running(task):
            placed = task
    return Holder(placed, waiting, ended, completed)


def differences(before: ReadView, forecast: Forecast) -> Steps[PlanChangesResponse]:
    """Return what happens to the slots of the services involved, and to tasks of others that find a node."""
    after = forecast.scratch.tables
    answer = PlanChangesResponse()
    old = yield from _slots(before, forecast)
    new = yield from _slots(after, forecast)
    kept: dict[str, int] = dict.fromkeys(forecast.involved, 0)
    gate = Gate(look_at(after), now_ns=0)
    for count, key in enumerate(sorted(old.keys() | new.keys()), 1):
        if count % SLOTS_PER_STEP == 0:
            yield
        step = _step(holder_of(old.get(key, ())), holder_of(new.get(key, ())), before, after, gate)
        if step is None:
            continue
        if step.kind == PlannedStep.KIND_KEEP:
            kept[key[0]] = kept.get(key[0], 0) + 1
        elif key[0] in forecast.involved or step.kind != PlannedStep.KIND_WAIT:
            step.service_id, step.slot = key[0], key[1]
            step.service_name = _name(key[0], after.services, before.services)
            step.from_hostname = _hostname(step.from_node_id, before.nodes)
            step.hostname = _hostname(step.node_id, after.nodes)
            answer.steps.append(step)
    for service_id, count in kept.items():
        name = _name(service_id, after.services, before.services)
        if name:
            answer.services.append(PlannedService(service_id=service_id, service_name=name, kept=count))
    answer.services.sort(key=lambda one: one.service_name)
    answer.steps.sort(key=_order)
    return answer


def _order(step: PlannedStep) -> tuple[str, int, str, int]:
    place = "" if step.slot else step.hostname or step.from_hostname
    return step.service_name, step.slot, place, step.kind


def _slots(view: ReadView, forecast: Forecast) -> Steps[Mapping[SlotKey, list[Task]]]:
    """Return the tasks of services involved, and those that the forecast touched, by slot."""
    found: dict[SlotKey, list[Task]] = {}
    for service_id in forecast.involved:
        for count, task in enumerate(view.tasks.by_service(service_id), 1):
            if count % TASKS_PER_STEP == 0:
                yield
            found.setdefault(_key(task), []).append(task)
    for task_id, touched in forecast.touched.items():
        if touched.service_id not in forecast.involved:
            now = view.tasks.get(task_id)
            if now is not None:
                found.setdefault(_key(now), []).append(now)
    return found


def _key(task: Task) -> SlotKey:
    return task.service_id, task.slot, "" if task.slot else task.node_id, task.job_iteration


def _step(old: Holder, new: Holder, before: ReadView, after: ReadView, gate: Gate) -> PlannedStep | None:
    """Return what happens between two holders of a slot; None when there was and is nobody."""
    was, then = old.placed, new.placed or _completed(old, new)
    if new.waiting is not None:
        # A task that starts before the old one stops, and finds no node: the old one stays.
        stays = then.node_id if then is not None else ""
        return PlannedStep(
            kind=PlannedStep.KIND_WAIT,
            from_node_id=stays,
            node_id=new.waiting.node_id,
            reason=_why_waiting(new.waiting, was, after, gate),
            task_id=was.id if was is not None else "",
        )
    if then is None:
        return None if was is None else _stop(was, after)
    if was is None:
        reason = ENDED if old.ended is not None else ""
        return PlannedStep(kind=PlannedStep.KIND_START, node_id=then.node_id, reason=reason)
    if was.id == then.id:
        if was.status.state >= then.status.state or was.status.state == task_state.RUNNING:
            return PlannedStep()
        return PlannedStep(
            kind=PlannedStep.KIND_START, node_id=then.node_id, reason=ON_ITS_WAY, task_id=was.id
        )
    moves = was.node_id != then.node_id
    return PlannedStep(
        kind=PlannedStep.KIND_MOVE if moves else PlannedStep.KIND_REPLACE,
        from_node_id=was.node_id,
        node_id=then.node_id,
        reason=_why_replaced(was, then, before, after),
        task_id=was.id,
    )


def _completed(old: Holder, new: Holder) -> Task | None:
    """Return the task of a job that did its work in the forecast, so that others could start."""
    before = old.completed.id if old.completed is not None else ""
    return new.completed if new.completed is not None and new.completed.id != before else None


def _why_waiting(task: Task, was: Task | None, after: ReadView, gate: Gate) -> str:
    hold = gate.hold(task) if task.status.state == task_state.NEW else None
    if hold is not None:
        return hold.reason
    why = task.status.err or "it is not known yet whether a node takes it"
    pushed_out = _preempted(was, after)
    return f"{pushed_out}; {why}" if pushed_out else why


def _preempted(was: Task | None, after: ReadView) -> str:
    """Return for whom a task has to go, if that is why it goes."""
    then = after.tasks.get(was.id) if was is not None else None
    return preempted_for(then.preempted_by) if then is not None and then.HasField("preempted_by") else ""


def _stop(was: Task, after: ReadView) -> PlannedStep:
    service = after.services.get(was.service_id)
    cause = cause_of(was, after.nodes)
    if service is None:
        reason = GONE
    elif cause is not None:
        reason = cause.value
    elif was.job_iteration != service.job_status.iteration:
        reason = OTHER_RUN
    else:
        reason = UNWANTED if runs_everywhere(service.spec) else FEWER
    return PlannedStep(kind=PlannedStep.KIND_STOP, from_node_id=was.node_id, reason=reason, task_id=was.id)


def _why_replaced(was: Task, then: Task, before: ReadView, after: ReadView) -> str:
    if was.spec != then.spec or was.endpoint != then.endpoint:
        return OTHER_VERSION
    cause = cause_of(was, after.nodes)
    if cause is not None:
        return cause.value
    pushed_out = _preempted(was, after)
    if pushed_out:
        return pushed_out
    balanced = any(status.message == MOVED for status in (*then.history, then.status))
    return MOVED if balanced else MISFIT


def _name(service_id: str, *tables: Table[Service]) -> str:
    found = (table.get(service_id) for table in tables)
    return next((service.spec.annotations.name for service in found if service is not None), "")


def _hostname(node_id: str, nodes: Table[Node]) -> str:
    node = nodes.get(node_id)
    return node.description.hostname if node is not None else ""
