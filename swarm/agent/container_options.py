"""What do the options of a task's container mean for the runtime driver?"""

from swarm.api.v1.specs_pb2 import ContainerSpec
from swarm.api.v1.types_pb2 import BlockLimit as BlockLimitMessage
from swarm.api.v1.types_pb2 import Namespaces, Privileges, ResourceRequirements
from swarm.model.user_namespaces import private_users
from swarm.runtime.base import BlockLimit, Limits, Security, SELinuxLabel, Shared, Ulimit


def limits(resources: ResourceRequirements) -> Limits:
    """Return the bounds and shares of a container."""
    swappy = resources.HasField("memory_swappiness")
    return Limits(
        nano_cpus=resources.limits.nano_cpus,
        memory_bytes=resources.limits.memory_bytes,
        pids=resources.limits.pids,
        memory_reservation_bytes=resources.reservations.memory_bytes,
        cpu_shares=resources.cpu_shares,
        cpu_quota_us=resources.cpu_quota_us,
        cpu_period_us=resources.cpu_period_us,
        cpuset_cpus=resources.cpuset_cpus,
        cpuset_mems=resources.cpuset_mems,
        memory_swap_bytes=resources.memory_swap_bytes,
        memory_swappiness=resources.memory_swappiness if swappy else None,
        blkio_weight=resources.blkio_weight,
        block=tuple(_block(one) for one in resources.block_limits),
    )


def _block(given: BlockLimitMessage) -> BlockLimit:
    return BlockLimit(
        device=given.device,
        weight=given.weight,
        read_bps=given.read_bps,
        write_bps=given.write_bps,
        read_iops=given.read_iops,
        write_iops=given.write_iops,
    )


def security(spec: ContainerSpec) -> Security:
    """Return what the processes of a container may do."""
    given = spec.privileges
    return Security(
        privileged=given.privileged,
        no_new_privileges=given.no_new_privileges if given.HasField("no_new_privileges") else None,
        capability_add=tuple(spec.capability_add),
        capability_drop=tuple(spec.capability_drop),
        seccomp=_seccomp(given),
        apparmor=given.apparmor,
        unmasked_paths=given.unmasked_paths,
        selinux=_selinux(given),
    )


def _selinux(given: Privileges) -> SELinuxLabel:
    wanted = given.selinux
    return SELinuxLabel(
        user=wanted.user,
        role=wanted.role,
        type=wanted.type,
        level=wanted.level,
        disabled=given.selinux_disabled,
        nested=wanted.nested,
    )


def namespaces(given: Namespaces) -> Shared:
    """Return which of the node's namespaces a container shares."""
    return Shared(
        ipc=given.ipc == "host",
        pid=given.pid == "host",
        uts=given.uts == "host",
        cgroup=given.cgroup == "host",
    )


def users(given: Namespaces) -> int:
    """Return how many users of its own a container has; 0: they are those of the node."""
    return private_users(given.userns) or 0


def ulimits(spec: ContainerSpec) -> tuple[Ulimit, ...]:
    """Return the limits of each process of a container."""
    return tuple(Ulimit(one.name, one.soft, one.hard) for one in spec.ulimits)


def _seccomp(given: Privileges) -> str | None:
    if given.seccomp.mode == Privileges.Seccomp.MODE_CUSTOM:
        return given.seccomp.profile.decode()
    return "" if given.seccomp.mode == Privileges.Seccomp.MODE_UNCONFINED else None
