"""Tasks as hosts of a LAN that their node is connected to (driver macvlan).

    task namespace ── ethN (macvlan, its own hardware address) ── parent interface of the node ── LAN

The cluster gives the addresses, so no two nodes give one twice. The way out of such a task leads through the
gateway of the LAN, as its neighbours expect; what came by the node's own network is answered there. For the
one thread that works on the network of the node.
"""

import errno
from collections.abc import Iterable, Iterator, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from pathlib import Path

from swarm.agent.network import lan_links, links, namespaces, policies, vxlan
from swarm.agent.network.answers import answer_datagrams
from swarm.agent.network.base import TaskNetwork
from swarm.agent.network.layout import GATEWAY, GATEWAY6, ROUTER_INDEX, TASK_INDEX, TASK_LINK, Layout
from swarm.agent.network.netlink import Netlink, NetlinkError
from swarm.agent.network.places import with_places
from swarm.agent.network.plumbing import netlink_in
from swarm.agent.network.policies import Policy
from swarm.agent.overlay.layout import FIRST_TASK_TABLE, nic_index, nic_name
from swarm.errors import TaskRejected
from swarm.model.hardware_addresses import mac_of
from swarm.model.networks import MACVLAN, MACVLAN_MODE, PARENT

Address = IPv4Address | IPv6Address

_SYSCTL = Path("/proc/sys/net")
_OWN_TABLE = FIRST_TASK_TABLE + TASK_INDEX  # of routes, for what came by the node's own network
_PROBE, _PROBE_INDEX = "probe", 997


def is_lan(network: TaskNetwork) -> bool:
    """Return whether tasks are hosts of a LAN there."""
    return network.driver == MACVLAN


def works(layout: Layout) -> bool:
    """Return whether the kernel can do it, by doing it in the router's namespace."""
    with netlink_in(layout.router) as router, layout.router.open("rb") as namespace:
        link = lan_links.Macvlan(_PROBE, _PROBE_INDEX, "", ROUTER_INDEX, "bridge")
        try:
            router.run(lan_links.macvlan(link, namespace.fileno()))
        except NetlinkError:
            return False
        router.run(links.delete_link(_PROBE_INDEX), ignore={errno.ENODEV})
    return True


class Lans:
    """The tasks of one node in LANs."""

    def __init__(self, tag: str) -> None:
        """Interfaces that are made for parents like eth1.10 carry `tag`, and go with their last task."""
        self._mark = f"swarm {tag}"

    def connect(self, task: Path, networks: Iterable[TaskNetwork], own: Sequence[Address]) -> None:
        """Make or complete the interfaces of a task, whose addresses in the node's network are `own`.

        Raises TaskRejected where the node has no such parent interface, or its kernel refuses.
        """
        ways_out: dict[int, tuple[int, Address]] = {}  # by family: interface and gateway
        for position, network in with_places(networks):
            if is_lan(network):
                self._ensure_link(task, position, network)
                for version, gateway in _address(task, position, network):
                    if not network.internal:
                        ways_out.setdefault(version, (nic_index(position), gateway))
        if ways_out:
            _lead_out(task, ways_out, own)

    def disconnect(self, task: Path, networks: Iterable[TaskNetwork]) -> None:
        """Take the task off its LANs at once: its addresses may be given again."""
        positions = [position for position, network in with_places(networks) if is_lan(network)]
        if positions and namespaces.is_namespace(task):
            with netlink_in(task) as inside:
                for position in positions:
                    inside.run(links.delete_link(nic_index(position)), ignore={errno.ENODEV})

    def keep_only(self, networks: Iterable[TaskNetwork]) -> None:
        """Remove the interfaces made for parents that none of these networks has."""
        used = {parent_of(network) for network in networks if is_lan(network)}
        with Netlink() as node:
            for index, name in lan_links.list_marked(node, self._mark):
                if name not in used:
                    node.run(links.delete_link(index), ignore={errno.ENODEV})

    def _ensure_link(self, task: Path, position: int, network: TaskNetwork) -> None:
        with netlink_in(task) as inside:
            if links.find_link(inside, nic_name(position)) is not None:
                return
        with Netlink() as node, task.open("rb") as namespace:
            parent = self._parent(node, network)
            mac = network.mac or mac_of(ip_address(network.addresses[0]))
            mode = dict(network.options).get(MACVLAN_MODE, "bridge")
            link = lan_links.Macvlan(nic_name(position), nic_index(position), mac, parent, mode)
            try:
                node.run(lan_links.macvlan(link, namespace.fileno()))
            except NetlinkError as error:
                name = parent_of(network)
                raise TaskRejected(
                    f"cannot connect the task to the LAN at interface {name}: {error}"
                ) from error

    def _parent(self, node: Netlink, network: TaskNetwork) -> int:
        name = parent_of(network)
        found = links.find_link(node, name)
        base, dot, number = name.rpartition(".")
        under = links.find_link(node, base) if found is None and dot and number.isdecimal() else None
        if under is not None:
            try:
                node.run(lan_links.vlan(name, under.index, int(number)))
            except NetlinkError as error:
                raise TaskRejected(f"cannot make the interface {name} for VLAN {number}: {error}") from error
            found = links.find_link(node, name)
            if found is not None:
                node.run(lan_links.mark(found.index, self._mark))
        if found is None:
            raise TaskRejected(
                f"this node has no interface {name}, which is the parent of network {network.network_id}: "
                "place the service on nodes that have it (--constraint), or create the network with another"
            )
        node.run(links.set_up(found.index))
        return found.index


def parent_of(network: TaskNetwork) -> str:
    """Return the name of the interface that leads to the LAN."""
    return dict(network.options).get(PARENT, "")


def _address(task: Path, position: int, network: TaskNetwork) -> Iterator[tuple[int, Address]]:
    """Give the interface its addresses; yield the gateway of each family."""
    index, name = nic_index(position), nic_name(position)
    subnets = {ip_network(one.subnet): one.gateway for one in network.subnets}
    with namespaces.entered(task):
        # Neighbours that knew somebody else, or a switch another port, hear of it at once.
        (_SYSCTL / "ipv4/conf" / name / "arp_notify").write_text("1")
        if any(subnet.version == 6 for subnet in subnets):
            (_SYSCTL / "ipv6/conf" / name / "disable_ipv6").write_text("0")
            (_SYSCTL / "ipv6/conf" / name / "ndisc_notify").write_text("1")
    with netlink_in(task) as inside:
        requests = []
        for address in map(ip_address, network.addresses):
            subnet = next(one for one in subnets if address in one)
            if isinstance(address, IPv4Address):
                requests.append(links.address(index, address, subnet.prefixlen))
            else:
                requests.append(vxlan.address6(index, address))
        inside.run(*requests, links.set_up(index))
        for subnet in (one for one in subnets if one.version == 6):
            inside.run(links.route(subnet, index))
    yield from ((subnet.version, ip_address(text)) for subnet, text in subnets.items() if text)


def _lead_out(task: Path, ways_out: dict[int, tuple[int, Address]], own: Sequence[Address]) -> None:
    """Lead out through the gateways; but names, and answers by the node's own network, go as before."""
    with netlink_in(task) as inside:
        inside.run(links.route(ip_network(GATEWAY), TASK_INDEX))
        for address in own:
            if address.version in ways_out:
                gateway = GATEWAY if address.version == 4 else GATEWAY6
                rule = Policy(_OWN_TABLE, address, version=address.version)
                inside.run(policies.default_route(_OWN_TABLE, TASK_INDEX, gateway))
                inside.run(policies.policy(rule), ignore={errno.EEXIST})
        for version, (index, gateway) in ways_out.items():
            everywhere = ip_network("0.0.0.0/0" if version == 4 else "::/0")
            inside.run(links.route(everywhere, index, gateway))
        answer_datagrams(task, inside, TASK_LINK, _OWN_TABLE, own)
