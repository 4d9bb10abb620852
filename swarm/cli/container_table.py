"""What people see of containers: rows of tables and pages of inspection. Pure."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence

from swarm.api.v1.containers_pb2 import ContainerOutput, ContainerSummary, ProcessList
from swarm.cli import names
from swarm.cli.render import Row, shorten
from swarm.cli.task_table import SHORT_ID
from swarm.clock import SECOND, nanoseconds
from swarm.errors import InvalidArgument
from swarm.model.health import WORDS
from swarm.model.units import format_age, format_size

COLUMNS = (
    ("CONTAINER ID", "ID"),
    ("IMAGE", "Image"),
    ("COMMAND", "Command"),
    ("CREATED", "CreatedSince"),
    ("STATUS", "Status"),
    ("PORTS", "Ports"),
    ("NAMES", "Names"),
    ("NODE", "Node"),
)
PROCESS_COLUMNS = (
    ("UID", "User"),
    ("PID", "PID"),
    ("PPID", "ParentPID"),
    ("STARTED", "Started"),
    ("TIME", "Time"),
    ("MEM", "Memory"),
    ("CMD", "Command"),
)
COMMAND_WIDTH = 22


def rows(
    answers: Iterable[ContainerOutput],
    filters: Mapping[str, Sequence[str]],
    node_names: Mapping[str, str],
    now_ns: int,
    *,
    truncate: bool,
) -> list[Row]:
    """Return the rows of `container ls`, the newest container first."""
    found = [
        answer for answer in answers if answer.HasField("container") and _matches(answer.container, filters)
    ]
    found.sort(
        key=lambda one: (-nanoseconds(one.container.created_at), one.container.name, one.container.id)
    )
    return [
        _row(one.container, node_names.get(one.node_id, one.node_id), now_ns, truncate=truncate)
        for one in found
    ]


def _matches(one: ContainerSummary, filters: Mapping[str, Sequence[str]]) -> bool:
    """Whether every key has a value that fits; names fit by a part of them, as with Docker."""
    tests: dict[str, Callable[[str], bool]] = {
        "id": one.id.startswith,
        "name": lambda value: value in one.name,
        "status": lambda value: one.state == value,
        "service": lambda value: value in (one.service_name, one.service_id),
        "label": lambda value: _has_label(one, value),
        "health": lambda value: WORDS.get(one.health.state, "none") == value,
        "is-task": lambda value: _truth(value) is not one.plain,
    }
    return all(any(tests[key](value) for value in values) for key, values in filters.items())


def _has_label(one: ContainerSummary, wanted: str) -> bool:
    key, equals, value = wanted.partition("=")
    return key in one.labels and (not equals or one.labels[key] == value)


def _truth(value: str) -> bool:
    if value.lower() not in {"true", "false", "1", "0"}:
        raise InvalidArgument(f"--filter is-task={value}: write true or false")
    return value.lower() in {"true", "1"}


def _row(one: ContainerSummary, node: str, now_ns: int, *, truncate: bool) -> Row:
    command = json.dumps(" ".join(one.command)) if one.command else ""
    return {
        "ID": one.id[:SHORT_ID] if truncate else one.id,
        "Image": one.image,
        "Command": shorten(command, COMMAND_WIDTH) if truncate else command,
        "CreatedSince": f"{format_age(now_ns - nanoseconds(one.created_at))} ago",
        "Status": status(one, now_ns),
        "State": one.state,
        "Ports": ", ".join(
            f"*:{port.published_port}->{port.target_port}/{names.PROTOCOL[port.protocol]}"
            for port in one.ports
            if port.published_port
        ),
        "Names": one.name,
        "Node": node,
        "Service": one.service_name,
        "Labels": ",".join(f"{key}={value}" for key, value in sorted(one.labels.items())),
        "IsTask": str(not one.plain).lower(),
    }


def published_lines(one: ContainerSummary, wanted: str) -> list[str]:
    """Return `80/tcp -> 0.0.0.0:8080` for each published port; of one PORT[/PROTOCOL] the right side."""
    number, _, protocol = wanted.partition("/")
    found = []
    for port in one.ports:
        inside = f"{port.target_port}/{names.PROTOCOL[port.protocol]}"
        outside = f"{port.host_ip or names.ANY_ADDRESS}:{port.published_port}"
        if port.published_port and not wanted:
            found.append(f"{inside} -> {outside}")
        elif port.published_port and inside == f"{number}/{protocol or 'tcp'}":
            found.append(outside)
    return found


def status(one: ContainerSummary, now_ns: int) -> str:
    """Return e.g. `Up 5 minutes`, `Exited (137) 2 hours ago (out of memory)`."""
    if one.state in {"running", "paused"}:
        age = format_age(now_ns - nanoseconds(one.started_at))
        health = f" ({WORDS[one.health.state]})" if one.health.state in WORDS else ""
        return f"Up {age[0].lower()}{age[1:]}" + (" (Paused)" if one.state == "paused" else health)
    if one.state == "restarting":
        return f"Restarting ({one.exit_code})" + (f" ({one.error})" if one.error else "")
    if one.state == "created" and one.error:
        return f"Created ({one.error})"
    if one.state != "exited":
        return one.state.capitalize()
    age = format_age(now_ns - nanoseconds(one.finished_at))
    why = "out of memory" if one.oom_killed else one.error
    return f"Exited ({one.exit_code}) {age[0].lower()}{age[1:]} ago" + (f" ({why})" if why else "")


def process_rows(found: ProcessList, now_ns: int) -> list[Row]:
    """Return the rows of `container top`."""
    return [
        {
            "User": one.user,
            "PID": str(one.pid),
            "ParentPID": str(one.parent_pid),
            "Started": f"{format_age(now_ns - nanoseconds(one.started_at))} ago",
            "Time": _clock(one.cpu_ns),
            "Memory": format_size(one.memory_bytes),
            "Command": one.command,
        }
        for one in found.processes
    ]


def _clock(duration_ns: int) -> str:
    minutes, seconds = divmod(duration_ns // SECOND, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}:{minutes:02d}:{seconds:02d}"
