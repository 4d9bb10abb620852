"""What templates read of an inspected object where it says nothing: what holds then, as with Docker.

`inspect` shows what somebody said, and a template that names a field which nobody set must not fail for it:
`{{range .Spec.TaskTemplate.Networks}}`, `{{if .UpdateStatus}}`, `{{.Spec.Labels.zone}}`. What is no field of
such an object is refused still. Pure.
"""

from collections.abc import Mapping
from typing import Any

from swarm.cli.templates.values import NO_VALUE, Span
from swarm.model import defaults


class _Maybe(dict[str, Any]):
    """The fields of what may be missing as a whole; when it is there, it is true though it be empty."""


class _Free(dict[str, Any]):
    """What has keys of the user's own."""


_SPANS = frozenset(
    {"Delay", "Monitor", "Window", "StopGracePeriod", "Interval", "Timeout", "StartPeriod", "StartInterval"}
)
_UPDATE = {
    "Parallelism": defaults.UPDATE_PARALLELISM,
    "Delay": 0,
    "FailureAction": "pause",
    "Monitor": defaults.UPDATE_MONITOR_NS,
    "MaxFailureRatio": 0,
    "Order": "stop-first",
}
_CONTAINER = {
    **dict.fromkeys(("Command", "Args", "Env", "Groups", "Mounts", "Secrets", "Configs", "Hosts"), ()),
    **dict.fromkeys(("CapabilityAdd", "CapabilityDrop", "Ulimits"), ()),
    **dict.fromkeys(("Hostname", "Dir", "User", "StopSignal"), ""),
    **dict.fromkeys(("TTY", "OpenStdin", "ReadOnly"), False),
    "Labels": _Free(),
    "Sysctls": _Free(),
    "StopGracePeriod": defaults.STOP_GRACE_PERIOD_NS,
    "Healthcheck": _Maybe(
        dict.fromkeys(("Interval", "Timeout", "Retries", "StartPeriod"), 0) | {"Test": ()}
    ),
    "Privileges": _Maybe(),
    "Init": None,
    "OomScoreAdj": 0,
    "DNSConfig": dict.fromkeys(("Nameservers", "Search", "Options"), ()),
}
_TASK = {
    "ContainerSpec": _CONTAINER,
    "Resources": {
        "Limits": dict.fromkeys(("NanoCPUs", "MemoryBytes", "Pids"), 0),
        "Reservations": {"NanoCPUs": 0, "MemoryBytes": 0, "GenericResources": ()},
    },
    "RestartPolicy": {
        "Condition": "any",
        "Delay": defaults.RESTART_DELAY_NS,
        "MaxAttempts": 0,
        "Window": 0,
    },
    "Placement": {"Constraints": (), "Preferences": (), "MaxReplicas": 0, "Platforms": ()},
    "Networks": (),
    "LogDriver": _Maybe(),
    "ForceUpdate": 0,
}
_ENDPOINT = {"Mode": "vip", "Ports": ()}
_SPEC = {
    "Labels": _Free(),
    "TaskTemplate": _TASK,
    "Mode": {
        "Replicated": _Maybe({"Replicas": defaults.REPLICAS}),
        "Global": _Maybe(),
        "ReplicatedJob": _Maybe(dict.fromkeys(("MaxConcurrent", "TotalCompletions"), 1)),
        "GlobalJob": _Maybe(),
        "Cron": _Maybe(),
    },
    "UpdateConfig": _UPDATE,
    "RollbackConfig": _UPDATE,
    "EndpointSpec": _ENDPOINT,
}
_SERVICE = {
    "Spec": _SPEC,
    "PreviousSpec": _Maybe(_SPEC),
    "Endpoint": {"Spec": _ENDPOINT, "Ports": (), "VirtualIPs": ()},
    "UpdateStatus": _Maybe(dict.fromkeys(("State", "StartedAt", "CompletedAt", "Message"), "")),
    "JobStatus": _Maybe({"LastExecution": ""}),
}
_RUN = {
    "Spec": _TASK,
    "Status": {"ContainerStatus": {"ContainerID": "", "PID": 0, "ExitCode": 0}},
    "NetworksAttachments": (),
}
_NODE = {
    "Spec": {"Labels": _Free()},
    "Description": {"Engine": {"Labels": _Free()}, "Resources": {"GenericResources": ()}},
    "ManagerStatus": _Maybe(),
}
_PLAIN = {
    "State": {"Health": _Maybe({"Status": "", "FailingStreak": 0, "Log": ()})},
    "Config": {
        "Labels": _Free(),
        "Healthcheck": _CONTAINER["Healthcheck"],
        "StopSignal": "",
        "StopTimeout": _Maybe(),
    },
    "HostConfig": {"Sysctls": _Free(), "PortBindings": _Free()},
    "NetworkSettings": {"Ports": _Free(), "Networks": _Free()},
}
_OTHER = {"Labels": _Free(), "Options": _Free(), "Spec": {"Labels": _Free()}}


class _Told(dict[str, Any]):
    """What an object says, and for whoever asks for a field by name also what it does not say."""

    def __init__(self, said: Mapping[str, Any], unsaid: Mapping[str, Any]) -> None:
        super().__init__({key: _of(key, value, unsaid.get(key)) for key, value in said.items()})
        self._unsaid = unsaid

    def __missing__(self, key: str) -> Any:
        if isinstance(self._unsaid, _Free):
            return NO_VALUE
        value = self._unsaid[key]
        return None if isinstance(value, _Maybe) else _of(key, value, value)

    def __bool__(self) -> bool:
        return bool(len(self)) or isinstance(self._unsaid, _Maybe)


def with_unsaid(view: Any) -> Any:
    """Return an inspected object for a template."""
    if not isinstance(view, Mapping):
        return view
    kinds = {"Endpoint": _SERVICE, "DesiredState": _RUN, "Description": _NODE, "HostConfig": _PLAIN}
    return _told(view, next((tree for key, tree in kinds.items() if key in view), _OTHER))


def _of(key: str, value: Any, unsaid: Any) -> Any:
    return Span(value) if key in _SPANS and isinstance(value, int) else _told(value, unsaid)


def _told(value: Any, unsaid: Any) -> Any:
    if isinstance(value, Mapping):
        return _Told(value, unsaid if isinstance(unsaid, Mapping) else {})
    return value
