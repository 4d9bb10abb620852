"""Which driver runs the containers of this node? Decided when the agent starts, by trying."""

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import structlog

from swarm.config import Settings
from swarm.errors import FailedPrecondition, InvalidArgument, SwarmError, Unavailable
from swarm.runtime.base import Capabilities, RuntimeDriver
from swarm.runtime.memory_files import MemoryFiles
from swarm.runtime.oci.binaries import INSTALL_HINT, INSTALLED, STARTER
from swarm.runtime.oci.devices import CdiSettings
from swarm.runtime.oci.driver import OciDriver
from swarm.runtime.oci.layers import LayerSource, NoImages
from swarm.runtime.oci.user_namespaces import parse_range
from swarm.runtime.process.driver import ProcessDriver
from swarm.runtime.state import remove_tree
from swarm.runtime.volumes.mounting import unmount_volume
from swarm.runtime.volumes.store import VolumeStore

log = structlog.get_logger(__name__)

AUTO, PROCESS = "auto", "process"
# In the order in which they are tried.
CONTAINERS = ("oci", "docker", STARTER)
DRIVERS = (*CONTAINERS, PROCESS)


class CleanableDriver(RuntimeDriver, Protocol):
    """A driver that can remove all that it ever made."""

    async def cleanup(self) -> None:
        """Remove everything of this driver."""


@dataclass(frozen=True, slots=True)
class Opened:
    """The node's driver, tried out and ready for `adopt`."""

    driver: RuntimeDriver
    capabilities: Capabilities


def candidates(wanted: str, kept: Mapping[str, int], *, root: bool) -> Sequence[str]:
    """Return the drivers to try, best first; raises InvalidArgument, FailedPrecondition.

    `kept` is how many containers each driver has here. A node never goes over to another driver while it has
    some: nobody would look after them. Nor does root get plain processes unasked.
    """
    if wanted not in {AUTO, *DRIVERS}:
        raise InvalidArgument(f"unknown runtime {wanted!r}; known are {AUTO}, {', '.join(DRIVERS)}")
    owners = [name for name in DRIVERS if kept.get(name)]
    others = [name for name in owners if name != wanted]
    if wanted == AUTO:
        others = owners[1:]
    if others:
        raise FailedPrecondition(
            f"this node has {kept[others[0]]} containers of the runtime {others[0]}: start swarmd with "
            f"--runtime={others[0]}, drain the node, and change the runtime when they are gone; "
            "or remove them with `swarmd cleanup`"
        )
    if wanted != AUTO:
        return (wanted,)
    if owners:
        return owners
    return CONTAINERS if root else (PROCESS,)


async def open_driver(settings: Settings, images: LayerSource) -> Opened:
    """Return the first driver that passes its trial; raises FailedPrecondition with the reason of each."""
    if settings.runtime == "fake":
        from swarm.runtime.fake import FakeDriver

        fake = FakeDriver()
        return Opened(fake, await fake.probe())
    root = os.geteuid() == 0
    reasons: list[str] = []
    for kind in candidates(settings.runtime, containers_kept(settings), root=root):
        if kind in CONTAINERS and not root:
            raise FailedPrecondition(
                f"the runtime {kind} needs root; run swarmd as root or choose the runtime `{PROCESS}`"
            )
        try:
            driver = _driver(kind, settings, images)
            capabilities = await driver.probe()
        except SwarmError as error:
            reasons.append(f"{kind}: {error}")
            log.info("runtime.passed_over", driver=kind, reason=str(error))
            continue
        if reasons:
            passed_over = {"passed_over": "; ".join(reasons)}
            capabilities = replace(capabilities, info={**capabilities.info, **passed_over})
        log.info("runtime.opened", driver=capabilities.driver, reason=capabilities.info.get("why", ""))
        return Opened(driver, capabilities)
    raise FailedPrecondition(
        f"no way to run containers works on this node: {'; '.join(reasons)}; install one with: "
        f"{INSTALL_HINT} (or choose the runtime `{PROCESS}`, without isolation)"
    )


def containers_kept(settings: Settings) -> dict[str, int]:
    """Return how many containers of each driver this node has, running or ended; blocks for a moment."""
    return {kind: _entries(settings.containers_dir / kind / "containers") for kind in DRIVERS}


def _entries(directory: Path) -> int:
    try:
        return sum(1 for _ in directory.iterdir())
    except OSError:
        return 0


async def cleanup(settings: Settings) -> None:
    """Remove every container of a node's state directory with all its processes, mounts and cgroups.

    For nodes whose daemon does not run; works without the programs that made the containers. Those of an
    engine need the engine: raises Unavailable without it.
    """
    layers = NoImages()
    for kind in ("oci", STARTER):
        try:
            if os.geteuid() == 0:
                await _driver(kind, settings, layers).cleanup()
        except InvalidArgument:  # no cgroups here: then there never was a container either
            if (settings.containers_dir / kind).exists():
                raise
    if (settings.containers_dir / "docker").exists():
        try:
            await _driver("docker", settings, layers).cleanup()
        except Unavailable:
            if containers_kept(settings)["docker"]:
                raise
            remove_tree(settings.containers_dir / "docker")
    await _driver(PROCESS, settings, layers).cleanup()
    MemoryFiles(settings.run_dir).clear()
    VolumeStore(settings.volumes_dir).unmount_all()
    unmount_volume(settings.cluster_volumes_dir)
    for path in (settings.containers_dir, settings.run_dir / "containers"):
        with suppress(OSError):  # not there, or not only ours
            path.rmdir()


def _driver(kind: str, settings: Settings, images: LayerSource) -> CleanableDriver:
    directory, run_dir = settings.containers_dir / kind, settings.run_dir / "containers" / kind
    cdi = CdiSettings(settings.cdi_directories, hooks=settings.cdi_hooks == "allow")
    if kind in {"oci", STARTER}:
        names = (STARTER,) if kind == STARTER else INSTALLED
        users = parse_range(settings.subordinate_ids)
        parent = settings.cgroup_parent
        return OciDriver(directory, run_dir, parent, images, preference=names, cdi=cdi, users=users)
    if kind == "docker":
        from swarm.runtime.docker.client import EngineClient
        from swarm.runtime.docker.driver import DockerDriver

        return DockerDriver(directory, EngineClient(settings.docker_socket), images, cdi=cdi)
    return ProcessDriver(directory, run_dir, images)
