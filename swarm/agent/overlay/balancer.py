"""Keeps the balancing rules in the routers of a node's networks in line with what the managers say.

For the one thread that works on the network of the node. Rules and connections need no agent: they stay as
they are while it restarts.
"""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

import structlog

from swarm.agent.network import conntrack, namespaces, nft
from swarm.agent.overlay.balancing import Balance, balance_of, changes, everything, listing
from swarm.agent.overlay.state import NetworkState

log = structlog.get_logger(__name__)

Address = IPv4Address | IPv6Address


class Balancer:
    """What is in force in each network."""

    def __init__(self) -> None:
        self._in_force: dict[str, Balance] = {}  # by network
        self._answering: dict[str, frozenset[Address]] = {}  # addresses of tasks, on any node

    def follow(self, network_id: str, router: Path, state: NetworkState, *, check: bool) -> None:
        """Put in force what differs; with `check` everything. Raises OSError, and then knows nothing.

        Connections to tasks that are gone are forgotten: their clients hear so at once and may come again.
        """
        before, after = self._in_force.pop(network_id, None), balance_of(state)
        answering = frozenset(_addresses(state))
        with namespaces.entered(router):
            if before is None or check or before.routers != after.routers:
                nft.run(everything(after, nft.run(listing())))
            elif script := changes(before, after):
                nft.run(script)
            self._forget_connections(self._answering.get(network_id), answering)
        self._in_force[network_id], self._answering[network_id] = after, answering

    def forget(self, network_id: str) -> None:
        """Know nothing of a network whose router is gone, or may be another."""
        self._in_force.pop(network_id, None)
        self._answering.pop(network_id, None)

    @staticmethod
    def _forget_connections(before: frozenset[Address] | None, after: frozenset[Address]) -> None:
        gone = before - after if before is not None else frozenset[Address]()
        if before is not None and not gone:
            return
        with conntrack.open_netfilter() as netlink:
            if before is None:  # of an earlier life of the agent
                ended = sum(conntrack.forget_others(netlink, version, after) for version in (4, 6))
            else:
                ended = sum(conntrack.forget(netlink, address) for address in gone)
        if ended:
            log.info("overlay.connections_ended", connections=ended, tasks=len(gone))


def _addresses(state: NetworkState) -> Iterable[Address]:
    for endpoint in state.endpoints.values():
        yield from map(ip_address, endpoint.addresses)
