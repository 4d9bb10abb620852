"""What people see of containers: rows of tables and pages of inspection. Pure."""

import json
import shlex
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import PurePosixPath

from swarm.api.v1.containers_pb2 import (
    ContainerOutput,
    ContainerProcess,
    ContainerSummary,
    ProcessList,
)
from swarm.api.v1.types_pb2 import Mount, PortConfig
from swarm.cli import names
from swarm.cli.container_filters import Described, chosen, labels_of
from swarm.cli.inspect_view import table_time
from swarm.cli.render import Row, shorten
from swarm.cli.task_table import SHORT_ID
from swarm.cli.templates.values import LabelText
from swarm.clock import SECOND, nanoseconds
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
RAW = (
    ("container_id", "ID"),
    ("image", "Image"),
    ("command", "Command"),
    ("created_at", "CreatedAt"),
    ("state", "State"),
    ("status", "Status"),
    ("names", "Names"),
    ("labels", "Labels"),
    ("ports", "Ports"),
)
SIZE_COLUMN = ("SIZE", "Size")
PROCESS_COLUMNS = (
    ("UID", "User"),
    ("PID", "PID"),
    ("PPID", "ParentPID"),
    ("C", "CPU"),
    ("STIME", "STime"),
    ("TTY", "TTY"),
    ("TIME", "Time"),
    ("CMD", "Command"),
)
COMMAND_WIDTH = 20
ALIVE = frozenset({"running", "paused", "restarting"})


def rows(  # what was asked for, and how it is shown
    answers: Iterable[ContainerOutput],
    filters: Mapping[str, Sequence[str]],
    node_names: Mapping[str, str],
    now_ns: int,
    *,
    truncate: bool,
    everything: bool = True,
    described: Mapping[str, Described] | None = None,
) -> list[Row]:
    """Return the rows of `container ls`, the newest container first.

    `described` has what is known of each beside its line; columns that need it are only there then.
    """
    listed = [answer for answer in answers if answer.HasField("container")]
    fits = chosen([one.container for one in listed], filters, described or {})
    found = [one for one in listed if fits(one) and (everything or one.container.state in ALIVE)]
    found.sort(
        key=lambda one: (-nanoseconds(one.container.created_at), one.container.name, one.container.id)
    )
    return [
        _row(one, node_names.get(one.node_id, one.node_id), now_ns, truncate=truncate)
        | ({} if described is None else _description(described.get(one.container.id, Described())))
        for one in found
    ]


def _description(of: Described) -> dict[str, str]:
    """Return the columns of Docker that a container is looked at more closely for."""
    volumes = sum(mount.type == Mount.TYPE_VOLUME for mount in of.spec.mounts)
    return {
        "Mounts": ",".join(of.mounts),
        "LocalVolumes": str(volumes),
        "Networks": ",".join(of.networks),
    }


def _row(answer: ContainerOutput, node: str, now_ns: int, *, truncate: bool) -> dict[str, str]:
    one = answer.container
    command = shlex.join(one.command)
    command = shorten(command, COMMAND_WIDTH) if truncate else command
    age = f"{format_age(now_ns - nanoseconds(one.created_at))} ago"
    return {
        "ID": one.id[:SHORT_ID] if truncate else one.id,
        "Image": one.image,
        "Command": json.dumps(command, ensure_ascii=False) if command else "",
        "CreatedSince": age,
        "RunningFor": age,
        "CreatedAt": table_time(one.created_at),
        "Status": status(one, now_ns),
        "State": one.state,
        "Ports": ", ".join(_port(port) for port in one.ports),
        "Names": one.name,
        "Node": node,
        "Service": "" if one.plain else one.service_name,
        "Labels": LabelText(labels_of(answer)),
        "Size": sizes(one),
        "IsTask": str(not one.plain).lower(),
    }


def sizes(one: ContainerSummary) -> str:
    """Return what it wrote, and takes with its image; empty where that was not asked, or is not known."""
    if not one.HasField("written_bytes"):
        return ""
    return f"{format_size(one.written_bytes)} (virtual {format_size(one.total_bytes)})"


def _port(port: PortConfig) -> str:
    """Return `0.0.0.0:8080->80/tcp`; a port of the mesh is not the container's own: `*:8080->80/tcp`."""
    inside = f"{port.target_port}/{names.PROTOCOL[port.protocol]}"
    if not port.published_port:
        return inside
    ingress = port.publish_mode == PortConfig.PUBLISH_MODE_INGRESS
    return f"*:{port.published_port}->{inside}" if ingress else f"{_outside(port)}->{inside}"


def _outside(port: PortConfig) -> str:
    """Return where a port leads to a container from: ADDRESS:PORT."""
    return f"{port.host_ip or names.ANY_ADDRESS}:{port.published_port}"


def published_lines(one: ContainerSummary, wanted: str) -> list[str]:
    """Return `80/tcp -> 0.0.0.0:8080` for each published port; of one PORT[/PROTOCOL] the right side."""
    number, _, protocol = wanted.partition("/")
    found = []
    for port in one.ports:
        inside = f"{port.target_port}/{names.PROTOCOL[port.protocol]}"
        outside = _outside(port)
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
            "CPU": str(_percent(one, now_ns)),
            "Started": f"{format_age(now_ns - nanoseconds(one.started_at))} ago",
            "STime": _start(nanoseconds(one.started_at), now_ns),
            "TTY": "?",  # nodes do not tell
            "Time": _clock(one.cpu_ns),
            "Memory": format_size(one.memory_bytes),
            "Command": one.command,
            "Name": PurePosixPath(one.command.partition(" ")[0]).name,
        }
        for one in found.processes
    ]


def _percent(one: ContainerProcess, now_ns: int) -> int:
    """Return the processor time that it had of the time since its start, as ps does."""
    lived_ns = now_ns - nanoseconds(one.started_at)
    return min(99, 100 * one.cpu_ns // lived_ns) if lived_ns > 0 else 0


def _start(at_ns: int, now_ns: int) -> str:
    """Return when it started as one word: the time of today, else the day."""
    at, now = (datetime.fromtimestamp(moment // SECOND).astimezone() for moment in (at_ns, now_ns))
    return f"{at:%H:%M}" if at.date() == now.date() else f"{at:%b%d}"


def _clock(duration_ns: int) -> str:
    minutes, seconds = divmod(duration_ns // SECOND, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}:{minutes:02d}:{seconds:02d}"
