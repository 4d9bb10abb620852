"""The orchestrator: what services need, and what becomes of tasks whose node changes or stays away."""

import asyncio

from swarm.clock import Clock
from swarm.endings import endless
from swarm.manager.orchestrator.node_loop import NodeLoop
from swarm.manager.orchestrator.service_loop import ServiceLoop, ServiceLoopSettings
from swarm.manager.store.store import Store


class OrchestratorLoop:
    """Decides which tasks should exist, while this manager leads."""

    def __init__(self, store: Store, clock: Clock, settings: ServiceLoopSettings | None = None) -> None:
        self._services = ServiceLoop(store, clock, settings)
        self._nodes = NodeLoop(store, clock)

    async def run(self) -> None:
        """Run until cancelled; raises NotLeader, in a group, when leadership is lost."""
        async with asyncio.TaskGroup() as group:
            for name, part in (("services", self._services), ("nodes", self._nodes)):
                group.create_task(
                    endless(part.run, f"the orchestrator of {name}"), name=f"orchestrator-{name}"
                )
