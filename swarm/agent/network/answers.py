"""Answers of a task must come from the address that was asked, also by programs that do not care.

A program that answers datagrams at any address lets the kernel choose where the answer comes from: the
address of the way out. Who asked another address of the task, e.g. through a port of all nodes, would not
know the answer. So in the task's namespace what is asked there is led to the address that will answer; the
kernel then undoes that in the answer. Connections of TCP and SCTP know their addresses, and are left alone.
So is what neighbours in the network of the interface ask: the way to them is that interface.
"""

import errno
from collections.abc import Iterable, Mapping
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from pathlib import Path

from swarm.agent.network import links, namespaces, nft, policies
from swarm.agent.network.families import FAMILIES
from swarm.agent.network.netlink import Netlink, NetlinkError
from swarm.agent.network.policies import Policy

Address = IPv4Address | IPv6Address
Subnet = IPv4Network | IPv6Network

# Hosts of the world, in whose direction the way out is looked for; nothing is sent to them.
_SOMEWHERE = {4: ip_address("1.1.1.1"), 6: ip_address("2606:4700:4700::1111")}


def answer_datagrams(
    task: Path,
    inside: Netlink,
    interface: str,
    table: int,
    addresses: Iterable[Address],
    neighbours: Iterable[Subnet] = (),
) -> None:
    """Let answers to datagrams for these addresses of an interface leave from there, by a routing table.

    `neighbours` are reached through the interface anyway.
    """
    ways = {}
    for address in addresses:
        try:
            source = links.source_to(inside, _SOMEWHERE[address.version])
        except NetlinkError:  # there is no way out
            continue
        if source is not None and source != address:
            ways[address] = source
            rule = Policy(table, mark=table, version=address.version)
            inside.run(policies.policy(rule), ignore={errno.EEXIST})
    with namespaces.entered(task):
        nft.run(script(interface, table, ways, neighbours))


def script(
    interface: str, mark: int, ways: Mapping[Address, Address], neighbours: Iterable[Subnet] = ()
) -> str:
    """Return the rules: datagrams for a key of `ways` are led to its value, their answers get a mark."""
    near = list(neighbours)
    name = f"inet swarm_answers_{interface}"
    lines = [
        f"add table {name}",
        f"delete table {name}",
        f"add table {name}",
        f"add chain {name} asked {{ type nat hook prerouting priority -100; }}",
        f"add chain {name} answers {{ type route hook output priority -150; }}",
        f"add rule {name} answers ct direction reply ct mark {mark} meta mark set {mark}",
    ]
    for asked, source in ways.items():
        ip = next(family.ip for family in FAMILIES if family.version == asked.version)
        but = "".join(f"{ip} saddr != {one} " for one in near if one.version == asked.version)
        lines.append(
            f'add rule {name} asked iifname "{interface}" meta l4proto udp {but}{ip} daddr {asked} '
            f"ct mark set {mark} dnat {ip} to {source}"
        )
    return "".join(f"{line}\n" for line in lines)
