"""The system calls behind overlay networks. Everything here blocks, and may be repeated.

    task namespace ── veth /32 ── router of the network ── VXLAN ══ the node's namespace ══ other nodes

For the one thread that works on the network of the node: it enters other namespaces for a moment.
"""

import errno
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_network
from pathlib import Path
from socket import AF_INET, AF_INET6

from swarm.agent.network import links, namespaces, policies, vxlan
from swarm.agent.network.answers import answer_datagrams
from swarm.agent.network.layout import GATEWAY, GATEWAY6
from swarm.agent.network.netlink import Netlink, NetlinkError, Request
from swarm.agent.network.plumbing import netlink_in, underlay_mtu, wait_until_it_carries
from swarm.agent.network.policies import Policy
from swarm.agent.network.vxlan import Vxlan
from swarm.agent.overlay.layout import (
    FIRST_TASK_LINK,
    FIRST_TASK_TABLE,
    VXLAN_INDEX,
    VXLAN_LINK,
    nic_index,
    nic_name,
    router_link,
)
from swarm.agent.overlay.plan import Address, Change, Mesh, Overlay, Subnets
from swarm.model.hardware_addresses import GATEWAY_MAC, mac_of

_LO = 1
_SYSCTL = Path("/proc/sys/net")
_AT_ONCE = 100  # requests in one message: their answers must fit into the socket's buffer
_GONE = {errno.ESRCH, errno.ENOENT, errno.ENODEV, errno.EADDRNOTAVAIL}
# The kernel removes a namespace in its own time, and what is in it keeps its VXLAN number until then.
_TRIES, _PAUSE_S = 60, 0.05


@dataclass(frozen=True, slots=True)
class Nic:
    """A task's place in one network."""

    task_id: str
    position: int  # among the task's networks
    addresses: tuple[Address, ...]
    mac: str = ""  # empty: made of the first address

    def is_in(self, there: Mapping[Address, str]) -> bool:
        """Return whether the addresses `connected` lead to the task: then its `connect` came to its end."""
        return all(there.get(address) == router_link(self.task_id) for address in self.addresses)


def ensure_router(path: Path, overlay: Overlay, towards: Address | None, tunnel: Path) -> int:
    """Make or complete the router of a network; return the size of packets that it takes.

    `towards` is some other node, which shows what the path between nodes takes. Packets of an encrypted
    network leave through the namespace `tunnel`, and through no other.
    """
    namespaces.create(path)
    with namespaces.entered(path):
        _set_sysctls(ipv6=any(subnet.version == 6 for subnet in overlay.subnets))
    with Netlink() as node, netlink_in(path) as router:
        mtu = overlay.mtu_over(path_mtu(node, towards))
        wanted = Vxlan(
            VXLAN_LINK, VXLAN_INDEX, overlay.vxlan_id, overlay.port, overlay.path_family, overlay.mac, mtu
        )
        _ensure_vxlan(path, tunnel if overlay.encrypted else namespaces.OWN, router, wanted)
        stale = set(links.list_addresses(router, VXLAN_INDEX)) - set(overlay.addresses)
        _switch_on(router, overlay)
        router.run(*(_address(VXLAN_INDEX, address) for address in overlay.addresses))
        _run(router, [links.delete_address(VXLAN_INDEX, address) for address in stale], ignore=_GONE)
    return mtu


def ensure_plain_router(path: Path, *, ipv6: bool) -> None:
    """Make or complete a router that leads to no other node."""
    namespaces.create(path)
    with namespaces.entered(path):
        _set_sysctls(ipv6=ipv6)
    with netlink_in(path) as router:
        router.run(links.set_up(_LO))


def remove_router(path: Path) -> None:
    """Remove the router of a network, whatever of it there is; its VXLAN number is free at once."""
    cut_off(path)
    namespaces.remove(path)


def cut_off(path: Path) -> None:
    """Take its way to other nodes from a router."""
    if namespaces.is_namespace(path):
        with netlink_in(path) as router:
            link = links.find_link(router, VXLAN_LINK)
            if link is not None:
                router.run(links.delete_link(link.index), ignore={errno.ENODEV})


def read(path: Path) -> Mesh:
    """Return what the router holds for other nodes and their tasks."""
    with netlink_in(path) as router:
        return Mesh(
            neighbours=dict(vxlan.list_neighbours(router, VXLAN_INDEX)),
            forwarding=dict(vxlan.list_forwarding(router, VXLAN_INDEX)),
            routes={
                route.destination.network_address: route.gateway
                for route in _routes(router)
                if route.interface == VXLAN_INDEX and route.gateway is not None
            },
        )


def write(path: Path, changes: Sequence[Change]) -> None:
    """Bring the router's tables in line; what is gone already is no error."""
    with netlink_in(path) as router:
        _run(router, [_request(change) for change in changes if change.value is not None])
        _run(router, [_request(change) for change in changes if change.value is None], ignore=_GONE)


def connected(path: Path) -> dict[Address, str]:
    """Return the addresses that lead to tasks of this node, with the interface of each."""
    with netlink_in(path) as router:
        names = {link.index: link.name for link in links.list_links(router)}
        return {
            route.destination.network_address: names.get(route.interface, "")
            for route in _routes(router)
            if route.gateway is None and route.interface >= FIRST_TASK_LINK and _is_host(route)
        }


def connect(
    path: Path,
    task: Path,
    nic: Nic,
    subnets: Subnets,
    mtu: int,
    *,
    answers_all: bool = False,
    datagrams: bool = False,
) -> None:
    """Make or complete the cable from a task's namespace to the router of a network.

    With `answers_all` the task answers there also those who are not in the network, `datagrams` as well.
    """
    index, mac = nic_index(nic.position), nic.mac or mac_of(nic.addresses[0])
    with netlink_in(path) as router, netlink_in(task) as inside:
        cable = _ensure_cable(router, inside, task, nic, mac, mtu)
        if any(address.version == 6 for address in nic.addresses):
            with namespaces.entered(task):
                (_SYSCTL / "ipv6/conf" / nic_name(nic.position) / "disable_ipv6").write_text("0")
        inside.run(links.set_up(_LO), links.set_up(index))
        for address in nic.addresses:
            gateway = GATEWAY if address.version == 4 else GATEWAY6
            inside.run(
                _address(index, address),
                links.neighbour(index, gateway, GATEWAY_MAC),
                *(
                    links.route(subnet, index, gateway, address)
                    for subnet in subnets
                    if subnet.version == address.version
                ),
            )
            if answers_all:
                _answer_there(inside, index, address)
        if datagrams:
            table = FIRST_TASK_TABLE + index
            answer_datagrams(task, inside, nic_name(nic.position), table, nic.addresses, subnets)
        # The routes come last: where they are, everything before them is.
        router.run(
            *(links.neighbour(cable, address, mac) for address in nic.addresses),
            *(links.route(ip_network(address), cable) for address in nic.addresses),
        )
        wait_until_it_carries(router, cable)


def _answer_there(inside: Netlink, index: int, address: Address) -> None:
    """Answer clients of anywhere through the network by which they came, not by the way out of the node."""
    table = FIRST_TASK_TABLE + index
    gateway = GATEWAY if address.version == 4 else GATEWAY6
    inside.run(policies.default_route(table, index, gateway))
    inside.run(policies.policy(Policy(table, address, version=address.version)), ignore={errno.EEXIST})


def disconnect(path: Path, nic: Nic, *, unplug: bool = False) -> None:
    """Lead nothing to a task any more; the cable goes with the task's namespace, or now (`unplug`)."""
    if not namespaces.is_namespace(path):
        return
    with netlink_in(path) as router:
        link = links.find_link(router, router_link(nic.task_id))
        if link is not None and unplug:
            router.run(links.delete_link(link.index), ignore={errno.ENODEV})
        elif link is not None:
            gone = [links.delete_route(ip_network(one), link.index) for one in nic.addresses]
            _run(router, gone, ignore=_GONE)


def remove_strangers(path: Path, task_ids: Iterable[str]) -> None:
    """Remove the router's cables that lead to none of these tasks."""
    expected = {router_link(task_id) for task_id in task_ids} | {VXLAN_LINK}
    with netlink_in(path) as router:
        for link in links.list_links(router):
            if link.name not in expected and link.index >= FIRST_TASK_LINK:
                router.run(links.delete_link(link.index), ignore={errno.ENODEV})


def _set_sysctls(*, ipv6: bool) -> None:
    """In the router's namespace: forward, tell nobody of shorter ways, but everybody where there is none."""
    (_SYSCTL / "ipv4/ip_forward").write_text("1")
    (_SYSCTL / "ipv4/icmp_ratelimit").write_text("0")
    if ipv6:
        (_SYSCTL / "ipv6/icmp/ratelimit").write_text("0")
    for name in ("all", "default"):
        (_SYSCTL / "ipv4/conf" / name / "rp_filter").write_text("0")
        (_SYSCTL / "ipv4/conf" / name / "send_redirects").write_text("0")
        if ipv6:
            (_SYSCTL / "ipv6/conf" / name / "disable_ipv6").write_text("0")
            (_SYSCTL / "ipv6/conf" / name / "forwarding").write_text("1")


def _ensure_vxlan(path: Path, outside: Path, router: Netlink, wanted: Vxlan) -> None:
    there = vxlan.find_vxlan(router, VXLAN_LINK)
    if there == wanted:
        return
    if there is not None and _but_for_mtu(there) == _but_for_mtu(wanted):
        router.run(vxlan.set_mtu(VXLAN_INDEX, wanted.mtu))
        return
    if there is not None:
        router.run(links.delete_link(there.index), ignore={errno.ENODEV})
    with path.open("rb") as namespace, netlink_in(outside) as node:
        request = vxlan.vxlan(wanted, namespace.fileno())
        for _ in range(_TRIES):
            try:
                # Asked for by that side: its packets leave there, though it never is there itself.
                node.run(request)
            except NetlinkError as error:
                if error.errno != errno.EEXIST:
                    raise
                time.sleep(_PAUSE_S)
            else:
                return
        raise NetlinkError(
            errno.EEXIST,
            _taken(f"VXLAN number {wanted.vxlan_id} at UDP port {wanted.port}"),
        )


def _switch_on(router: Netlink, overlay: Overlay) -> None:
    try:
        router.run(links.set_up(_LO), links.set_up(VXLAN_INDEX))
    except NetlinkError as error:
        if error.errno == errno.EADDRINUSE:
            raise NetlinkError(errno.EADDRINUSE, _taken(f"UDP port {overlay.port}")) from error
        raise


def _taken(what: str) -> str:
    return (
        f"{what} of this node is another program's: end that, or have all nodes use another --data-path-port"
    )


def _but_for_mtu(link: Vxlan) -> tuple[int | str, ...]:
    return link.index, link.vxlan_id, link.port, link.family, link.mac


def path_mtu(node: Netlink, towards: Address | None) -> int:
    """Return the size of packets that the interface towards another node takes."""
    if towards is None:
        return underlay_mtu(node)
    try:
        return links.get_link(node, links.interface_to(node, towards)).mtu
    except NetlinkError:  # no way there now
        return underlay_mtu(node)


def _ensure_cable(router: Netlink, inside: Netlink, task: Path, nic: Nic, mac: str, mtu: int) -> int:
    """Return the number of the router's end."""
    name, index = router_link(nic.task_id), nic_index(nic.position)
    here = links.list_links(router)
    outer = next((link for link in here if link.name == name), None)
    if outer is not None and links.find_link(inside, nic_name(nic.position)) is not None:
        if outer.mtu != mtu:
            router.run(vxlan.set_mtu(outer.index, mtu))
            inside.run(vxlan.set_mtu(index, mtu))
        return outer.index
    if outer is not None:
        router.run(links.delete_link(outer.index), ignore={errno.ENODEV})
    inside.run(links.delete_link(index), ignore={errno.ENODEV})
    cable = max((link.index + 1 for link in here), default=0)
    cable = max(cable, FIRST_TASK_LINK)
    with task.open("rb") as namespace:
        inner = links.End(nic_name(nic.position), index, mac, mtu, namespace=namespace.fileno())
        router.run(links.veth(links.End(name, cable, GATEWAY_MAC, mtu, up=True), inner))
    return cable


def _routes(router: Netlink) -> list[links.Route]:
    found = [route for family in (AF_INET, AF_INET6) for route in links.list_routes(router, family)]
    return [route for route in found if route.is_main]


def _is_host(route: links.Route) -> bool:
    return route.destination.prefixlen == route.destination.max_prefixlen


def _address(index: int, value: Address) -> Request:
    return (
        vxlan.address6(index, value) if isinstance(value, IPv6Address) else links.address(index, value, 32)
    )


def _request(change: Change) -> Request:
    match change:
        case Change("neighbour", IPv4Address() | IPv6Address() as router, str() as mac):
            return links.neighbour(VXLAN_INDEX, router, mac)
        case Change("neighbour", IPv4Address() | IPv6Address() as router, None):
            return vxlan.delete_neighbour(VXLAN_INDEX, router)
        case Change("forwarding", str() as mac, IPv4Address() | IPv6Address() as node):
            return vxlan.forwarding(VXLAN_INDEX, mac, node)
        case Change("forwarding", str() as mac, None):
            return vxlan.delete_forwarding(VXLAN_INDEX, mac)
        case Change("route", IPv4Address() | IPv6Address() as task, IPv4Address() | IPv6Address() as router):
            return links.route(ip_network(task), VXLAN_INDEX, router)
        case Change("route", IPv4Address() | IPv6Address() as task, None):
            return links.delete_route(ip_network(task), VXLAN_INDEX)
    raise AssertionError(f"no way to carry out {change}")


def _run(netlink: Netlink, requests: Sequence[Request], ignore: Collection[int] = ()) -> None:
    for start in range(0, len(requests), _AT_ONCE):
        netlink.run(*requests[start : start + _AT_ONCE], ignore=ignore)
