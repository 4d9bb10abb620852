"""Networks that a node connects its tasks to by itself: of driver bridge, and LANs (`lan.py`).

One of driver bridge is a router of its own that leads nowhere else.

For the one thread that works on the network of the node. Tasks of such a network meet those of the
same node; the way out is that of the node, as for everybody.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from swarm.agent.network import namespaces
from swarm.agent.network.base import TaskNetwork
from swarm.agent.network.lan import Lans
from swarm.agent.network.local_addresses import Address, Granted, completed, subnets_of
from swarm.agent.network.places import with_places
from swarm.agent.overlay import kernel
from swarm.agent.overlay.kernel import Nic
from swarm.agent.overlay.plan import parsed

DRIVER = "bridge"


class LocalNetworks:
    """The routers of such networks, one namespace each in a folder."""

    def __init__(self, folder: Path, tag: str) -> None:
        self._folder = folder
        self._lans = Lans(tag)

    def chosen(self, networks: Iterable[TaskNetwork], granted: Granted) -> tuple[TaskNetwork, ...]:
        """Return the networks with addresses where this node gives them; raises TaskRejected."""
        return tuple(
            completed(one, granted) if is_local(one) and not one.addresses else one for one in networks
        )

    def connect(
        self, task_id: str, task: Path, networks: Sequence[TaskNetwork], mtu: int, own: Sequence[Address]
    ) -> None:
        """Connect a task to those of its networks that are such; `own` are its addresses at the node."""
        self._lans.connect(task, networks, own)
        for position, network in with_places(networks):
            if is_local(network):
                subnets = subnets_of(network)
                path = self._folder / network.network_id
                kernel.ensure_plain_router(path, ipv6=any(subnet.version == 6 for subnet in subnets))
                kernel.connect(path, task, _nic(task_id, position, network), subnets, mtu)

    def disconnect(
        self,
        task_id: str,
        task: Path,
        networks: Sequence[TaskNetwork],
        granted: Granted,
        *,
        unplug: bool = False,
    ) -> None:
        """Disconnect a task from these networks; one that nobody in `granted` is in goes.

        `unplug`: the task goes on, without these interfaces.
        """
        self._lans.disconnect(task, networks)
        for position, network in with_places(networks):
            if is_local(network):
                nic = _nic(task_id, position, network)
                kernel.disconnect(self._folder / network.network_id, nic, unplug=unplug)
        self.keep_only(granted)

    def keep_only(self, granted: Granted) -> None:
        """Remove the networks that no task is in."""
        self._lans.keep_only(one for several in granted.values() for one in several)
        used = {one.network_id for several in granted.values() for one in several if is_local(one)}
        for path in self._folder.iterdir() if self._folder.is_dir() else ():
            if path.name not in used:
                namespaces.remove(path)

    def teardown(self) -> None:
        """Remove every one of them."""
        self.keep_only({})
        if self._folder.is_dir():
            self._folder.rmdir()


def is_local(network: TaskNetwork) -> bool:
    """Return whether the node makes this network for itself, besides the one that it has for all tasks."""
    return network.driver == DRIVER and network.network_id != DRIVER


def is_same(wanted: Sequence[TaskNetwork], granted: Sequence[TaskNetwork]) -> bool:
    """Return whether `granted` is an answer to `wanted`, in which nodes give addresses of their own."""
    return [_said(one) for one in wanted] == [_said(one) for one in granted]


def kept(wanted: Iterable[TaskNetwork], granted: Sequence[TaskNetwork]) -> tuple[TaskNetwork, ...]:
    """Return what is wanted, as it was granted where it was."""
    known = {one.network_id: one for one in granted}
    return tuple(
        known[one.network_id] if one.network_id in known and is_same([one], [known[one.network_id]]) else one
        for one in wanted
    )


def _said(network: TaskNetwork) -> TaskNetwork:
    # Those that the cluster gave no subnet to are of an earlier version: nodes give the addresses.
    said = replace(network, position=-1)
    return replace(said, addresses=(), subnets=()) if is_local(network) else said


def _nic(task_id: str, position: int, network: TaskNetwork) -> Nic:
    addresses = (parsed(text) for text in network.addresses)
    return Nic(task_id, position, tuple(address for address in addresses if address), network.mac)
