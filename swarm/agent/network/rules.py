"""The node's netfilter rules, as scripts for `nft.run`. Each is one transaction and may be repeated.

Chains are flushed and filled, never deleted and made again: a running connection, and one that begins at
this very moment, sees the old rules or the new ones.

There is a table for each family of addresses. Ports of every address of the node are in one map, those of
some in another.
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address

from swarm.agent.network.base import PublishedPort
from swarm.agent.network.families import IPV4, IPV6, Family
from swarm.agent.network.layout import Layout
from swarm.model.host_addresses import is_of, spelled

PublishedTo = tuple[PublishedPort, IPv4Address]
_TO = "{kind} . inet_service"
_ANY = "type inet_proto . inet_service : " + _TO
_SOME = "type {kind} . inet_proto . inet_service : " + _TO + "; flags interval"
_PORT = "meta l4proto . th dport"


@dataclass(frozen=True, slots=True)
class EveryNodePort:
    """A port of every node, or of those of a node's addresses that are in `host_ip`."""

    protocol: str
    number: int
    host_ip: str = ""


def setup(layout: Layout, published: Iterable[PublishedTo]) -> str:
    """Make the tables: published ports, and masquerade for what leaves the node."""
    everything = list(published)
    lines: list[str] = []
    for family in layout.families:
        table = _table(layout, family)
        lines.append(f"add table {table}")
        for name, kind in _maps("published"):
            lines += [f"add map {table} {name} {{ {kind.format(kind=family.kind)}; }}"]
            lines += [f"flush map {table} {name}"]
        # Not emptied: until the managers have spoken, what an earlier life of this agent published holds.
        for name, kind in _maps("ingress"):
            lines += [f"add map {table} {name} {{ {kind.format(kind=family.kind)}; }}"]
        lines += [
            *_chain(table, "prerouting", "nat hook prerouting priority -100"),
            *_chain(table, "output", "nat hook output priority -100"),
            *_chain(table, "postrouting", "nat hook postrouting priority 100"),
        ]
        for chain in ("prerouting", "output"):
            lines += [f"add rule {table} {chain} {rule}" for rule in _redirect(family)]
        lines += [f"add rule {table} postrouting {rule}" for rule in _masquerade(layout, family)]
    lines += [line for port, address in everything for line in _publish(layout, (port,), address)]
    return "\n".join(lines) + "\n"


def publish(layout: Layout, ports: Iterable[PublishedPort], address: IPv4Address) -> str:
    """Lead the ports of the node to a task; empty when there are none."""
    return "".join(f"{line}\n" for line in _publish(layout, ports, address))


def withdraw(layout: Layout, port: PublishedPort) -> Iterator[str]:
    """Stop leading a port anywhere: scripts of which each fails when it leads nowhere already."""
    for family in layout.families:
        if is_of(port.host_ip, family.version):
            name = _map("published", port.host_ip)
            key = _key(port.protocol, port.published_port, port.host_ip)
            yield f"delete element {_table(layout, family)} {name} {{ {key} }}\n"


def publish_everywhere(layout: Layout, ports: Collection[EveryNodePort], *, anew: bool, ipv6: bool) -> str:
    """Lead ports of this node to the ingress router; `anew`: these and no others."""
    lines = []
    for family in layout.families:
        table, router = _table(layout, family), layout.of_family(layout.ingress_address, family)
        if anew:
            lines += [f"flush map {table} {name}" for name, _ in _maps("ingress")]
        for name, _ in _maps("ingress") if family is IPV4 or ipv6 else ():
            listed = [
                f"{key} : {router} . {one.number}" for one, key in _every_node(ports, name, family.version)
            ]
            lines += [f"add element {table} {name} {{ {', '.join(listed)} }}"] if listed else []
    return "\n".join([*lines, ""])


def unpublish(layout: Layout, ports: Collection[EveryNodePort], *, ipv6: bool) -> str:
    """Lead these ports of this node, some at least, to the ingress router no more."""
    lines = []
    for family in layout.families:
        for name, _ in _maps("ingress") if family is IPV4 or ipv6 else ():
            listed = [key for _, key in _every_node(ports, name, family.version)]
            table = _table(layout, family)
            lines += [f"delete element {table} {name} {{ {', '.join(listed)} }}"] if listed else []
    return "\n".join([*lines, ""])


def teardown(layout: Layout) -> str:
    """Remove the tables; no error when there are none."""
    tables = [_table(layout, family) for family in layout.families]
    return "".join(f"add table {table}\ndelete table {table}\n" for table in tables)


def _table(layout: Layout, family: Family) -> str:
    return f"{family.ip} {layout.table}"


def _maps(name: str) -> tuple[tuple[str, str], ...]:
    return ((name, _ANY), (f"{name}_at", _SOME))


def _map(name: str, host_ip: str) -> str:
    return f"{name}_at" if host_ip else name


def _chain(table: str, name: str, hook: str) -> list[str]:
    return [f"add chain {table} {name} {{ type {hook}; }}", f"flush chain {table} {name}"]


def _redirect(family: Family) -> Iterator[str]:
    # What a program of the node sends to ::1 cannot leave it: refused there, it comes again with 127.0.0.1.
    local = "fib daddr type local" + (" ip6 daddr != ::1" if family is IPV6 else "")
    for name in ("published", "ingress"):
        yield f"{local} dnat {family.ip} to {_PORT} map @{name}"
        key = f"{family.ip} daddr . {_PORT}"
        yield f"{local} meta l4proto {{ tcp, udp, sctp }} dnat {family.ip} to {key} map @{name}_at"


def _masquerade(layout: Layout, family: Family) -> Iterator[str]:
    """Yield the rules that replace the source of packets where the reply would not find its way."""
    subnet = layout.subnet if family is IPV4 else layout.prefix6
    if family is IPV4:  # Programs of the node that connect to 127.0.0.1:published.
        yield f'oifname "{layout.uplink}" ip saddr 127.0.0.0/8 masquerade'
    # Tasks that connect to a published port of their own node: the reply must come back through here.
    yield f'oifname "{layout.uplink}" {family.ip} saddr {subnet} masquerade'
    # Tasks that connect to the world.
    yield f'oifname != "{layout.uplink}" {family.ip} saddr {subnet} masquerade'


def _publish(layout: Layout, ports: Iterable[PublishedPort], address: IPv4Address) -> Iterator[str]:
    everything = list(ports)
    for family in layout.families:
        to = layout.of_family(address, family)
        for name in ("published", "published_at"):
            listed = [
                f"{_key(port.protocol, port.published_port, port.host_ip)} : {to} . {port.target_port}"
                for port in everything
                if _map("published", port.host_ip) == name and is_of(port.host_ip, family.version)
            ]
            if listed:
                yield f"add element {_table(layout, family)} {name} {{ {', '.join(listed)} }}"


def _every_node(
    ports: Iterable[EveryNodePort], name: str, version: int
) -> Iterator[tuple[EveryNodePort, str]]:
    for one in sorted(ports, key=lambda port: (port.protocol, port.number, port.host_ip)):
        if _map("ingress", one.host_ip) == name and is_of(one.host_ip, version):
            yield one, _key(one.protocol, one.number, one.host_ip)


def _key(protocol: str, number: int, host_ip: str) -> str:
    return f"{spelled(host_ip)} . {protocol} . {number}" if host_ip else f"{protocol} . {number}"
