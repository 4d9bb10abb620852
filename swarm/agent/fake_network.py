"""A node's network that makes nothing: for tests, simulations and the fake runtime."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from swarm.agent.network.base import Encryption, PublishedPort, Sandbox, TaskNetwork
from swarm.agent.overlay.silence import FarRouter
from swarm.agent.overlay.state import OverlayState, Touched
from swarm.errors import TaskRejected

FIRST_DYNAMIC_PORT = 30000


class FakeNetwork:
    """A NodeNetwork that keeps books: addresses and host ports are given once."""

    def __init__(self) -> None:
        self.sandboxes: dict[str, Sandbox] = {}
        self.macs: dict[str, str] = {}
        self.calls: Counter[str] = Counter()
        self.networks: dict[str, tuple[TaskNetwork, ...]] = {}  # by task
        self.touched: list[Touched] = []  # by every `apply` so far
        self.network_drivers: frozenset[str] = frozenset()
        self.encrypts = Encryption()
        self.broken: dict[str, Exception] = {}  # method name -> what every call of it raises

    async def setup(self) -> None:
        """Do nothing."""
        self._called("setup")

    def drivers(self) -> frozenset[str]:
        """Return what the test says."""
        return self.network_drivers

    def encryption(self) -> Encryption:
        """Return what the test says."""
        return self.encrypts

    async def tunnel_counters(self) -> Mapping[str, float]:
        """Return nothing."""
        return {}

    async def echoes(self, routers: Sequence[FarRouter]) -> frozenset[FarRouter]:
        """Return all: there is nothing in between."""
        return frozenset(routers)

    async def apply(self, state: OverlayState, touched: Sequence[Touched]) -> None:
        """Remember what was touched."""
        self._called("apply")
        self.touched += touched

    async def attach(
        self,
        task_id: str,
        ports: Sequence[PublishedPort],
        networks: Sequence[TaskNetwork] = (),
        mac: str = "",
    ) -> Sandbox:
        """Give a task an address; raises TaskRejected for a port that is taken."""
        self._called("attach")
        self.networks[task_id] = tuple(networks)
        self.macs[task_id] = mac
        if task_id in self.sandboxes:
            return self.sandboxes[task_id]
        taken = {
            (port.protocol, port.published_port) for box in self.sandboxes.values() for port in box.ports
        }
        given: list[PublishedPort] = []
        for port in ports:
            number = port.published_port or self._free_port(port.protocol, taken)
            if (port.protocol, number) in taken:
                raise TaskRejected(f"port {number}/{port.protocol} is taken on this node")
            taken.add((port.protocol, number))
            given.append(replace(port, published_port=number))
        number = self.calls["attach"]
        sandbox = Sandbox(task_id, f"10.255.{number // 250 % 250}.{number % 250 + 1}", "", "", tuple(given))
        self.sandboxes[task_id] = sandbox
        return sandbox

    async def detach(self, task_id: str) -> None:
        """Take the address back."""
        self._called("detach")
        self.sandboxes.pop(task_id, None)
        self.networks.pop(task_id, None)

    async def keep_only(self, task_ids: Collection[str]) -> None:
        """Take back the addresses of all others."""
        self._called("keep_only")
        self.sandboxes = {key: box for key, box in self.sandboxes.items() if key in task_ids}

    async def teardown(self) -> None:
        """Take everything back."""
        self._called("teardown")
        self.sandboxes.clear()

    async def close(self) -> None:
        """Do nothing."""
        self._called("close")

    def _called(self, method: str) -> None:
        self.calls[method] += 1
        if method in self.broken:
            raise self.broken[method]

    @staticmethod
    def _free_port(protocol: str, taken: set[tuple[str, int]]) -> int:
        number = FIRST_DYNAMIC_PORT
        while (protocol, number) in taken:
            number += 1
        return number
