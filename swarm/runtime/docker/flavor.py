"""In what engines with Docker's API differ, and whether one works here."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from swarm.errors import FailedPrecondition, SwarmError, TaskRejected
from swarm.model.capabilities import KNOWN
from swarm.runtime.abilities import Ability
from swarm.runtime.base import Capabilities, ContainerConfig, RuntimeDriver, is_partial
from swarm.runtime.docker.client import EngineClient
from swarm.runtime.docker.images import HostProgramsImage
from swarm.runtime.oci.cgroups import read_layout
from swarm.runtime.oci.layers import LayerSource
from swarm.runtime.oci.probe import controllers
from swarm.runtime.oci.selftest import run_self_test
from swarm.runtime.state import remove_tree
from swarm.runtime.ulimits import bounding_set

OWN_NETWORK = Path("/proc/self/ns/net")
_NETWORK_TIMEOUT_S = 10.0
_FILTERS_CAPABILITIES = 23  # the major version from which on Docker asks for no more than it has


class TrialDriver(RuntimeDriver, Protocol):
    """A driver that can be thrown away with all its traces."""

    async def cleanup(self) -> None:
        """Remove everything of this driver."""


MakeDriver = Callable[[Path, LayerSource], TrialDriver]


@dataclass(frozen=True, slots=True)
class Flavor:
    """One kind of engine."""

    name: str

    async def look(self, engine: EngineClient) -> Capabilities:
        """Return what the engine says of itself; raises SwarmError."""
        about = await engine.request("GET", "/info")
        version = await engine.request("GET", "/version")
        abilities = frozenset(Ability) - self._refused(about, version)
        return Capabilities(self.name, isolated=True, info=self._facts(about, version), abilities=abilities)

    async def try_out(self, directory: Path, make: MakeDriver) -> None:
        """Run a container in a network that was made for it; raises FailedPrecondition with the reason."""
        layer = directory / "self-test-layer"
        try:
            driver = make(directory / "self-test", HostProgramsImage(layer))
            try:
                async with _network() as netns_path:
                    await run_self_test(driver, controllers(read_layout()), netns_path)
            finally:
                await driver.cleanup()
        except (SwarmError, OSError) as error:
            raise FailedPrecondition(f"{self.name} does not work on this node: {error}") from error
        finally:
            remove_tree(layer)

    def _refused(self, about: Mapping[str, Any], version: Mapping[str, Any]) -> frozenset[Ability]:
        offered = {
            Ability.MEMORY: "MemoryLimit",
            Ability.CPUS: "CpuCfsQuota",
            Ability.CPU_SHARES: "CPUShares",
            Ability.CPUSET: "CPUSet",
            Ability.PIDS: "PidsLimit",
        }
        # An engine maps all of its containers or none, and then not the way to our layers. It is given only
        # paths of the node, and volumes as a whole, to mount.
        missing = {Ability.USERS, Ability.PARTS}
        missing |= {ability for ability, field in offered.items() if about.get(field) is False}
        if not _has_seccomp(about):
            missing.add(Ability.SECCOMP)
        if not _can_be_privileged(str(version.get("Version"))):
            missing.add(Ability.PRIVILEGED)
        return frozenset(missing)

    def _facts(self, about: Mapping[str, Any], version: Mapping[str, Any]) -> dict[str, str]:
        runtime = str(about.get("DefaultRuntime") or "unknown")
        return {
            "runtime": runtime,
            "runtime_version": str(version.get("Version") or "unknown"),
            "api_version": str(version.get("ApiVersion") or "unknown"),
            "storage": str(about.get("Driver") or "unknown"),
            "cgroup_driver": str(about.get("CgroupDriver") or "unknown"),
            "cgroup_version": str(about.get("CgroupVersion") or read_layout().version),
            "seccomp": "default list" if _has_seccomp(about) else "none: the engine has none",
            "selinux": "yes" if _has_option(about, "selinux") else "no",
            "why": f"{self.name} passed the self-test",
        }


@asynccontextmanager
async def _network() -> AsyncIterator[str]:
    """Make a network namespace for as long as a block lasts."""
    holder = await asyncio.create_subprocess_exec("unshare", "--net", "sleep", "infinity")
    try:
        path = Path(f"/proc/{holder.pid}/ns/net")
        await asyncio.wait_for(asyncio.to_thread(_leaves_our_network, path), _NETWORK_TIMEOUT_S + 1)
        yield str(path)
    finally:
        with suppress(ProcessLookupError):
            holder.kill()
        await holder.wait()


def _leaves_our_network(path: Path) -> None:
    deadline = time.monotonic() + _NETWORK_TIMEOUT_S
    while path.readlink() == OWN_NETWORK.readlink():
        if time.monotonic() > deadline:
            raise FailedPrecondition("no network namespace can be made on this node")
        time.sleep(0.002)


def _has_seccomp(about: Mapping[str, Any]) -> bool:
    return _has_option(about, "seccomp")


def _has_option(about: Mapping[str, Any], name: str) -> bool:
    return any(name in str(one) for one in about.get("SecurityOptions") or ())


def _can_be_privileged(version: str) -> bool:
    """Tell whether an engine can give all that it calls privileged: an older one gives all or nothing."""
    major = version.partition(".")[0]
    if major.isdecimal() and int(major) >= _FILTERS_CAPABILITIES:
        return True
    last = int(Path("/proc/sys/kernel/cap_last_cap").read_text("ascii"))
    return set(KNOWN[: last + 1]) <= bounding_set()


def refuse_unable(config: ContainerConfig, capabilities: Capabilities) -> None:
    """Raise TaskRejected for what the engine cannot do, and would say in words of its own, or not at all."""
    limits, security = config.limits, config.security
    for ability, is_asked_for in (
        (Ability.PRIVILEGED, security.privileged),
        (Ability.PARTS, any(map(is_partial, config.mounts))),
        (Ability.SECCOMP, bool(security.seccomp)),
        (Ability.MEMORY, limits.memory_bytes),
        (Ability.CPUS, limits.nano_cpus or limits.cpu_quota_us),
        (Ability.PIDS, limits.pids),
        (Ability.CPUSET, limits.cpuset_cpus or limits.cpuset_mems),
        (Ability.USERS, config.users),
    ):
        if is_asked_for and ability in capabilities.refused:
            raise TaskRejected(f"{capabilities.driver} on this node cannot give a container: {ability}")


DOCKER = Flavor("docker")
