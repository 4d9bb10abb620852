"""Which way to run containers works on this node? Tries each for real, and remembers the answer until
something changes.

The answer holds for the same programs, kernel, cgroup mounts and boot; then the agent starts without another
trial.
"""

import asyncio
import hashlib
import json
import platform
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Protocol

import structlog

from swarm.errors import FailedPrecondition, SwarmError
from swarm.runtime.base import RuntimeDriver
from swarm.runtime.oci.binaries import INSTALL_HINT, STARTER, Runtime, candidates, executable, shim
from swarm.runtime.oci.cgroups import CgroupLayout
from swarm.runtime.oci.layers import LayerSource
from swarm.runtime.oci.seccomp import default_profile
from swarm.runtime.oci.selftest import HostPrograms, run_self_test
from swarm.runtime.processes import boot_id
from swarm.runtime.state import write_atomically

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Choice:
    """The way that works: which programs, and what to tell people about it."""

    name: str
    conmon: str
    executable: str  # the OCI runtime, or the wrapper around it
    program: str  # the OCI runtime itself; empty for our own
    hide: str  # the mount that it must not see, if any
    info: Mapping[str, str]


class TrialDriver(RuntimeDriver, Protocol):
    """A driver that can be thrown away with all its traces."""

    async def cleanup(self) -> None:
        """Remove everything of this driver."""


async def choose(
    directory: Path,
    layout: CgroupLayout,
    preference: Sequence[str],
    make_driver: Callable[[Choice, LayerSource], TrialDriver],
) -> Choice:
    """Return the first way that passes the self-test; raises FailedPrecondition naming each one's reason."""
    found = candidates(preference, layout.unified if layout.version == 1 else None)
    if not found:
        missing = " or ".join(preference)
        raise FailedPrecondition(f"{missing} is not installed on this node; install it with: {INSTALL_HINT}")
    conmon = await asyncio.to_thread(shim, directory, preference)
    cache = directory / "probe.json"
    key = _cache_key(layout, [conmon, *(runtime.program for runtime in found)], preference)
    remembered = await asyncio.to_thread(_remembered, cache, key)
    if remembered is not None:
        return remembered
    choice = await _first_that_works(directory, layout, conmon, found, make_driver)
    document = {"key": key, "choice": {**asdict(choice), "info": dict(choice.info)}}
    await asyncio.to_thread(write_atomically, cache, json.dumps(document).encode())
    log.info("runtime.chosen", runtime=choice.name, reason=choice.info["why"])
    return choice


async def _first_that_works(
    directory: Path,
    layout: CgroupLayout,
    conmon: str,
    found: Sequence[Runtime],
    make_driver: Callable[[Choice, LayerSource], TrialDriver],
) -> Choice:
    reasons: list[str] = []
    available = controllers(layout)
    for runtime in found:
        choice = _choice(runtime, conmon, directory)
        layers = HostPrograms(directory / "self-test-layer")
        driver = make_driver(choice, layers)
        try:
            await _and_clean_up(driver, run_self_test(driver, available))
        except (SwarmError, OSError) as error:
            reasons.append(f"{runtime.name}: {error}")
            log.info("runtime.self_test_failed", runtime=runtime.name, reason=str(error))
            continue
        info = await _info(layout, runtime, conmon, available)
        why = "; ".join([f"{runtime.name} passed the self-test", *(f"not {reason}" for reason in reasons)])
        return replace(choice, info={**info, "why": why})
    raise FailedPrecondition(f"no way to run containers works on this node: {'; '.join(reasons)}")


def _choice(runtime: Runtime, conmon: str, directory: Path) -> Choice:
    program = "" if runtime.name == STARTER else runtime.program
    return Choice(runtime.name, conmon, executable(runtime, directory), program, runtime.hide_unified, {})


async def _and_clean_up(driver: TrialDriver, trial: Awaitable[None]) -> None:
    try:
        await trial
    finally:
        await driver.cleanup()


def controllers(layout: CgroupLayout) -> frozenset[str]:
    """Return those of cpu, memory and pids that this machine's cgroups can limit."""
    if layout.version == 1:
        offered = set(layout.mounts)
    else:
        assert layout.unified is not None
        offered = set((layout.unified / "cgroup.controllers").read_text("ascii").split())
    return frozenset(offered & {"cpu", "memory", "pids"})


async def _info(
    layout: CgroupLayout, runtime: Runtime, conmon: str, available: frozenset[str]
) -> dict[str, str]:
    return {
        "runtime": runtime.name,
        "runtime_path": runtime.program,
        "runtime_version": await _version(runtime.program),
        "conmon_version": await _version(conmon),
        "cgroup_version": str(layout.version),
        "limits": ", ".join(sorted(available)) or "none",
        "seccomp": "default list" if default_profile() else "none: no list for this architecture",
    }


async def _version(program: str) -> str:
    process = await asyncio.create_subprocess_exec(
        program, "--version", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    output, _ = await process.communicate()
    first = output.decode("utf-8", "replace").partition("\n")[0]
    return first.rpartition(" ")[2] or "unknown"


def _cache_key(layout: CgroupLayout, programs: Sequence[str], preference: Sequence[str]) -> str:
    facts: list[object] = [boot_id(), platform.release(), sorted(map(str, layout.roots)), list(preference)]
    for program in dict.fromkeys(programs):
        status = Path(program).stat()
        facts.append((program, status.st_size, status.st_mtime_ns))
    if layout.unified is not None:  # crun's mind depends on it
        facts.append((layout.unified / "cgroup.controllers").read_text("ascii"))
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def _remembered(cache: Path, key: str) -> Choice | None:
    try:
        document = json.loads(cache.read_bytes())
        if document["key"] != key:
            return None
        choice = Choice(**document["choice"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
    return choice if Path(choice.executable).exists() else None
