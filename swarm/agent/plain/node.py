"""The parts of a node that its plain containers use; the tasks use the same."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from swarm.agent.container import NodeFacts
from swarm.agent.plain.networks import PlainNetworks
from swarm.agent.plain.records import PlainRecords
from swarm.agent.probes import Prober
from swarm.agent.task_images import TaskImages
from swarm.agent.task_volumes import TaskVolumes
from swarm.clock import Clock
from swarm.runtime.base import RuntimeDriver
from swarm.runtime.images.base import BlobSource, ImageStore


@dataclass(frozen=True, slots=True)
class Node:
    """What it takes to run a container here."""

    driver: RuntimeDriver
    images: ImageStore
    mounted_images: TaskImages
    networks: PlainNetworks
    source: BlobSource
    volumes: TaskVolumes
    records: PlainRecords
    clock: Clock
    facts: Callable[[], NodeFacts]
    prober: Prober
    starts: asyncio.Semaphore  # so many containers are made and started at once
