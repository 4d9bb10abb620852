"""Does this way of running containers work here? Runs one, of the node's own programs, and looks at what it
did."""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path

from swarm.errors import TaskFailed
from swarm.ids import new_id
from swarm.runtime.base import (
    BindMount,
    ContainerConfig,
    Limits,
    LogQuery,
    RuntimeDriver,
    Security,
    SELinuxLabel,
)
from swarm.runtime.images.base import ImageConfig
from swarm.runtime.oci.layers import NoImages

TIMEOUT_S = 60.0  # an emulated machine among busy ones needs 20 s
EXIT_CODE = 42
OUTPUT = b"a container ran"

_SHARED = ("bin", "sbin", "lib", "lib32", "lib64")


class HostPrograms(NoImages):
    """An image without content of its own: a root directory into which the node's programs are mounted."""

    def __init__(self, layer: Path) -> None:
        """Build the only layer in the directory `layer`."""
        self._layer = layer
        self._layer.mkdir(parents=True, exist_ok=True)
        for name in _SHARED:
            on_host, inside = Path("/") / name, layer / name
            if on_host.is_symlink() and not inside.is_symlink():
                inside.symlink_to(on_host.readlink())

    def lower_dirs(self, manifest_digest: str) -> Sequence[Path]:
        """Return the only layer."""
        return [self._layer]

    def image_config(self, manifest_digest: str) -> ImageConfig:
        """Return a config that says nothing."""
        return ImageConfig(digest=manifest_digest)

    @staticmethod
    def mounts() -> list[BindMount]:
        """Return the mounts that bring in the programs."""
        names = ["usr", *(name for name in _SHARED if not (Path("/") / name).is_symlink())]
        return [
            BindMount(f"/{name}", f"/{name}", read_only=True)
            for name in names
            if (Path("/") / name).is_dir()
        ]


async def run_self_test(driver: RuntimeDriver, controllers: frozenset[str], netns_path: str = "") -> None:
    """Run one container from its creation to its removal; raises SwarmError when anything is not as it
    should be.

    Limits are tried for those of cpu, memory and pids that `controllers` names. With a `netns_path` the
    container has to be in that network.
    """
    look = "readlink /proc/self/ns/net; " if netns_path else ""
    expected = [OUTPUT, *([os.fsencode(os.readlink(netns_path))] if netns_path else [])]  # noqa: PTH115
    config = ContainerConfig(
        id=new_id(),
        image="self-test",
        image_digest="self-test",
        command=["/bin/sh", "-c", f"echo {OUTPUT.decode()}; {look}exit {EXIT_CODE}"],
        netns_path=netns_path,
        mounts=HostPrograms.mounts(),
        # Its programs are the node's, with labels that are not for containers.
        security=Security(selinux=SELinuxLabel(disabled=True)),
        limits=Limits(
            nano_cpus=500_000_000 if "cpu" in controllers else 0,
            memory_bytes=64 * 1024 * 1024 if "memory" in controllers else 0,
            pids=16 if "pids" in controllers else 0,
        ),
    )
    await driver.adopt()  # clears away what a self-test left that was killed
    try:
        async with asyncio.timeout(TIMEOUT_S):
            await driver.create(config)
            await driver.start(config.id)
            info = await driver.wait(config.id)
            said = [line.data async for line in driver.logs(config.id, LogQuery()) if line.data]
    except TimeoutError:
        raise TaskFailed(f"the self-test container did not end in {TIMEOUT_S:.0f} s") from None
    finally:
        await driver.remove(config.id)
    if info.exit_code != EXIT_CODE or said != expected:
        raise TaskFailed(
            f"the self-test container ended with {info.exit_code} and said {said[:3]}: {info.error}"
        )
