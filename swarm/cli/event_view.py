"""One change as people and scripts read it, in the words of `docker events`."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from swarm.api.v1 import control_pb2 as c
from swarm.api.v1.objects_pb2 import Config, Image, Network, Node, Secret, Service, Stack, Task, Volume
from swarm.api.v1.plain_pb2 import PlainEvent
from swarm.api.v1.store_pb2 import StoreObject
from swarm.cli import names
from swarm.cli.inspect_view import when
from swarm.cli.templates.values import NO_VALUE
from swarm.model.autoscale import wanted_replicas
from swarm.model.health import WORDS
from swarm.model.labels import has_label
from swarm.model.networks import driver_of
from swarm.timestamps import SECOND, nanoseconds, timestamp

View = dict[str, Any]
Attributes = Mapping[str, str]

TYPES = (
    *("cluster", "config", "container", "image", "network", "node", "secret", "service", "stack", "task"),
    "volume",
)
# Of containers of no service.
CONTAINER_ACTIONS = (
    *("create", "start", "die", "oom", "kill", "stop", "destroy", "rename", "update", "health_status"),
    *("pause", "unpause", "restart", "attach", "top", "commit", "export", "archive-path", "extract-to-dir"),
    *("exec_create", "exec_start", "exec_die", "exec_detach"),
)
NETWORK_ACTIONS = ("connect", "disconnect")
ACTIONS = {
    c.WatchEvent.ACTION_CREATE: "create",
    c.WatchEvent.ACTION_UPDATE: "update",
    c.WatchEvent.ACTION_REMOVE: "remove",
}


def events_of(answer: c.WatchResponse) -> Iterator[View]:
    """Return the events of a commit; keys as in `docker events --format json`, and Version."""
    at_ns = nanoseconds(answer.at)
    for event in answer.events:
        kind, obj = _inside(event.object)
        if kind == "network" and event.action == c.WatchEvent.ACTION_UPDATE:
            continue  # nothing of it changes but which address was given last
        before = _inside(event.previous)[1] if event.HasField("previous") else None
        yield {
            "Type": kind,
            "Action": ACTIONS[event.action],
            "Actor": {"ID": obj.id, "Attributes": attributes(kind, obj, before)},
            "scope": "swarm",
            "time": at_ns // SECOND,
            "timeNano": at_ns,
            "Version": answer.version,
        }


def of_container(told: PlainEvent, node_id: str, node: str) -> View:
    """Return what happened to a container of no service, in the same form; it is no commit: Version is 0."""
    attributes = dict(told.attributes)
    named = {"name": told.name, "image": told.image}
    about = {**named, **attributes, **named, "node": node, "node.id": node_id}  # labels change no names
    kind, actor = "container", told.container_id
    if told.action in NETWORK_ACTIONS:
        kind, actor = "network", attributes["network"]
        about |= {"name": actor, "container": told.container_id, "container.name": told.name}
    event = {
        "Type": kind,
        "Action": told.action,
        "Actor": {"ID": actor, "Attributes": about},
        "scope": "local",
        "time": told.at_ns // SECOND,
        "timeNano": told.at_ns,
        "Version": 0,
    }
    if kind == "container":  # as Docker has it for the oldest of its scripts
        event |= {"status": told.action, "id": actor, "from": told.image}
    return event


def line(event: View) -> str:
    """Return an event as one line: time, type, action, id and what is known of it."""
    actor = event["Actor"]
    told = ", ".join(f"{key}={value}" for key, value in actor["Attributes"].items())
    at = when(timestamp(event["timeNano"]))
    return f"{at} {event['Type']} {event['Action']} {actor['ID']} ({told})"


def named_as_in_go(event: View) -> View:
    """Return an event under the names that templates of `docker events` know; `json` prints the others."""
    actor = event["Actor"]
    return _InGo(
        {**event, "Actor": {**actor, "Attributes": _Attributes(actor["Attributes"])}},
        Scope=event["scope"],
        Time=event["time"],
        TimeNano=event["timeNano"],
        Status=event["Action"],
        ID=actor["ID"],
        From=event.get("from", ""),
    )


class _Attributes(dict[str, Any]):
    """What is told of one event: another one has others, so a template may ask for any."""

    def __contains__(self, key: object) -> bool:
        return True

    def __missing__(self, key: str) -> Any:
        return NO_VALUE


class _InGo(dict[str, Any]):
    """A mapping with more names than it prints."""

    def __init__(self, shown: View, **names: Any) -> None:
        super().__init__(shown)
        self._names = names

    def __contains__(self, key: object) -> bool:
        return super().__contains__(key) or key in self._names

    def __missing__(self, key: str) -> Any:
        return self._names[key]


def attributes(kind: str, obj: Any, before: Any = None) -> View:
    """Return what an event says of its object: how it is called, and what is new and was old."""
    result = dict(_NAMED[kind](obj)) if kind in _NAMED else {}
    changing = _CHANGING.get(kind, {})
    for key, read in changing.items():
        if before is not None and read(before) != read(obj):
            result[f"{key}.new"] = read(obj)
            result[f"{key}.old"] = read(before)
    return result


def matches(event: View, wanted: Mapping[str, Sequence[str]]) -> bool:
    """Whether an event passes the filters: values of one are alternatives, different ones must all match."""
    actor = event["Actor"]
    # `event=health_status` is any of them, as with Docker.
    known = {"type": [event["Type"]], "event": [event["Action"], event["Action"].partition(":")[0]]}
    told = actor["Attributes"]
    for noun in ("service", "node", "image", "secret", "config", "network", "volume", "stack"):
        own = event["Type"] == noun
        known[noun] = [actor["ID"], actor["Attributes"].get("name", "")] if own else []
    if event["Type"] == "task":
        known["service"] = [actor["Attributes"]["service"], actor["Attributes"]["service.id"]]
        known["node"] = [actor["Attributes"].get("node.id", "")]
    known["scope"] = [event["scope"]]
    known["label"] = [text for text in wanted.get("label", ()) if has_label(told, text)]
    known["container"] = []
    if event["scope"] == "local":
        own = event["Type"] == "container"
        container_id = actor["ID"] if own else told["container"]
        known["container"] = [container_id, told["name" if own else "container.name"]]
        known["container"] += [
            one for one in wanted.get("container", ()) if one and container_id.startswith(one)
        ]
        known["node"] = [told["node"], told["node.id"]]
        known["image"] = [told["image"]]
    return all(set(values) & set(known[key]) for key, values in wanted.items())


def _inside(wrapped: StoreObject) -> tuple[str, Any]:
    kind = wrapped.WhichOneof("object") or "unknown"
    return kind, getattr(wrapped, kind, wrapped)


def _of_task(task: Task) -> Attributes:
    name = task.service_annotations.name
    known = {"name": f"{name}.{task.slot or task.node_id}", "service": name, "service.id": task.service_id}
    return {**known, "node.id": task.node_id} if task.node_id else known


def _of_node(node: Node) -> Attributes:
    return {"name": node.description.hostname} if node.description.hostname else {}


def _of_named(obj: Service | Image | Secret | Config | Network | Volume | Stack) -> Attributes:
    name = obj.annotations.name if isinstance(obj, Image | Stack) else obj.spec.annotations.name
    return {"name": name}


def _of_network(network: Network) -> Attributes:
    return {**_of_named(network), "type": driver_of(network.spec)}


_NAMED: Mapping[str, Callable[[Any], Attributes]] = {
    "task": _of_task,
    "node": _of_node,
    "service": _of_named,
    "image": _of_named,
    "secret": _of_named,
    "config": _of_named,
    "volume": _of_named,
    "stack": _of_named,
    "network": _of_network,
}
_CHANGING: Mapping[str, Mapping[str, Callable[[Any], str]]] = {
    "task": {
        "state": lambda task: names.word(names.TASK_STATE, task.status.state),
        "desiredstate": lambda task: names.word(names.TASK_STATE, task.desired_state),
        "health": lambda task: WORDS.get(task.status.container.health.state, ""),
        "oomkilled": lambda task: str(task.status.container.oom_killed).lower(),
        "exitcode": lambda task: str(task.status.container.exit_code),
    },
    "node": {
        "state": lambda node: names.word(names.NODE_STATE, node.status.state),
        "availability": lambda node: names.word(names.AVAILABILITY, node.spec.availability),
        "role": lambda node: names.word(names.ROLE, node.role),
        "conditions": lambda node: ",".join(one.type for one in node.description.conditions),
        "warnings": lambda node: ",".join(one.type for one in node.description.warnings),
    },
    "service": {
        "image": lambda service: service.spec.task.container.image,
        "replicas": lambda service: str(wanted_replicas(service)),
        "updatestate": lambda service: (
            names.word(names.UPDATE_STATE, service.update_status.state)
            if service.HasField("update_status")
            else ""
        ),
        "scalereason": lambda service: service.autoscale_status.reason,
        "scaleholding": lambda service: service.autoscale_status.holding,
        "rebalancestate": lambda service: (
            names.word(names.REBALANCE_STATE, service.rebalance.state)
            if service.HasField("rebalance")
            else ""
        ),
    },
}
