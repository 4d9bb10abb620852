"""What the orchestrator wants changed: values that say it, to be carried out by commit.py."""

from dataclasses import dataclass, field

from swarm.api.v1.objects_pb2 import JobStatus, Preemption, Rebalance, Task
from swarm.api.v1.types_pb2 import TaskState, UpdateStatus


@dataclass(frozen=True, slots=True)
class NewTask:
    """A task to create."""

    slot: int = 0
    node_id: str = ""
    desired_state: "TaskState" = TaskState.TASK_STATE_RUNNING  # or READY
    previous: Task | None = None  # the task it replaces
    start_not_before_ns: int = 0
    as_previous: bool = False  # of the version of `previous`, for only an update brings a new version
    job_iteration: int = 0  # which run of a job
    run_for_ns: int = 0  # of a cron job: for which time
    crashes: int = 0  # tasks before it that crashed in a row


@dataclass(frozen=True, slots=True)
class Step:
    """Changes in one slot that happen together or not at all."""

    desire: tuple[tuple[str, "TaskState"], ...] = ()  # task id, its new desired state
    create: NewTask | None = None
    live: frozenset[str] = frozenset()  # with `create`: tasks meant to run that may be in the slot by then
    remove: tuple[str, ...] = ()  # ids of tasks to forget
    preempted_by: Preemption | None = None  # who needs the room of the tasks that are told to stop
    why: str = ""  # written on the tasks that are told something, and on the one that is created

    @property
    def size(self) -> int:
        """Number of objects written."""
        return len(self.desire) + len(self.remove) + (self.create is not None)


@dataclass(frozen=True, slots=True)
class ServiceChange:
    """What becomes of the service itself."""

    update_status: UpdateStatus = field(default_factory=UpdateStatus)
    roll_back: bool = False  # the previous spec becomes the present one
    # At most one of these, in place of `update_status`.
    job_status: JobStatus | None = None  # a run of a job begins, or is skipped
    rebalance: Rebalance | None = None

    @property
    def reason(self) -> str:
        """What happens, for the log."""
        if self.job_status is not None:
            return f"job iteration {self.job_status.iteration}"
        if self.rebalance is not None:
            return f"rebalance: {self.rebalance.message}"
        return self.update_status.message


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do for one service now, and when to look at it again even if nothing happens."""

    steps: tuple[Step, ...] = ()
    service_change: ServiceChange | None = None
    wake_at_ns: int | None = None

    def __bool__(self) -> bool:
        """Whether there is anything to do now."""
        return bool(self.steps) or self.service_change is not None


@dataclass(slots=True)
class PlanBuilder:
    """A plan in the making."""

    steps: list[Step] = field(default_factory=list)
    service_change: ServiceChange | None = None
    wake_at_ns: int | None = None

    def wake(self, at_ns: int) -> None:
        """Look again no later than `at_ns`."""
        if self.wake_at_ns is None or at_ns < self.wake_at_ns:
            self.wake_at_ns = at_ns

    def build(self) -> Plan:
        """Return the plan."""
        return Plan(tuple(self.steps), self.service_change, self.wake_at_ns)
