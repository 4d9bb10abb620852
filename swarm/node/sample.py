"""The numbers an agent shows to Prometheus."""

import asyncio

from swarm.agent.main import Agent
from swarm.api.v1.types_pb2 import TaskState
from swarm.runtime.base import Sample
from swarm.telemetry.samples import AgentSample, DiskUse, TaskUse, count_by

# What a container can be in; tasks before and after have none.
_STATES = ("preparing", "ready", "starting", "running", "complete", "shutdown", "failed", "rejected")


async def agent_sample(agent: Agent) -> AgentSample:
    """Return how many containers there are and what the running ones use."""
    samples = await agent.samples()
    containers = agent.containers()
    states = [TaskState.Name(item.state).removeprefix("TASK_STATE_").lower() for item in containers]
    uses = tuple(
        TaskUse(
            service=item.service_name,
            task=f"{item.service_name}.{item.slot}" if item.slot else item.service_name,
            cpu_seconds=samples[item.task_id].cpu_usage_ns / 1e9,
            memory_bytes=samples[item.task_id].memory_bytes,
            moved_bytes=_moved(samples[item.task_id]),
        )
        for item in containers
        if item.task_id in samples
    )
    spaces = await asyncio.to_thread(agent.disk_spaces)
    return AgentSample(
        connected=agent.connected,
        containers=count_by(states, _STATES),
        uses=uses,
        names=await agent.name_counters(),
        tunnel=await agent.tunnel_counters(),
        requests=await agent.http_counters(),
        unhealthy=agent.unhealthy(),
        plain=agent.plain_running(),
        disks=tuple(
            DiskUse(str(one.path), one.total_bytes, one.free_bytes, one.free_inodes) for one in spaces
        ),
        disk_pressure=agent.disk_pressure,
    )


def _moved(sample: Sample) -> dict[str, int]:
    found: dict[str, int] = {}
    if sample.network is not None:
        found |= {"network_received": sample.network.in_bytes, "network_sent": sample.network.out_bytes}
    if sample.disks is not None:
        found |= {"disk_read": sample.disks.in_bytes, "disk_written": sample.disks.out_bytes}
    return found
