"""The network of a node whose agent is not root: an address 127.x.y.z per task, ports served by the agent.

Nothing is isolated: every program of the machine reaches every task, and tasks reach what the machine
reaches. Published ports are closed while no agent runs.
"""

import secrets
from collections.abc import Collection, Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import structlog

from swarm.agent.network import journal
from swarm.agent.network.addresses import next_address
from swarm.agent.network.base import Encryption, PublishedPort, Sandbox, TaskNetwork
from swarm.agent.network.forwarder import Forwarder, Target, open_forwarder
from swarm.agent.network.holders import holder_of
from swarm.agent.network.journal import Grant, Ledger
from swarm.agent.network.ports import fits
from swarm.agent.network.reservation import hold_ports
from swarm.agent.overlay.silence import FarRouter
from swarm.agent.overlay.state import OverlayState, Touched
from swarm.errors import TaskRejected

log = structlog.get_logger(__name__)


def task_range(node: IPv4Address) -> IPv4Network:
    """Return the loopback addresses for the tasks of a node with this address.

    Nodes of one machine must not share: 127.a.b.n gives 127.(128+a).n.0/24, so that the nodes of one dev
    cluster (same a) differ in n, and clusters differ in a. Other addresses count by their last two bytes.
    """
    _, second, third, last = node.packed
    network = second if node.is_loopback else third
    return IPv4Network(((127 << 24) | ((128 + network % 128) << 16) | (last << 8), 24))


class LoopbackNetwork:
    """Implements NodeNetwork without any privilege."""

    def __init__(self, run_dir: Path, node: IPv4Address) -> None:
        self._journal = run_dir / "network.json"
        self._node = str(node)
        self._range = task_range(node)
        self._ledger = Ledger()
        self._forwarders: dict[str, list[Forwarder]] = {}

    async def setup(self) -> None:
        """Open the ports of the tasks of an earlier life of this agent."""
        self._ledger = journal.load(self._journal)
        for task_id, grant in self._ledger.grants.items():
            try:
                await self._open(task_id, grant.address, grant.ports)
            except TaskRejected as error:
                log.warning("network.port_not_held", task_id=task_id, reason=str(error))

    def drivers(self) -> frozenset[str]:
        """Return nothing: without privileges there is one network, that of the machine."""
        return frozenset()

    def encryption(self) -> Encryption:
        """Return that there is nothing to encrypt."""
        return Encryption(way="the agent is not root")

    async def tunnel_counters(self) -> Mapping[str, float]:
        """Return nothing."""
        return {}

    async def echoes(self, routers: Sequence[FarRouter]) -> frozenset[FarRouter]:
        """Return all: there is nothing in between."""
        return frozenset(routers)

    async def apply(self, state: OverlayState, touched: Sequence[Touched]) -> None:
        """Do nothing: no task of this node is in such a network."""

    async def attach(
        self,
        task_id: str,
        ports: Sequence[PublishedPort],
        networks: Sequence[TaskNetwork] = (),
        mac: str = "",
    ) -> Sandbox:
        """Give a task its address and open its ports; raises TaskRejected when a port is taken."""
        if networks or mac:
            raise TaskRejected("this node's agent is not root: it cannot connect tasks to networks")
        grant = self._ledger.grants.get(task_id)
        if grant is None or not fits(ports, grant.ports):
            await self.detach(task_id)
            grant = await self._grant(task_id, ports)
        elif task_id not in self._forwarders:
            await self._open(task_id, grant.address, grant.ports)
        return Sandbox(task_id, str(grant.address), netns_path="", resolv_conf="", ports=grant.ports)

    async def detach(self, task_id: str) -> None:
        """Close the ports of a task and free its address."""
        for forwarder in self._forwarders.pop(task_id, []):
            await forwarder.close()
        if task_id in self._ledger.grants:
            self._record(self._ledger.without(task_id))

    async def keep_only(self, task_ids: Collection[str]) -> None:
        """Detach every task but these."""
        for task_id in self._ledger.grants.keys() - set(task_ids):
            await self.detach(task_id)

    async def teardown(self) -> None:
        """Close every port and forget every task."""
        await self.close()
        self._ledger = Ledger()
        self._journal.unlink(missing_ok=True)

    async def close(self) -> None:
        """Close every port; tasks run on with their addresses."""
        for task_id in list(self._forwarders):
            for forwarder in self._forwarders.pop(task_id):
                await forwarder.close()

    async def _grant(self, task_id: str, ports: Sequence[PublishedPort]) -> Grant:
        address = next_address(self._range, self._ledger.addresses(), self._ledger.last_address)
        chosen = await self._open(task_id, address, ports)
        grant = Grant(address, tuple(chosen))
        try:
            self._record(self._ledger.with_grant(task_id, grant))
        except OSError as error:
            await self.detach(task_id)
            raise TaskRejected(f"cannot connect the task to the network: {error}") from error
        return grant

    async def _open(
        self, task_id: str, address: IPv4Address, wanted: Sequence[PublishedPort]
    ) -> Sequence[PublishedPort]:
        if any(port.protocol == "sctp" for port in wanted):
            raise TaskRejected("this node's agent is not root: it cannot publish ports of protocol sctp")
        others = self._ledger.without(task_id).ports()
        held = hold_ports((self._node,), wanted, others, secrets.randbelow(1 << 16), holder_of)
        self._forwarders[task_id] = [
            await open_forwarder(listener, one.port, Target(str(address), one.port.target_port))
            for one in held
            for listener in one.sockets
        ]
        return [one.port for one in held]

    def _record(self, ledger: Ledger) -> None:
        journal.save(self._journal, ledger)
        self._ledger = ledger
