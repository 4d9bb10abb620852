"""The network of a node whose agent is root: a namespace per task, routed through one router namespace.

    task namespace ── veth /32 ── router namespace ── uplink ── the node's namespace ── the world
                 │                                              published ports, masquerade
                 └─── veth /32 ── router of each overlay network: swarm/agent/overlay/

Everything that touches the kernel or the books happens in one thread, one call after the other; a call that
was begun is finished even when whoever asked for it has given up. Traffic needs no agent: it flows on
while the agent restarts, and `setup` of its successor completes what the kernel and the journal say
was begun.
"""

import asyncio
import contextlib
import secrets
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from ipaddress import IPv4Network
from pathlib import Path
from typing import TypeVar

import structlog

from swarm.agent.network import (
    access,
    firewall,
    ipv6,
    journal,
    namespaces,
    nft,
    plumbing,
    probe,
    resolv,
    rules,
)
from swarm.agent.network.addresses import next_address
from swarm.agent.network.base import Encryption, PublishedPort, Sandbox, TaskNetwork
from swarm.agent.network.holders import holder_of
from swarm.agent.network.journal import Grant, Ledger
from swarm.agent.network.layout import GATEWAY, Layout
from swarm.agent.network.local import LocalNetworks, is_same, kept
from swarm.agent.network.places import placed
from swarm.agent.network.ports import fits
from swarm.agent.network.reservation import PortReservations
from swarm.agent.overlay import echo
from swarm.agent.overlay.ingress_router import IngressRouter
from swarm.agent.overlay.layout import OverlayLayout
from swarm.agent.overlay.overlays import Overlays
from swarm.agent.overlay.silence import FarRouter
from swarm.agent.overlay.state import NetworkState, OverlayState, Touched
from swarm.agent.tunnel.tender import Tender
from swarm.agent.tunnel.tunnel import NodeTunnel
from swarm.errors import TaskRejected
from swarm.model.network_support import ENCRYPTED
from swarm.model.networks import OVERLAY

log = structlog.get_logger(__name__)

HOST = "host"  # the network of the node itself: nothing is made, and no port needs to be published
NONE = "none"  # nobody to talk to but oneself
T = TypeVar("T")


class RouterNetwork:
    """Implements NodeNetwork with namespaces, veth and nft; needs root."""

    def __init__(
        self, run_dir: Path, subnet: IPv4Network, resolv_conf: Path = Path("/etc/resolv.conf")
    ) -> None:
        run_dir = run_dir.absolute()
        self._books = _Books(Layout(run_dir, subnet, ipv6.prefix_for(run_dir)), resolv_conf)
        self._routers = OverlayLayout(run_dir)
        self._thread = ThreadPoolExecutor(1, "network")
        self._drivers: frozenset[str] = frozenset()
        self._heard = False
        self._tender = Tender(
            lambda: self._do(self._books.tunnel.process), lambda: self._do(self._books.mend_tunnel)
        )

    async def setup(self) -> None:
        """Make or adopt router, rules and the sandboxes of an earlier life of this agent."""
        await self._do(self._books.setup)
        self._drivers = await self._do(self._books.drivers)

    def drivers(self) -> frozenset[str]:
        """Return what `setup` found out that tasks can have here."""
        return self._drivers

    def encryption(self) -> Encryption:
        """Return what `setup` found out about encryption between nodes."""
        return Encryption(self._books.tunnel.key, self._books.tunnel.way)

    async def tunnel_counters(self) -> Mapping[str, float]:
        """Return what the tunnel of this node counted; nothing while there is none."""
        return await self._do(self._books.tunnel.counters)

    async def echoes(self, routers: Sequence[FarRouter]) -> frozenset[FarRouter]:
        """Return those that answer."""
        return await echo.ask(self._routers, routers)

    async def apply(self, state: OverlayState, touched: Sequence[Touched]) -> None:
        """Follow what differs in overlay networks; everything with nothing touched, and at first."""
        everything = not touched or not self._heard
        ids = state.networks.keys() if everything else {one.network_id for one in touched}
        # The messages are values, the tables around them are not: the thread gets its own.
        states = {id_: _copy(state.networks[id_]) for id_ in ids if id_ in state.networks}
        gone = {one.network_id for one in touched} - state.networks.keys()
        try:
            await self._do(lambda: self._books.apply(states, gone, everything))
        finally:
            await self._tender.look()
        self._heard = True

    async def attach(
        self,
        task_id: str,
        ports: Sequence[PublishedPort],
        networks: Sequence[TaskNetwork] = (),
        mac: str = "",
    ) -> Sandbox:
        """Give a task its namespace, addresses and ports; raises TaskRejected when it cannot have them."""
        return await self._do(lambda: self._books.attach(task_id, ports, tuple(networks), mac))

    async def detach(self, task_id: str) -> None:
        """Take the namespace away and free address and ports."""
        await self._do(lambda: self._books.detach(task_id))

    async def keep_only(self, task_ids: Collection[str]) -> None:
        """Detach every sandbox that belongs to none of these tasks."""
        await self._do(lambda: self._books.keep_only(frozenset(task_ids)))

    async def teardown(self) -> None:
        """Leave nothing of this node's network behind."""
        await self._tender.stop()
        await self._do(self._books.teardown)

    async def close(self) -> None:
        """End the thread and let go of the held ports; tasks keep their network."""
        await self._tender.stop()
        await self._do(self._books.close)
        self._thread.shutdown()

    async def _do(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


class _Books:
    """Who has what, and the kernel kept in line with it. Used by one thread only."""

    def __init__(self, layout: Layout, resolv_conf: Path) -> None:
        self._layout = layout
        self.tunnel = NodeTunnel(layout.tunnel, layout.tunnel_link)
        self._overlays = Overlays(OverlayLayout(layout.run_dir), self.tunnel)
        self._ingress = IngressRouter(layout, OverlayLayout(layout.run_dir))
        self._locals = LocalNetworks(layout.local_routers, layout.tag)
        self._resolv_conf = resolv_conf
        self._ledger = Ledger()
        hosts = ("0.0.0.0", "::") if layout.prefix6 is not None else ("0.0.0.0",)  # noqa: S104 of the node
        self._reservations = PortReservations(hosts, holder_of)

    def setup(self) -> None:
        layout = self._layout
        layout.namespaces.mkdir(parents=True, exist_ok=True)
        self._ledger = journal.load(layout.journal)
        rebuilt = plumbing.ensure_router(layout)
        plumbing.run_in_router(layout, access.setup(layout, self._ledger))
        self.tunnel.setup(layout.router)
        self._overlays.setup(self._ledger.grants)
        self._write_resolv_conf()
        self._drop_lost()
        connected = plumbing.connected(layout)
        for task_id, grant in self._ledger.grants.items():
            if grant.address not in connected:
                plumbing.ensure_task(layout, task_id, grant.address, grant.mac)
            path = layout.namespace(task_id)
            self._reconnect(task_id, path, grant)
            self._hold_again(task_id, grant)
        published = [(port, grant.address) for grant in self._ledger.grants.values() for port in grant.ports]
        nft.run(rules.setup(layout, published))
        plumbing.remove_strangers(layout, self._ledger.addresses())
        self._locals.keep_only(self._ledger.networks())
        log.info("network.ready", tasks=len(self._ledger.grants), rebuilt=rebuilt, ip_forward=True)

    def apply(self, states: Mapping[str, NetworkState], gone: Collection[str], check: bool) -> None:
        before = self._overlays.ports
        if check:
            firewall.let_through(self._layout.uplink)  # one that was started after us
        try:
            self._overlays.apply(states, gone, check)
        finally:
            if check or self._overlays.ports != before:
                plumbing.run_in_router(self._layout, access.close(self._layout, self._overlays.ports))
            try:
                self._ingress.apply(states, gone, check)
            finally:
                self._overlays.let_go()

    def mend_tunnel(self) -> None:
        self._overlays.mend()

    def drivers(self) -> frozenset[str]:
        found = probe.drivers(self._layout)
        return found | {ENCRYPTED} if self.tunnel.key and OVERLAY in found else found

    def attach(
        self, task_id: str, ports: Sequence[PublishedPort], networks: tuple[TaskNetwork, ...], mac: str
    ) -> Sandbox:
        names = {one.network_id for one in networks}
        if HOST in names:
            return Sandbox(task_id, "", netns_path="", resolv_conf="")
        if NONE in names:
            return Sandbox(task_id, "", str(plumbing.ensure_alone(self._layout, task_id)), resolv_conf="")
        grant = self._ledger.grants.get(task_id)
        if grant is not None and not fits(ports, grant.ports):
            self.detach(task_id)
            grant = None
        known = grant is not None  # it may run: what it has is not taken from it
        try:
            if grant is not None and not is_same(networks, grant.networks):
                grant = self._rewire(task_id, grant, networks)
            grant = grant or self._grant(task_id, ports, networks, mac)
            plumbing.ensure_task(self._layout, task_id, grant.address, grant.mac)
            path = self._layout.namespace(task_id)
            mtu, own = plumbing.router_mtu(self._layout), self._layout.addresses(grant.address)
            self._locals.connect(task_id, path, grant.networks, mtu, own)
            self._overlays.connect(task_id, path, grant)
            plumbing.run_in_router(self._layout, access.admit(self._layout, grant.access, grant.address))
            script = rules.publish(self._layout, grant.ports, grant.address)
            if script:
                nft.run(script)
        except (OSError, TaskRejected) as error:
            if not known:
                with contextlib.suppress(OSError):  # the first error is to be told; keep_only tries again
                    self.detach(task_id)
            if isinstance(error, TaskRejected):
                raise
            raise TaskRejected(f"cannot connect the task to the network: {error}") from error
        return self._sandbox(task_id, grant)

    def detach(self, task_id: str) -> None:
        grant = self._ledger.grants.get(task_id)
        address, ports = (grant.address, grant.ports) if grant else (None, ())
        if grant is not None:
            self._overlays.disconnect(task_id, grant)
            others = self._ledger.without(task_id).networks()
            self._locals.disconnect(task_id, self._layout.namespace(task_id), grant.networks, others)
        plumbing.remove_task(self._layout, task_id, address, ports)
        self._reservations.release(task_id)
        if grant is not None:
            plumbing.run_in_router(self._layout, access.forget(self._layout, grant.access, grant.address))
            self._record(self._ledger.without(task_id))

    def keep_only(self, task_ids: frozenset[str]) -> None:
        there = {path.name for path in self._layout.namespaces.iterdir()} - {self._layout.router.name}
        for task_id in sorted((there | self._ledger.grants.keys()) - task_ids):
            log.info("network.leftover_removed", task_id=task_id)
            self.detach(task_id)

    def teardown(self) -> None:
        self._overlays.teardown()
        self._locals.teardown()
        plumbing.teardown(self._layout)
        self._reservations.release_all()
        self._ledger = Ledger()
        self._layout.journal.unlink(missing_ok=True)
        for in_networks in (False, True):
            self._layout.resolv_conf(in_networks=in_networks).unlink(missing_ok=True)

    def close(self) -> None:
        self._reservations.release_all()

    def _grant(
        self, task_id: str, ports: Sequence[PublishedPort], networks: tuple[TaskNetwork, ...], mac: str
    ) -> Grant:
        reach = self._overlays.access(networks)
        networks = placed(self._locals.chosen(networks, self._ledger.networks()))
        chosen = self._reservations.hold(task_id, ports, self._ledger.ports(), secrets.randbelow(1 << 16))
        try:
            address = next_address(self._layout.subnet, self._ledger.addresses(), self._ledger.last_address)
            grant = Grant(address, tuple(chosen), networks, reach, mac)
            self._record(self._ledger.with_grant(task_id, grant))
        except (OSError, TaskRejected):
            self._reservations.release(task_id)
            raise
        return grant

    def _rewire(self, task_id: str, grant: Grant, networks: tuple[TaskNetwork, ...]) -> Grant:
        """Take a task out of the networks that it leaves, and note down those that it joins."""
        reach = self._overlays.access(networks)
        before = placed(grant.networks)
        same = kept(networks, before)
        gone = tuple(one for one in before if one not in same)
        staying = replace(grant, networks=tuple(one for one in before if one in same))
        others = self._ledger.changed(task_id, staying).networks()
        self._overlays.disconnect(task_id, replace(grant, networks=gone), unplug=True)
        self._locals.disconnect(task_id, self._layout.namespace(task_id), gone, others, unplug=True)
        fresh = [one for one in same if one not in before]
        chosen = {one.network_id: one for one in self._locals.chosen(fresh, others)}
        wanted = placed(chosen.get(one.network_id, one) for one in same)
        changed = replace(grant, networks=wanted, access=reach)
        self._record(self._ledger.changed(task_id, changed))
        if reach is not grant.access:
            plumbing.run_in_router(self._layout, access.admit(self._layout, reach, grant.address))
            plumbing.run_in_router(self._layout, access.forget(self._layout, grant.access, grant.address))
        return changed

    def _record(self, ledger: Ledger) -> None:
        journal.save(self._layout.journal, ledger)
        self._ledger = ledger

    def _sandbox(self, task_id: str, grant: Grant) -> Sandbox:
        return Sandbox(
            task_id=task_id,
            address=str(grant.address),
            netns_path=str(self._layout.namespace(task_id)),
            resolv_conf=str(self._layout.resolv_conf(in_networks=bool(grant.networks))),
            ports=grant.ports,
        )

    def _drop_lost(self) -> None:
        """Forget grants without a namespace: never completed, or of a time before a reboot."""
        for task_id in list(self._ledger.grants):
            if not namespaces.is_namespace(self._layout.namespace(task_id)):
                self.detach(task_id)

    def _reconnect(self, task_id: str, path: Path, grant: Grant) -> None:
        """Complete what an earlier life of the agent began; one task in trouble keeps none of the others."""
        mtu, own = plumbing.router_mtu(self._layout), self._layout.addresses(grant.address)
        try:
            self._locals.connect(task_id, path, grant.networks, mtu, own)
        except (OSError, TaskRejected) as error:
            log.warning("network.task_not_reconnected", task_id=task_id, reason=str(error))

    def _hold_again(self, task_id: str, grant: Grant) -> None:
        others = self._ledger.without(task_id).ports()
        try:
            self._reservations.hold(task_id, grant.ports, others, 0)
        except TaskRejected as error:
            # Traffic still goes to the task, as it did while no agent was there to hold the port.
            log.warning("network.port_not_held", task_id=task_id, reason=str(error))

    def _write_resolv_conf(self) -> None:
        node = _read(self._resolv_conf)
        for in_networks in (False, True):
            text = resolv.for_tasks(node, str(GATEWAY), in_networks=in_networks)
            # Written in place: the file is bind-mounted into running containers.
            self._layout.resolv_conf(in_networks=in_networks).write_text(text)


def _copy(state: NetworkState) -> NetworkState:
    return replace(
        state, peers=dict(state.peers), endpoints=dict(state.endpoints), services=dict(state.services)
    )


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
