"""The overlay networks of one node: what the managers said last, and the kernel kept in line with it.

For the one thread that works on the network of the node. What runs needs no agent: routers stay as they are
while it restarts, and until its successor has heard of a network its tasks keep what they have.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import structlog

from swarm.agent.network import namespaces
from swarm.agent.network.base import TaskNetwork
from swarm.agent.network.journal import Access, Grant
from swarm.agent.overlay import kernel
from swarm.agent.overlay.balancer import Balancer
from swarm.agent.overlay.kernel import Nic
from swarm.agent.overlay.layout import OverlayLayout
from swarm.agent.overlay.plan import Mesh, Overlay, differences, mesh_of, overlay_of, parsed, path_of
from swarm.agent.overlay.state import NetworkState
from swarm.errors import TaskRejected, Unavailable

log = structlog.get_logger(__name__)

DRIVER = "overlay"
NODES_OWN = "bridge"  # the network that a node has for all tasks, as a network that people name


@dataclass(frozen=True, slots=True)
class _Here:
    """A network that this node has an address in."""

    overlay: Overlay
    mtu: int
    wanted: Mesh
    there: Mesh | None = None  # in the kernel; None: look


class Overlays:
    """Routers of overlay networks and the tasks of this node in them."""

    def __init__(self, layout: OverlayLayout) -> None:
        self._layout = layout
        self._here: dict[str, _Here] = {}
        self._nics: dict[str, dict[str, Nic]] = {}  # by network, then task
        self._failed: dict[str, NetworkState] = {}
        self._balancer = Balancer()
        self._heard = False

    def setup(self, grants: Mapping[str, Grant]) -> None:
        """Remember which tasks of an earlier life of this agent are where; nothing is touched."""
        for task_id, grant in grants.items():
            self._remember(task_id, grant)

    def access(self, networks: Sequence[TaskNetwork]) -> Access:
        """Return what tasks in these networks, and in no others, reach through the network of the node.

        Raises Unavailable for an overlay that this node has not heard of.
        """
        for network in networks:
            if network.driver == DRIVER and not network.addresses:
                raise TaskRejected(f"the task has no address in network {network.network_id}")
        others = [one for one in networks if not self._is_ingress(one)]
        internal = [
            self._known(one.network_id).overlay.internal if one.driver == DRIVER else one.internal
            for one in others
        ]
        if not others or any(one.network_id == NODES_OWN for one in others):
            return Access.OPEN
        return Access.CLOSED if all(internal) else Access.OUTSIDE

    @property
    def ports(self) -> frozenset[int]:
        """Return the UDP ports that overlays use between nodes."""
        return frozenset(here.overlay.port for here in self._here.values())

    def apply(self, states: Mapping[str, NetworkState], gone: Collection[str], check: bool) -> None:
        """Follow what differs; `check` compares with the kernel what should be as it was.

        Raises Unavailable with what could not be brought about, once everything was tried.
        """
        if not self._heard:
            gone = {*gone, *self._leftovers(), *self._nics} - states.keys()
            check = self._heard = True
        problems = {}
        for network_id, state in {**self._failed, **states}.items():
            try:
                self._follow(network_id, state, check or network_id in self._failed)
                self._failed.pop(network_id, None)
            except (OSError, ValueError) as error:
                self._failed[network_id] = state
                problems[network_id] = str(error)
                log.warning("overlay.not_applied", network_id=network_id, reason=str(error))
        for network_id in gone:
            self._failed.pop(network_id, None)
            self._here.pop(network_id, None)
            self._balancer.forget(network_id)
            self._remove_unused(network_id)
        if problems:
            listed = "; ".join(f"network {key}: {reason}" for key, reason in problems.items())
            raise Unavailable(f"cannot follow what the managers say of networks: {listed}")

    def connect(self, task_id: str, task: Path, grant: Grant) -> None:
        """Connect a task to its networks; raises Unavailable for one that this node has not heard of."""
        self._remember(task_id, grant)
        for network in _overlays(grant):
            nic = self._nics[network.network_id][task_id]
            path = self._layout.router(network.network_id)
            if network.network_id not in self._here and self._is_connected(path, nic):
                continue  # since an earlier life of this agent, or of the network
            here = self._known(network.network_id)
            kernel.connect(path, task, nic, here.overlay.subnets, here.mtu, answers_all=here.overlay.ingress)

    def disconnect(self, task_id: str, grant: Grant) -> None:
        """Lead nothing to a task any more."""
        for network in _overlays(grant):
            nics = self._nics.get(network.network_id, {})
            nic = nics.pop(task_id, None)
            if nic is None:
                continue
            kernel.disconnect(self._layout.router(network.network_id), nic)
            if not nics:
                del self._nics[network.network_id]
            if network.network_id in self._here:
                self._sync(network.network_id)  # its address may be that of a task elsewhere by now
            elif self._heard:
                self._remove_unused(network.network_id)

    def teardown(self) -> None:
        """Leave nothing of any overlay network here."""
        for network_id in self._leftovers():
            kernel.remove_router(self._layout.router(network_id))
        if self._layout.routers.is_dir():
            self._layout.routers.rmdir()
        self._here.clear()
        self._nics.clear()
        self._failed.clear()

    def _follow(self, network_id: str, state: NetworkState, check: bool) -> None:
        before = self._here.get(network_id)
        overlay = overlay_of(state, before.overlay.path_family if before else 4)
        if not overlay.addresses or not overlay.subnets:
            return  # it takes part as soon as it has an address; nothing can start here before
        here = _Here(overlay, 0, mesh_of(state, overlay.path_family))
        check = check or before is None or before.overlay != overlay or before.there is None
        path = self._layout.router(network_id)
        if check:
            here = replace(here, mtu=kernel.ensure_router(path, overlay, path_of(state)))
            self._here[network_id] = here
            self._reconnect(network_id, here)
        else:
            assert before is not None
            self._here[network_id] = replace(here, mtu=before.mtu, there=before.there)
        self._sync(network_id)
        self._balancer.follow(network_id, path, state, check=check)
        if before is None:
            log.info("overlay.joined", network_id=network_id, vxlan_id=overlay.vxlan_id, mtu=here.mtu)

    def _reconnect(self, network_id: str, here: _Here) -> None:
        """Connect again the tasks of this node whose connection is not complete, e.g. to a lost router."""
        path = self._layout.router(network_id)
        nics = self._nics.get(network_id, {})
        kernel.remove_strangers(path, nics)
        there = kernel.connected(path)
        for task_id, nic in nics.items():
            task = self._layout.task(task_id)
            if namespaces.is_namespace(task) and not nic.is_in(there):
                kernel.connect(
                    path, task, nic, here.overlay.subnets, here.mtu, answers_all=here.overlay.ingress
                )

    def _sync(self, network_id: str) -> None:
        here, path = self._here[network_id], self._layout.router(network_id)
        nics = self._nics.get(network_id, {}).values()
        wanted = here.wanted.without_routes(one for nic in nics for one in nic.addresses)
        there = here.there if here.there is not None else kernel.read(path)
        self._here[network_id] = replace(here, there=None)  # what a failure leaves has to be looked at
        changes = differences(there, wanted)
        if changes:
            kernel.write(path, changes)
        self._here[network_id] = replace(here, there=wanted)

    def _remember(self, task_id: str, grant: Grant) -> None:
        for position, network in enumerate(grant.networks):
            if network.driver != DRIVER:
                continue
            addresses = tuple(one for text in network.addresses if (one := parsed(text)))
            nics = self._nics.setdefault(network.network_id, {})
            nics[task_id] = Nic(task_id, position, addresses)

    def _is_ingress(self, network: TaskNetwork) -> bool:
        """Whether ports are published through the network: that says nothing of the way out."""
        return network.driver == DRIVER and self._known(network.network_id).overlay.ingress

    def _known(self, network_id: str) -> _Here:
        here = self._here.get(network_id)
        if here is None:
            raise Unavailable(f"this node has no address in network {network_id} yet")
        return here

    @staticmethod
    def _is_connected(path: Path, nic: Nic) -> bool:
        return namespaces.is_namespace(path) and nic.is_in(kernel.connected(path))

    def _remove_unused(self, network_id: str) -> None:
        if network_id not in self._nics:
            kernel.remove_router(self._layout.router(network_id))
            log.info("overlay.left", network_id=network_id)

    def _leftovers(self) -> set[str]:
        routers = self._layout.routers
        return {path.name for path in routers.iterdir()} if routers.is_dir() else set()


def _overlays(grant: Grant) -> Iterator[TaskNetwork]:
    return (network for network in grant.networks if network.driver == DRIVER)
