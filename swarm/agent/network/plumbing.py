"""The system calls behind the router network. Everything here blocks, and may be repeated.

For the one thread that works on the network: it enters other namespaces for a moment and comes back.
"""

import contextlib
import errno
import time
from collections.abc import Sequence
from ipaddress import IPv4Address, ip_network
from pathlib import Path
from socket import AF_INET6

from swarm.agent.network import conntrack, firewall, forwarding, links, namespaces, nft, rules, vxlan
from swarm.agent.network.base import PublishedPort
from swarm.agent.network.layout import (
    GATEWAY,
    GATEWAY6,
    ROUTER_INDEX,
    ROUTER_LINK,
    TASK_INDEX,
    TASK_LINK,
    Layout,
)
from swarm.agent.network.netlink import Netlink
from swarm.errors import FailedPrecondition
from swarm.model.hardware_addresses import GATEWAY_MAC, mac_of

_EVERYWHERE, _EVERYWHERE6 = ip_network("0.0.0.0/0"), ip_network("::/0")
_LO = 1
_SYSCTL, _SYSCTL6 = Path("/proc/sys/net/ipv4"), Path("/proc/sys/net/ipv6")
# The kernel does it when nobody else changes links: while many namespaces go, that takes a while.
_CARRIER_S, _CARRIER_PAUSE_S = 5.0, 0.0005


def ensure_router(layout: Layout) -> bool:
    """Make or complete the router and its cable to the node; return whether it had to be made."""
    made = namespaces.create(layout.router)
    with Netlink() as node, netlink_in(layout.router) as router:
        _refuse_overlap(layout, node)
        if links.find_link(node, layout.uplink) is None or links.find_link(router, ROUTER_LINK) is None:
            _cable(layout, node, router)
            made = True
        uplink = links.find_link(node, layout.uplink)
        assert uplink is not None
        _address_uplink(layout, node, uplink.index, router)
    _set_sysctls(layout)
    if layout.prefix6 is not None:
        _ensure_ipv6(layout)
    firewall.let_through(layout.uplink)
    return made


def ensure_alone(layout: Layout, task_id: str) -> Path:
    """Make the namespace of a task, with nothing in it but itself; return where it is."""
    path = layout.namespace(task_id)
    if namespaces.create(path):
        with namespaces.entered(path):
            # As in Docker: an image whose user is not root may still serve port 80 of its own namespace.
            (_SYSCTL / "ip_unprivileged_port_start").write_text("0")
    with netlink_in(path) as task:
        task.run(links.set_up(_LO))
    return path


def ensure_task(layout: Layout, task_id: str, address: IPv4Address, mac: str = "") -> None:
    """Make or complete the namespace of a task and connect it to the router."""
    path = ensure_alone(layout, task_id)
    with netlink_in(layout.router) as router:
        _connect(layout, router, path, address, mac or mac_of(address))


def ensure_ingress(layout: Layout, path: Path) -> None:
    """Connect the router of the ingress network, as if it were a task: what it leads in goes out there."""
    with netlink_in(layout.router) as router:
        _connect(layout, router, path, layout.ingress_address, mac_of(layout.ingress_address))


def connected(layout: Layout) -> frozenset[IPv4Address]:
    """Return the addresses that the router leads to: of the tasks whose `ensure_task` came to its end."""
    with netlink_in(layout.router) as router:
        routes = links.list_routes(router)
        routes6 = links.list_routes(router, AF_INET6) if layout.prefix6 is not None else ()
    interfaces6: dict[object, int] = {one.destination.network_address: one.interface for one in routes6}
    return frozenset(
        address
        for route in routes
        if isinstance(address := route.destination.network_address, IPv4Address)
        and route.destination.prefixlen == 32
        and route.interface == layout.index(address)
        and (layout.prefix6 is None or interfaces6.get(layout.address6(address)) == route.interface)
    )


def remove_task(
    layout: Layout, task_id: str, address: IPv4Address | None, ports: Sequence[PublishedPort]
) -> None:
    """Disconnect a task and remove its namespace, whatever of it there is.

    The cable goes together with the namespace, a moment after its last process has ended: the kernel does
    that in its own time, whereas asking for it would make us wait 20 ms per task.
    """
    for port in ports:
        withdraw(layout, port)
    if address is not None and namespaces.is_namespace(layout.router):
        index = layout.index(address)
        gone = [links.delete_route(ip_network(one), index) for one in layout.addresses(address)]
        with netlink_in(layout.router) as router:
            router.run(*gone, ignore={errno.ESRCH, errno.ENODEV})
    if address is not None and ports:
        with conntrack.open_netfilter() as netfilter:
            for one in layout.addresses(address):
                conntrack.forget(netfilter, one)
    namespaces.remove(layout.namespace(task_id))


def remove_strangers(layout: Layout, known: frozenset[IPv4Address]) -> int:
    """Remove the router's interfaces that lead to no known address; return how many there were."""
    expected = {layout.link(address) for address in (*known, layout.ingress_address)} | {ROUTER_LINK, "lo"}
    with netlink_in(layout.router) as router:
        strangers = [link for link in links.list_links(router) if link.name not in expected]
        for link in strangers:
            router.run(links.delete_link(link.index), ignore={errno.ENODEV})
    return len(strangers)


def router_mtu(layout: Layout) -> int:
    """Return the size of packets that leave tasks for the node."""
    with netlink_in(layout.router) as router:
        return links.get_link(router, ROUTER_INDEX).mtu


def run_in_router(layout: Layout, script: str) -> None:
    """Run nft commands in the router; nothing for an empty script, or when there is no router."""
    if script and namespaces.is_namespace(layout.router):
        with namespaces.entered(layout.router):
            nft.run(script)


def withdraw(layout: Layout, port: PublishedPort) -> None:
    """Stop leading a port anywhere."""
    for script in rules.withdraw(layout, port):
        try:
            nft.run(script)
        except nft.NftError as error:
            if "No such file" not in str(error):
                raise


def teardown(layout: Layout) -> None:
    """Remove the router, every namespace, the rules and what the kernel remembers of connections."""
    if nft.available():
        nft.run(rules.teardown(layout))
    firewall.forget(layout.uplink)
    with Netlink() as node:
        uplink = links.find_link(node, layout.uplink)
        if uplink is not None:
            node.run(links.delete_link(uplink.index), ignore={errno.ENODEV})
    if layout.namespaces.is_dir():
        for path in layout.namespaces.iterdir():
            namespaces.remove(path)
        layout.namespaces.rmdir()
    conntrack.forget_network(layout.subnet)
    forwarding.put_back(layout.forwarding)
    layout.forwarding.unlink(missing_ok=True)  # others need it by now, and had it from us


def _refuse_overlap(layout: Layout, node: Netlink) -> None:
    """Raise FailedPrecondition when the subnet is in use by something else on this node."""
    own = links.find_link(node, layout.uplink)
    for route in links.list_routes(node):
        mine = own is not None and route.interface == own.index
        if (
            route.is_main
            and route.destination.prefixlen
            and not mine
            and route.destination.overlaps(layout.subnet)
        ):
            raise FailedPrecondition(
                f"node_subnet {layout.subnet} overlaps the route to {route.destination} of this node; "
                "set another node_subnet"
            )


def underlay_mtu(node: Netlink) -> int:
    """Return the packet size of the interface with the default route, which tasks must not exceed."""
    by_index = {link.index: link for link in links.list_links(node)}
    outward = [
        route for route in links.list_routes(node) if route.destination == _EVERYWHERE and route.gateway
    ]
    sizes = [by_index[route.interface].mtu for route in outward if route.interface in by_index]
    return min(sizes, default=1500)


def _cable(layout: Layout, node: Netlink, router: Netlink) -> None:
    stale = links.find_link(node, layout.uplink)
    if stale is not None:
        # The kernel removes it as well, in its own time, where it belongs to a router that has gone.
        node.run(links.delete_link(stale.index), ignore={errno.ENODEV})
    mtu = underlay_mtu(node)
    inner_mac, outer_mac = mac_of(layout.router_address), mac_of(layout.node_address)
    # Made from the router's side: only that side may choose its number and leave the other to the kernel.
    with namespaces.OWN.open("rb") as own:
        outer = links.End(layout.uplink, mac=outer_mac, mtu=mtu, namespace=own.fileno())
        router.run(links.veth(links.End(ROUTER_LINK, ROUTER_INDEX, inner_mac, mtu, up=True), outer))


def _address_uplink(layout: Layout, node: Netlink, uplink: int, router: Netlink) -> None:
    subnet = layout.subnet
    router.run(
        links.set_up(_LO),
        links.address(_LO, GATEWAY, 32, as_source=False),  # the name server of the tasks listens there
        links.set_up(ROUTER_INDEX),
        links.address(ROUTER_INDEX, layout.router_address, 32),
        links.neighbour(ROUTER_INDEX, layout.node_address, mac_of(layout.node_address)),
        links.route(ip_network(layout.node_address), ROUTER_INDEX),
        links.route(_EVERYWHERE, ROUTER_INDEX, layout.node_address),
        links.unreachable(subnet),
    )
    node.run(
        links.set_up(uplink),
        links.address(uplink, layout.node_address, 32),
        links.neighbour(uplink, layout.router_address, mac_of(layout.router_address)),
        links.route(subnet, uplink, layout.router_address, layout.node_address),
    )


def _set_sysctls(layout: Layout) -> None:
    forwarding.switch_on(layout.forwarding)
    # Connections of the node's own programs to 127.0.0.1:published leave through the uplink.
    (_SYSCTL / "conf" / layout.uplink / "route_localnet").write_text("1")
    with namespaces.entered(layout.router):
        (_SYSCTL / "ip_forward").write_text("1")
        for name in ("all", "default", ROUTER_LINK):
            (_SYSCTL / "conf" / name / "rp_filter").write_text("0")


def _ensure_ipv6(layout: Layout) -> None:
    """Give router, cable and node their IPv6 addresses and routes, and let all of them forward."""
    node6, router6 = layout.address6(layout.node_address), layout.address6(layout.router_address)
    assert layout.prefix6 is not None
    assert node6 is not None
    assert router6 is not None
    forward6()
    (_SYSCTL6 / "conf" / layout.uplink / "disable_ipv6").write_text("0")
    with namespaces.entered(layout.router):
        for name in ("all", "default", ROUTER_LINK):
            (_SYSCTL6 / "conf" / name / "disable_ipv6").write_text("0")
        (_SYSCTL6 / "conf/all/forwarding").write_text("1")
    with Netlink() as node, netlink_in(layout.router) as router:
        uplink = links.find_link(node, layout.uplink)
        assert uplink is not None
        router.run(
            vxlan.address6(ROUTER_INDEX, router6),
            links.neighbour(ROUTER_INDEX, node6, mac_of(layout.node_address)),
            links.route(ip_network(node6), ROUTER_INDEX),
            links.route(_EVERYWHERE6, ROUTER_INDEX, node6),
            links.unreachable(layout.prefix6),
        )
        node.run(
            vxlan.address6(uplink.index, node6),
            links.neighbour(uplink.index, router6, mac_of(layout.router_address)),
            links.route(ip_network(router6), uplink.index),
            links.route(layout.prefix6, uplink.index, router6, node6),
        )


def forward6() -> None:
    """Let the node forward IPv6, and go on hearing from its routers where it does so now."""
    if (_SYSCTL6 / "conf/all/forwarding").read_text().strip() == "1":
        return
    for interface in (_SYSCTL6 / "conf").iterdir():
        # A kernel that forwards ignores what routers say, default routes with it, unless told otherwise.
        with contextlib.suppress(FileNotFoundError):  # an interface that has gone meanwhile
            if interface.name != "all" and (interface / "accept_ra").read_text().strip() == "1":
                (interface / "accept_ra").write_text("2")
    (_SYSCTL6 / "conf/all/forwarding").write_text("1")


def _connect(layout: Layout, router: Netlink, path: Path, address: IPv4Address, mac: str) -> None:
    index = layout.index(address)
    here = {link.index: link for link in links.list_links(router)}
    with netlink_in(path) as task:
        if index not in here or links.find_link(task, TASK_LINK) is None:
            router.run(links.delete_link(index), ignore={errno.ENODEV})
            task.run(links.delete_link(TASK_INDEX), ignore={errno.ENODEV})
            with path.open("rb") as namespace:
                mtu = here[ROUTER_INDEX].mtu
                inner = links.End(TASK_LINK, TASK_INDEX, mac, mtu, namespace=namespace.fileno())
                router.run(
                    links.veth(links.End(layout.link(address), index, GATEWAY_MAC, mtu, up=True), inner)
                )
        task.run(
            links.set_up(_LO),
            links.set_up(TASK_INDEX),
            links.address(TASK_INDEX, address, 32),
            links.neighbour(TASK_INDEX, GATEWAY, GATEWAY_MAC),
            links.route(_EVERYWHERE, TASK_INDEX, GATEWAY),
        )
        if address6 := layout.address6(address):
            with namespaces.entered(path):
                (_SYSCTL6 / "conf" / TASK_LINK / "disable_ipv6").write_text("0")
            task.run(
                vxlan.address6(TASK_INDEX, address6),
                links.neighbour(TASK_INDEX, GATEWAY6, GATEWAY_MAC),
                links.route(_EVERYWHERE6, TASK_INDEX, GATEWAY6),
            )
            router.run(links.neighbour(index, address6, mac), links.route(ip_network(address6), index))
    # The route comes last: where it is, everything before it is.
    router.run(links.neighbour(index, address, mac), links.route(ip_network(address), index))
    wait_until_it_carries(router, index)


def wait_until_it_carries(router: Netlink, index: int) -> None:
    """The kernel connects the end of a cable that was up first a moment later: wait, or packets are lost."""
    give_up_s = time.monotonic() + _CARRIER_S
    while not links.get_link(router, index).carries and time.monotonic() < give_up_s:
        time.sleep(_CARRIER_PAUSE_S)


def netlink_in(path: Path) -> Netlink:
    """Return a socket that acts in a namespace."""
    with namespaces.entered(path):
        return Netlink()
