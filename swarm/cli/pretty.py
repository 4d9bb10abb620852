"""Nodes and services as `inspect --pretty` shows them: in Docker's words, then what is only here."""

from collections.abc import Mapping
from typing import Any

from swarm.api.v1 import objects_pb2 as o
from swarm.cli import autoscale_view
from swarm.cli.convergence import expected_tasks
from swarm.cli.inspect_view import node as node_view
from swarm.cli.inspect_view import service as service_view
from swarm.cli.inspect_view import when
from swarm.cli.job_view import moment, shown_mode
from swarm.cli.outline import as_text, lines_of
from swarm.model.job import job_of
from swarm.model.revisions import number_of
from swarm.model.units import format_binary, format_duration

View = dict[str, Any]


def pretty_node(item: o.Node) -> str:
    """Return a node for people."""
    view = node_view(item)
    spec, description, status = view["Spec"], view["Description"], view["Status"]
    resources, engine = description.pop("Resources"), description.pop("Engine")
    platform = description.pop("Platform")
    page: View = {"ID": item.id, "Name": spec.pop("Name"), "Labels": _pairs(spec.pop("Labels"))}
    page |= {"Hostname": description.pop("Hostname"), "Joined at": when(item.meta.created_at)}
    page["Status"] = {
        "State": status.pop("State").capitalize(),
        "Message": status.pop("Message"),
        "Availability": spec.pop("Availability").capitalize(),
        "Address": status.pop("Addr"),
        **status,
    }
    if "ManagerStatus" in view:
        manager = view["ManagerStatus"]
        page["Manager Status"] = {
            "Address": manager["Addr"],
            "Raft Status": manager["Reachability"].capitalize(),
            "Leader": "Yes" if manager["Leader"] else "No",
        }
    page["Platform"] = {"Operating System": platform["OS"], "Architecture": platform["Architecture"]}
    page["Resources"] = _amounts(resources, "CPUs")
    page["Engine Version"] = engine["EngineVersion"]
    page["Engine Labels"] = _pairs(engine["Labels"])
    return "\n".join(lines_of(page | spec | description))


def pretty_service(item: o.Service) -> str:
    """Return a service for people."""
    view = service_view(item)
    spec = view["Spec"]
    task, endpoint = spec["TaskTemplate"], spec["EndpointSpec"]
    head = {"ID": item.id, "Name": spec["Name"], "Labels": _pairs(spec["Labels"])}
    lines = [*lines_of(head), *_mode_lines(item, spec["Mode"]), f"Revision: {number_of(item)}"]
    page: View = {"UpdateStatus": _update_status(view.get("UpdateStatus", {}))}
    if "Rebalance" in view:
        page["Rebalance"] = {key: view["Rebalance"][key] for key in ("State", "Message")}
    page["Placement"] = _placement(task.pop("Placement"))
    for key, order in (("UpdateConfig", "Update order"), ("RollbackConfig", "Rollback order")):
        page[key] = _policy(spec.get(key, {}), order)
    page |= _container(task.pop("ContainerSpec"))
    page["Log Driver"] = _log_driver(task.pop("LogDriver", None))
    page["Resources"] = _of_task(task.pop("Resources"))
    page["Networks"] = [one["Target"] for one in task.pop("Networks", ())]
    page["Endpoint Mode"] = endpoint.pop("Mode")
    page["Ports"] = _ports(endpoint.pop("Ports"))
    if not task["ForceUpdate"]:
        del task["ForceUpdate"]
    page |= endpoint | task
    page |= {key: spec[key] for key in ("Autoscale", "DependsOn") if key in spec}
    return "\n".join([*lines, *lines_of(page)])


def _pairs(labels: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(f"{key}={labels[key]}" for key in sorted(labels))


def _mode_lines(item: o.Service, mode: Mapping[str, View]) -> list[str]:
    head: View = {}
    expected = expected_tasks(item)
    if expected is not None:
        head["Replicas"] = str(expected)
    if job_of(item.spec) is not None:
        head |= {key: as_text(key, value) for part in mode.values() for key, value in part.items()}
        head |= _job_runs(item)
    head |= autoscale_view.head(item)
    return [f"Service Mode: {shown_mode(item).capitalize()}", *lines_of(head, 1)]


def _job_runs(item: o.Service) -> View:
    status = item.job_status
    runs: View = {"Last execution": when(status.last_execution)} if status.HasField("last_execution") else {}
    runs |= {"Last run": moment(item, status.last_run), "Next run": moment(item, status.next_run)}
    if status.skipped:
        runs["Skipped"] = f"{status.skipped}, last {moment(item, status.last_skipped)}: {status.skip_reason}"
    return runs


def _update_status(status: Mapping[str, Any]) -> View:
    words = {"StartedAt": "Started", "CompletedAt": "Completed", "ResumedAt": "Resumed"}
    return {words.get(key, key): value for key, value in status.items()}


def _placement(placement: View) -> View:
    spread = [one["Spread"]["SpreadDescriptor"] for one in placement.pop("Preferences")]
    shown: View = {"Constraints": placement.pop("Constraints")}
    shown["Preferences"] = [f"spread={one}" for one in spread]
    shown["Max Replicas Per Node"] = placement.pop("MaxReplicas") or ""
    return shown | placement


def _policy(config: View, order: str) -> View:
    if not config:
        return {}
    return {
        "Parallelism": config["Parallelism"],
        "Delay": config.get("Delay") or "",
        "On failure": config["FailureAction"],
        "Monitoring Period": format_duration(config["Monitor"]),
        "Max failure ratio": f"{config['MaxFailureRatio']:g}",
        order: config["Order"],
        "Canary": config.get("Canary") or "",
    }


def _container(spec: View) -> View:
    shown: View = {
        key: spec.pop(key)
        for key in ("Image", "Command", "Args", "Env", "Dir", "Init", "User")
        if key in spec
    }
    parts: View = {
        "Capabilities": {"Add": spec.pop("CapabilityAdd", ()), "Drop": spec.pop("CapabilityDrop", ())},
        "SysCtls": spec.pop("Sysctls", {}),
        "Ulimits": {one["Name"]: f"{one['Soft']}:{one['Hard']}" for one in spec.pop("Ulimits", ())},
        "Mounts": spec.pop("Mounts", ()),
        "Configs": [_file(one, "ConfigName") for one in spec.pop("Configs", ())],
        "Secrets": [_file(one, "SecretName") for one in spec.pop("Secrets", ())],
    }
    health = spec.pop("Healthcheck", None)
    if health:
        parts["Healthcheck"] = {
            key: format_duration(value) if key in _SPANS else value for key, value in health.items()
        }
    return {"ContainerSpec": shown | spec} | parts


_SPANS = ("Interval", "Timeout", "StartPeriod", "StartInterval")


def _file(reference: View, name: str) -> View:
    return {"Target": reference.get("File", {}).get("Name", ""), "Source": reference[name]}


def _log_driver(driver: View | None) -> View:
    return {"Name": driver["Name"], "LogOpts": driver["Options"]} if driver else {}


def _of_task(resources: View) -> View:
    reservations, limits = resources.pop("Reservations"), resources.pop("Limits")
    return {"Reservations": _amounts(reservations), "Limits": _amounts(limits), **resources}


def _amounts(view: View, unit: str = "CPU") -> View:
    """Return what there is of each resource, without what is not said."""
    cpus, memory, pids = (view.pop(key, 0) for key in ("NanoCPUs", "MemoryBytes", "Pids"))
    shown: View = {
        "CPU": f"{cpus / 1e9:g}" if cpus else "",
        "Memory": format_binary(memory) if memory else "",
    }
    return shown | {"PIDs": pids or ""} | view


def _ports(ports: list[View]) -> tuple[str, ...]:
    return tuple(
        f"{key} = {value}" if key == "PublishedPort" else f" {key} = {value}"
        for port in ports
        for key, value in sorted(port.items(), key=lambda one: one[0] != "PublishedPort")
    )
