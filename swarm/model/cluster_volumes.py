"""Cluster volumes: is a spec valid, which ones may a mount mean, who may have one, where is it reachable?"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from swarm.api.v1.objects_pb2 import Task, Volume
from swarm.api.v1.specs_pb2 import VolumeSpec
from swarm.api.v1.types_pb2 import CsiPlugin, Mount, NodeDescription
from swarm.model.limits import CSI_VOLUME_NAME_CHARACTERS, VOLUME_ENTRIES, shown
from swarm.model.sizes import labels_problems
from swarm.model.task_state import RUNNING
from swarm.model.volumes import driver_problems, name_problems, size_problems

GROUP = "group:"


@dataclass(frozen=True, slots=True)
class WantedVolume:
    """One mount of type cluster: the volume of that name, or any of a group."""

    source: str
    target: str
    read_only: bool = False

    @property
    def group(self) -> str:
        """The group, empty for a volume by name."""
        return self.source.removeprefix(GROUP) if self.source.startswith(GROUP) else ""

    def means(self, volume: Volume) -> bool:
        """Whether the mount may be given this volume."""
        if self.group:
            return volume.spec.group == self.group
        return self.source in (volume.spec.annotations.name, volume.id)


def wanted_volumes(mounts: Iterable[Mount]) -> tuple[WantedVolume, ...]:
    """Return the mounts of a task that need cluster volumes."""
    return tuple(
        WantedVolume(one.source, one.target, one.read_only)
        for one in mounts
        if one.type == Mount.TYPE_CLUSTER
    )


def has_volumes(task: Task) -> bool:
    """Whether a task holds the volumes that it was given: until it has ended, whatever it should do."""
    return bool(task.volumes) and bool(task.node_id) and task.status.state <= RUNNING


def is_drained(volume: Volume) -> bool:
    """Whether tasks have to give a volume up."""
    return volume.spec.availability == VolumeSpec.AVAILABILITY_DRAIN


def plugin_of(description: NodeDescription, driver: str) -> CsiPlugin | None:
    """Return a plugin of a node, None where it is not."""
    return next((one for one in description.csi_plugins if one.name == driver), None)


def is_reachable(volume: Volume, plugin: CsiPlugin) -> bool:
    """Whether a volume can be used where its plugin says this of the node."""
    return not volume.accessible_topology or any(
        all(plugin.topology.get(key) == value for key, value in one.segments.items())
        for one in volume.accessible_topology
    )


def sharing_problem(volume: Volume, node_id: str, read_only: bool, users: Iterable[tuple[str, bool]]) -> str:
    """Return why a task on a node cannot have a volume beside its users, (node, read only) each; or ""."""
    spec, name, others = volume.spec, volume.spec.annotations.name, tuple(users)
    if spec.scope == VolumeSpec.SCOPE_SINGLE and any(where != node_id for where, _ in others):
        return f"volume {name} is in use on another node"
    if spec.sharing == VolumeSpec.SHARING_NONE and others:
        return f"volume {name} is in use by another task"
    if spec.sharing == VolumeSpec.SHARING_READ_ONLY and not read_only:
        return f"volume {name} is for reading only (mount it with readonly)"
    writers = spec.sharing == VolumeSpec.SHARING_ONE_WRITER and not read_only
    if writers and any(not only for _, only in others):
        return f"volume {name} has its one writer"
    return ""


def cluster_mount_problems(mount: Mount) -> Iterator[str]:
    """Yield every problem of a mount of type cluster."""
    where = f'the mount at "{mount.target}"'
    name = mount.source.removeprefix(GROUP)
    if not name:
        yield f"{where} needs source=VOLUME, or source=group:GROUP for any volume of a group"
    else:
        yield from (f"{where}: {problem}" for problem in name_problems(name))
    if mount.HasField("bind") or mount.HasField("tmpfs"):
        yield f"{where} is a cluster volume with options of bind or tmpfs"


def volume_spec_problems(spec: VolumeSpec) -> Iterator[str]:
    """Yield every problem of the spec of a cluster volume."""
    name = spec.annotations.name
    yield from name_problems(name)
    yield from CSI_VOLUME_NAME_CHARACTERS.exceeded(f'the name "{shown(name)}"', len(name))
    if spec.driver in {"", "local"}:
        yield "a cluster volume is made by a plugin: name one with --driver (node inspect shows them)"
    else:
        yield from driver_problems(spec.driver, {})
    if spec.group:
        yield from (f"the group: {problem}" for problem in name_problems(spec.group))
    yield from labels_problems(spec.annotations.labels)
    yield from size_problems({}, spec.options)
    yield from VOLUME_ENTRIES.exceeded("the topologies", _topology_entries(spec))
    if spec.required_bytes < 0 or spec.limit_bytes < 0:
        yield "a capacity is negative"
    if 0 < spec.limit_bytes < spec.required_bytes:
        yield "the limit of the capacity is below what is required"
    if spec.scope == VolumeSpec.SCOPE_MULTI and spec.sharing == VolumeSpec.SHARING_NONE:
        yield "a volume for several nodes (--scope multi) is shared: --sharing readonly, onewriter or all"
    if spec.block and (spec.fs_type or spec.mount_flags):
        yield "a block volume is a device without a file system: it has no fs_type and no mount flags"
    keys = [one.key for one in spec.secrets]
    if len(set(keys)) != len(keys) or not all(keys):
        yield "each secret needs a key of its own: --secret KEY:SECRET"


def updated_spec(current: VolumeSpec, wanted: VolumeSpec) -> VolumeSpec | None:
    """Return `current` with the labels and availability of `wanted`, None when more differs."""
    changed = VolumeSpec()
    changed.CopyFrom(current)
    changed.annotations.ClearField("labels")
    changed.annotations.labels.update(wanted.annotations.labels)
    changed.availability = wanted.availability
    return changed if changed == wanted else None


def secret_names(spec: VolumeSpec) -> Mapping[str, str]:
    """Return the names of the secrets by their key."""
    return {one.key: one.secret_name for one in spec.secrets}


def _topology_entries(spec: VolumeSpec) -> int:
    return sum(len(one.segments) for one in (*spec.topology_required, *spec.topology_preferred))
