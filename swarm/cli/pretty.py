"""Objects as `inspect --pretty` shows them."""

from base64 import b64decode
from collections.abc import Mapping, Sequence
from typing import Any

from swarm.api.v1 import objects_pb2 as o
from swarm.cli import autoscale_view, names
from swarm.cli.convergence import expected_tasks
from swarm.cli.inspect_view import node as node_view
from swarm.cli.inspect_view import service as service_view
from swarm.cli.inspect_view import when
from swarm.cli.job_view import moment, shown_mode
from swarm.model.job import job_of
from swarm.model.revisions import number_of
from swarm.model.units import format_duration, format_size

PROFILE_SHOWN = 64  # an AppArmor profile is a name; one of seccomp is a document
DURATIONS = {
    "Delay",
    "Window",
    "Monitor",
    "StopGracePeriod",
    "MaxDelay",
    "StartingDeadline",
    "ScaleUpWindow",
    "ScaleDownWindow",
}


def _value(key: str, value: Any) -> str:
    if key in DURATIONS:
        return format_duration(value)
    if key.endswith("Bytes"):
        return format_size(value)
    if key == "Profile" and len(str(value)) > PROFILE_SHOWN:
        return f"{len(b64decode(value))} bytes"
    if key == "NanoCPUs":
        return f"{value / 1e9:g} CPUs"
    return str(value).lower() if isinstance(value, bool) else str(value)


def lines_of(view: Mapping[str, Any], indent: int = 0) -> list[str]:
    """Return an indented outline of a nested mapping; empty parts are left out."""
    pad = " " * indent
    result: list[str] = []
    for key, value in view.items():
        if isinstance(value, Mapping):
            inner = lines_of(value, indent + 1)
            result += [f"{pad}{key}:", *inner] if inner else []
        elif isinstance(value, Sequence) and not isinstance(value, str):
            result += _list_lines(key, value, pad)
        elif value not in {"", None}:
            result.append(f"{pad}{key}: {_value(key, value)}")
    return result


def _list_lines(key: str, values: Sequence[Any], pad: str) -> list[str]:
    if not values:
        return []
    if all(isinstance(value, str) for value in values):
        return [f"{pad}{key}: {' '.join(values)}"]
    items = [", ".join(line.strip() for line in lines_of(value)) for value in values]
    return [f"{pad}{key}:", *(f"{pad} - {item}" for item in items)]


def pretty_node(item: o.Node) -> str:
    """Return a node for people."""
    view = node_view(item)
    head = {"ID": item.id, "Hostname": item.description.hostname, "Joined at": when(item.meta.created_at)}
    shown = ("Spec", "Status", "ManagerStatus", "Description")
    return "\n".join(lines_of(head | {key: view[key] for key in shown if key in view}))


def _job_head(item: o.Service) -> dict[str, str]:
    status, mode = item.job_status, service_view(item)["Spec"]["Mode"]
    head = {key: _value(key, value) for part in mode.values() for key, value in part.items()}
    if status.HasField("last_execution"):
        head["Last execution"] = when(status.last_execution)
    head["Last run"] = moment(item, status.last_run)
    head["Next run"] = moment(item, status.next_run)
    if status.skipped:
        head["Skipped"] = f"{status.skipped}, last {moment(item, status.last_skipped)}: {status.skip_reason}"
    return head


def pretty_service(item: o.Service) -> str:
    """Return a service for people."""
    expected = expected_tasks(item)
    head = {"ID": item.id, "Name": item.spec.annotations.name}
    head["Mode"] = shown_mode(item).capitalize()
    if expected is not None:
        head["Replicas"] = str(expected)
    if job_of(item.spec) is not None:
        head |= _job_head(item)
    head |= autoscale_view.head(item)
    head["Revision"] = str(number_of(item))
    if item.HasField("update_status"):
        head["Update state"] = names.word(names.UPDATE_STATE, item.update_status.state)
        head["Update message"] = item.update_status.message
    if item.HasField("rebalance"):
        head["Rebalance"] = names.word(names.REBALANCE_STATE, item.rebalance.state)
        head["Rebalance message"] = item.rebalance.message
    spec = service_view(item)["Spec"]
    shown = ("Labels", "TaskTemplate", "Autoscale", "UpdateConfig", "RollbackConfig", "EndpointSpec")
    return "\n".join(lines_of(head | {key: spec[key] for key in shown if key in spec}))
