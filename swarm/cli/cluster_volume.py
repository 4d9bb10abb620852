"""Cluster volumes in `swarmctl volume`: options, requests, rows and pages."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click

from swarm.api.v1 import control_pb2 as c
from swarm.api.v1.objects_pb2 import Volume
from swarm.api.v1.specs_pb2 import VolumeSpec
from swarm.cli import parse
from swarm.cli.connect import Connection
from swarm.cli.inspect_view import meta
from swarm.cli.natural_order import natural
from swarm.cli.render import Row, ordered
from swarm.cli.templates.values import LabelText
from swarm.errors import Ambiguous, InvalidArgument, NotFound
from swarm.model.units import parse_bytes

SCOPES = {"single": VolumeSpec.SCOPE_SINGLE, "multi": VolumeSpec.SCOPE_MULTI}
SHARINGS = {
    "none": VolumeSpec.SHARING_NONE,
    "readonly": VolumeSpec.SHARING_READ_ONLY,
    "onewriter": VolumeSpec.SHARING_ONE_WRITER,
    "all": VolumeSpec.SHARING_ALL,
}
AVAILABILITIES = {
    "active": VolumeSpec.AVAILABILITY_ACTIVE,
    "pause": VolumeSpec.AVAILABILITY_PAUSE,
    "drain": VolumeSpec.AVAILABILITY_DRAIN,
}
COLUMNS = (
    ("VOLUME NAME", "Name"),
    ("GROUP", "Group"),
    ("DRIVER", "Driver"),
    ("AVAILABILITY", "Availability"),
    ("STATUS", "Status"),
)
FILTERS = ("id", "name", "label")
_STATES = {
    Volume.PUBLISH_STATE_PENDING_PUBLISH: "pending-publish",
    Volume.PUBLISH_STATE_PUBLISHED: "published",
    Volume.PUBLISH_STATE_PENDING_NODE_UNPUBLISH: "pending-node-unpublish",
    Volume.PUBLISH_STATE_PENDING_UNPUBLISH: "pending-controller-unpublish",
}
_OPTIONS = (
    ("--type", "kind", {"type": click.Choice(["mount", "block"]), "help": "A directory, or a device."}),
    ("--scope", "scope", {"type": click.Choice(list(SCOPES)), "help": "On one node at a time, or several."}),
    ("--sharing", "sharing", {"type": click.Choice(list(SHARINGS)), "help": "Which tasks share it."}),
    ("--availability", "availability", {"type": click.Choice(list(AVAILABILITIES)), "help": "For tasks."}),
    ("--group", "group", {"help": "Services may ask for any volume of a group."}),
    ("--required-bytes", "required", {"help": "Least capacity, e.g. 10g."}),
    ("--limit-bytes", "limit", {"help": "Largest capacity."}),
    ("--secret", "secrets", {"multiple": True, "help": "KEY:SECRET for the plugin; repeatable."}),
    ("--topology-required", "required_in", {"multiple": True, "help": "KEY=VALUE,…; repeatable."}),
    ("--topology-preferred", "preferred_in", {"multiple": True, "help": "KEY=VALUE,…; repeatable."}),
)


def cluster_options(command: Any) -> Any:
    """Add the options that make a volume one of the cluster."""
    for name, field, settings in reversed(_OPTIONS):
        command = click.option(name, field, **settings)(command)
    return click.option(
        "--cluster", is_flag=True, help="Of the cluster: a plugin makes it once for all nodes."
    )(command)


def is_of_cluster(given: Mapping[str, Any]) -> bool:
    """Whether options ask for a cluster volume."""
    return bool(given["cluster"]) or any(given[field] for _, field, _ in _OPTIONS)


def wanted_spec(name: str, given: Mapping[str, Any]) -> VolumeSpec:
    """Return the spec that options describe; raises InvalidArgument."""
    spec = VolumeSpec(
        driver=given["driver"],
        options=parse.key_values(given["options"], "--opt"),
        group=given["group"] or "",
        scope=SCOPES[given["scope"] or "single"],
        sharing=SHARINGS[given["sharing"] or "none"],
        availability=AVAILABILITIES[given["availability"] or "active"],
        required_bytes=parse_bytes(given["required"]) if given["required"] else 0,
        limit_bytes=parse_bytes(given["limit"]) if given["limit"] else 0,
        block=given["kind"] == "block",
    )
    spec.annotations.name = name
    spec.annotations.labels.update(parse.key_values(given["labels"], "--label"))
    for text in given["secrets"]:
        key, _, secret = text.partition(":")
        if not key or not secret:
            raise InvalidArgument(f'--secret "{text}": write KEY:SECRET')
        spec.secrets.add(key=key, secret_name=secret)
    for option, texts, into in (
        ("--topology-required", given["required_in"], spec.topology_required),
        ("--topology-preferred", given["preferred_in"], spec.topology_preferred),
    ):
        for text in texts:
            into.add(segments=parse.key_values(text.split(","), option))
    return spec


def create(conn: Connection, spec: VolumeSpec) -> str:
    """Ask for a volume; returns its name."""
    made = conn.control.CreateVolume(c.CreateVolumeRequest(spec=spec)).volume
    return str(made.spec.annotations.name)


def find(conn: Connection, ref: str) -> Volume | None:
    """Return the cluster volume of that name or id, None when there is none."""
    try:
        found: Volume = conn.control.GetVolume(c.GetVolumeRequest(ref=ref)).volume
    except (NotFound, Ambiguous):
        return None
    return found if ref in {found.id, found.spec.annotations.name} else None


def remove(conn: Connection, ref: str, *, force: bool) -> None:
    """Have a cluster volume removed; raises NotFound, FailedPrecondition."""
    conn.control.RemoveVolume(c.RemoveVolumeRequest(ref=ref, force=force))


def update(conn: Connection, ref: str, change: Callable[[VolumeSpec], None]) -> None:
    """Change a cluster volume as it is now; raises NotFound, StaleVersion."""
    found = conn.control.GetVolume(c.GetVolumeRequest(ref=ref)).volume
    spec = VolumeSpec()
    spec.CopyFrom(found.spec)
    change(spec)
    conn.control.UpdateVolume(
        c.UpdateVolumeRequest(id=found.id, version=found.meta.version.index, spec=spec)
    )


def rows(conn: Connection, filters: Mapping[str, Sequence[str]]) -> list[Row]:
    """Return the rows of `volume ls --cluster`."""
    wanted = c.Filters(
        id_prefixes=filters.get("id", ()),
        name_prefixes=filters.get("name", ()),
        labels=filters.get("label", ()),
    )
    volumes = conn.control.ListVolumes(c.ListVolumesRequest(filters=wanted)).volumes
    return sorted(map(_row, volumes), key=lambda row: natural(row["Name"]))


def page(volume: Volume, node_names: Mapping[str, str]) -> dict[str, Any]:
    """Return a cluster volume as `volume inspect` prints it."""
    spec = volume.spec
    return {
        **meta(volume),
        "Name": spec.annotations.name,
        "Scope": "global",
        "Driver": spec.driver,
        "Labels": ordered(spec.annotations.labels),
        "Options": ordered(spec.options),
        "ClusterVolume": {
            "Spec": {
                "Group": spec.group,
                "AccessMode": {
                    "Scope": _word(SCOPES, spec.scope),
                    "Sharing": _word(SHARINGS, spec.sharing),
                    "BlockVolume" if spec.block else "MountVolume": {},
                },
                "AccessibilityRequirements": {
                    "Requisite": [{"Segments": ordered(one.segments)} for one in spec.topology_required],
                    "Preferred": [{"Segments": ordered(one.segments)} for one in spec.topology_preferred],
                },
                "CapacityRange": {"RequiredBytes": spec.required_bytes, "LimitBytes": spec.limit_bytes},
                "Secrets": [{"Key": one.key, "Secret": one.secret_name} for one in spec.secrets],
                "Availability": _word(AVAILABILITIES, spec.availability),
            },
            "Info": {
                "VolumeID": volume.plugin_volume_id,
                "VolumeContext": ordered(volume.volume_context),
                "CapacityBytes": volume.capacity_bytes,
                "AccessibleTopology": [
                    {"Segments": ordered(one.segments)} for one in volume.accessible_topology
                ],
            },
            "PublishStatus": [
                {
                    "NodeID": one.node_id,
                    "Node": node_names.get(one.node_id, one.node_id),
                    "State": _STATES.get(one.state, "unknown"),
                    "PublishContext": ordered(one.publish_context),
                }
                for one in volume.publish
            ],
        },
        "Status": _status(volume),
        "Problem": volume.problem,
    }


def _row(volume: Volume) -> Row:
    return {
        "ID": volume.id,
        "Name": volume.spec.annotations.name,
        "Group": volume.spec.group,
        "Driver": volume.spec.driver,
        "Scope": "global",
        "Availability": _word(AVAILABILITIES, volume.spec.availability),
        "Labels": LabelText(volume.spec.annotations.labels),
        "Status": _status(volume) + (f": {volume.problem}" if volume.problem else ""),
    }


def _status(volume: Volume) -> str:
    if volume.pending_delete:
        return "being removed"
    if not volume.plugin_volume_id:
        return "pending creation"
    nodes = len(volume.publish)  # also one that has yet to let go of it
    return f"in use ({nodes} node{'s' if nodes > 1 else ''})" if nodes else "created"


def _word(words: Mapping[str, Any], number: int) -> str:
    return next((word for word, value in words.items() if value == number), "unknown")
