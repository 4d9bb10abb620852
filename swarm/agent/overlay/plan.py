"""What must the router of an overlay network hold on this node, and what does it lack?

Pure. The same comparison brings the kernel in line with what the managers say and proves that it is.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Literal, TypeVar

from swarm.agent.overlay.state import NetworkState
from swarm.api.v1.objects_pb2 import Subnet
from swarm.api.v1.overlay_pb2 import OverlayEndpoint, OverlayNetwork, OverlayPeer
from swarm.api.v1.types_pb2 import PortConfig

Address = IPv4Address | IPv6Address
Subnets = tuple[IPv4Network | IPv6Network, ...]
Table = Literal["neighbour", "forwarding", "route"]

K = TypeVar("K", bound=Address | str)
V = TypeVar("V", bound=Address | str)

DEFAULT_PORT = 4789
_OVERHEAD = {4: 50, 6: 70}  # outer Ethernet, IP, UDP and VXLAN headers, by family of the path
TUNNEL_OVERHEAD = {4: 60, 6: 80}  # IP, UDP and WireGuard's own, by family of the path
_MTU_MIN = {4: 576, 6: 1280}  # what every host must be able to take, by family of the addresses inside


@dataclass(frozen=True, slots=True)
class Overlay:
    """One network as this node takes part in it."""

    network_id: str
    vxlan_id: int
    port: int  # UDP, between nodes
    addresses: tuple[Address, ...]  # of this node's router
    subnets: Subnets
    internal: bool
    ingress: bool
    mtu: int  # as asked for; 0: what the path leaves
    path_family: int  # 4 or 6: how nodes reach each other
    encrypted: bool = False  # between nodes

    @property
    def mac(self) -> str:
        """Return the hardware address of this node's router."""
        return router_mac(self.addresses)

    def mtu_over(self, path_mtu: int) -> int:
        """Return the size of packets inside, for a path between nodes that takes `path_mtu` bytes."""
        inside = max((_MTU_MIN[subnet.version] for subnet in self.subnets), default=_MTU_MIN[4])
        if self.encrypted:
            path_mtu -= TUNNEL_OVERHEAD[self.path_family]
        return self.mtu or max(path_mtu - _OVERHEAD[self.path_family], inside)


@dataclass(frozen=True, slots=True)
class Mesh:
    """Where the router of one network sends what is for others: entries of three tables."""

    neighbours: Mapping[Address, str] = field(default_factory=dict)  # router address -> its MAC
    forwarding: Mapping[str, Address] = field(default_factory=dict)  # MAC of a router -> its node
    routes: Mapping[Address, Address] = field(default_factory=dict)  # task -> router of its node

    def without_routes(self, local: Iterable[Address]) -> "Mesh":
        """Return the mesh without what leads to these addresses, which are on this node."""
        here = frozenset(local)
        if here.isdisjoint(self.routes):
            return self
        routes = {task: router for task, router in self.routes.items() if task not in here}
        return Mesh(self.neighbours, self.forwarding, routes)

    def over(self, before: "Mesh") -> "Mesh":
        """Return the mesh with all besides that `before` holds."""
        return Mesh(
            {**before.neighbours, **self.neighbours},
            {**before.forwarding, **self.forwarding},
            {**before.routes, **self.routes},
        )


@dataclass(frozen=True, slots=True)
class Change:
    """One entry to set, or to remove when it has no value."""

    table: Table
    key: Address | str
    value: Address | str | None


def overlay_of(state: NetworkState, family: int = 4) -> Overlay:
    """Return the network as its messages describe it; raises ValueError for a subnet that is none.

    `family` is that of the path as long as no other node is there to say it.
    """
    network = state.network
    return Overlay(
        network_id=network.id,
        vxlan_id=network.vxlan_id,
        port=network.data_path_port or DEFAULT_PORT,
        addresses=_by_family(network.router_addresses),
        subnets=subnets_of(network),
        internal=network.internal,
        ingress=network.ingress,
        mtu=network.mtu,
        path_family=_path_family(state.peers.values()) or family,
        encrypted=network.encrypted,
    )


def subnets_of(network: OverlayNetwork) -> Subnets:
    """Return the subnets that tasks of the network are in."""
    return tuple(_subnet(one) for one in network.subnets)


def mesh_of(state: NetworkState, path_family: int) -> Mesh:
    """Return what the router needs to reach every other node and the tasks there.

    Tasks of nodes that nothing is heard of have no route. Peers that cannot be reached in this family are
    left out.
    """
    neighbours: dict[Address, str] = {}
    forwarding: dict[str, Address] = {}
    routers: dict[str, Mapping[int, Address]] = {}
    for peer in state.peers.values():
        node, addresses = parsed(peer.address), _by_family(peer.router_addresses)
        if node is None or node.version != path_family or not addresses:
            continue
        mac = router_mac(addresses)
        forwarding[mac] = node
        neighbours.update(dict.fromkeys(addresses, mac))
        routers[peer.node_id] = {address.version: address for address in addresses}
    return Mesh(neighbours, forwarding, dict(_routes(state.endpoints.values(), routers)))


def asked_by_datagrams(state: NetworkState) -> frozenset[str]:
    """Return the ids of the tasks that ports of all nodes lead datagrams to."""
    if not state.network.ingress:
        return frozenset()
    services = {
        service.service_id
        for service in state.services.values()
        if any(port.protocol == PortConfig.PROTOCOL_UDP for port in service.ports)
    }
    return frozenset(one.task_id for one in state.endpoints.values() if one.service_id in services)


def differences(there: Mesh, wanted: Mesh) -> tuple[Change, ...]:
    """Return what turns one mesh into the other: ways before what leads to them, then the reverse."""
    forwarding = _differing("forwarding", there.forwarding, wanted.forwarding)
    neighbours = _differing("neighbour", there.neighbours, wanted.neighbours)
    routes = _differing("route", there.routes, wanted.routes)
    set_ = [change for change in (*forwarding, *neighbours, *routes) if change.value is not None]
    gone = [change for change in (*routes, *neighbours, *forwarding) if change.value is None]
    return (*set_, *gone)


def router_mac(addresses: Iterable[Address]) -> str:
    """Return the hardware address of the router with these addresses, the same on every node.

    Of an IPv4 address it holds all four bytes; of IPv6 alone a digest, as subnets may differ in any byte.
    """
    first = min(addresses, key=lambda address: (address.version, address.packed))
    packed = first.packed if first.version == 4 else hashlib.sha256(first.packed).digest()[:4]
    return "02:42:" + packed.hex(":")


def path_of(state: NetworkState) -> Address | None:
    """Return the address of some other node, through which the size of packets can be found."""
    return next((node for peer in state.peers.values() if (node := parsed(peer.address))), None)


@lru_cache(maxsize=1 << 16)
def parsed(text: str) -> Address | None:
    """Return an address, None for a text that is none."""
    try:
        return ip_address(text)
    except ValueError:
        return None


def _differing(table: Table, there: Mapping[K, V], wanted: Mapping[K, V]) -> list[Change]:
    set_ = [Change(table, key, value) for key, value in wanted.items() if there.get(key) != value]
    return set_ + [Change(table, key, None) for key in there if key not in wanted]


def _routes(
    endpoints: Iterable[OverlayEndpoint], routers: Mapping[str, Mapping[int, Address]]
) -> Iterator[tuple[Address, Address]]:
    for endpoint in endpoints:
        by_family = routers.get(endpoint.node_id)
        if by_family is None:
            continue
        for text in endpoint.addresses:
            address = parsed(text)
            if address is not None and address.version in by_family:
                yield address, by_family[address.version]


def _by_family(texts: Iterable[str]) -> tuple[Address, ...]:
    found = [address for text in texts if (address := parsed(text))]
    return tuple(sorted(found, key=lambda address: address.version))


def _subnet(subnet: Subnet) -> IPv4Network | IPv6Network:
    return ip_network(subnet.subnet)


def _path_family(peers: Iterable[OverlayPeer]) -> int:
    families = {node.version for peer in peers if (node := parsed(peer.address))}
    return (6 if families == {6} else 4) if families else 0
