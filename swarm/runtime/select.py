"""Which driver runs the containers of this node? Decided once, when the agent starts."""

import os
from contextlib import suppress

import structlog

from swarm.config import Settings
from swarm.errors import FailedPrecondition, InvalidArgument
from swarm.runtime.base import RuntimeDriver
from swarm.runtime.fake import FakeDriver
from swarm.runtime.memory_files import MemoryFiles
from swarm.runtime.oci.binaries import INSTALL_HINT, find
from swarm.runtime.oci.devices import CdiSettings
from swarm.runtime.oci.driver import OciDriver
from swarm.runtime.oci.layers import LayerSource, NoImages
from swarm.runtime.process.driver import ProcessDriver
from swarm.runtime.volumes.mounting import unmount_volume
from swarm.runtime.volumes.store import VolumeStore

log = structlog.get_logger(__name__)


def choose_driver(wanted: str, *, root: bool, oci_found: bool) -> str:
    """Return `oci` or `process`; raises FailedPrecondition with what to install.

    Root without an OCI runtime gets an error instead of processes: nobody should lose isolation unasked.
    """
    if wanted == "process":
        return "process"
    if wanted not in {"auto", "oci"}:
        raise InvalidArgument(f"unknown runtime {wanted!r}; known are auto, oci and process")
    if not root:
        if wanted == "oci":
            raise FailedPrecondition("containers need root; run as root or choose the runtime `process`")
        return "process"
    if not oci_found:
        raise FailedPrecondition(
            f"no OCI runtime is installed on this node; install one with: {INSTALL_HINT} "
            "(or choose the runtime `process`, without isolation)"
        )
    return "oci"


async def open_driver(settings: Settings, images: LayerSource) -> RuntimeDriver:
    """Return the node's driver, tried out and ready for `adopt`; raises FailedPrecondition with the
    reason."""
    if settings.runtime == "fake":
        return FakeDriver()
    found = find("conmon") is not None and any(find(name) for name in ("crun", "runc"))
    kind = choose_driver(settings.runtime, root=os.geteuid() == 0, oci_found=found)
    driver = _driver(kind, settings, images)
    capabilities = await driver.probe()
    log.info("runtime.opened", driver=capabilities.driver, reason=capabilities.info.get("why", ""))
    return driver


async def cleanup(settings: Settings) -> None:
    """Remove every container of a node's state directory with all its processes, mounts and cgroups.

    For nodes whose daemon does not run; works without the programs that made the containers.
    """
    layers = NoImages()
    try:
        if os.geteuid() == 0:
            await _driver("oci", settings, layers).cleanup()
    except InvalidArgument:  # no cgroups here: then there never was a container either
        if (settings.containers_dir / "oci").exists():
            raise
    await _driver("process", settings, layers).cleanup()
    MemoryFiles(settings.run_dir).clear()
    VolumeStore(settings.volumes_dir).unmount_all()
    unmount_volume(settings.cluster_volumes_dir)
    for path in (settings.containers_dir, settings.run_dir / "containers"):
        with suppress(OSError):  # not there, or not only ours
            path.rmdir()


def _driver(kind: str, settings: Settings, images: LayerSource) -> OciDriver | ProcessDriver:
    directory, run_dir = settings.containers_dir / kind, settings.run_dir / "containers" / kind
    if kind == "oci":
        cdi = CdiSettings(settings.cdi_directories, hooks=settings.cdi_hooks == "allow")
        return OciDriver(directory, run_dir, settings.cgroup_parent, images, cdi=cdi)
    return ProcessDriver(directory, run_dir, images)
