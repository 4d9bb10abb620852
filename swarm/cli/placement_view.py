"""Where tasks go and what they are given there, as `inspect` shows it."""

from collections.abc import Iterable
from typing import Any

from swarm.api.v1 import objects_pb2 as o
from swarm.api.v1 import specs_pb2 as s
from swarm.api.v1 import types_pb2 as t
from swarm.cli import names

View = dict[str, Any]


def generic_resources(several: Iterable[t.GenericResource], key: str = "GenericResources") -> View:
    """Return generic resources below `key`, as Docker prints them; nothing where there are none."""
    found = [_generic(one) for one in several]
    return {key: found} if found else {}


def devices(spec: s.ContainerSpec) -> View:
    """Return the devices of a container's spec, in the words of `docker inspect`; nothing without any."""
    view: View = {}
    if spec.devices:
        view["Devices"] = [_device(one) for one in spec.devices]
    if spec.device_requests:
        view["DeviceRequests"] = [_request(one) for one in spec.device_requests]
    return view


def node_devices(several: Iterable[t.NodeDevice]) -> View:
    """Return the CDI devices of a node, with what those are made of that are not one whole device."""
    found = [{"Name": one.name} | _parts(one) for one in several]
    return {"Devices": found} if found else {}


def priority(spec: s.TaskSpec) -> View:
    """Return who comes first, and whether others have to go for it; nothing where it is as ever."""
    view: View = {"Priority": spec.priority} if spec.priority else {}
    return view | ({"Preempt": True} if spec.preempt else {})


def preemption(task: o.Task) -> View:
    """Return whose room a task waits for, and for whom it had to go."""
    view: View = {}
    if task.HasField("nomination"):
        nomination = task.nomination
        view["Nomination"] = {"NodeID": nomination.node_id, "Victims": list(nomination.victims)}
    if task.HasField("preempted_by"):
        by = task.preempted_by
        view["PreemptedBy"] = {"TaskID": by.task_id, "Service": by.service_name, "Priority": by.priority}
    return view


def more_placement(placement: t.Placement) -> View:
    """Return what services of Docker do not have; what the user did not say is absent."""
    view: View = {}
    if placement.strategy:
        view["Strategy"] = names.word(names.PLACEMENT_STRATEGY, placement.strategy)
    if placement.affinities:
        view["Affinities"] = [_affinity(one) for one in placement.affinities]
    return view


def _device(one: t.Device) -> View:
    if one.cdi_name:
        return {"CDIName": one.cdi_name}
    return {
        "PathOnHost": one.host_path,
        "PathInContainer": one.container_path or one.host_path,
        "CgroupPermissions": one.permissions or "rwm",
    }


def _request(one: t.DeviceRequest) -> View:
    count = {"Count": -1 if one.all else one.count} if not one.names else {"DeviceIDs": list(one.names)}
    return {"Kind": one.kind} | count


def _parts(one: t.NodeDevice) -> View:
    return {} if list(one.parts) == [one.name.partition("=")[2]] else {"Parts": list(one.parts)}


def _generic(one: t.GenericResource) -> View:
    if one.named:
        return {"NamedResourceSpec": {"Kind": one.kind, "Value": one.named}}
    return {"DiscreteResourceSpec": {"Kind": one.kind, "Value": one.count}}


def _affinity(one: t.Affinity) -> View:
    return {"Expression": one.expression} | ({"Weight": one.weight} if one.weight else {})
