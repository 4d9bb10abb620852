"""A node with plain containers, for tests: several lives of its agent, on a fake driver and network."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from swarm.agent.blob_source import ManagerBlobs
from swarm.agent.container import NodeFacts
from swarm.agent.fake_network import FakeNetwork
from swarm.agent.network.base import TaskNetwork
from swarm.agent.overlay.feed import networks_of
from swarm.agent.plain.containers import PlainContainers
from swarm.agent.plain.networks import PlainNetworks
from swarm.agent.plain.node import Node
from swarm.agent.plain.records import PlainRecords
from swarm.agent.probes import Prober
from swarm.agent.resolver.base import NoResolver
from swarm.agent.task_images import TaskImages
from swarm.agent.task_volumes import TaskVolumes
from swarm.api.v1.objects_pb2 import Task
from swarm.api.v1.plain_pb2 import PlainRestart, PlainSpec
from swarm.clock import SystemClock
from swarm.runtime.fake import FakeDriver
from swarm.runtime.fake_images import FakeImages
from swarm.runtime.volumes.store import VolumeStore
from tests.unit.agent.fake_managers import FakeManagers

R = PlainRestart


class Bench:
    """One node, with as many lives of its agent as wanted."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.driver, self.images, self.network = FakeDriver(), FakeImages(), FakeNetwork()
        self.volumes = VolumeStore(folder / "volumes")
        self.managers = FakeManagers()
        self.telling = False  # whether the agent keeps the managers' word in line
        self.events: list[tuple[str, str]] = []

    def networks(self) -> PlainNetworks:
        async def wait_for(task: Task) -> tuple[TaskNetwork, ...]:
            return networks_of(task)

        ask, clock, facts = self.managers.attach, SystemClock(), lambda: NodeFacts("n1", "host")
        return PlainNetworks(self.network, NoResolver(), wait_for, ask, clock, facts)

    @contextlib.asynccontextmanager
    async def life(self) -> AsyncIterator[PlainContainers]:
        """One life of the agent."""
        blobs = ManagerBlobs(list, lambda addr, options: pytest.fail("no manager is to be asked"))
        node = Node(
            self.driver,
            self.images,
            TaskImages(self.images, blobs),
            self.networks(),
            blobs,
            TaskVolumes(self.volumes),
            PlainRecords(self.folder / "plain"),
            SystemClock(),
            lambda: NodeFacts("n1", "host"),
            Prober(self.driver, 2),
            asyncio.Semaphore(2),
        )
        containers = PlainContainers(node)
        containers.on_event = lambda plain, event, _: self.events.append((plain.name, event))
        await containers.load()
        await containers.resume()
        telling = asyncio.create_task(containers.tell_managers()) if self.telling else None
        try:
            yield containers
        finally:
            if telling is not None:
                telling.cancel()
                await asyncio.gather(telling, return_exceptions=True)
            await containers.close()

    def restarts(self, containers: PlainContainers, name: str) -> int:
        return containers.named([name])[0].record.restarts


def spec(name: str = "one", condition: "R.Condition" = R.CONDITION_NO, **fields: object) -> PlainSpec:
    wanted = PlainSpec(name=name, **fields)  # type: ignore[arg-type]
    wanted.container.image = "web:1"
    wanted.restart.condition = condition
    return wanted
