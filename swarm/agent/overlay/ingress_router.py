"""The router through which ports are published, kept in line with what the managers say.

It is the router of the ingress network on this node with one more cable, to the network of the node. For
the one thread that works on that network. Everything may be repeated; nothing here touches connections that
are under way, except those to tasks that have gone.
"""

import errno
from collections.abc import Collection, Mapping
from pathlib import Path

import structlog

from swarm.agent.network import conntrack, namespaces, nft, plumbing, policies, rules
from swarm.agent.network.layout import Layout
from swarm.agent.network.policies import Policy
from swarm.agent.overlay.ingress import FIRST_ROUTING_TABLE, Ingress, ingress_of, script
from swarm.agent.overlay.layout import VXLAN_INDEX, OverlayLayout
from swarm.agent.overlay.plan import Address, parsed
from swarm.agent.overlay.state import NetworkState
from swarm.errors import Unavailable

log = structlog.get_logger(__name__)


class IngressRouter:
    """Publishes ports of services on this node."""

    def __init__(self, layout: Layout, overlays: OverlayLayout) -> None:
        self._layout = layout
        self._overlays = overlays
        self._network_id = ""
        self._there: Ingress | None = None  # None: look, or make it
        self._tasks: frozenset[Address] = frozenset()

    def apply(self, states: Mapping[str, NetworkState], gone: Collection[str], check: bool) -> None:
        """Follow what differs in the ingress network, if that is among it; `check` makes everything anew.

        Raises Unavailable with what could not be brought about.
        """
        # An agent that has just started does not know which network it was: what holds is not taken away.
        is_there = any(state.network.ingress for state in states.values())
        if self._network_id in gone or (check and not is_there):
            self._close()
        for network_id, state in states.items():
            if not state.network.ingress:
                continue
            try:
                self._follow(network_id, state, check or network_id != self._network_id)
            except OSError as error:
                self._there = None
                log.warning("ingress.not_applied", network_id=network_id, reason=str(error))
                raise Unavailable(f"cannot publish ports through network {network_id}: {error}") from error

    def _follow(self, network_id: str, state: NetworkState, check: bool) -> None:
        path, wanted = self._overlays.router(network_id), ingress_of(state)
        if not namespaces.is_namespace(path):
            return  # the network itself comes first
        before = None if check else self._there
        self._network_id, self._there = network_id, None
        if before is None:
            plumbing.ensure_ingress(self._layout, path)
        closed = before.open - wanted.open if before is not None else frozenset()
        if closed:
            nft.run(rules.unpublish(self._layout, closed, ipv6=wanted.ipv6))
        text = script(before, wanted)
        if text:
            with namespaces.entered(path):
                nft.run(text)
        if before is None or before.routers != wanted.routers:
            _route_returns(path, wanted)
        if before is None or wanted.open - before.open:
            anew, ipv6 = before is None, wanted.ipv6
            nft.run(rules.publish_everywhere(self._layout, wanted.open, anew=anew, ipv6=ipv6))
        self._forget(path, state)
        if before is None:
            log.info("ingress.published", network_id=network_id, ports=len(wanted.ports))
        self._there = wanted

    def _forget(self, path: Path, state: NetworkState) -> None:
        """Let clients of tasks that have gone connect again, instead of talking to nobody."""
        listed = (parsed(text) for one in state.endpoints.values() for text in one.addresses)
        tasks = frozenset(one for one in listed if one is not None)
        lost, self._tasks = self._tasks - tasks, tasks
        if lost:
            with namespaces.entered(path), conntrack.open_netfilter() as netfilter:
                for address in lost:
                    conntrack.forget(netfilter, address)

    def _close(self) -> None:
        if nft.available():
            nft.run(rules.publish_everywhere(self._layout, (), anew=True, ipv6=True))
        self._network_id, self._there, self._tasks = "", None, frozenset()


def _route_returns(path: Path, wanted: Ingress) -> None:
    """Send answers of marked connections to the router that they came through."""
    marks = dict(wanted.routers.values())
    with plumbing.netlink_in(path) as router:
        there = {one for one in policies.list_policies(router) if one.mark}
        needed = {
            Policy(FIRST_ROUTING_TABLE + mark, mark=mark, version=address.version)
            for mark, addresses in marks.items()
            for address in addresses
        }
        for mark, addresses in marks.items():
            for address in addresses:
                router.run(policies.default_route(FIRST_ROUTING_TABLE + mark, VXLAN_INDEX, address))
        for one in needed - there:
            router.run(policies.policy(one), ignore={errno.EEXIST})
        for one in there - needed:
            router.run(policies.delete_policy(one), ignore={errno.ENOENT})
