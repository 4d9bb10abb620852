"""What does the OCI runtime have to do for a container? Builds its config.json. Pure."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from swarm.runtime.base import ContainerConfig, Limits
from swarm.runtime.command import DEFAULT_PATH, command_line, environment
from swarm.runtime.images.base import ImageConfig
from swarm.runtime.oci.mounts import mount_entries
from swarm.runtime.oci.users import User

# What programs in containers expect to be able to do to their own files, processes and ports.
CAPABILITIES = (
    "CAP_AUDIT_WRITE",
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_MKNOD",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_RAW",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
)
MASKED_PATHS = (
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
)
READ_ONLY_PATHS = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")
CPU_PERIOD_US = 100_000
MIN_CPU_QUOTA_US = 1_000
# Few programs want many open files without asking, and some walk through all numbers up to the soft limit.
SOFT_OPEN_FILES = 1_024
HARD_OPEN_FILES = 524_288


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the node contributes to a container's specification."""

    rootfs: Path
    cgroup_path: str
    user: User
    resolv_conf: Path | None = None
    hosts: Path | None = None
    hostname: Path | None = None
    limits_swap: bool = False
    open_files_limit: int = HARD_OPEN_FILES  # the agent's own hard limit; more could not be granted
    oom_score_adj: int = 0  # the agent's own; less could not be granted
    seccomp: dict[str, Any] | None = field(default=None, hash=False)


def build_spec(config: ContainerConfig, image: ImageConfig, around: Surroundings) -> dict[str, Any]:
    """Return the config.json of a container; raises TaskRejected when the config makes no sense."""
    return {
        "ociVersion": "1.0.2",
        "hostname": hostname(config),
        "process": _process(config, image, around),
        "root": {"path": str(around.rootfs), "readonly": config.read_only},
        "mounts": mount_entries(config, around.resolv_conf, around.hosts, around.hostname),
        "annotations": dict(config.labels),
        "linux": _linux(config, around),
    }


def hostname(config: ContainerConfig) -> str:
    """Return the name that the container gives itself."""
    return config.hostname or config.id[:12]


def _process(config: ContainerConfig, image: ImageConfig, around: Surroundings) -> dict[str, Any]:
    user = around.user
    defaults = {"PATH": DEFAULT_PATH, "HOSTNAME": hostname(config), "HOME": user.home}
    if config.tty:
        defaults["TERM"] = "xterm"
    variables = environment(defaults, image.env, config.env)
    hard = min(HARD_OPEN_FILES, around.open_files_limit)
    return {
        "terminal": config.tty,
        "user": {"uid": user.uid, "gid": user.gid, "additionalGids": list(user.additional_gids)},
        "args": command_line(config, image),
        "env": [f"{key}={value}" for key, value in variables.items()],
        "cwd": config.working_dir or image.working_dir or "/",
        "capabilities": {kind: list(CAPABILITIES) for kind in ("bounding", "effective", "permitted")},
        "noNewPrivileges": True,
        "oomScoreAdj": max(0, around.oom_score_adj),
        "rlimits": [{"type": "RLIMIT_NOFILE", "soft": min(SOFT_OPEN_FILES, hard), "hard": hard}],
    }


def _linux(config: ContainerConfig, around: Surroundings) -> dict[str, Any]:
    section: dict[str, Any] = {
        "namespaces": _namespaces(config),
        "cgroupsPath": around.cgroup_path,
        "resources": _resources(config.limits, limits_swap=around.limits_swap),
        "maskedPaths": list(MASKED_PATHS),
        "readonlyPaths": list(READ_ONLY_PATHS),
        "rootfsPropagation": "private",
    }
    if config.netns_path:
        # The namespace is the container's own. With no_new_privs a program cannot gain the capability for
        # low ports or for ping from its file, so everybody inside may use them.
        section["sysctl"] = {
            "net.ipv4.ip_unprivileged_port_start": "0",
            "net.ipv4.ping_group_range": "0 2147483647",
        }
    if around.seccomp is not None:
        section["seccomp"] = around.seccomp
    return section


def _namespaces(config: ContainerConfig) -> list[dict[str, str]]:
    namespaces = [{"type": kind} for kind in ("pid", "ipc", "uts", "mount", "cgroup")]
    if config.netns_path:
        namespaces.append({"type": "network", "path": config.netns_path})
    return namespaces


def _resources(limits: Limits, *, limits_swap: bool) -> dict[str, Any]:
    # The runtime adds the harmless devices (null, zero, full, random, urandom, tty, console, pts) itself.
    resources: dict[str, Any] = {"devices": [{"allow": False, "access": "rwm"}]}
    memory: dict[str, int] = {}
    if limits.memory_bytes:
        memory["limit"] = limits.memory_bytes
        if limits_swap:
            memory["swap"] = limits.memory_bytes * 2  # memory and swap together
    if limits.memory_reservation_bytes:
        memory["reservation"] = limits.memory_reservation_bytes
    if memory:
        resources["memory"] = memory
    if limits.nano_cpus:
        quota = max(MIN_CPU_QUOTA_US, limits.nano_cpus * CPU_PERIOD_US // 1_000_000_000)
        resources["cpu"] = {"quota": quota, "period": CPU_PERIOD_US}
    if limits.pids:
        resources["pids"] = {"limit": limits.pids}
    return resources
