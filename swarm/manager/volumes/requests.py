"""What is said to a plugin of a volume: its spec in the words of the Container Storage Interface. Pure."""

from collections.abc import Mapping

from swarm.api.v1 import csi_pb2 as csi
from swarm.api.v1.objects_pb2 import Volume
from swarm.api.v1.specs_pb2 import VolumeSpec
from swarm.api.v1.volumes_pb2 import AttachVolume

_Mode = csi.VolumeCapability.AccessMode
_MODES = {
    VolumeSpec.SHARING_NONE: _Mode.MULTI_NODE_SINGLE_WRITER,
    VolumeSpec.SHARING_READ_ONLY: _Mode.MULTI_NODE_READER_ONLY,
    VolumeSpec.SHARING_ONE_WRITER: _Mode.MULTI_NODE_SINGLE_WRITER,
    VolumeSpec.SHARING_ALL: _Mode.MULTI_NODE_MULTI_WRITER,
}


def capability(spec: VolumeSpec) -> csi.VolumeCapability:
    """Return how a volume is used. On one node it is published once, whoever shares it there."""
    if spec.scope == VolumeSpec.SCOPE_SINGLE:
        mode = _Mode.SINGLE_NODE_READER_ONLY if _is_read_only(spec) else _Mode.SINGLE_NODE_WRITER
    else:
        mode = _MODES[spec.sharing]
    if spec.block:
        return csi.VolumeCapability(block=csi.VolumeCapability.BlockVolume(), access_mode=_Mode(mode=mode))
    return csi.VolumeCapability(
        mount=csi.VolumeCapability.MountVolume(fs_type=spec.fs_type, mount_flags=spec.mount_flags),
        access_mode=_Mode(mode=mode),
    )


def create_request(volume: Volume, secrets: Mapping[str, str]) -> csi.CreateVolumeRequest:
    """Return the request that makes a volume; the same name every time, so that it is made once."""
    spec = volume.spec
    request = csi.CreateVolumeRequest(
        name=f"{spec.annotations.name}-{volume.id}",
        volume_capabilities=[capability(spec)],
        parameters=spec.options,
        secrets=secrets,
    )
    if spec.required_bytes or spec.limit_bytes:
        request.capacity_range.required_bytes = spec.required_bytes
        request.capacity_range.limit_bytes = spec.limit_bytes
    for ours, theirs in (
        (spec.topology_required, request.accessibility_requirements.requisite),
        (spec.topology_preferred, request.accessibility_requirements.preferred),
    ):
        theirs.extend(csi.Topology(segments=one.segments) for one in ours)
    if not spec.topology_required and not spec.topology_preferred:
        request.ClearField("accessibility_requirements")
    return request


def publish_request(
    volume: Volume, plugin_node_id: str, secrets: Mapping[str, str]
) -> csi.ControllerPublishVolumeRequest:
    """Return the request that makes a volume usable on a node."""
    return csi.ControllerPublishVolumeRequest(
        volume_id=volume.plugin_volume_id,
        node_id=plugin_node_id,
        volume_capability=capability(volume.spec),
        secrets=secrets,
        volume_context=volume.volume_context,
    )


def attach_order(
    volume: Volume, publish_context: Mapping[str, str], secrets: Mapping[str, str]
) -> AttachVolume:
    """Return what a node is told to stage and publish."""
    return AttachVolume(
        volume_id=volume.id,
        driver=volume.spec.driver,
        plugin_volume_id=volume.plugin_volume_id,
        volume_context=volume.volume_context,
        publish_context=publish_context,
        capability=capability(volume.spec).SerializeToString(),
        read_only=_is_read_only(volume.spec),
        secrets=secrets,
    )


def take_over(volume: Volume, made: csi.Volume) -> None:
    """Write into `volume`, which the caller owns, what the plugin made."""
    volume.plugin_volume_id = made.volume_id
    volume.volume_context.clear()
    volume.volume_context.update(made.volume_context)
    volume.capacity_bytes = made.capacity_bytes
    del volume.accessible_topology[:]
    for one in made.accessible_topology:
        volume.accessible_topology.add(segments=one.segments)


def _is_read_only(spec: VolumeSpec) -> bool:
    return spec.sharing == VolumeSpec.SHARING_READ_ONLY
