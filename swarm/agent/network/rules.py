"""The node's netfilter rules, as scripts for `nft.run`. Each is one transaction and may be repeated.

Chains are flushed and filled, never deleted and made again: a running connection, and one that begins at
this very moment, sees the old rules or the new ones.
"""

from collections.abc import Collection, Iterable
from ipaddress import IPv4Address

from swarm.agent.network.base import PublishedPort
from swarm.agent.network.layout import Layout

PublishedTo = tuple[PublishedPort, IPv4Address]


def setup(layout: Layout, published: Iterable[PublishedTo], name_server: str) -> str:
    """Make the table: published ports, name service for tasks, and masquerade for what leaves the node.

    `name_server` is a loopback address to which questions of tasks are passed on, or empty.
    """
    table, uplink = f"ip {layout.table}", layout.uplink
    elements = ", ".join(_element(port, address) for port, address in published)
    lines = [
        f"add table {table}",
        f"add map {table} published {{ type inet_proto . inet_service : ipv4_addr . inet_service; }}",
        f"flush map {table} published",
        *([f"add element {table} published {{ {elements} }}"] if elements else []),
        # Not emptied: until the managers have spoken, what an earlier life of this agent published holds.
        f"add map {table} ingress {{ type inet_proto . inet_service : ipv4_addr . inet_service; }}",
        *_chain(table, "prerouting", "nat hook prerouting priority -100"),
        *_chain(table, "output", "nat hook output priority -100"),
        *_chain(table, "postrouting", "nat hook postrouting priority 100"),
    ]
    if name_server:
        to_node = (
            f'iifname "{uplink}" ip daddr {layout.node_address} meta l4proto {{ tcp, udp }} th dport 53'
        )
        lines.append(f"add rule {table} prerouting {to_node} dnat to {name_server}")
    redirect = "fib daddr type local dnat ip to meta l4proto . th dport map"
    lines += [
        f"add rule {table} {chain} {redirect} @{ports}"
        for chain in ("prerouting", "output")
        for ports in ("published", "ingress")
    ]
    lines += [f"add rule {table} postrouting {rule}" for rule in _masquerade(layout)]
    return "\n".join(lines) + "\n"


def publish(layout: Layout, ports: Iterable[PublishedPort], address: IPv4Address) -> str:
    """Lead the ports of the node to a task; empty when there are none."""
    elements = ", ".join(_element(port, address) for port in ports)
    return f"add element ip {layout.table} published {{ {elements} }}\n" if elements else ""


def withdraw(layout: Layout, port: PublishedPort) -> str:
    """Stop leading a port anywhere; fails when it leads nowhere already."""
    return f"delete element ip {layout.table} published {{ {_port(port)} }}\n"


def publish_everywhere(layout: Layout, ports: Collection[tuple[str, int]], *, anew: bool) -> str:
    """Lead ports of this node to the ingress router; `anew`: these and no others."""
    table, router = f"ip {layout.table}", layout.ingress_address
    elements = ", ".join(f"{kind} . {port} : {router} . {port}" for kind, port in sorted(ports))
    return "\n".join(
        [
            *([f"flush map {table} ingress"] if anew else []),
            *([f"add element {table} ingress {{ {elements} }}"] if elements else []),
            "",
        ]
    )


def unpublish(layout: Layout, ports: Collection[tuple[str, int]]) -> str:
    """Lead these ports of this node, some at least, to the ingress router no more."""
    elements = ", ".join(f"{kind} . {port}" for kind, port in sorted(ports))
    return f"delete element ip {layout.table} ingress {{ {elements} }}\n"


def teardown(layout: Layout) -> str:
    """Remove the table; no error when there is none."""
    return f"add table ip {layout.table}\ndelete table ip {layout.table}\n"


def _chain(table: str, name: str, hook: str) -> list[str]:
    return [f"add chain {table} {name} {{ type {hook}; }}", f"flush chain {table} {name}"]


def _masquerade(layout: Layout) -> list[str]:
    """Return the rules that replace the source of packets where the reply would not find its way."""
    return [
        # Programs of the node that connect to 127.0.0.1:published.
        f'oifname "{layout.uplink}" ip saddr 127.0.0.0/8 masquerade',
        # Tasks that connect to a published port of their own node: the reply must come back through here.
        f'oifname "{layout.uplink}" ip saddr {layout.subnet} masquerade',
        # Tasks that connect to the world.
        f'oifname != "{layout.uplink}" ip saddr {layout.subnet} masquerade',
    ]


def _port(port: PublishedPort) -> str:
    return f"{port.protocol} . {port.published_port}"


def _element(port: PublishedPort, address: IPv4Address) -> str:
    return f"{_port(port)} : {address} . {port.target_port}"
