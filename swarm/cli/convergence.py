"""Is a service what its spec says? Pure functions of the service and its tasks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from swarm.api.v1.objects_pb2 import Node, Service, Task
from swarm.api.v1.types_pb2 import RestartPolicy, TaskState, UpdateStatus
from swarm.cli import names
from swarm.cli.job_view import JobProgress
from swarm.cli.live import Bar
from swarm.cli.render import shorten
from swarm.model.autoscale import wanted_replicas
from swarm.model.job import job_of, mode_of
from swarm.model.task import is_dirty

DEFAULT_MONITOR_NS = 5_000_000_000
JOB_MONITOR_NS = 1_000_000_000
PAUSED = {UpdateStatus.STATE_PAUSED, UpdateStatus.STATE_ROLLBACK_PAUSED}
UNDER_WAY = {UpdateStatus.STATE_UPDATING, UpdateStatus.STATE_ROLLBACK_STARTED}
REASON_WIDTH = 90
# The states on the way to a running task, as people see them: each is a step of its bar.
STEPS = ("new", "pending", "assigned", "accepted", "preparing", "ready", "starting", "running")


class Verdict(Enum):
    """How a service stands against its spec."""

    WAITING = "waiting"
    CONVERGED = "converged"
    FAILED = "failed"
    PAUSED = "paused"
    ROLLED_BACK = "rolled back"
    CANARY = "canaries run"


@dataclass(frozen=True, slots=True)
class Picture:
    """One look at a service: the verdict, why, and a bar for every live task."""

    verdict: Verdict
    reason: str
    running: int
    wanted: int
    bars: Sequence[Bar]
    done: str = "tasks run"  # what is counted

    @property
    def share(self) -> float:
        """How far it is, 0 to 1."""
        return min(1.0, self.running / self.wanted) if self.wanted else 1.0


def expected_tasks(service: Service) -> int | None:
    """Return the number of replicas asked for, None for a service that has none: a global one, a job."""
    if mode_of(service.spec) != "replicated":
        return None
    return wanted_replicas(service)


def monitor_ns(service: Service) -> int:
    """Return how long a service must stay converged to be believed."""
    if job_of(service.spec) is not None:
        # Nodes get their tasks one after another; nothing else of a job that is over changes.
        return JOB_MONITOR_NS if service.spec.HasField("global_job") else 0
    update = service.spec.update
    return update.monitor_ns if update.HasField("monitor_ns") else DEFAULT_MONITOR_NS


def look(
    service: Service, tasks: Sequence[Task], nodes: Mapping[str, Node], *, rollback_wanted: bool = False
) -> Picture:
    """Judge a service by its tasks; `rollback_wanted` when going back is what the user asked for.

    `nodes` (by id) are needed for tasks of an older spec: on a node that fits the new one they may stay.
    """
    if job_of(service.spec) is not None:
        return _look_at_job(service, tasks)
    live = [task for task in tasks if task.desired_state <= TaskState.TASK_STATE_RUNNING]
    current = [task for task in tasks if not is_dirty(service, task, nodes.get(task.node_id))]
    running = [
        task
        for task in current
        if task.status.state == TaskState.TASK_STATE_RUNNING
        and task.desired_state <= TaskState.TASK_STATE_RUNNING
    ]
    expected = expected_tasks(service)
    wanted = len(live) if expected is None else expected
    verdict, reason = _judge(service, tasks, current, live, len(running), wanted, rollback_wanted)
    bars = [_bar(task) for task in sorted(live, key=lambda task: (task.slot, task.node_id))]
    return Picture(verdict, reason, len(running), wanted, bars)


def _look_at_job(service: Service, tasks: Sequence[Task]) -> Picture:
    """Judge a job by its last run: it has converged when that is over; then nothing will change any more."""
    job, done = JobProgress(service, tasks), "tasks completed"
    bars = [_bar(task) for task in sorted(job.live, key=lambda task: (task.slot, task.node_id))]
    if service.spec.HasField("cron"):
        return Picture(Verdict.CONVERGED, "", job.completed, job.total, bars, done)
    if job.is_over:
        verdict = Verdict.FAILED if job.failure else Verdict.CONVERGED
        return Picture(verdict, job.failure, job.completed, job.total, bars, done)
    why = next((task.status.err for task in reversed(job.tasks) if task.status.err), "")
    return Picture(Verdict.WAITING, why, job.completed, job.total, bars, done)


def _judge(
    service: Service,
    tasks: Sequence[Task],
    current: Sequence[Task],
    live: Sequence[Task],
    running: int,
    wanted: int,
    rollback_wanted: bool,
) -> tuple[Verdict, str]:
    status = service.update_status
    if status.state in PAUSED:
        state = names.word(names.UPDATE_STATE, status.state).replace("_", " ")
        return Verdict.PAUSED, f"{state}: {status.message}"
    if status.state == UpdateStatus.STATE_ROLLBACK_COMPLETED and not rollback_wanted:
        return Verdict.ROLLED_BACK, f"was rolled back: {status.message}"
    if status.state == UpdateStatus.STATE_CANARY and _all_run(live, wanted):
        return Verdict.CANARY, status.message
    gone = [task for task in tasks if task.desired_state > TaskState.TASK_STATE_RUNNING]
    stopping = any(task.status.state < TaskState.TASK_STATE_COMPLETE and task.node_id for task in gone)
    if running >= wanted == len(live) and status.state not in UNDER_WAY and not (wanted == 0 and stopping):
        return Verdict.CONVERGED, ""
    ended = _given_up(service, current, live)
    if ended:
        return Verdict.FAILED, ended
    return Verdict.WAITING, next((task.status.err for task in live if task.status.err), "")


def _all_run(live: Sequence[Task], wanted: int) -> bool:
    """Whether as many tasks run as are wanted, of whatever spec: canaries live beside others."""
    return sum(task.status.state == TaskState.TASK_STATE_RUNNING for task in live) >= wanted


def _given_up(service: Service, current: Sequence[Task], live: Sequence[Task]) -> str:
    """Return why nothing will run any more: all tasks ended and the restart policy allows no other."""
    policy = service.spec.task.restart
    bounded = policy.max_attempts > 0 or policy.condition != RestartPolicy.CONDITION_ANY
    ended = [task for task in current if task.status.state >= TaskState.TASK_STATE_COMPLETE]
    if not bounded or not ended or any(task.status.state < TaskState.TASK_STATE_COMPLETE for task in live):
        return ""
    last = max(ended, key=lambda task: (task.status.timestamp.seconds, task.status.timestamp.nanos))
    state = names.word(names.TASK_STATE, last.status.state)
    error = f", {last.status.err}" if last.status.err else ""
    return f"has no task left to run: the restart policy allows no other (last: {state}{error})"


def _bar(task: Task) -> Bar:
    state = names.word(names.TASK_STATE, task.status.state)
    name = f"{task.service_annotations.name}.{task.slot or task.node_id[:12]}"
    share = (STEPS.index(state) + 1) / len(STEPS) if state in STEPS else float(state == "complete")
    return Bar(name, state, share, shorten(task.status.err, REASON_WIDTH))
