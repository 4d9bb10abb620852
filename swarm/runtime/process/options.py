"""Which options of containers mean something for a plain process? Pure."""

from collections.abc import Iterator, Mapping

from swarm.errors import TaskRejected
from swarm.model.ulimits import NUMBERS
from swarm.runtime.base import ContainerConfig, Dns
from swarm.runtime.ulimits import clamped

_DATA = NUMBERS["data"]


def refuse_options(config: ContainerConfig) -> None:
    """Raise TaskRejected for an option without which the program would be another one than was asked for.

    What only confines or prefers, and can do no harm by its absence, is passed over: the capabilities of the
    driver name it.
    """
    for option in _needs_containers(config):
        raise TaskRejected(f"{option} needs containers; this node runs plain processes")


def process_limits(config: ContainerConfig, hard_limits: Mapping[str, int]) -> dict[str, tuple[int, int]]:
    """Return the limits of the process, soft and hard, by the kernel's number; -1: none."""
    granted = [clamped(one, hard_limits) for one in config.ulimits]
    limits = {str(NUMBERS[one.name]): (one.soft, one.hard) for one in granted}
    if config.limits.memory_bytes:
        limits[str(_DATA)] = (config.limits.memory_bytes, config.limits.memory_bytes)
    return limits


def _needs_containers(config: ContainerConfig) -> Iterator[str]:
    security, limits = config.security, config.limits
    yield from (f"the capability {name}" for name in security.capability_add)
    yield from (f"the group {group}" for group in config.groups)
    yield from (f"the sysctl {key}" for key in config.sysctls)
    yield from (f"the host name {name}" for name, _ in config.hosts)
    for option, is_asked_for in (
        ("privileged", security.privileged),
        ("a seccomp profile", security.seccomp),
        (f"the AppArmor profile {security.apparmor}", security.apparmor not in {"", "unconfined"}),
        ("annotations for its runtime", config.annotations),
        ("a resolv.conf of its own", config.dns != Dns()),
        ("a size of /dev/shm", config.shm_size_bytes),
        ("an OOM score adjustment", config.oom_score_adj is not None),
        (f"the cgroup parent {config.cgroup_parent}", config.cgroup_parent),
        ("a limit of single disks", limits.block),
        ("a choice of CPUs or memory nodes", limits.cpuset_cpus or limits.cpuset_mems),
    ):
        if is_asked_for:
            yield option
