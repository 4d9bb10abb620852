"""Options of a service, and of the cluster, that say which nodes take its tasks."""

from typing import Any

import click

from swarm.api.v1.specs_pb2 import ClusterSpec, ServiceSpec
from swarm.api.v1.types_pb2 import Affinity, Device, GenericResource
from swarm.cli import names
from swarm.cli.not_there import tell_not_there
from swarm.errors import InvalidArgument
from swarm.model import limits
from swarm.model.affinity import read_affinity, write_affinity
from swarm.model.devices import device_text, parse_device, parse_gpus
from swarm.model.generic_resources import parse_wanted

Given = dict[str, Any]

CLUSTER_STRATEGY = click.option(
    "--placement-strategy",
    type=click.Choice(list(names.PLACEMENT_STRATEGY)),
    help="How services that do not say it choose among nodes with room (default spread).",
)
SERVICE_STRATEGY = click.option(
    "--placement-strategy",
    type=click.Choice([*names.PLACEMENT_STRATEGY, "default"]),
    help="How to choose among nodes with room; default: as the cluster says (swarmctl update).",
)

STICKY = click.option(
    "--sticky/--no-sticky",
    default=None,
    help="A slot's next task goes where the last one ran, while it can (default: with named volumes).",
)

GPUS = click.option(
    "--gpus",
    help="Whole GPUs for each task alone: a number, all, or device=ID,ID; also ,kind=VENDOR/CLASS; 0: none.",
)

PRIORITY = click.option(
    "--priority",
    type=click.IntRange(-limits.PRIORITY.value, limits.PRIORITY.value),
    help="Tasks of higher priority are placed first (default 0; may be negative).",
)
PREEMPT = click.option(
    "--preempt/--no-preempt",
    default=None,
    help="Where there is no room, tasks of lower priority have to go (default: nobody has to).",
)

LISTS = (
    ("--generic-resource", "Resource of nodes to reserve for each task, KIND=NUMBER, e.g. gpu=2."),
    (
        "--device",
        "Device of the node in the containers: VENDOR/CLASS=NAME (CDI) or HOST[:CONTAINER[:rwm]].",
    ),
    (
        "--affinity",
        "Only where another service runs or not: service==db, service!=db; a wish: service==db,weight=50.",
    ),
)
REMOVES = (
    ("--generic-resource-rm", "Reserved resource to remove, by KIND."),
    ("--device-rm", "Device to remove, by its CDI name or path on the node."),
    ("--affinity-rm", "Affinity to remove, e.g. service==db."),
)


def apply_cluster_strategy(spec: ClusterSpec, given: Given) -> None:
    """Write the default of the cluster, if it was given."""
    if given.get("placement_strategy") is not None:
        spec.placement_strategy = names.PLACEMENT_STRATEGY[given["placement_strategy"]]


def apply_strategy(spec: ServiceSpec, given: Given) -> None:
    """Write the strategy of a service, if it was given."""
    if given.get("placement_strategy") == "default":
        if spec.task.HasField("placement"):
            spec.task.placement.ClearField("strategy")
    elif given.get("placement_strategy") is not None:
        spec.task.placement.strategy = names.PLACEMENT_STRATEGY[given["placement_strategy"]]


def apply_sticky(spec: ServiceSpec, given: Given) -> None:
    """Write whether tasks stay where their data is, if it was given."""
    if given.get("sticky") is not None:
        spec.task.container.sticky = given["sticky"]


def apply_priority(spec: ServiceSpec, given: Given) -> None:
    """Write who comes first, and who may be pushed out, if it was given."""
    for option in ("priority", "preempt"):
        if given.get(option) is not None:
            setattr(spec.task, option, given[option])


def apply_gpus(spec: ServiceSpec, given: Given) -> None:
    """Write which GPUs tasks have, if it was given; 0 takes them away."""
    text = given.get("gpus")
    if text is None:
        return
    requests = [] if text == "0" else [parse_gpus(text)]
    del spec.task.container.device_requests[:]
    spec.task.container.device_requests.extend(requests)


def add_placement(spec: ServiceSpec, given: Given, suffix: str) -> None:
    """Add what `--generic-resource` and `--affinity` gave; suffix `_add` replaces what it matches."""
    for text in given[f"generic_resource{suffix}"]:
        wanted, generic = parse_wanted(text), spec.task.resources.reservations.generic
        if suffix:
            _keep(generic, [old for old in generic if old.kind != wanted.kind])
        generic.append(wanted)
    for text in given[f"device{suffix}"]:
        device, devices = parse_device(text), spec.task.container.devices
        if suffix:
            _keep(devices, [old for old in devices if _in_container(old) != _in_container(device)])
        devices.append(device)
    for text in given[f"affinity{suffix}"]:
        affinity, several = read_affinity(text), spec.task.placement.affinities
        if suffix:
            _keep(several, [old for old in several if old.expression != affinity.expression])
        several.append(affinity)


def remove_placement(spec: ServiceSpec, given: Given) -> None:
    """Remove what `--generic-resource-rm` and `--affinity-rm` named.

    What is not there is told; of devices and affinities, which Docker does not have, it is an error.
    """
    for text in given["generic_resource_rm"]:
        generic = spec.task.resources.reservations.generic
        kept: list[GenericResource] = [old for old in generic if old.kind != text.partition("=")[0]]
        if len(kept) < len(generic):
            _keep(generic, kept)
        else:
            tell_not_there("--generic-resource-rm", text)
    for text in given["device_rm"]:
        devices = spec.task.container.devices
        known: list[Device] = [
            old for old in devices if text not in {old.cdi_name, old.host_path, device_text(old)}
        ]
        _check_found(len(known) < len(devices), f"--device-rm {text}")
        _keep(devices, known)
    for text in given["affinity_rm"]:
        several = spec.task.placement.affinities
        left: list[Affinity] = [old for old in several if text not in {old.expression, write_affinity(old)}]
        _check_found(len(left) < len(several), f"--affinity-rm {text}")
        _keep(several, left)


def _in_container(device: Device) -> str:
    return device.cdi_name or device.container_path or device.host_path


def _check_found(found: bool, option: str) -> None:
    if not found:
        raise InvalidArgument(f"{option}: the service has no such entry")


def _keep(items: Any, kept: list[Any]) -> None:
    copies = [type(one).FromString(one.SerializeToString()) for one in kept]
    del items[:]
    items.extend(copies)
