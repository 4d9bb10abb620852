"""What people see of volumes: rows of a table and pages of inspection. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from swarm.api.v1.containers_pb2 import ContainerOutput
from swarm.api.v1.volumes_pb2 import NodeVolume
from swarm.cli.inspect_view import when
from swarm.cli.natural_order import natural
from swarm.cli.render import Row, ordered
from swarm.cli.templates.values import LabelText

COLUMNS = (("DRIVER", "Driver"), ("VOLUME NAME", "Name"), ("NODE", "Node"), ("USED BY", "Users"))
RAW = (("name", "Name"), ("driver", "Driver"))
FILTERS = ("name", "label", "driver", "dangling")

# What Docker's listing has as well: of cluster volumes, and sizes that it does not measure either.
_NOT_HERE = ("Links", "Size", "Group", "Availability", "Status")
_TRUTH = {"true": True, "1": True, "false": False, "0": False}


def volumes_of(answers: Iterable[ContainerOutput]) -> list[ContainerOutput]:
    """Return the answers that tell of a volume."""
    return [one for one in answers if one.volume.HasField("volume")]


def rows(
    answers: Iterable[ContainerOutput], filters: Mapping[str, Sequence[str]], node_names: Mapping[str, str]
) -> list[Row]:
    """Return the rows of `volume ls`, by name."""
    found = [one for one in volumes_of(answers) if _matches(one.volume.volume, filters)]
    shown = [_row(one.volume.volume, node_names.get(one.node_id, one.node_id)) for one in found]
    return sorted(shown, key=lambda row: (natural(row["Name"]), row["Node"]))


def _matches(one: NodeVolume, filters: Mapping[str, Sequence[str]]) -> bool:
    """Whether every key has a value that fits, and every label is there; a part of the name is enough."""
    return (
        all(_has_label(one, label) for label in filters.get("label", ()))
        and _any(filters, "name", lambda value: value in one.name)
        and _any(filters, "driver", lambda value: value == one.driver)
        and _any(filters, "dangling", lambda value: _TRUTH.get(value.lower()) is not bool(one.users))
    )


def _any(filters: Mapping[str, Sequence[str]], key: str, fits: Any) -> bool:
    return key not in filters or any(fits(value) for value in filters[key])


def _has_label(one: NodeVolume, wanted: str) -> bool:
    key, equals, value = wanted.partition("=")
    return key in one.labels and (not equals or one.labels[key] == value)


def _row(one: NodeVolume, node: str) -> Row:
    return {
        "Name": one.name,
        "Driver": one.driver,
        "Node": node,
        "Scope": "local",
        "Mountpoint": one.mountpoint,
        "Labels": LabelText(one.labels),
        **dict.fromkeys(("Availability", "Group", "Links", "Size", "Status"), "N/A"),  # of cluster volumes
        "Users": ", ".join(one.users),
        **dict.fromkeys(_NOT_HERE, "N/A"),
    }


def page(one: NodeVolume, node_id: str, node_names: Mapping[str, str]) -> dict[str, Any]:
    """Return a volume as `volume inspect` prints it."""
    return {
        "CreatedAt": when(one.created_at),
        "Driver": one.driver,
        "Labels": ordered(one.labels),
        "Mountpoint": one.mountpoint,
        "Name": one.name,
        "Options": ordered(one.options),
        "Scope": "local",
        "NodeID": node_id,
        "Node": node_names.get(node_id, node_id),
        "Users": list(one.users),
    }
