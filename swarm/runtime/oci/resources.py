"""What are a container's shares and bounds on this node? Pure: resources and rlimits of its config.json.

What others rely on, an upper bound, rejects the task where the kernel cannot keep it. A share or hint that
it does not know is left out, with a warning.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from swarm.errors import TaskRejected
from swarm.model.cpuset import format_cpuset, parse_cpuset
from swarm.model.ulimits import UNLIMITED
from swarm.runtime.base import ContainerConfig, Limits, Ulimit
from swarm.runtime.oci.abilities import Abilities, Control
from swarm.runtime.ulimits import clamp_warnings, clamped

CPU_PERIOD_US = 100_000
MIN_CPU_QUOTA_US = 1_000
# Few programs want many open files without asking, and some walk through all numbers up to the soft limit.
SOFT_OPEN_FILES = 1_024
HARD_OPEN_FILES = 524_288

_INFINITY = 2**64 - 1  # as the kernel has it
_UNLIMITED: Mapping[str, Mapping[str, int]] = {
    "memory": {"limit": -1, "swap": -1, "reservation": -1},
    "cpu": {"quota": -1, "shares": 1024},
    "pids": {"limit": 0},
}


def cgroup_resources(config: ContainerConfig, node: Abilities) -> dict[str, Any]:
    """Return `linux.resources`; raises TaskRejected for a bound that this node cannot keep.

    The weight among users of a disk is missing: crun does not know all files in which kernels have it. The
    driver writes it.
    """
    # The runtime adds the harmless devices (null, zero, full, random, urandom, tty, console, pts) itself.
    devices = [{"allow": config.security.privileged, "access": "rwm"}]
    return {"devices": devices, **limit_resources(config.limits, node)}


def changed_resources(limits: Limits, before: Limits, node: Abilities) -> dict[str, Any]:
    """Return the parts of `linux.resources` to write for other limits; what is not limited any more too.

    Raises TaskRejected for a bound that this node cannot keep.
    """
    wanted, had = limit_resources(limits, node), limit_resources(before, node)
    for part, unlimited in _UNLIMITED.items():
        left = {key: value for key, value in unlimited.items() if key in had.get(part, {})}
        if left:
            wanted[part] = {**left, **wanted.get(part, {})}
    return wanted


def limit_resources(limits: Limits, node: Abilities) -> dict[str, Any]:
    """Return the parts of `linux.resources` for some limits; raises TaskRejected as `cgroup_resources`."""
    for problem in _impossible(limits, node):
        raise TaskRejected(problem)
    resources: dict[str, Any] = {}
    parts = {"memory": _memory(limits, node), "cpu": _cpu(limits, node)}
    resources |= {name: part for name, part in parts.items() if part}
    if limits.pids:
        resources["pids"] = {"limit": limits.pids}
    return resources


def rlimits(wanted: Sequence[Ulimit], node: Abilities) -> list[dict[str, Any]]:
    """Return `process.rlimits`, none above what this node can grant."""
    usual = Ulimit("nofile", SOFT_OPEN_FILES, HARD_OPEN_FILES)
    named = {one.name: one for one in (usual, *wanted)}
    return [
        {
            "type": f"RLIMIT_{one.name.upper()}",
            "soft": _INFINITY if one.soft == UNLIMITED else one.soft,
            "hard": _INFINITY if one.hard == UNLIMITED else one.hard,
        }
        for one in (clamped(one, node.hard_limits) for one in named.values())
    ]


def oom_score_adj(wanted: int | None, node: Abilities) -> int:
    """Return how much sooner or later than others the kernel kills the container when memory is short."""
    return max(0 if wanted is None else wanted, node.oom_score_adj)


def resource_warnings(config: ContainerConfig, node: Abilities) -> Iterator[str]:
    """Yield a sentence for everything that was asked for and is less on this node."""
    limits = config.limits
    for control, asked in (
        (Control.SWAP, bool(limits.memory_swap_bytes)),
        (Control.SWAPPINESS, limits.memory_swappiness is not None),
        (Control.CPU_SHARES, bool(limits.cpu_shares)),
        (Control.BLKIO_WEIGHT, bool(limits.blkio_weight)),
        (Control.BLKIO_DEVICE_WEIGHT, any(one.weight for one in limits.block)),
    ):
        if asked and control not in node.controls:
            yield f"this node's kernel cannot set {control.value}: left out"
    yield from clamp_warnings(config.ulimits, node.hard_limits)
    given = oom_score_adj(config.oom_score_adj, node)
    if config.oom_score_adj is not None and given != config.oom_score_adj:
        yield f"OOM score adjustment {config.oom_score_adj} is less than this node can grant: {given}"


def _impossible(limits: Limits, node: Abilities) -> Iterator[str]:
    for control, asked in (
        (Control.MEMORY, limits.memory_bytes),
        (Control.CPU_QUOTA, limits.nano_cpus or limits.cpu_quota_us),
        (Control.CPUSET, limits.cpuset_cpus or limits.cpuset_mems),
        (Control.PIDS, limits.pids),
        (Control.BLKIO_BOUNDS, any(one.is_bound for one in limits.block)),
    ):
        if asked and control not in node.controls:
            yield f"this node's kernel cannot limit {control.value}"
    for what, text, present in (
        ("CPU", limits.cpuset_cpus, node.cpus),
        ("memory node", limits.cpuset_mems, node.memory_nodes),
    ):
        missing = parse_cpuset(text) - present if text and present else frozenset()
        if missing:
            yield f"no {what} {format_cpuset(missing)} on this node: it has {format_cpuset(present)}"


def _memory(limits: Limits, node: Abilities) -> dict[str, int]:
    memory: dict[str, int] = {}
    if limits.memory_bytes:
        memory["limit"] = limits.memory_bytes
        if Control.SWAP in node.controls:
            memory["swap"] = limits.memory_swap_bytes or limits.memory_bytes * 2  # memory and swap together
    if limits.memory_reservation_bytes and Control.MEMORY in node.controls:
        memory["reservation"] = limits.memory_reservation_bytes
    if limits.memory_swappiness is not None and Control.SWAPPINESS in node.controls:
        memory["swappiness"] = limits.memory_swappiness
    return memory


def _cpu(limits: Limits, node: Abilities) -> dict[str, Any]:
    cpu: dict[str, Any] = {}
    if limits.nano_cpus:
        quota = max(MIN_CPU_QUOTA_US, limits.nano_cpus * CPU_PERIOD_US // 1_000_000_000)
        cpu |= {"quota": quota, "period": CPU_PERIOD_US}
    if limits.cpu_quota_us:
        cpu |= {"quota": limits.cpu_quota_us, "period": limits.cpu_period_us or CPU_PERIOD_US}
    if limits.cpu_shares and Control.CPU_SHARES in node.controls:
        cpu["shares"] = limits.cpu_shares  # with version 2 the runtime makes a weight of it
    if limits.cpuset_cpus:
        cpu["cpus"] = limits.cpuset_cpus
    if limits.cpuset_mems:
        cpu["mems"] = limits.cpuset_mems
    return cpu
