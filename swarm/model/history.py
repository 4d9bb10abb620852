"""The story of a task: which states it passed through, when, and why."""

from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp

from swarm.api.v1.objects_pb2 import Task
from swarm.api.v1.types_pb2 import TaskStatus
from swarm.model.limits import TASK_STATES
from swarm.model.task_state import is_terminal, state_name
from swarm.timestamps import SECOND, nanoseconds

HISTORY_LIMIT = TASK_STATES.value


def record_status(task: Task, status: TaskStatus) -> None:
    """Make `status` the status of `task`, a copy that the caller owns, and keep the one before as history.

    A repeated state replaces the status and leaves the history alone.
    """
    if task.status.state != status.state:
        passed = task.history.add()
        passed.CopyFrom(task.status)
        # Where it ran belongs to the current status; keeping it in each step would double the store.
        passed.ClearField("container")
        passed.ClearField("ports")
        passed.ClearField("address")
        del task.history[:-HISTORY_LIMIT]
    task.status.CopyFrom(status)


def story(task: Task) -> list[str]:
    """Return the life of a task as lines for people: time, time since the step before, state, why."""
    lines: list[str] = []
    before = 0
    for status in (*task.history, task.status):
        at = nanoseconds(status.timestamp)
        step = f"+{(at - before) / SECOND:.3f}s" if before else ""
        said = ": ".join(part for part in (status.message, status.err) if part)
        lines.append(f"{_time(status.timestamp)}  {step:>12}  {state_name(status.state):<10}{said}".rstrip())
        before = at
    if not is_terminal(task.status.state):
        lines.append(f"it is meant to be: {state_name(task.desired_state)}")
    elif task.status.HasField("container"):
        container = task.status.container
        killed = ", OOMKilled" if container.oom_killed else ""
        lines.append(f"exit code {container.exit_code}{killed}")
    return lines


def _time(stamp: Timestamp) -> str:
    moment = datetime.fromtimestamp(stamp.seconds, UTC)
    return f"{moment:%Y-%m-%d %H:%M:%S}.{stamp.nanos // 1_000_000:03d}Z"
