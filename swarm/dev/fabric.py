"""The wires between the nodes of a dev cluster: a namespace each, a bridge between them, a way out.

    node (eth0) ── switch namespace: bridge br0 ── host (swdev-…) ── masquerade ── the world

A partition moves the cables of some nodes to a bridge of their own. Everything may be repeated; a
cluster whose namespaces are gone (a reboot) is wired again around its folders. Needs root.
"""

import errno
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Network, ip_network
from pathlib import Path

from swarm.agent.network import conntrack, firewall, forwarding, links, namespaces, nft
from swarm.agent.network.netlink import Netlink
from swarm.dev.plan import Node, Plan
from swarm.model.hardware_addresses import mac_of

_EVERYWHERE = ip_network("0.0.0.0/0")
FORWARDING = "forwarding.json"
_LO, _NODE_INDEX = 1, 2
_BRIDGE, _BRIDGE_INDEX, _HOST_PORT, _HOST_PORT_INDEX = "br0", 2, "host", 999
_NODE_PORTS, _ISLANDS = 100, 1000  # where their interface numbers begin


def ensure(plan: Plan) -> None:
    """Wire the cluster as far as it is not wired."""
    namespaces.create(plan.switch)
    with Netlink() as host, _netlink_in(plan.switch) as switch:
        there = {link.name for link in links.list_links(switch)}
        if _BRIDGE not in there:
            switch.run(links.set_up(_LO), links.bridge(_BRIDGE, _BRIDGE_INDEX))
        if _HOST_PORT not in there:
            _connect_host(plan, host, switch)
        for node in plan.nodes:
            made = namespaces.create(plan.namespace(node))
            if made or node.name not in there:
                _connect_node(plan, node, switch)
    _open_way_out(plan)


def remove(plan: Plan) -> None:
    """Remove wires, namespaces and rules, whatever of them there is."""
    firewall.forget(plan.host_link)
    if nft.available():
        nft.run(f"add table ip {plan.table}\ndelete table ip {plan.table}\n")
    with Netlink() as host:
        link = links.find_link(host, plan.host_link)
        if link is not None:
            host.run(links.delete_link(link.index), ignore={errno.ENODEV})
    for path in namespace_files(plan):
        namespaces.remove(path)
    conntrack.forget_network(plan.subnet)
    forwarding.put_back(_memo(plan))


def namespace_files(plan: Plan) -> Sequence[Path]:
    """Return the namespaces of the cluster that there are."""
    folder = plan.switch.parent
    return sorted(folder.iterdir()) if folder.is_dir() else []


def partition(plan: Plan, nodes: Sequence[Node]) -> None:
    """Cut `nodes` off from everybody else; among themselves they stay connected."""
    with _netlink_in(plan.switch) as switch:
        there = links.list_links(switch)
        island = next(
            index
            for index in range(_ISLANDS, _ISLANDS + len(there) + 1)
            if all(index != link.index for link in there)
        )
        switch.run(links.bridge(f"island{island - _ISLANDS}", island))
        switch.run(*(links.set_master(_port_index(node), island) for node in nodes))
        _remove_empty_islands(switch)


def heal(plan: Plan) -> None:
    """Connect all nodes again."""
    with _netlink_in(plan.switch) as switch:
        switch.run(*(links.set_master(_port_index(node), _BRIDGE_INDEX) for node in plan.nodes))
        _remove_empty_islands(switch)


def islands(plan: Plan) -> Mapping[str, str]:
    """Return, for each node that is cut off, the name of the bridge it is on."""
    if not namespaces.is_namespace(plan.switch):
        return {}
    with _netlink_in(plan.switch) as switch:
        by_index = {link.index: link for link in links.list_links(switch)}
    names = {node.name for node in plan.nodes}
    return {
        link.name: by_index[link.master].name
        for link in by_index.values()
        if link.name in names and link.master not in (0, _BRIDGE_INDEX)
    }


def used_subnets() -> Sequence[IPv4Network]:
    """Return the subnets that the host has routes to."""
    with Netlink() as host:
        routes = links.list_routes(host)
    found = (route.destination for route in routes if route.is_main)
    return [network for network in found if isinstance(network, IPv4Network) and network.prefixlen]


def _connect_host(plan: Plan, host: Netlink, switch: Netlink) -> None:
    stale = links.find_link(host, plan.host_link)
    if stale is not None:
        host.run(links.delete_link(stale.index))
    with namespaces.OWN.open("rb") as own:
        inner = links.End(_HOST_PORT, _HOST_PORT_INDEX, up=True, master=_BRIDGE_INDEX)
        switch.run(links.veth(inner, links.End(plan.host_link, namespace=own.fileno())))
    link = links.find_link(host, plan.host_link)
    assert link is not None
    host.run(links.set_up(link.index), links.address(link.index, plan.host_address, plan.subnet.prefixlen))


def _connect_node(plan: Plan, node: Node, switch: Netlink) -> None:
    port = _port_index(node)
    switch.run(links.delete_link(port), ignore={errno.ENODEV})
    with plan.namespace(node).open("rb") as namespace, _netlink_in(plan.namespace(node)) as inside:
        inside.run(links.delete_link(_NODE_INDEX), ignore={errno.ENODEV})
        inner = links.End("eth0", _NODE_INDEX, mac_of(node.address), namespace=namespace.fileno())
        switch.run(links.veth(links.End(node.name, port, up=True, master=_BRIDGE_INDEX), inner))
        inside.run(
            links.set_up(_LO),
            links.set_up(_NODE_INDEX),
            links.address(_NODE_INDEX, node.address, plan.subnet.prefixlen),
            links.route(_EVERYWHERE, _NODE_INDEX, plan.host_address),
        )


def _open_way_out(plan: Plan) -> None:
    forwarding.switch_on(_memo(plan))
    table = f"ip {plan.table}"
    nft.run(
        f"add table {table}\n"
        f"add chain {table} postrouting {{ type nat hook postrouting priority 100; }}\n"
        f"flush chain {table} postrouting\n"
        f"add rule {table} postrouting ip saddr {plan.subnet} ip daddr != {plan.subnet} masquerade\n"
    )
    firewall.let_through(plan.host_link)


def _remove_empty_islands(switch: Netlink) -> None:
    there = links.list_links(switch)
    used = {link.master for link in there}
    for link in there:
        if link.index >= _ISLANDS and link.index not in used:
            switch.run(links.delete_link(link.index))


def _port_index(node: Node) -> int:
    return _NODE_PORTS + node.number


def _memo(plan: Plan) -> Path:
    """Return the file of what the host's switches were: clusters share it, the last one puts them back."""
    return plan.folders.run / FORWARDING


def _netlink_in(path: Path) -> Netlink:
    with namespaces.entered(path):
        return Netlink()
