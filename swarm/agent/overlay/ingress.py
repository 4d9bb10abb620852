"""Which rules lead a published port of this node to tasks of its service, wherever they are? Pure.

    client ── node's port ── (published port → router, in the node's rules)
           ── ingress router ── DNAT to one of the tasks ── VXLAN ── router of its node ── task

Nothing rewrites the client's address, so the task sees it. Its answer has to come back through the router
that chose the task: the router of the task's node marks each connection that comes from another router by
that router's hardware address, and sends answers of marked connections there.

Where a service wants it (`snat`), the task sees the address of the ingress router that chose it instead.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network
from typing import TypeAlias

from swarm.agent.network.families import FAMILIES, IPV4, Family
from swarm.agent.network.rules import EveryNodePort
from swarm.agent.overlay.balancing import SEED
from swarm.agent.overlay.layout import VXLAN_LINK
from swarm.agent.overlay.plan import Address, overlay_of, parsed, router_mac
from swarm.agent.overlay.state import NetworkState
from swarm.api.v1.types_pb2 import EndpointSpec
from swarm.model.host_addresses import spelled
from swarm.model.ingress_ports import protocol_name

NAME = "swarm_ingress"  # of the table of each family
UPLINK = "eth0"  # of the ingress router, towards the node
FIRST_ROUTING_TABLE = 1000  # behind those that people use by hand
HIDDEN = 1 << 31  # mark of a connection whose client is hidden; the place of no router

Published: TypeAlias = tuple[str, int]  # protocol and port of every node
Target: TypeAlias = tuple[Address, int]  # address and port of a task
Routers: TypeAlias = Mapping[str, tuple[int, tuple[Address, ...]]]  # MAC → mark, addresses


@dataclass(frozen=True, slots=True)
class Ingress:
    """Everything that the ingress router of a node has to know besides its mesh."""

    ports: Mapping[Published, tuple[Target, ...]] = field(default_factory=dict)
    routers: Routers = field(default_factory=dict)
    by_client: frozenset[Published] = frozenset()  # where a client is always led to the same task
    host_ips: Mapping[Published, str] = field(default_factory=dict)  # of those at some addresses only
    ipv6: bool = False  # its tasks have addresses of that family
    first: int = 0  # whose turn it is first at this node, see `_in_turn`
    hidden: frozenset[Published] = frozenset()  # where tasks see this router in place of the client
    own: tuple[Address, ...] = ()  # addresses of this router

    @property
    def open(self) -> frozenset[EveryNodePort]:
        """Return the ports as the node is to lead them here."""
        return frozenset(EveryNodePort(*key, self.host_ips.get(key, "")) for key in self.ports)

    @property
    def families(self) -> tuple[Family, ...]:
        """Return the families of its clients."""
        return FAMILIES if self.ipv6 else (IPV4,)


def ingress_of(state: NetworkState) -> Ingress:
    """Return what the managers say of the network that ports are published through."""
    targets: dict[str, list[Address]] = {}
    for endpoint in state.endpoints.values():
        if endpoint.serving:
            found = (one for text in endpoint.addresses if (one := parsed(text)) is not None)
            targets.setdefault(endpoint.service_id, []).extend(found)
    every = {
        (protocol_name(port), port.published_port): (service, port)
        for service in state.services.values()
        for port in service.ports
    }
    ports = {
        key: tuple(
            (address, port.target_port)
            for address in sorted(
                targets.get(service.service_id, ()), key=lambda one: (one.version, one.packed)
            )
        )
        for key, (service, port) in every.items()
    }
    client_ip = EndpointSpec.AFFINITY_CLIENT_IP
    own = _parsed(state.network.router_addresses)
    return Ingress(
        ports,
        _routers(state),
        frozenset(key for key, (service, _) in every.items() if service.affinity == client_ip),
        {key: spelled(port.host_ip) for key, (_, port) in every.items() if port.host_ip},
        any(subnet.version == 6 for subnet in overlay_of(state).subnets),
        _place(state, own) or 0,
        frozenset(key for key, (service, _) in every.items() if service.snat),
        own,
    )


def _routers(state: NetworkState) -> Routers:
    found: dict[str, tuple[int, tuple[Address, ...]]] = {}
    for peer in state.peers.values():
        addresses = _parsed(peer.router_addresses)
        place = _place(state, addresses)
        if place is not None:
            found[router_mac(addresses)] = (place, addresses)
    return found


def _place(state: NetworkState, router: Iterable[Address]) -> int | None:
    """Return the place of a router in its subnet: a number of its node's own, as long as that is there."""
    for address in router:
        for subnet in overlay_of(state).subnets:
            if isinstance(address, IPv4Address) and isinstance(subnet, IPv4Network) and address in subnet:
                return int(address) - int(subnet.network_address)
    return None


def _parsed(texts: Iterable[str]) -> tuple[Address, ...]:
    return tuple(one for text in texts if (one := parsed(text)) is not None)


def script(before: Ingress | None, after: Ingress) -> str:
    """Return what turns the rules `before` into those `after`, all at once; empty when they are equal.

    Without `before` everything is made anew. Connections that are under way stay where they are.
    """
    if before is not None and (before.ipv6, before.own) != (after.ipv6, after.own):
        before = None
    lines = [line for family in after.families for line in _script(before, after, family)]
    return "\n".join(lines) + "\n" if lines else ""


def _script(before: Ingress | None, after: Ingress, family: Family) -> Iterator[str]:
    if before is None:
        yield from (
            *_frame(family, after.own),
            *_chains(after, after.ports, family),
            *_elements("add", after, family),
        )
        return
    other_way = (before.by_client ^ after.by_client) | (before.hidden ^ after.hidden)
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
    yield from _elements("delete", gone, family)
    yield from _chains(after, changed, family)
    yield from _elements("add", new, family)
    for key in gone.ports:
        yield f"flush chain {_table(family)} {_chain(key)}"
        yield f"delete chain {_table(family)} {_chain(key)}"


def _table(family: Family) -> str:
    return f"{family.ip} {NAME}"


def _frame(family: Family, own: Iterable[Address]) -> list[str]:
    table = _table(family)
    of_family = (one for one in own if one.version == family.version)
    return [
        f"add table {table}",
        f"delete table {table}",
        f"add table {table}",
        f"add map {table} ports {{ type inet_proto . inet_service : verdict; }}",
        f"add map {table} routers {{ type ether_addr : mark; }}",
        f"add chain {table} origins {{ type filter hook prerouting priority -150; }}",
        f'add rule {table} origins iifname "{VXLAN_LINK}" ct state new ct mark set ether saddr map @routers',
        f'add rule {table} origins iifname != {{ "{VXLAN_LINK}", "{UPLINK}" }} ct direction reply '
        "meta mark set ct mark",
        f"add chain {table} balance {{ type nat hook prerouting priority -100; }}",
        f'add rule {table} balance iifname "{UPLINK}" meta l4proto . th dport vmap @ports',
        f"add chain {table} forward {{ type filter hook forward priority 0; }}",
        # Clients know nothing of the tunnel: their packets have to fit into it.
        f'add rule {table} forward oifname "{VXLAN_LINK}" tcp flags syn tcp option maxseg size set rt mtu',
        f"add chain {table} sources {{ type nat hook postrouting priority 100; }}",
        *(f"add rule {table} sources ct mark {HIDDEN} snat {family.ip} to {one}" for one in of_family),
    ]


def _elements(verb: str, what: Ingress, family: Family) -> list[str]:
    lines = []
    if what.ports:
        listed = (f"{key[0]} . {key[1]} : goto {_chain(key)}" for key in sorted(what.ports))
        lines.append(f"{verb} element {_table(family)} ports {{ {', '.join(listed)} }}")
    if what.routers:
        listed = (f"{mac} : {mark}" for mac, (mark, _) in sorted(what.routers.items()))
        lines.append(f"{verb} element {_table(family)} routers {{ {', '.join(listed)} }}")
    return lines


def _chains(all_of: Ingress, keys: Iterable[Published], family: Family) -> list[str]:
    lines, ip = [], family.ip
    for key in sorted(keys):
        chain = f"{_table(family)} {_chain(key)}"
        targets = [one for one in all_of.ports[key] if one[0].version == family.version]
        lines += [f"add chain {chain}", f"flush chain {chain}"]
        if targets:
            if key in all_of.hidden:
                lines.append(f"add rule {chain} ct mark set {HIDDEN}")
            if key in all_of.by_client:
                way = f"jhash {ip} saddr mod {len(targets)} seed {SEED}"
            else:
                way, targets = f"numgen inc mod {len(targets)}", _in_turn(targets, all_of.first)
            places = ", ".join(f"{n} : {address} . {port}" for n, (address, port) in enumerate(targets))
            lines.append(f"add rule {chain} meta l4proto {key[0]} dnat {ip} to {way} map {{ {places} }}")
    return lines


def _in_turn(targets: list[Target], first: int) -> list[Target]:
    """Return the tasks in the order in which this node leads to them.

    All nodes count, and anew after each change. So each begins with another task: a client that was led to
    one that does not answer meets a different one when it tries the next node.
    """
    start = first % len(targets)
    return targets[start:] + targets[:start]


def _chain(key: Published) -> str:
    return f"{key[0]}_{key[1]}"
