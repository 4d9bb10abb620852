"""When does a job run, and is a time of a cron job to be left out?

A run begins by being written down: its number and time are in the service before, or in the transaction in
which, its tasks are made. So there is one run for a time, whoever leads, and whenever a leader dies.
"""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from swarm.api.v1.objects_pb2 import JobStatus, Service
from swarm.api.v1.specs_pb2 import CronJob
from swarm.clock import nanoseconds, timestamp
from swarm.model.job import run_is_decided, starting_deadline_ns
from swarm.model.schedule import Schedule, schedule
from swarm.model.units import format_duration

AWAY = "no manager could begin it in time"


def next_status(service: Service, now_ns: int, *, busy: bool) -> JobStatus | None:
    """Return the status of a job in which a run begins or is skipped now; None when it is not time.

    `busy` tells whether a run goes on. A plain job runs when its spec is new.
    """
    status = JobStatus()
    status.CopyFrom(service.job_status)
    decided = run_is_decided(service)
    status.spec_version = service.spec_version
    if not service.spec.HasField("cron"):
        if decided:
            return None
        _begin(status, now_ns)
        return status
    return _cron_status(service, status, now_ns, decided=decided, busy=busy)


def wake_at_ns(status: JobStatus) -> int | None:
    """Return when the next run of a cron job is due."""
    return nanoseconds(status.next_run) if status.HasField("next_run") else None


def _cron_status(
    service: Service, status: JobStatus, now_ns: int, *, decided: bool, busy: bool
) -> JobStatus | None:
    cron = service.spec.cron
    times = schedule(cron.schedule, cron.timezone)
    forced = False
    if not decided:
        forced = (
            bool(service.job_status.spec_version) and status.force_update != service.spec.task.force_update
        )
        status.force_update = service.spec.task.force_update
        _set_next(status, _kept(times, status) or times.next_after(now_ns))
    due_ns = wake_at_ns(status)
    is_due = due_ns is not None and due_ns <= now_ns
    if is_due and due_ns is not None:
        _decide(cron, times, status, due_ns, now_ns, busy=busy)
    elif forced:
        _begin_unless_busy(cron, status, now_ns, now_ns, busy=busy)
    return status if is_due or not decided else None


def _kept(times: Schedule, status: JobStatus) -> int | None:
    """Return the time that was due next before the spec changed, if it still is one."""
    due_ns = wake_at_ns(status)
    return due_ns if due_ns is not None and times.next_after(due_ns - 1) == due_ns else None


def _decide(
    cron: CronJob, times: Schedule, status: JobStatus, due_ns: int, now_ns: int, *, busy: bool
) -> None:
    """Run for the latest of the times that have passed; the others are past and gone."""
    latest_ns = max(due_ns, times.latest_until(now_ns) or due_ns)
    if latest_ns != due_ns:
        _skip(status, max(due_ns, times.latest_until(latest_ns - 1) or due_ns), AWAY)
    deadline_ns = starting_deadline_ns(cron)
    if now_ns - latest_ns > deadline_ns:
        late = f"{AWAY}: the starting deadline is {format_duration(deadline_ns)}"
        _skip(status, latest_ns, late)
    else:
        _begin_unless_busy(cron, status, latest_ns, now_ns, busy=busy)
    _set_next(status, times.next_after(now_ns))


def _begin_unless_busy(cron: CronJob, status: JobStatus, for_ns: int, now_ns: int, *, busy: bool) -> None:
    if busy and cron.concurrency_policy == CronJob.CONCURRENCY_POLICY_FORBID:
        before = _local(cron, nanoseconds(status.last_run))
        _skip(status, for_ns, f"the run for {before} still goes on, and the concurrency policy is forbid")
        return
    _begin(status, now_ns)
    status.last_run.CopyFrom(timestamp(for_ns))


def _begin(status: JobStatus, now_ns: int) -> None:
    status.iteration += 1
    status.last_execution.CopyFrom(timestamp(now_ns))


def _skip(status: JobStatus, for_ns: int, reason: str) -> None:
    status.skipped += 1
    status.last_skipped.CopyFrom(timestamp(for_ns))
    status.skip_reason = reason


def _set_next(status: JobStatus, next_ns: int | None) -> None:
    status.ClearField("next_run")
    if next_ns is not None:
        status.next_run.CopyFrom(timestamp(next_ns))


def _local(cron: CronJob, at_ns: int) -> str:
    zone = ZoneInfo(cron.timezone or "UTC")
    return f"{datetime.fromtimestamp(at_ns // 10**9, UTC).astimezone(zone):%Y-%m-%d %H:%M %Z}"
