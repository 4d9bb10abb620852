"""Which rules lead a published port of this node to tasks of its service, wherever they are? Pure.

    client ── node's port ── (published port → router, in the node's rules)
           ── ingress router ── DNAT to one of the tasks ── VXLAN ── router of its node ── task

Nothing rewrites the client's address, so the task sees it. Its answer has to come back through the router
that chose the task: the router of the task's node marks each connection that comes from another router by
that router's hardware address, and sends answers of marked connections there.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network
from typing import TypeAlias

from swarm.agent.overlay.balancing import SEED
from swarm.agent.overlay.layout import VXLAN_LINK
from swarm.agent.overlay.plan import overlay_of, parsed, router_mac
from swarm.agent.overlay.state import NetworkState
from swarm.api.v1.types_pb2 import EndpointSpec
from swarm.model.ingress_ports import protocol_name

TABLE = "ip swarm_ingress"
UPLINK = "eth0"  # of the ingress router, towards the node
FIRST_ROUTING_TABLE = 1000  # behind those that people use by hand

Published: TypeAlias = tuple[str, int]  # protocol and port of every node
Target: TypeAlias = tuple[IPv4Address, int]  # address and port of a task


@dataclass(frozen=True, slots=True)
class Ingress:
    """Everything that the ingress router of a node has to know besides its mesh."""

    ports: Mapping[Published, tuple[Target, ...]] = field(default_factory=dict)
    routers: Mapping[str, tuple[int, IPv4Address]] = field(default_factory=dict)  # MAC → mark, address
    by_client: frozenset[Published] = frozenset()  # where a client is always led to the same task


def ingress_of(state: NetworkState) -> Ingress:
    """Return what the managers say of the network that ports are published through."""
    targets: dict[str, list[IPv4Address]] = {}
    for endpoint in state.endpoints.values():
        address = _ipv4(endpoint.addresses)
        if endpoint.serving and address is not None:
            targets.setdefault(endpoint.service_id, []).append(address)
    ports = {
        (protocol_name(port), port.published_port): tuple(
            (address, port.target_port) for address in sorted(targets.get(service.service_id, ()))
        )
        for service in state.services.values()
        for port in service.ports
    }
    by_client = frozenset(
        (protocol_name(port), port.published_port)
        for service in state.services.values()
        for port in service.ports
        if service.affinity == EndpointSpec.AFFINITY_CLIENT_IP
    )
    return Ingress(ports, _routers(state), by_client)


def _routers(state: NetworkState) -> dict[str, tuple[int, IPv4Address]]:
    subnets = [one for one in overlay_of(state).subnets if isinstance(one, IPv4Network)]
    found: dict[str, tuple[int, IPv4Address]] = {}
    for peer in state.peers.values():
        addresses = [one for text in peer.router_addresses if (one := parsed(text)) is not None]
        first = next((one for one in addresses if isinstance(one, IPv4Address)), None)
        subnet = next((one for one in subnets if first in one), None)
        if first is not None and subnet is not None:
            found[router_mac(addresses)] = (int(first) - int(subnet.network_address), first)
    return found


def _ipv4(texts: Iterable[str]) -> IPv4Address | None:
    return next((one for text in texts if isinstance(one := parsed(text), IPv4Address)), None)


def script(before: Ingress | None, after: Ingress) -> str:
    """Return what turns the rules `before` into those `after`, all at once; empty when they are equal.

    Without `before` everything is made anew. Connections that are under way stay where they are.
    """
    if before is None:
        return "\n".join([*_frame(), *_chains(after, after.ports), *_elements("add", after)]) + "\n"
    other_way = before.by_client ^ after.by_client
    changed = {
        key: value
        for key, value in after.ports.items()
        if before.ports.get(key) != value or key in other_way
    }
    new = Ingress(
        {key: value for key, value in changed.items() if key not in before.ports},
        {mac: value for mac, value in after.routers.items() if before.routers.get(mac) != value},
    )
    gone = Ingress(
        {key: value for key, value in before.ports.items() if key not in after.ports},
        {mac: value for mac, value in before.routers.items() if after.routers.get(mac) != value},
    )
    lines = [*_elements("delete", gone), *_chains(after, changed), *_elements("add", new)]
    lines += [
        line
        for key in gone.ports
        for line in (f"flush chain {TABLE} {_chain(key)}", f"delete chain {TABLE} {_chain(key)}")
    ]
    return "\n".join(lines) + "\n" if lines else ""


def _frame() -> list[str]:
    return [
        f"add table {TABLE}",
        f"delete table {TABLE}",
        f"add table {TABLE}",
        f"add map {TABLE} ports {{ type inet_proto . inet_service : verdict; }}",
        f"add map {TABLE} routers {{ type ether_addr : mark; }}",
        f"add chain {TABLE} origins {{ type filter hook prerouting priority -150; }}",
        f'add rule {TABLE} origins iifname "{VXLAN_LINK}" ct state new ct mark set ether saddr map @routers',
        f'add rule {TABLE} origins iifname != {{ "{VXLAN_LINK}", "{UPLINK}" }} ct direction reply '
        "meta mark set ct mark",
        f"add chain {TABLE} balance {{ type nat hook prerouting priority -100; }}",
        f'add rule {TABLE} balance iifname "{UPLINK}" meta l4proto . th dport vmap @ports',
        f"add chain {TABLE} forward {{ type filter hook forward priority 0; }}",
        # Clients know nothing of the tunnel: their packets have to fit into it.
        f'add rule {TABLE} forward oifname "{VXLAN_LINK}" tcp flags syn tcp option maxseg size set rt mtu',
    ]


def _elements(verb: str, what: Ingress) -> list[str]:
    lines = []
    if what.ports:
        listed = (f"{key[0]} . {key[1]} : goto {_chain(key)}" for key in sorted(what.ports))
        lines.append(f"{verb} element {TABLE} ports {{ {', '.join(listed)} }}")
    if what.routers:
        listed = (f"{mac} : {mark}" for mac, (mark, _) in sorted(what.routers.items()))
        lines.append(f"{verb} element {TABLE} routers {{ {', '.join(listed)} }}")
    return lines


def _chains(all_of: Ingress, keys: Iterable[Published]) -> list[str]:
    lines = []
    for key in sorted(keys):
        chain, targets = _chain(key), all_of.ports[key]
        lines += [f"add chain {TABLE} {chain}", f"flush chain {TABLE} {chain}"]
        if targets:
            way = f"jhash ip saddr mod {len(targets)} seed {SEED}" if key in all_of.by_client else ""
            way = way or f"numgen inc mod {len(targets)}"
            places = ", ".join(f"{n} : {address} . {port}" for n, (address, port) in enumerate(targets))
            lines.append(
                f"add rule {TABLE} {chain} meta l4proto {key[0]} dnat ip to {way} map {{ {places} }}"
            )
    return lines


def _chain(key: Published) -> str:
    return f"{key[0]}_{key[1]}"
