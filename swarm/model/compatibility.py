"""Which versions of swarm can work together, and how much of what is new may a cluster use?

Two numbers. The *protocol* is what nodes say to each other: two nodes work together when the ranges that
they speak meet. The *level* is what is replicated and kept on disk: a cluster has one, all of its managers
write and read it, and it only goes up. A release that brings something which its predecessor would not
understand raises LEVEL_MAX, and writes it only from that level on; one that drops something old raises the
minimum.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from swarm.api.v1.objects_pb2 import Cluster
from swarm.api.v1.types_pb2 import Compatibility

PROTOCOL_MIN = 1
PROTOCOL_MAX = 1
LEVEL_MIN = 1
LEVEL_MAX = 1

_AGENT = re.compile(r"(?:^| )swarm/(\S{1,100}) \(protocol (\d{1,6})-(\d{1,6}); level (\d{1,6})-(\d{1,6})\)")


@dataclass(frozen=True, slots=True)
class Versions:
    """What a swarmd is and can work with; the defaults are those of one that did not say it yet."""

    version: str = "of before versions were told"
    protocol_min: int = 1
    protocol_max: int = 1
    level_min: int = 1
    level_max: int = 1

    def message(self) -> Compatibility:
        """Return it as others are told."""
        return Compatibility(
            version=self.version,
            protocol_min=self.protocol_min,
            protocol_max=self.protocol_max,
            level_min=self.level_min,
            level_max=self.level_max,
        )

    @property
    def user_agent(self) -> str:
        """What a node calls itself in front of each RPC; `versions_of` reads it."""
        return (
            f"swarm/{self.version} (protocol {self.protocol_min}-{self.protocol_max}; "
            f"level {self.level_min}-{self.level_max})"
        )


def swarm_version() -> str:
    """Return the version of this program."""
    try:
        return version("swarm")
    except PackageNotFoundError:  # run from a folder that was not installed
        return "unknown"


def our_versions() -> Versions:
    """Return what this program is and can work with."""
    return Versions(swarm_version(), PROTOCOL_MIN, PROTOCOL_MAX, LEVEL_MIN, LEVEL_MAX)


def told_versions(message: Compatibility) -> Versions:
    """Return what another swarmd has said of itself."""
    if not message.version:
        return Versions()
    return Versions(
        message.version,
        message.protocol_min or 1,
        message.protocol_max or 1,
        message.level_min or 1,
        message.level_max or 1,
    )


def versions_of(user_agent: str) -> Versions:
    """Return what a caller says of itself in its user agent."""
    found = _AGENT.search(user_agent)
    if found is None:
        return Versions()
    return Versions(found[1], *(int(number) for number in found.groups()[1:]))


def protocol_refusal(caller: Versions, ours: Versions) -> str:
    """Return why a node cannot work with this manager and what to do, empty when it can."""
    if caller.protocol_max >= ours.protocol_min and caller.protocol_min <= ours.protocol_max:
        return ""
    told = (
        f"swarm {caller.version} of the node speaks protocol {caller.protocol_min} to "
        f"{caller.protocol_max}, swarm {ours.version} of this manager {ours.protocol_min} to "
        f"{ours.protocol_max}"
    )
    if caller.protocol_max < ours.protocol_min:
        return f"{told}: upgrade swarm on the node, one release after the other"
    return f"{told}: upgrade the managers first, or install their version on the node"


def level_refusal(manager: Versions, level: int) -> str:
    """Return why a manager cannot hold what a cluster of this level has, empty when it can."""
    if manager.level_min <= level <= manager.level_max:
        return ""
    told = (
        f"the cluster is at level {level}, swarm {manager.version} knows levels {manager.level_min} to "
        f"{manager.level_max}"
    )
    if level > manager.level_max:
        return f"{told}: install a newer version, that of the other managers"
    return f"{told}: raise the level first (swarmctl update --raise-level), or install an older version"


def level_of(cluster: Cluster | None) -> int:
    """Return the level of a cluster; the first one while it is not known."""
    return (cluster.level or 1) if cluster is not None else 1


def unknown_level(level: int, what: str) -> str:
    """Return why this program must not read on, empty for levels that it knows."""
    if level <= LEVEL_MAX:
        return ""
    return (
        f"{what} is of level {level}, and swarm {swarm_version()} knows levels up to {LEVEL_MAX}: it was "
        "written by a newer version of swarm, and is left as it is; install that version again"
    )


@dataclass(frozen=True, slots=True)
class Raise:
    """The level that a cluster is to have, and why it is not higher than it was, empty when it is."""

    level: int
    kept: str = ""


def next_level(level: int, managers: Mapping[str, Versions | None]) -> Raise:
    """Return the highest level that all managers (by name; None: away) support; never less than `level`."""
    if not managers:
        return Raise(level, "no manager is known yet")
    away = sorted(name for name, versions in managers.items() if versions is None)
    if away:
        return Raise(level, f"manager {', '.join(away)} does not answer, and may run an older version")
    known = {name: versions for name, versions in managers.items() if versions is not None}
    highest = min(versions.level_max for versions in known.values())
    if highest > level:
        return Raise(highest)
    if all(versions.level_max == highest for versions in known.values()):
        return Raise(level, f"all managers support level {highest} and no higher one")
    behind = [
        f"{name} (swarm {versions.version})"
        for name, versions in sorted(known.items())
        if versions.level_max == highest
    ]
    return Raise(level, f"manager {', '.join(behind)} supports no higher level: upgrade it")
