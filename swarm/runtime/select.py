"""Which driver runs the containers of this node? Decided once, when the agent starts."""

import os
from collections.abc import Sequence
from contextlib import suppress

import structlog

from swarm.config import Settings
from swarm.errors import FailedPrecondition, InvalidArgument
from swarm.runtime.base import RuntimeDriver
from swarm.runtime.fake import FakeDriver
from swarm.runtime.memory_files import MemoryFiles
from swarm.runtime.oci.binaries import INSTALL_HINT, INSTALLED, STARTER, find
from swarm.runtime.oci.devices import CdiSettings
from swarm.runtime.oci.driver import OciDriver
from swarm.runtime.oci.layers import LayerSource, NoImages
from swarm.runtime.oci.user_namespaces import parse_range
from swarm.runtime.process.driver import ProcessDriver
from swarm.runtime.volumes.store import VolumeStore

log = structlog.get_logger(__name__)


def choose_driver(wanted: str, *, root: bool, oci_found: bool) -> str:
    """Return `oci`, `starter` or `process`; raises FailedPrecondition with what to install.

    `auto` as root is `oci`, which knows our own starter too; who asks for `oci` wants one that is installed.
    """
    if wanted == "process":
        return "process"
    if wanted not in {"auto", "oci", STARTER}:
        raise InvalidArgument(f"unknown runtime {wanted!r}; known are auto, oci, starter and process")
    if not root:
        if wanted != "auto":
            raise FailedPrecondition("containers need root; run as root or choose the runtime `process`")
        return "process"
    if wanted == "oci" and not oci_found:
        raise FailedPrecondition(
            f"no OCI runtime is installed on this node; install one with: {INSTALL_HINT} "
            "(or choose the runtime `starter`, which needs nothing but Python)"
        )
    return STARTER if wanted == STARTER else "oci"


async def open_driver(settings: Settings, images: LayerSource) -> RuntimeDriver:
    """Return the node's driver, tried out and ready for `adopt`; raises FailedPrecondition with the
    reason."""
    if settings.runtime == "fake":
        return FakeDriver()
    found = any(find(name) for name in INSTALLED)
    kind = choose_driver(settings.runtime, root=os.geteuid() == 0, oci_found=found)
    driver = _driver(
        kind, settings, images, INSTALLED if settings.runtime == "oci" else (*INSTALLED, STARTER)
    )
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
    for path in (settings.containers_dir, settings.run_dir / "containers"):
        with suppress(OSError):  # not there, or not only ours
            path.rmdir()


def _driver(
    kind: str, settings: Settings, images: LayerSource, preference: Sequence[str] = ()
) -> OciDriver | ProcessDriver:
    # What one OCI runtime has made, the driver finds again with another one.
    place = "oci" if kind == STARTER else kind
    directory, run_dir = settings.containers_dir / place, settings.run_dir / "containers" / place
    if place == "oci":
        cdi = CdiSettings(settings.cdi_directories, hooks=settings.cdi_hooks == "allow")
        names = (STARTER,) if kind == STARTER else preference
        users = parse_range(settings.subordinate_ids)
        parent = settings.cgroup_parent
        return OciDriver(directory, run_dir, parent, images, preference=names, cdi=cdi, users=users)
    return ProcessDriver(directory, run_dir, images)
