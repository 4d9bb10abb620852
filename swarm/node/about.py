"""What is this machine, and how many containers and images has it? For whoever asks its daemon."""

import asyncio
import os
import platform
from collections.abc import Mapping
from contextlib import suppress

from swarm.agent.description import total_memory_bytes
from swarm.agent.task_machine import TaskRecord
from swarm.api.v1.control_pb2 import ContainerCounts, MachineInfo
from swarm.config import Settings
from swarm.errors import SwarmError
from swarm.node.membership import Membership
from swarm.runtime.base import Capabilities, ContainerInfo, ContainerState, RuntimeDriver

COUNT_S = 2.0  # an engine of which the driver only is a client may be away, or busy
_OVERLAY, _FILES = "overlayfs", "cgroupfs"


async def machine_info(settings: Settings, member: Membership | None, *, locked: bool) -> MachineInfo:
    """Return what the machine is, and what its agent has; outside of a cluster there is none."""
    about = machine(settings, member.machine.capabilities if member and member.machine else None)
    if member is None and not locked:
        about.containers.SetInParent()
    elif member is not None and member.agent is not None and member.machine is not None:
        found = await counts_in_time(member.machine.driver, member.agent.records())
        if found is not None:
            usage = await asyncio.to_thread(member.images.usage)
            found.images = len({one.digest for one in usage.items})
            about.containers.CopyFrom(found)
    return about


def machine(settings: Settings, found: Capabilities | None) -> MachineInfo:
    """Return what the machine is; what depends on how it runs containers is left out without `found`."""
    release = _release()
    about = MachineInfo(
        kernel_version=platform.release(),
        operating_system=release.get("PRETTY_NAME", ""),
        os_version=release.get("VERSION_ID", ""),
        os_type=platform.system().lower(),
        architecture=platform.machine(),
        cpus=len(os.sched_getaffinity(0)),
        memory_bytes=total_memory_bytes(),
        root_dir=str(settings.state_dir),
    )
    if found is not None:
        own = found.driver == "oci"
        about.storage_driver = found.info.get("storage", _OVERLAY if own else "")
        about.cgroup_driver = found.info.get("cgroup_driver", _FILES if own else "none")
        about.cgroup_version = found.info.get("cgroup_version", "")
    return about


async def counts_in_time(driver: RuntimeDriver, records: Mapping[str, TaskRecord]) -> ContainerCounts | None:
    """Return how many containers there are; None when the driver cannot tell: all else can be said."""
    with suppress(SwarmError, OSError, TimeoutError):
        async with asyncio.timeout(COUNT_S):
            return await counts(driver, records)
    return None


async def counts(driver: RuntimeDriver, records: Mapping[str, TaskRecord]) -> ContainerCounts:
    """Return how many of these containers there are, by what they do."""
    found = ContainerCounts()
    for container_id, record in tuple(records.items()):
        if kind := _kind(await driver.inspect(container_id), record):
            setattr(found, kind, getattr(found, kind) + 1)
    return found


def _kind(info: ContainerInfo | None, record: TaskRecord) -> str:
    """Return what a container does; empty for a task whose container is to come, or gone."""
    if info is None:  # one without a task is made with its first start
        return "" if record.task.service_id else "stopped"
    if info.paused:
        return "paused"
    return "running" if info.state is ContainerState.RUNNING else "stopped"


def _release() -> dict[str, str]:
    """Return what the machine says of its operating system; nothing where it does not."""
    try:
        return platform.freedesktop_os_release()
    except OSError:
        return {}
