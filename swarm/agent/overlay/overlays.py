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
from swarm.agent.network.places import with_places
from swarm.agent.overlay import kernel
from swarm.agent.overlay.balancer import Balancer
from swarm.agent.overlay.kernel import Nic
from swarm.agent.overlay.layout import OverlayLayout
from swarm.agent.overlay.plan import (
    Mesh,
    Overlay,
    asked_by_datagrams,
    differences,
    mesh_of,
    overlay_of,
    parsed,
    path_of,
)
from swarm.agent.overlay.state import NetworkState
from swarm.agent.tunnel.tunnel import NodeTunnel
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
    datagrams: frozenset[str] = frozenset()  # ids of tasks that are asked there by datagrams from anywhere
    there: Mesh | None = None  # in the kernel; None: look
    alone: bool = False  # no other node said yet which path there is between nodes
    outlived: frozenset[str] = frozenset()  # tasks of this node that nothing leads to any more


class Overlays:
    """Routers of overlay networks and the tasks of this node in them."""

    def __init__(self, layout: OverlayLayout, tunnel: NodeTunnel) -> None:
        self._layout = layout
        self._tunnel = tunnel
        self._here: dict[str, _Here] = {}
        self._nics: dict[str, dict[str, Nic]] = {}  # by network, then task
        self._failed: dict[str, NetworkState] = {}
        self._leaving: dict[str, NetworkState] = {}  # networks with ways that nobody is led to any more
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
        """Follow what differs; with `check`, `states` are all that there are, and the kernel is looked at.

        Ways to what has gone stay until `let_go`: before, nobody may be led there any more. Raises
        Unavailable with what could not be brought about, once everything was tried.
        """
        self._heard = True
        if check:
            gone = {*gone, *self._here, *self._leftovers()} - states.keys()
        problems = {}
        self._tunnel.hear(states, gone)
        insecure = self._follow_tunnel(check=check)
        again = {key: state for key, state in self._failed.items() if key not in gone}
        for network_id, state in {**again, **states}.items():
            try:
                self._follow(network_id, state, check or network_id in self._failed, insecure)
                self._failed.pop(network_id, None)
            except (OSError, ValueError, Unavailable) as error:
                self._failed[network_id] = state
                problems[network_id] = str(error)
                log.warning("overlay.not_applied", network_id=network_id, reason=str(error))
        for network_id in gone:
            self._failed.pop(network_id, None)
            self._here.pop(network_id, None)
            self._balancer.forget(network_id)
            try:
                self._remove_unused(network_id)
            except OSError as error:
                problems[network_id] = str(error)
        self._tunnel.remove_unused()
        _complain(problems)

    def let_go(self) -> None:
        """Take away the ways to what has gone; raises Unavailable."""
        leaving, self._leaving = self._leaving, {}
        problems = {}
        for network_id in leaving.keys() & self._here.keys():
            try:
                self._sync(network_id)
            except OSError as error:
                self._failed[network_id] = leaving[network_id]
                problems[network_id] = str(error)
        _complain(problems)

    def connect(self, task_id: str, task: Path, grant: Grant) -> None:
        """Connect a task to its networks; raises Unavailable for one that this node has not heard of."""
        self._remember(task_id, grant)
        for network in _overlays(grant):
            nic = self._nics[network.network_id][task_id]
            path = self._layout.router(network.network_id)
            if network.network_id not in self._here and self._is_connected(path, nic):
                continue  # since an earlier life of this agent, or of the network
            here = self._known(network.network_id)
            if task_id not in here.outlived:
                self._connect(path, task, nic, here)

    def disconnect(self, task_id: str, grant: Grant, *, unplug: bool = False) -> None:
        """Lead nothing to a task any more; `unplug`: it goes on, without these interfaces."""
        for network in _overlays(grant):
            nics = self._nics.get(network.network_id, {})
            nic = nics.pop(task_id, None)
            if nic is None:
                continue
            kernel.disconnect(self._layout.router(network.network_id), nic, unplug=unplug)
            if not nics:
                del self._nics[network.network_id]
            if network.network_id in self._here:
                self._sync(network.network_id)  # its address may be that of a task elsewhere by now
            elif self._heard:
                self._remove_unused(network.network_id)

    def mend(self) -> None:
        """Make again what carried encrypted networks, and died; raises Unavailable."""
        if insecure := self._follow_tunnel(check=True):
            raise Unavailable(insecure)

    def _follow_tunnel(self, *, check: bool) -> str:
        """Return why encrypted networks cannot be carried; empty when they can."""
        try:
            made = self._tunnel.follow(check=check)
        except (OSError, ValueError, Unavailable) as error:
            return f"nothing can be encrypted: {error}"
        for network_id, state in self._tunnel.states.items() if made else ():
            # Whatever led into the namespace before this one leads nowhere.
            kernel.cut_off(self._layout.router(network_id))
            self._failed[network_id] = state
        return ""

    def teardown(self) -> None:
        """Leave nothing of any overlay network here."""
        for network_id in self._leftovers():
            kernel.remove_router(self._layout.router(network_id))
        if self._layout.routers.is_dir():
            self._layout.routers.rmdir()
        self._tunnel.teardown()
        self._here.clear()
        self._nics.clear()
        self._failed.clear()
        self._leaving.clear()

    def _follow(self, network_id: str, state: NetworkState, check: bool, insecure: str) -> None:
        if insecure and state.network.encrypted:
            raise Unavailable(insecure)
        before = self._here.get(network_id)
        overlay = overlay_of(state, before.overlay.path_family if before else 4)
        if not overlay.addresses or not overlay.subnets:
            return  # it takes part as soon as it has an address; nothing can start here before
        wanted = mesh_of(state, overlay.path_family)
        outlived = _outlived(self._nics.get(network_id, {}), state, wanted)
        alone = path_of(state) is None
        here = _Here(overlay, 0, wanted, asked_by_datagrams(state), alone=alone, outlived=outlived)
        check = check or before is None or before.overlay != overlay or before.there is None
        check = check or (before is not None and before.alone and not here.alone)
        path = self._layout.router(network_id)
        if check:
            here = replace(here, mtu=kernel.ensure_router(path, overlay, path_of(state), self._tunnel.path))
            self._here[network_id] = here
            self._reconnect(network_id, here, all_of_them=before is not None and before.mtu != here.mtu)
        else:
            assert before is not None
            self._here[network_id] = replace(here, mtu=before.mtu, there=before.there)
        if self._sync(network_id, keep=True):
            self._leaving[network_id] = state
        self._balancer.follow(network_id, path, state, check=check)
        if before is None:
            log.info("overlay.joined", network_id=network_id, vxlan_id=overlay.vxlan_id, mtu=here.mtu)

    def _reconnect(self, network_id: str, here: _Here, *, all_of_them: bool) -> None:
        """Connect again the tasks of this node whose connection is not complete, e.g. to a lost router.

        With `all_of_them` also the others: packets may be of another size now.
        """
        path = self._layout.router(network_id)
        nics = self._nics.get(network_id, {})
        kernel.remove_strangers(path, nics)
        there = kernel.connected(path)
        for task_id, nic in nics.items():
            task = self._layout.task(task_id)
            if task_id in here.outlived:
                continue
            if namespaces.is_namespace(task) and (all_of_them or not nic.is_in(there)):
                self._connect(path, task, nic, here)

    @staticmethod
    def _connect(path: Path, task: Path, nic: Nic, here: _Here) -> None:
        kernel.connect(
            path,
            task,
            nic,
            here.overlay.subnets,
            here.mtu,
            answers_all=here.overlay.ingress,
            datagrams=nic.task_id in here.datagrams,
        )

    def _sync(self, network_id: str, *, keep: bool = False) -> bool:
        """Bring the router in line; with `keep` nothing is taken away yet: return whether that is to be."""
        here, path = self._here[network_id], self._layout.router(network_id)
        nics = self._nics.get(network_id, {})
        local = (nic for task_id, nic in nics.items() if task_id not in here.outlived)
        wanted = here.wanted.without_routes(one for nic in local for one in nic.addresses)
        there = here.there if here.there is not None else kernel.read(path)
        self._here[network_id] = replace(here, there=None)  # what a failure leaves has to be looked at
        now = wanted.over(there) if keep else wanted
        changes = differences(there, now)
        if changes:
            kernel.write(path, changes)
        for task_id in here.outlived & nics.keys():
            kernel.disconnect(path, nics[task_id])
        self._here[network_id] = replace(here, there=now)
        return now != wanted

    def _remember(self, task_id: str, grant: Grant) -> None:
        for position, network in with_places(grant.networks):
            if network.driver != DRIVER:
                continue
            addresses = tuple(one for text in network.addresses if (one := parsed(text)))
            nics = self._nics.setdefault(network.network_id, {})
            nics[task_id] = Nic(task_id, position, addresses, network.mac)

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


def _complain(problems: Mapping[str, str]) -> None:
    if problems:
        listed = "; ".join(f"network {key}: {reason}" for key, reason in problems.items())
        raise Unavailable(f"cannot follow what the managers say of networks: {listed}")


def _outlived(nics: Mapping[str, Nic], state: NetworkState, wanted: Mesh) -> frozenset[str]:
    """Return the tasks of this node that managers have given up, and whose addresses others have by now.

    The node was cut off while that happened; until such a task has stopped it must not be taken for another.
    """
    return frozenset(
        task_id
        for task_id, nic in nics.items()
        if task_id not in state.endpoints and not wanted.routes.keys().isdisjoint(nic.addresses)
    )


def _overlays(grant: Grant) -> Iterator[TaskNetwork]:
    return (network for network in grant.networks if network.driver == DRIVER)
