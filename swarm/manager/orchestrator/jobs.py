"""Which tasks should a job have? Those of its last run; of a cron job also those of runs that go on.

A run is a number that every task of it carries. Within a run, a slot (or node, for a global job) is done
when one of its tasks completed, and given up when the restart policy allows no other task in it.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from swarm.api.v1.objects_pb2 import Node, Task
from swarm.api.v1.specs_pb2 import CronJob
from swarm.clock import nanoseconds
from swarm.manager.orchestrator.global_services import Eligibility
from swarm.manager.orchestrator.plan import NewTask, PlanBuilder, ServiceChange, Step
from swarm.manager.orchestrator.reaper import history_limit_of, plan_reap, plan_removed_service
from swarm.manager.orchestrator.restart import is_finished, stop_timeout_ns
from swarm.manager.orchestrator.runs import next_status, wake_at_ns
from swarm.manager.orchestrator.service_view import ServiceView
from swarm.manager.orchestrator.slots import (
    SLOTS_PER_STEP,
    Condition,
    Slot,
    SlotKey,
    is_ready,
    is_stopped,
    slots_of,
)
from swarm.model import task_state
from swarm.model.job import Job, cron_history, is_completed
from swarm.steps import Steps

# Sees to the tasks of a slot that stays: replaces what ended, starts what was held back.
SeeTo = Callable[[PlanBuilder, ServiceView, Slot], bool]


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a job, and what of it exists."""

    iteration: int
    for_ns: int  # of a cron job: its time
    slots: Mapping[SlotKey, Slot]
    may_create: bool

    def new_task(self, number: int = 0, node_id: str = "") -> Step:
        """Return the step that makes a task of this run."""
        task = NewTask(slot=number, node_id=node_id, job_iteration=self.iteration, run_for_ns=self.for_ns)
        return Step(create=task)


def plan_job(plan: PlanBuilder, view: ServiceView, job: Job, see_to: SeeTo) -> Steps[None]:
    """Begin a run when it is time, and bring those that go on one step further."""
    runs = yield from _runs_of(view.tasks)
    status = view.service.job_status
    begun = next_status(view.service, view.now_ns, busy=_is_busy(view, job, runs, status.iteration))
    if begun is not None:
        status = begun
        plan.service_change = ServiceChange(job_status=begun)
    wake_ns = wake_at_ns(status)
    if wake_ns is not None:
        plan.wake(wake_ns)
    if not status.iteration:
        return
    older = {iteration: slots for iteration, slots in runs.items() if iteration != status.iteration}
    goes_on = yield from _plan_older(plan, view, job, older, status.iteration)
    for iteration in goes_on:
        for_ns = nanoseconds(_first(older[iteration]).run_for)
        yield from _plan_run(plan, view, job, Run(iteration, for_ns, older[iteration], True), see_to)
    may_create = not _must_wait(plan, view, job, older)
    slots = runs.get(status.iteration, {})
    run = Run(status.iteration, nanoseconds(status.last_run), slots, may_create)
    yield from _plan_run(plan, view, job, run, see_to)


def _runs_of(tasks: Iterable[Task]) -> Steps[dict[int, dict[SlotKey, Slot]]]:
    """Return the slots of every run, oldest run first."""
    found: dict[int, list[Task]] = {}
    for count, task in enumerate(tasks, 1):
        found.setdefault(task.job_iteration, []).append(task)
        if count % SLOTS_PER_STEP == 0:
            yield
    runs: dict[int, dict[SlotKey, Slot]] = {}
    for iteration in sorted(found):
        runs[iteration] = yield from slots_of(found[iteration])
    return runs


def _first(slots: Mapping[SlotKey, Slot]) -> Task:
    return next(iter(slots.values())).tasks[0]


def _is_busy(view: ServiceView, job: Job, runs: Mapping[int, Mapping[SlotKey, Slot]], last: int) -> bool:
    """Whether a run of a cron job goes on: the last one until it is over, others while tasks live."""
    if job.cron is None or not last:
        return False
    over = sum(1 for slot in runs.get(last, {}).values() if _is_over(view, slot))
    return over < job.total or any(
        slot.live for number, slots in runs.items() if number != last for slot in slots.values()
    )


def _is_over(view: ServiceView, slot: Slot) -> bool:
    return any(map(is_completed, slot.tasks)) or is_finished(slot, view.restart)


# Runs before the last one.


def _plan_older(
    plan: PlanBuilder, view: ServiceView, job: Job, older: Mapping[int, Mapping[SlotKey, Slot]], last: int
) -> Steps[Sequence[int]]:
    """Stop or forget the tasks of older runs; return the runs that go on."""
    living = [number for number, slots in older.items() if any(slot.live for slot in slots.values())]
    if job.cron is None:
        forgotten = set(older)
    else:
        # The last run counts as one of those that are kept.
        kept = sorted(older, reverse=True)[: max(0, cron_history(job.cron) - 1)]
        forgotten = set(older) - set(kept) - set(living)
    for number in forgotten:
        tasks = [task for slot in older[number].values() for task in slot.tasks]
        yield from plan_removed_service(plan, tasks, view.nodes)
    if job.cron is None:
        return ()
    if job.cron.concurrency_policy == CronJob.CONCURRENCY_POLICY_REPLACE:
        for number in living:
            _stop(plan, (task for slot in older[number].values() for task in slot.live))
        return ()
    return living


def _must_wait(
    plan: PlanBuilder, view: ServiceView, job: Job, older: Mapping[int, Mapping[SlotKey, Slot]]
) -> bool:
    """Whether tasks of older runs, which this one takes the place of, may still be running."""
    if job.cron is not None and job.cron.concurrency_policy != CronJob.CONCURRENCY_POLICY_REPLACE:
        return False
    waits = False
    for slots in older.values():
        for task in (task for slot in slots.values() for task in slot.tasks):
            if is_stopped(task, view.nodes):
                continue
            if task.desired_state <= task_state.RUNNING:
                waits = True  # it is told to stop now
                continue
            give_up_ns = nanoseconds(task.meta.updated_at) + stop_timeout_ns(task)
            if give_up_ns > view.now_ns:
                plan.wake(give_up_ns)
                waits = True
    return waits


def _stop(plan: PlanBuilder, tasks: Iterable[Task]) -> None:
    desire = tuple((task.id, task_state.SHUTDOWN) for task in tasks)
    if desire:
        plan.steps.append(Step(desire=desire))


# One run.


def _plan_run(plan: PlanBuilder, view: ServiceView, job: Job, run: Run, see_to: SeeTo) -> Steps[None]:
    done: list[Slot] = []
    if job.is_global:
        yield from _plan_nodes(plan, view, run, see_to, done)
    else:
        yield from _plan_slots(plan, view, job, run, see_to, done)
    # Last: while they are not marked, a leader that takes over knows that the run goes on.
    for slot in done:
        _stop(plan, slot.live)
    limit = history_limit_of(view.history_limit, view.restart)
    for count, slot in enumerate(run.slots.values(), 1):
        spared = [task.id for task in slot.tasks if is_completed(task)]
        plan_reap(plan, slot, view.nodes, limit, spared)
        if count % SLOTS_PER_STEP == 0:
            yield


def _plan_slots(
    plan: PlanBuilder, view: ServiceView, job: Job, run: Run, see_to: SeeTo, done: list[Slot]
) -> Steps[None]:
    taken: set[int] = set()
    live = 0
    for count, slot in enumerate(run.slots.values(), 1):
        if any(map(is_completed, slot.tasks)):
            done.append(slot)
        elif slot.live:
            live += 1
            if not view.is_settled(slot):
                see_to(plan, view, slot)
        elif not is_finished(slot, view.restart):
            continue
        taken.add(slot.number)
        if count % SLOTS_PER_STEP == 0:
            yield
    wanted = min(job.max_concurrent - live, job.total - len(taken)) if run.may_create else 0
    number = 0
    while wanted > 0:
        number += 1
        if number in taken:
            continue
        plan.steps.append(run.new_task(number))
        wanted -= 1
        if wanted % SLOTS_PER_STEP == 0:
            yield


def _plan_nodes(
    plan: PlanBuilder, view: ServiceView, run: Run, see_to: SeeTo, done: list[Slot]
) -> Steps[None]:
    eligibility = Eligibility(view.service.spec.task)
    for count, node in enumerate(tuple(view.nodes), 1):
        slot = run.slots.get((0, node.id)) or Slot((0, node.id), ())
        if any(map(is_completed, slot.tasks)):
            done.append(slot)
        elif slot.live:
            _plan_on(plan, view, slot, node, eligibility, see_to)
        elif run.may_create and not is_finished(slot, view.restart) and _takes(view, node, eligibility):
            plan.steps.append(run.new_task(node_id=node.id))
        if count % SLOTS_PER_STEP == 0:
            yield
    gone = [slot for slot in run.slots.values() if slot.node_id not in view.nodes]
    yield from plan_removed_service(plan, [task for slot in gone for task in slot.tasks], view.nodes)


def _takes(view: ServiceView, node: Node, eligibility: Eligibility) -> bool:
    return view.condition(node.id) is Condition.ACTIVE and is_ready(node) and eligibility.fits(node)


def _plan_on(
    plan: PlanBuilder, view: ServiceView, slot: Slot, node: Node, eligibility: Eligibility, see_to: SeeTo
) -> None:
    """See to the live task of a global job on its node."""
    condition = view.condition(node.id)
    if condition is Condition.DOWN:
        return  # nobody else can do its work, and it may be doing it
    if condition is Condition.DRAINED or not eligibility.fits(node):
        _stop(plan, slot.live)
    else:
        see_to(plan, view, slot)
