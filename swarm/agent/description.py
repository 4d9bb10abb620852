"""What is this node like, as the scheduler and `node inspect` see it?"""

import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from swarm.api.v1.types_pb2 import CsiPlugin, NodeDescription, NodeDevice, Platform, Resources
from swarm.model import network_support
from swarm.model.compatibility import our_versions, swarm_version
from swarm.model.generic_resources import parse_owned
from swarm.model.platform import normal_architecture
from swarm.runtime.abilities import Ability
from swarm.runtime.base import Capabilities

CPU_NANOS = 1_000_000_000
MEMORY_FILE = Path("/proc/meminfo")


def describe_node(
    hostname: str,
    engine_labels: Mapping[str, str],
    capabilities: Capabilities,
    memory_file: Path = MEMORY_FILE,
    generic_resources: Iterable[str] = (),
    devices: Mapping[str, Sequence[str]] | None = None,
    csi_plugins: Iterable[CsiPlugin] = (),
    network_drivers: Iterable[str] = (),
) -> NodeDescription:
    """Return the description of the machine this process runs on.

    `generic_resources`: what the node has besides, as `parse_owned` reads it. `devices`: by full name, the
    whole devices that each is made of. `network_drivers`: of networks that tasks can be given.
    """
    info = {
        **capabilities.info,
        "isolated": "true" if capabilities.isolated else "false",
        # Only what is missing: all abilities would be longer than a description may be.
        "ignored": _names(capabilities.ignored),
        "refused": _names(capabilities.refused),
    }
    if drivers := ",".join(sorted(network_drivers)):
        info[network_support.KEY] = drivers
    return NodeDescription(
        hostname=hostname,
        platform=this_platform(),
        resources=Resources(
            nano_cpus=len(os.sched_getaffinity(0)) * CPU_NANOS,
            memory_bytes=total_memory_bytes(memory_file),
            generic=parse_owned(generic_resources),
        ),
        engine_version=swarm_version(),
        engine_labels=engine_labels,
        runtime=capabilities.driver,
        runtime_info=info,
        devices=(NodeDevice(name=name, parts=parts) for name, parts in (devices or {}).items()),
        csi_plugins=csi_plugins,
        compatibility=our_versions().message(),
    )


def _names(abilities: Iterable[Ability]) -> str:
    return ", ".join(sorted(abilities)) or "none"


def this_platform() -> Platform:
    """Return the platform in OCI's words."""
    return Platform(architecture=normal_architecture(platform.machine()), os=platform.system().lower())


def total_memory_bytes(memory_file: Path = MEMORY_FILE) -> int:
    """Return the memory of the machine; 0 when it cannot be known."""
    try:
        for line in memory_file.read_text(encoding="ascii").splitlines():
            name, _, rest = line.partition(":")
            if name == "MemTotal":
                return int(rest.split()[0]) * 1024
    except (OSError, ValueError, IndexError):
        return 0
    return 0
