"""What may the processes of a container do? Pure: capabilities, system calls, hidden paths."""

import json
from collections.abc import Iterator
from typing import Any

from swarm.errors import TaskRejected
from swarm.model.capabilities import KNOWN, granted
from swarm.runtime.base import ContainerConfig, Security
from swarm.runtime.oci.abilities import Abilities
from swarm.runtime.oci.apparmor import DEFAULT, UNCONFINED
from swarm.runtime.oci.seccomp import default_profile, native_architecture
from swarm.runtime.oci.seccomp_profile import oci_profile

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


def capabilities(security: Security, node: Abilities) -> frozenset[str]:
    """Return the capabilities of a container; raises TaskRejected for one that this node cannot give."""
    wanted = _wanted(security)
    missing = sorted((wanted & frozenset(security.capability_add)) - node.capabilities)
    if missing:
        raise TaskRejected(f"{', '.join(missing)}: the daemon of this node does not have it to give")
    return wanted & node.capabilities


def missing_capabilities(security: Security, node: Abilities) -> Iterator[str]:
    """Yield a warning when a container gets fewer capabilities than it should without naming them."""
    missing = sorted(_wanted(security) - node.capabilities)
    if missing:
        yield f"without {', '.join(missing)}, which the daemon of this node does not have to give"


def no_new_privileges(security: Security) -> bool:
    """Tell whether programs gain nothing by setuid bits and file capabilities."""
    return not security.privileged if security.no_new_privileges is None else security.no_new_privileges


def process_security(config: ContainerConfig, node: Abilities) -> dict[str, Any]:
    """Return what `process` of a config.json says of privileges; raises TaskRejected."""
    security = config.security
    names = sorted(capabilities(security, node), key=KNOWN.index)
    section: dict[str, Any] = {
        "capabilities": dict.fromkeys(("bounding", "effective", "permitted"), names),
        "noNewPrivileges": no_new_privileges(security),
    }
    profile = _apparmor_profile(security, node)
    if profile:
        section["apparmorProfile"] = profile
    return section


def linux_security(config: ContainerConfig, node: Abilities) -> dict[str, Any]:
    """Return what `linux` of a config.json says of privileges."""
    security = config.security
    hidden = not (security.privileged or security.unmasked_paths)
    section: dict[str, Any] = {
        "maskedPaths": list(MASKED_PATHS) if hidden else [],
        "readonlyPaths": list(READ_ONLY_PATHS) if hidden else [],
    }
    seccomp = _seccomp(security, node)
    if seccomp is not None:
        section["seccomp"] = seccomp
    return section


def _wanted(security: Security) -> frozenset[str]:
    if security.privileged:
        return frozenset(KNOWN)
    return granted(security.capability_add, security.capability_drop, CAPABILITIES)


def _seccomp(security: Security, node: Abilities) -> dict[str, Any] | None:
    names = capabilities(security, node)
    if security.seccomp is None:
        return None if security.privileged else default_profile(capabilities=names)
    if not security.seccomp:
        return None
    architecture = native_architecture()
    if architecture is None:
        raise TaskRejected("a seccomp profile was given, and this node's processor is of an unknown kind")
    return oci_profile(json.loads(security.seccomp), architecture, names, node.kernel)


def _apparmor_profile(security: Security, node: Abilities) -> str:
    wanted = security.apparmor
    if not wanted and not security.privileged and DEFAULT in (node.apparmor or ()):
        return DEFAULT
    if not wanted or (wanted == UNCONFINED and node.apparmor is None):
        return ""
    if node.apparmor is None:
        raise TaskRejected(f"the AppArmor profile {wanted} was asked for, and this node has no AppArmor")
    if wanted != UNCONFINED and wanted not in node.apparmor:
        raise TaskRejected(f"the AppArmor profile {wanted} is not loaded on this node")
    return wanted
