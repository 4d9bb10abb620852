"""What can this node's kernel, and this agent, do for a container? Reads small files; blocks for less than a
millisecond."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path, PurePosixPath
from typing import Any

from swarm.errors import InvalidArgument
from swarm.model.capabilities import KNOWN
from swarm.model.cpuset import parse_cpuset
from swarm.runtime.abilities import Ability
from swarm.runtime.oci import selinux
from swarm.runtime.oci.apparmor import DEFAULT, loaded_profiles
from swarm.runtime.oci.binaries import find
from swarm.runtime.oci.block_limits import BOUNDS_FILE_V2, WEIGHT_FILES_V1, WEIGHT_FILES_V2
from swarm.runtime.oci.cgroups import CgroupLayout
from swarm.runtime.oci.selinux import Policy, read_policy
from swarm.runtime.oci.user_namespaces import obstacle
from swarm.runtime.ulimits import bounding_set, may_raise_limits, read_hard_limits

# Programs that do nothing but start another one and bury its orphans. They are linked statically, for they
# have to run in any image. `-s` makes tini do so also where the first process is the node's.
INITS = (("tini-static", ("-s",)), ("catatonit", ()), ("docker-init", ("-s",)))
INIT_HINT = "apt-get install tini"


class Control(Enum):
    """Something that a cgroup can bound or share."""

    MEMORY = "memory"
    SWAP = "memory and swap together"
    SWAPPINESS = "memory swappiness"
    CPU_SHARES = "CPU shares"
    CPU_QUOTA = "CPUs"
    CPUSET = "which CPUs and memory nodes are used"
    PIDS = "the number of processes"
    BLKIO_WEIGHT = "the block I/O weight"
    BLKIO_DEVICE_WEIGHT = "the block I/O weight of one device"
    BLKIO_BOUNDS = "how much of one block device is read and written"


# In which file of a cgroup each is written: (controller, file) of version 1, file of version 2.
_V1 = {
    Control.MEMORY: [("memory", "memory.limit_in_bytes")],
    Control.SWAP: [("memory", "memory.memsw.limit_in_bytes")],
    Control.SWAPPINESS: [("memory", "memory.swappiness")],
    Control.CPU_SHARES: [("cpu", "cpu.shares")],
    Control.CPU_QUOTA: [("cpu", "cpu.cfs_quota_us")],
    Control.CPUSET: [("cpuset", "cpuset.cpus")],
    Control.PIDS: [("pids", "pids.max")],
    Control.BLKIO_WEIGHT: [("blkio", "blkio.weight"), ("blkio", "blkio.bfq.weight")],
    Control.BLKIO_DEVICE_WEIGHT: [("blkio", name) for name in WEIGHT_FILES_V1],
    Control.BLKIO_BOUNDS: [("blkio", "blkio.throttle.read_bps_device")],
}
_V2 = {
    Control.MEMORY: ["memory.max"],
    Control.SWAP: ["memory.swap.max"],
    Control.CPU_SHARES: ["cpu.weight"],
    Control.CPU_QUOTA: ["cpu.max"],
    Control.CPUSET: ["cpuset.cpus"],
    Control.PIDS: ["pids.max"],
    Control.BLKIO_WEIGHT: ["io.bfq.weight", "io.weight"],
    Control.BLKIO_DEVICE_WEIGHT: list(WEIGHT_FILES_V2),
    Control.BLKIO_BOUNDS: [BOUNDS_FILE_V2],
}


@dataclass(frozen=True, slots=True)
class Abilities:
    """What a container on this node can have."""

    controls: frozenset[Control] = frozenset(Control)
    capabilities: frozenset[str] = frozenset(KNOWN)  # that the agent may pass on
    may_raise_limits: bool = True  # of processes, beyond the agent's own
    hard_limits: Mapping[str, int] = field(default_factory=dict)  # of processes, by ulimit; absent: any
    oom_score_adj: int = -1000  # the least that the agent may give
    apparmor: frozenset[str] | None = None  # loaded profiles; None: the kernel knows none
    selinux: Policy | None = None  # None: the kernel has none
    no_users: str = ""  # why containers cannot have users of their own here; empty: they can
    init: tuple[str, ...] = ()  # the program to start first, on the node, and its options
    cpus: frozenset[int] = frozenset()  # empty: unknown
    memory_nodes: frozenset[int] = frozenset()
    kernel: str = ""  # its release
    node_name: str = ""


def read_abilities(layout: CgroupLayout, cgroup: str, proc: Path = Path("/proc")) -> Abilities:
    """Return what containers below `cgroup`, which exists, can have here."""
    may_raise = may_raise_limits(proc)
    kernel = (proc / "sys/kernel/osrelease").read_text("ascii").strip()
    return Abilities(
        controls=_controls(layout, cgroup.lstrip("/")),
        capabilities=bounding_set(proc),
        may_raise_limits=may_raise,
        oom_score_adj=-1000 if may_raise else int((proc / "self/oom_score_adj").read_text("ascii")),
        kernel=kernel,
        **_changing(layout, cgroup, proc, kernel, may_raise=may_raise),
    )


def read_again(known: Abilities, layout: CgroupLayout, cgroup: str, proc: Path = Path("/proc")) -> Abilities:
    """Return what `read_abilities` would; what stays while this process lives is taken from `known`."""
    news = _changing(layout, cgroup, proc, known.kernel, may_raise=known.may_raise_limits)
    return replace(known, **news)


def _changing(
    layout: CgroupLayout, cgroup: str, proc: Path, kernel: str, *, may_raise: bool
) -> dict[str, Any]:
    """Return what people change on a node: programs, profiles, settings of the kernel, processors."""
    return {
        "hard_limits": read_hard_limits(may_raise=may_raise, proc=proc),
        "apparmor": loaded_profiles(),
        "selinux": read_policy(),
        "no_users": _no_users(proc, kernel),
        "init": _init(),
        "cpus": _cpuset(layout, cgroup, "cpus"),
        "memory_nodes": _cpuset(layout, cgroup, "mems"),
        "node_name": (proc / "sys/kernel/hostname").read_text("utf-8").strip(),
    }


_ABILITIES = {
    Ability.MEMORY: Control.MEMORY,
    Ability.OOM: Control.MEMORY,
    Ability.CPUS: Control.CPU_QUOTA,
    Ability.CPU_SHARES: Control.CPU_SHARES,
    Ability.PIDS: Control.PIDS,
    Ability.CPUSET: Control.CPUSET,
}


def abilities(node: Abilities) -> tuple[frozenset[Ability], frozenset[Ability]]:
    """Return what containers can have on this node, and what is passed over with a warning."""
    missing = {ability for ability, control in _ABILITIES.items() if control not in node.controls}
    able = frozenset(Ability) - missing - (set() if node.init else {Ability.INIT})
    able -= {Ability.USERS} if node.no_users else set()
    return able, frozenset(missing & {Ability.OOM, Ability.CPU_SHARES})


def described(node: Abilities) -> dict[str, str]:
    """Return what people should know of a node before they ask for options of containers."""
    missing = sorted(control.value for control in Control if control not in node.controls)
    return {
        "init": PurePosixPath(node.init[0]).name if node.init else f"none ({INIT_HINT})",
        "apparmor": _apparmor(node.apparmor),
        "selinux": selinux.described(node.selinux),
        "user_namespaces": f"no: {node.no_users}" if node.no_users else "yes",
        "kernel_cannot": ", ".join(missing) or "nothing is missing",
    }


def _apparmor(profiles: frozenset[str] | None) -> str:
    if profiles is None:
        return "no"
    return f"{len(profiles)} profiles, {DEFAULT if DEFAULT in profiles else 'none'} by default"


def _controls(layout: CgroupLayout, cgroup: str) -> frozenset[Control]:
    if layout.version == 2 and layout.unified is not None:
        directory = layout.unified / cgroup
        return frozenset(
            control for control, names in _V2.items() if any((directory / name).exists() for name in names)
        )
    return frozenset(
        control
        for control, places in _V1.items()
        if any(
            controller in layout.mounts and (layout.mounts[controller] / cgroup / name).exists()
            for controller, name in places
        )
    )


def _no_users(proc: Path, kernel: str) -> str:
    try:
        most = (proc / "sys/user/max_user_namespaces").read_text("ascii")
    except OSError:
        most = ""
    return obstacle(kernel, most)


def _init() -> tuple[str, ...]:
    for name, options in INITS:
        program = find(name)
        if program is not None:
            return (program, *options)
    return ()


def _cpuset(layout: CgroupLayout, cgroup: str, what: str) -> frozenset[int]:
    directory, file = layout.mounts.get("cpuset"), f"cpuset.effective_{what}"
    if layout.version == 2:
        directory, file = layout.unified, f"cpuset.{what}.effective"
    if directory is not None:
        with suppress(OSError, InvalidArgument):
            return parse_cpuset((directory / cgroup.lstrip("/") / file).read_text("ascii").strip())
    return frozenset()
