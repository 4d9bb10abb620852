"""How far is a job? Pure functions of the service and its tasks."""

from collections.abc import Sequence
from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp

from swarm.api.v1.control_pb2 import ServiceStatus
from swarm.api.v1.objects_pb2 import Service, Task
from swarm.cli import names
from swarm.model import task_state
from swarm.model.job import is_completed, job_of, mode_of, of_last_run, run_is_decided

Place = tuple[int, str]


def shown_mode(service: Service) -> str:
    """Return the mode as `service ls` shows it, `replicated job`."""
    return mode_of(service.spec).replace("-", " ")


def replicas_text(service: Service, status: ServiceStatus) -> str:
    """Return `running/desired`, of a job with how much of its last run is completed."""
    live = f"{status.running_tasks}/{status.desired_tasks}"
    job = job_of(service.spec)
    if job is None:
        limit = service.spec.task.placement.max_replicas_per_node
        said = [f"max {limit} per node"] if limit else []
        if service.spec.HasField("autoscale"):
            from swarm.cli.autoscale_view import bounds_text

            said += [f"autoscaled {bounds}"] if (bounds := bounds_text(service.spec)) else []
        return f"{live} ({', '.join(said)})" if said else live
    total = status.desired_tasks + status.completed_tasks if job.is_global else job.total
    return f"{live} ({status.completed_tasks}/{total} completed)"


def moment(service: Service, stamp: Timestamp) -> str:
    """Return a time of a cron job in its own time zone; nothing for one that is not set."""
    if not stamp.seconds:
        return ""
    from zoneinfo import ZoneInfo

    zone = ZoneInfo(service.spec.cron.timezone or "UTC")
    return f"{datetime.fromtimestamp(stamp.seconds, UTC).astimezone(zone):%Y-%m-%d %H:%M %Z}"


class JobProgress:
    """The last run of a job, counted."""

    def __init__(self, service: Service, tasks: Sequence[Task]) -> None:
        job = job_of(service.spec)
        assert job is not None
        # What belongs to the run before says nothing about one that has not begun.
        self.begun = run_is_decided(service)
        self.tasks = [task for task in tasks if self.begun and of_last_run(service, task)]
        places: dict[Place, list[Task]] = {}
        for task in self.tasks:
            places.setdefault((task.slot, "" if task.slot else task.node_id), []).append(task)
        self.completed = sum(any(map(is_completed, mates)) for mates in places.values())
        lost = [mates for mates in places.values() if not any(map(_may_complete, mates))]
        self.given_up = len(lost)
        self.total = len(places) if job.is_global else job.total
        self.live = [task for task in self.tasks if task.desired_state <= task_state.RUNNING]
        self._last_failed = max((task for mates in lost for task in mates), key=_ended, default=None)

    @property
    def is_over(self) -> bool:
        """Whether nothing will run any more."""
        return self.begun and self.completed + self.given_up >= self.total

    @property
    def failure(self) -> str:
        """Return why the job failed for good, empty while it did not."""
        if not self.is_over or self._last_failed is None:
            return ""
        task = self._last_failed
        state = names.word(names.TASK_STATE, task.status.state)
        error = f", {task.status.err}" if task.status.err else ""
        return (
            f"failed: {self.completed} of {self.total} tasks completed, the restart policy allows no more "
            f"(last: {state}{error})"
        )


def _may_complete(task: Task) -> bool:
    return is_completed(task) or task.desired_state <= task_state.RUNNING


def _ended(task: Task) -> tuple[int, int]:
    return task.status.timestamp.seconds, task.status.timestamp.nanos
