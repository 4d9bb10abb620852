"""Where has a node what belongs to a container, and what does it hide from it?"""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Places:
    """Paths of the node, and labels, as they are in force; empty is what a container has not."""

    log: str = ""
    resolv_conf: str = ""
    hostname: str = ""
    hosts: str = ""
    storage_driver: str = ""
    merged: str = ""  # its whole file system
    upper: str = ""  # what of it is not of its image
    work: str = ""
    network: str = ""  # its namespace
    apparmor: str = ""
    process_label: str = ""  # of SELinux
    mount_label: str = ""
    masked_paths: tuple[str, ...] = ()
    readonly_paths: tuple[str, ...] = ()
    sources: Mapping[str, str] = field(default_factory=dict)  # of what is mounted, by target
