"""What people see of containers: rows of tables and pages of inspection. Pure."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from google.protobuf.json_format import MessageToDict

from swarm.api.v1.containers_pb2 import ContainerDetails, ContainerOutput, ContainerSummary, ProcessList
from swarm.api.v1.plain_pb2 import PlainContainer, PlainRestart
from swarm.cli import names
from swarm.cli.inspect_view import when
from swarm.cli.render import Row, shorten
from swarm.cli.task_table import SHORT_ID
from swarm.cli.templates.values import LabelText
from swarm.clock import SECOND, nanoseconds
from swarm.errors import InvalidArgument
from swarm.model.health import WORDS
from swarm.model.labels import has_label
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
    found = [answer for answer in answers if answer.HasField("container") and _matches(answer, filters)]
    found.sort(
        key=lambda one: (-nanoseconds(one.container.created_at), one.container.name, one.container.id)
    )
    return [_row(one, node_names.get(one.node_id, one.node_id), now_ns, truncate=truncate) for one in found]


def _matches(answer: ContainerOutput, filters: Mapping[str, Sequence[str]]) -> bool:
    """Whether every key has a value that fits, and every label is there; a part of the name is enough."""
    one, labels = answer.container, labels_of(answer)
    tests: dict[str, Callable[[str], bool]] = {
        "id": one.id.startswith,
        "name": lambda value: value in one.name,
        "status": lambda value: one.state == value,
        "service": lambda value: value in (one.service_name, one.service_id),
        "label": lambda value: has_label(labels, value),
        "health": lambda value: WORDS.get(one.health.state, "none") == value,
        "is-task": lambda value: _truth(value) is not one.plain,
    }
    return all(
        (all if key == "label" else any)(tests[key](value) for value in values)
        for key, values in filters.items()
    )


def labels_of(answer: ContainerOutput) -> dict[str, str]:
    """Return the labels of a container; those of tasks say whose they are, as with Docker."""
    one = answer.container
    if one.plain:
        return dict(one.labels)
    whose = {
        "service.id": one.service_id,
        "service.name": one.service_name,
        "task.id": one.id,
        "task.name": one.name,
        "node.id": answer.node_id,
    }
    return {f"com.docker.swarm.{key}": value for key, value in whose.items()} | dict(one.labels)


def _truth(value: str) -> bool:
    if value.lower() not in {"true", "false", "1", "0"}:
        raise InvalidArgument(f"--filter is-task={value}: write true or false")
    return value.lower() in {"true", "1"}


def _row(answer: ContainerOutput, node: str, now_ns: int, *, truncate: bool) -> Row:
    one = answer.container
    command = json.dumps(" ".join(one.command)) if one.command else ""
    return {
        "ID": one.id[:SHORT_ID] if truncate else one.id,
        "Image": one.image,
        "Command": shorten(command, COMMAND_WIDTH) if truncate else command,
        "CreatedSince": f"{format_age(now_ns - nanoseconds(one.created_at))} ago",
        "RunningFor": f"{format_age(now_ns - nanoseconds(one.created_at))} ago",
        "CreatedAt": when(one.created_at),
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
        "Labels": LabelText(labels_of(answer)),
        "IsTask": str(not one.plain).lower(),
    }


def published_lines(one: ContainerSummary, wanted: str) -> list[str]:
    """Return `80/tcp -> 0.0.0.0:8080` for each published port; of one PORT[/PROTOCOL] the right side."""
    number, _, protocol = wanted.partition("/")
    found = []
    for port in one.ports:
        inside = f"{port.target_port}/{names.PROTOCOL[port.protocol]}"
        outside = f"0.0.0.0:{port.published_port}"
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


def details_view(found: ContainerDetails, node_id: str, node_names: Mapping[str, str]) -> dict[str, Any]:
    """Return what `container inspect` prints."""
    one = found.summary
    view: dict[str, Any] = {
        "ID": one.id,
        "Name": one.name,
        "Image": one.image,
        "Node": {"ID": node_id, "Hostname": node_names.get(node_id, node_id)},
        "State": {
            "Status": one.state,
            "Pid": one.pid,
            "ExitCode": one.exit_code,
            "OOMKilled": one.oom_killed,
            "Error": one.error,
            "StartedAt": one.started_at.ToJsonString() if one.HasField("started_at") else "",
            "FinishedAt": one.finished_at.ToJsonString() if one.HasField("finished_at") else "",
        },
        "Task": {"ID": one.task_id, "Service": {"ID": one.service_id, "Name": one.service_name}},
    }
    if one.plain:
        del view["Task"]
        view |= plain_view(found.plain, one)
    if found.HasField("spec"):
        view["Spec"] = MessageToDict(found.spec)
        view["Resources"] = MessageToDict(found.resources)
    return view


def plain_view(found: PlainContainer, one: ContainerSummary) -> dict[str, Any]:
    """Return what only a container without a task has."""
    spec = found.spec
    condition = PlainRestart.Condition.Name(spec.restart.condition).removeprefix("CONDITION_")
    view: dict[str, Any] = {
        "Created": found.created_at.ToJsonString(),
        "RestartCount": found.restarts,
        "HostConfig": {
            "RestartPolicy": {
                "Name": condition.lower().replace("_", "-"),
                "MaximumRetryCount": spec.restart.max_retries,
            },
            "AutoRemove": spec.auto_remove,
            "NetworkMode": spec.network or next((one.network_name for one in spec.networks), "bridge"),
        },
        "OpenStdin": spec.open_stdin,
        "NetworkSettings": {
            "IPAddress": found.address,
            "Ports": [MessageToDict(port) for port in found.published],
            "Networks": _networks(found),
        },
    }
    if one.HasField("health"):
        view["Health"] = MessageToDict(one.health)
    return view


def _networks(found: PlainContainer) -> dict[str, Any]:
    """Return the networks that a container is in, by name, in Docker's words."""
    addresses = {one.network_id: tuple(one.addresses) for one in found.addresses}
    return {
        one.network_name: {
            "NetworkID": one.network_id,
            "IPAddress": next((text for text in addresses.get(one.network_id, ()) if ":" not in text), ""),
            "GlobalIPv6Address": next(
                (text for text in addresses.get(one.network_id, ()) if ":" in text), ""
            ),
            "Aliases": list(one.aliases),
        }
        for one in found.spec.networks
    }


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
