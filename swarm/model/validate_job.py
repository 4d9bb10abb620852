"""Is a job valid? Every problem is one sentence that names the field, what is wrong and what is allowed."""

from collections.abc import Iterator

from swarm.api.v1.specs_pb2 import CronJob, ServiceSpec
from swarm.api.v1.types_pb2 import RestartPolicy
from swarm.errors import InvalidArgument
from swarm.model.job import job_of, mode_of
from swarm.model.schedule import schedule
from swarm.model.validate_container import negative

COMPLETIONS_LIMIT = 100_000  # tasks of finished work are kept, so a run may not have more than a service
CRON_HISTORY_LIMIT = 1_000  # runs whose tasks are kept, each with all its completions
SCHEDULE_LENGTH_LIMIT = 256  # characters; a list of every minute would fit


def job_problems(spec: ServiceSpec) -> Iterator[str]:
    """Return what is wrong with a job; nothing for a service that is none."""
    job = job_of(spec)
    if job is None:
        return
    mode = mode_of(spec)
    if spec.HasField("update") or spec.HasField("rollback"):
        yield f"a {mode} has no update or rollback config: an update makes it run again as a whole"
    if spec.task.restart.HasField("condition") and (
        spec.task.restart.condition == RestartPolicy.CONDITION_ANY
    ):
        yield f'the restart condition of a {mode} cannot be "any": it is on-failure or none'
    if not job.is_global:
        if not 1 <= job.total <= COMPLETIONS_LIMIT:
            yield f"{job.total} completions are not between 1 and {COMPLETIONS_LIMIT}"
        if not job.max_concurrent:
            yield "max concurrent is 0: at least one task must be allowed to run"
    if job.cron is not None:
        yield from _cron_problems(job.cron)


def _cron_problems(cron: CronJob) -> Iterator[str]:
    if len(cron.schedule) > SCHEDULE_LENGTH_LIMIT:
        yield f"the schedule has {len(cron.schedule)} characters, and the limit is {SCHEDULE_LENGTH_LIMIT}"
    else:
        try:
            schedule(cron.schedule, cron.timezone)
        except InvalidArgument as problem:
            yield str(problem)
    if cron.concurrency_policy not in CronJob.ConcurrencyPolicy.values():
        yield f"{cron.concurrency_policy} is not a concurrency policy (allow, forbid, replace)"
    if cron.HasField("history") and not 1 <= cron.history <= CRON_HISTORY_LIMIT:
        yield f"a history of {cron.history} runs is not between 1 and {CRON_HISTORY_LIMIT}"
    yield from negative(("the starting deadline", cron.starting_deadline_ns))
