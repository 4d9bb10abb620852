"""The rows of `service ps` and `node ps`, as pure functions of tasks and the time."""

from collections.abc import Mapping, Sequence

from swarm.api.v1.objects_pb2 import Task
from swarm.api.v1.types_pb2 import TaskState
from swarm.cli import names
from swarm.cli.health_options import health_suffix
from swarm.cli.natural_order import natural
from swarm.cli.render import Row, shorten
from swarm.clock import nanoseconds
from swarm.model.job import shown_desired
from swarm.model.units import format_age

COLUMNS = (
    ("ID", "ID"),
    ("NAME", "Name"),
    ("IMAGE", "Image"),
    ("NODE", "Node"),
    ("DESIRED STATE", "DesiredState"),
    ("CURRENT STATE", "CurrentState"),
    ("ERROR", "Error"),
    ("PORTS", "Ports"),
)
ERROR_WIDTH = 60
SHORT_ID = 12


def ordered(tasks: Sequence[Task]) -> list[Task]:
    """Return tasks by service and slot, newest first within a slot."""
    return sorted(
        tasks,
        key=lambda task: (
            natural(task.service_annotations.name),
            task.slot,
            task.node_id if not task.slot else "",
            -nanoseconds(task.meta.created_at),
            task.id,
        ),
    )


def task_rows(
    tasks: Sequence[Task],
    node_names: Mapping[str, str],
    now_ns: int,
    *,
    truncate: bool,
    reasons: Mapping[str, str] | None = None,
    priorities: Mapping[str, int] | None = None,
) -> list[Row]:
    """Return one row a task; older tasks of a slot are marked as its history.

    `reasons` say, by task id, why a task does not run; they are the column ERROR, unless all went well.
    `priorities` are those that services, by id, have now; of others the tasks tell.
    """
    reasons, priorities = reasons or {}, priorities or {}
    rows: list[Row] = []
    previous: tuple[str, int, str] | None = None
    for task in ordered(tasks):
        place = (task.service_id, task.slot, "" if task.slot else task.node_id)
        name = task_name(task, node_names)
        rows.append(
            {
                "ID": task.id[:SHORT_ID] if truncate else task.id,
                "Name": f"\\_ {name}" if place == previous else name,
                "Image": task.spec.container.image,
                "Node": node_names.get(task.node_id, task.node_id),
                "DesiredState": names.word(names.TASK_STATE, shown_desired(task)).capitalize(),
                "CurrentState": current_state(task, now_ns),
                "Error": error_text(task, truncate=truncate, reason=reasons.get(task.id, "")),
                "Why": reasons.get(task.id, ""),
                "Priority": str(priorities.get(task.service_id, task.spec.priority)),
                "Ports": ", ".join(port_texts(task)),
            }
        )
        previous = place
    return rows


def columns_of(rows: Sequence[Row]) -> tuple[tuple[str, str], ...]:
    """Return the columns to show: priorities only where somebody has one."""
    if all(row["Priority"] == "0" for row in rows):
        return COLUMNS
    return (*COLUMNS[:4], ("PRIORITY", "Priority"), *COLUMNS[4:])


def task_name(task: Task, node_names: Mapping[str, str]) -> str:
    """Return `service.slot`, or `service.node` for a global service."""
    place = str(task.slot) if task.slot else node_names.get(task.node_id, task.node_id)
    return f"{task.service_annotations.name}.{place}"


def current_state(task: Task, now_ns: int) -> str:
    """Return e.g. `Running (healthy) 5 minutes ago`."""
    state = names.word(names.TASK_STATE, task.status.state).capitalize()
    age = format_age(now_ns - nanoseconds(task.status.timestamp))
    state += health_suffix(task.status)
    return f"{state} {age[0].lower()}{age[1:]} ago"


def error_text(task: Task, *, truncate: bool, reason: str = "") -> str:
    """Return why the task is not running, in quotes, cut for the table; nothing for a good end."""
    good_end = task.status.state in (TaskState.TASK_STATE_COMPLETE, TaskState.TASK_STATE_SHUTDOWN)
    text = task.status.err if good_end or not reason else reason
    if not text:
        return ""
    return f'"{shorten(text, ERROR_WIDTH) if truncate else text}"'


def port_texts(task: Task) -> list[str]:
    """Return the ports published on the task's node, e.g. `*:8080->80/tcp`."""
    return [
        f"*:{port.published_port}->{port.target_port}/{names.PROTOCOL[port.protocol]}"
        for port in task.status.ports
    ]
