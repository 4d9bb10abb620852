"""What a job is: a service whose tasks run to their end, once, on every node, or by the clock."""

from dataclasses import dataclass, replace

from swarm.api.v1.objects_pb2 import Service, Task
from swarm.api.v1.specs_pb2 import CronJob, ReplicatedJob, ServiceSpec
from swarm.api.v1.types_pb2 import RestartPolicy, TaskState
from swarm.model import defaults, task_state
from swarm.timestamps import SECOND

CRON_HISTORY = 3
STARTING_DEADLINE_NS = 3600 * SECOND

_MODES = {
    "global": "global",
    "replicated_job": "replicated-job",
    "global_job": "global-job",
    "cron": "cron",
}


@dataclass(frozen=True, slots=True)
class Job:
    """How a job runs, with every default in its place."""

    total: int = 0  # completions of one run; 0 of a global job: one on every eligible node
    max_concurrent: int = 0
    is_global: bool = False
    cron: CronJob | None = None


def mode_of(spec: ServiceSpec) -> str:
    """Return the mode of a service as `--mode` names it."""
    return _MODES.get(spec.WhichOneof("mode") or "", "replicated")


def job_of(spec: ServiceSpec) -> Job | None:
    """Return the job that a service is, None for one that is meant to run on and on."""
    mode = spec.WhichOneof("mode")
    if mode == "global_job":
        return Job(is_global=True)
    if mode not in ("replicated_job", "cron"):
        return None
    job: ReplicatedJob | CronJob = spec.cron if mode == "cron" else spec.replicated_job
    total = job.total_completions if job.HasField("total_completions") else 1
    concurrent = job.max_concurrent if job.HasField("max_concurrent") else total
    return Job(total, concurrent, cron=spec.cron if mode == "cron" else None)


def runs_everywhere(spec: ServiceSpec) -> bool:
    """Whether the tasks of a service belong to nodes, not to slots."""
    return spec.WhichOneof("mode") in ("global", "global_job")


def restart_of(spec: ServiceSpec) -> defaults.Restart:
    """Return the restart policy in force; what ended well in a job is never run again."""
    policy = defaults.restart(spec.task)
    if job_of(spec) is not None and policy.condition == RestartPolicy.CONDITION_ANY:
        return replace(policy, condition=RestartPolicy.CONDITION_ON_FAILURE)
    return policy


def cron_history(cron: CronJob) -> int:
    """Return of how many finished runs the tasks are kept."""
    return cron.history if cron.HasField("history") else CRON_HISTORY


def starting_deadline_ns(cron: CronJob) -> int:
    """Return how late a run may begin."""
    return cron.starting_deadline_ns if cron.HasField("starting_deadline_ns") else STARTING_DEADLINE_NS


def run_is_decided(service: Service) -> bool:
    """Whether the job's status speaks of the present spec, not of one before it."""
    return service.job_status.spec_version == service.spec_version


def of_last_run(service: Service, task: Task) -> bool:
    """Whether `task` belongs to the last run of its job."""
    return bool(task.job_iteration) and task.job_iteration == service.job_status.iteration


def shown_desired(task: Task) -> "TaskState":
    """Return the desired state of a task as people know it: the tasks of a job are meant to complete."""
    wanted = task.desired_state <= task_state.RUNNING or is_completed(task)
    return task_state.COMPLETE if task.job_iteration and wanted else task.desired_state


def is_completed(task: Task) -> bool:
    """Whether a task of a job did its work."""
    return bool(task.job_iteration) and task.status.state == task_state.COMPLETE
