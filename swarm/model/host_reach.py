"""What of a service reaches beyond its own containers, into what belongs to nodes? Pure."""

from collections.abc import Iterator

from swarm.api.v1.specs_pb2 import ContainerSpec, ServiceSpec
from swarm.api.v1.types_pb2 import Mount, Privileges

GROUP = "group:"


def host_reach(spec: ServiceSpec) -> frozenset[str]:
    """Return, in words, all by which containers of a service may get at nodes or at data of others.

    People whom a label confines must not add any of it: through it they would see and change all.
    """
    return frozenset((*_container(spec.task.container), *_networks(spec)))


def _container(spec: ContainerSpec) -> Iterator[str]:
    for mount in spec.mounts:
        yield from _mount(mount)
    for device in spec.devices:
        yield f"the device {device.host_path or device.cdi_name}"
    for request in spec.device_requests:
        yield f"devices of its node ({request.kind})"
    for capability in spec.capability_add:
        yield f"the capability {capability}"
    if spec.HasField("privileges"):
        yield from _privileges(spec.privileges)
    if spec.cgroup_parent:
        yield f"the cgroup {spec.cgroup_parent}"
    for field, mode in spec.namespaces.ListFields():
        if field.name != "userns" and mode != "private":
            yield f"the {field.name} namespace {mode}"


def _mount(mount: Mount) -> Iterator[str]:
    if mount.type == Mount.TYPE_BIND:
        yield f"the folder {mount.source} of its node"
    elif mount.type == Mount.TYPE_VOLUME and mount.source:
        yield f"the volume {mount.source} of its node (a cluster volume has labels)"
    elif mount.volume.driver or mount.volume.driver_options:
        yield f"a volume with a driver at {mount.target}"
    elif mount.type == Mount.TYPE_CLUSTER and mount.source.startswith(GROUP):
        yield f"any volume of the {mount.source}"
    elif mount.type not in _HARMLESS:
        yield f"a mount of type {Mount.Type.Name(mount.type)}"


_HARMLESS = frozenset({Mount.TYPE_TMPFS, Mount.TYPE_VOLUME, Mount.TYPE_CLUSTER, Mount.TYPE_IMAGE})


def _privileges(privileges: Privileges) -> Iterator[str]:
    """Whatever is there and is not known to take rights away gives some."""
    for field, value in privileges.ListFields():
        if field.name == "seccomp" and value.mode == Privileges.Seccomp.MODE_DEFAULT:
            continue
        if field.name != "no_new_privileges":
            yield f"the privilege {field.name}"


def cluster_volumes(spec: ServiceSpec) -> frozenset[str]:
    """Return the names of the cluster volumes that a service mounts."""
    mounts = spec.task.container.mounts
    return frozenset(one.source for one in mounts if one.type == Mount.TYPE_CLUSTER)


def _networks(spec: ServiceSpec) -> Iterator[str]:
    if any("host" in (one.network_id, one.network_name) for one in spec.task.networks):
        yield "the network of its node"
