"""One change as people and scripts read it, in the words of `docker events`."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from swarm.api.v1 import control_pb2 as c
from swarm.api.v1.objects_pb2 import Config, Image, Network, Node, Secret, Service, Task
from swarm.api.v1.store_pb2 import StoreObject
from swarm.cli import names
from swarm.cli.inspect_view import when
from swarm.model.autoscale import wanted_replicas
from swarm.model.networks import driver_of
from swarm.timestamps import SECOND, nanoseconds

View = dict[str, Any]
Attributes = Mapping[str, str]

TYPES = ("cluster", "config", "image", "network", "node", "secret", "service", "task")
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
            "Time": when(answer.at),
            "Version": answer.version,
        }


def line(event: View) -> str:
    """Return an event as one line: time, type, action, id and what is known of it."""
    actor = event["Actor"]
    told = ", ".join(f"{key}={value}" for key, value in actor["Attributes"].items())
    return f"{event['Time']} {event['Type']} {event['Action']} {actor['ID']} ({told})"


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
    known = {"type": [event["Type"]], "event": [event["Action"]]}
    for noun in ("service", "node", "image", "secret", "config", "network"):
        own = event["Type"] == noun
        known[noun] = [actor["ID"], actor["Attributes"].get("name", "")] if own else []
    if event["Type"] == "task":
        known["service"] = [actor["Attributes"]["service"], actor["Attributes"]["service.id"]]
        known["node"] = [actor["Attributes"].get("node.id", "")]
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


def _of_named(obj: Service | Image | Secret | Config | Network) -> Attributes:
    name = obj.annotations.name if isinstance(obj, Image) else obj.spec.annotations.name
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
    "network": _of_network,
}
_CHANGING: Mapping[str, Mapping[str, Callable[[Any], str]]] = {
    "task": {
        "state": lambda task: names.word(names.TASK_STATE, task.status.state),
        "desiredstate": lambda task: names.word(names.TASK_STATE, task.desired_state),
    },
    "node": {
        "state": lambda node: names.word(names.NODE_STATE, node.status.state),
        "availability": lambda node: names.word(names.AVAILABILITY, node.spec.availability),
        "role": lambda node: names.word(names.ROLE, node.role),
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
