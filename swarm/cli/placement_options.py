"""Options of a service, and of the cluster, that say which nodes take its tasks."""

from typing import Any

import click

from swarm.api.v1.specs_pb2 import ClusterSpec, ServiceSpec
from swarm.api.v1.types_pb2 import Affinity, GenericResource
from swarm.cli import names
from swarm.errors import InvalidArgument
from swarm.model.affinity import read_affinity, write_affinity
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

LISTS = (
    ("--generic-resource", "Resource of nodes to reserve for each task, KIND=NUMBER, e.g. gpu=2."),
    (
        "--affinity",
        "Only where another service runs or not: service==db, service!=db; a wish: service==db,weight=50.",
    ),
)
REMOVES = (
    ("--generic-resource-rm", "Reserved resource to remove, by KIND."),
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


def add_placement(spec: ServiceSpec, given: Given, suffix: str) -> None:
    """Add what `--generic-resource` and `--affinity` gave; suffix `_add` replaces what it matches."""
    for text in given[f"generic_resource{suffix}"]:
        wanted, generic = parse_wanted(text), spec.task.resources.reservations.generic
        if suffix:
            _keep(generic, [old for old in generic if old.kind != wanted.kind])
        generic.append(wanted)
    for text in given[f"affinity{suffix}"]:
        affinity, several = read_affinity(text), spec.task.placement.affinities
        if suffix:
            _keep(several, [old for old in several if old.expression != affinity.expression])
        several.append(affinity)


def remove_placement(spec: ServiceSpec, given: Given) -> None:
    """Remove what `--generic-resource-rm` and `--affinity-rm` named; what is not there is an error."""
    for text in given["generic_resource_rm"]:
        generic = spec.task.resources.reservations.generic
        kept: list[GenericResource] = [old for old in generic if old.kind != text.partition("=")[0]]
        _check_found(len(kept) < len(generic), f"--generic-resource-rm {text}")
        _keep(generic, kept)
    for text in given["affinity_rm"]:
        several = spec.task.placement.affinities
        left: list[Affinity] = [old for old in several if text not in {old.expression, write_affinity(old)}]
        _check_found(len(left) < len(several), f"--affinity-rm {text}")
        _keep(several, left)


def _check_found(found: bool, option: str) -> None:
    if not found:
        raise InvalidArgument(f"{option}: the service has no such entry")


def _keep(items: Any, kept: list[Any]) -> None:
    copies = [type(one).FromString(one.SerializeToString()) for one in kept]
    del items[:]
    items.extend(copies)
