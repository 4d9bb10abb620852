"""Each row of the table of networks and ways to publish, asked for real: see kinds.py."""

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from swarm.agent.network import links, namespaces, vxlan
from swarm.agent.network.plumbing import netlink_in
from swarm.dev.cluster import DevCluster
from swarm.dev.plan import Node
from tests.integration.cluster import truth
from tests.integration.cluster.conftest import Sight
from tests.integration.cluster.echo import PROTOCOLS, Echo, ask
from tests.integration.cluster.kinds import Kind, kinds
from tests.integration.conftest import Clusters
from tests.integration.operator import Operator, wait_until
from tests.integration.overlay.lab import link_names

PORT = 7070  # of the servers in the tasks
INGRESS, HOST, HOST_AT, INGRESS_AT = 8080, 9090, 9191, 8181
HERE, ELSEWHERE = "worker-1", "worker-2"
CLIENT = 200
LAN = {4: "172.28.77.0/24", 6: "2001:db8:aa::/64"}
LAN_CLIENT = {4: "172.28.77.200", 6: "2001:db8:aa::c8"}
NETWORKS = ("shop", "lan", "own")


def node6(number: int) -> str:
    return f"fd77::{number:x}"


def second(number: int, family: int) -> str:
    return f"198.51.100.{number}" if family == 4 else f"fd78::{number:x}"


@dataclass(frozen=True)
class Place:
    """A task."""

    node: str
    netns: Path
    addresses: Mapping[str, tuple[str, ...]]  # by network; "" is the node's own

    def at(self, network: str, family: int) -> str:
        return next(one for one in self.addresses[network] if ip_address(one).version == family)


@dataclass(frozen=True)
class World:
    """Four hosts with tasks of every kind, and one host beside them that belongs to nobody."""

    cluster: DevCluster
    operator: Operator
    outside: Path
    server: Place
    guests: Mapping[str, Place]  # by node
    virtual: Mapping[int, str]  # by family
    alone: Path  # a task without anybody
    plain: tuple[Place, Place]  # tasks in no network, on one node

    def outside_address(self, family: int) -> str:
        subnet = self.cluster.plan.subnet
        return str(subnet.network_address + CLIENT) if family == 4 else node6(CLIENT)

    def node_address(self, name: str, family: int) -> str:
        node = self.cluster.node(name)
        return str(node.address) if family == 4 else node6(node.number)


@pytest.fixture(scope="module")
def cluster(clusters: Clusters) -> DevCluster:
    """Four hosts."""
    return clusters.up(1, 3)


@pytest.fixture(scope="module")
def outside(cluster: DevCluster) -> Iterator[Path]:
    """Give all nodes IPv6 and second addresses; return a host of the same LAN that is no node."""
    path = cluster.plan.run / "outside"
    namespaces.create(path)
    try:
        with netlink_in(cluster.plan.switch) as switch, path.open("rb") as fd:
            end = links.End("eth0", 2, namespace=fd.fileno())
            switch.run(links.veth(links.End("outside", 900, up=True, master=2), end))
        own = cluster.plan.subnet.network_address + CLIENT
        _give(path, {str(own): 24, LAN_CLIENT[4]: 24}, (node6(CLIENT), second(CLIENT, 6), LAN_CLIENT[6]))
        _give(path, {second(CLIENT, 4): 24}, ())
        for node in cluster.plan.nodes:
            number = node.number
            v6 = (node6(number), second(number, 6))
            _give(cluster.plan.namespace(node), {second(number, 4): 24}, v6)
        yield path
    finally:
        with netlink_in(cluster.plan.switch) as switch:
            switch.run(links.delete_link(900))
        namespaces.remove(path)


def _give(netns: Path, v4: Mapping[str, int], v6: tuple[str, ...]) -> None:
    with netlink_in(netns) as inside:
        inside.run(links.set_up(1), links.set_up(2))
        for address, length in v4.items():
            inside.run(links.address(2, ip_address(address), length))
        for address in v6:
            inside.run(vxlan.address6(2, ip_address(address)))  # type: ignore[arg-type]
            inside.run(links.route(_subnet6(address), 2))


def _subnet6(address: str) -> "links.IPv6Network":
    return links.IPv6Network(f"{address}/64", strict=False)


@pytest.fixture(scope="module")
def world(cluster: DevCluster, operator: Operator, sight: Sight, outside: Path) -> Iterator[World]:
    """Make every network, start every task, and let them answer."""
    with ExitStack() as stack:
        _create(cluster, operator)
        (server,) = _places(operator, sight, "web", 1)
        (_, pid), *_ = sight.pids("alone").items() if operator.wait_running("alone", 1, 90) else ()
        guests = _places(operator, sight, "guest", 2)
        plain = _places(operator, sight, "plain", 2)
        (found,) = json.loads(operator("service", "inspect", "web"))
        virtual = [text for one in found["Endpoint"]["VirtualIPs"] for text in one["Addr"].split()]
        world = World(
            cluster,
            operator,
            outside,
            server,
            {one.node: one for one in guests},
            {ip_address(one).version: one for one in virtual},
            Path(f"/proc/{pid}/ns/net"),
            (plain[0], plain[1]),
        )
        operator.wait_running("hosted", 2, 90)
        hosted = [Path(f"/proc/{pid}/ns/net") for pid in sight.pids("hosted").values()]
        netns = [
            outside,
            world.server.netns,
            world.alone,
            plain[0].netns,
            *hosted,
        ]
        for path in netns:
            stack.callback(Echo(path, PORT).close)
        yield world


def _create(cluster: DevCluster, operator: Operator) -> None:
    operator("network", "create", "--ipv6", "shop")
    operator("network", "create", "--ipv6", "-d", "bridge", "own")
    lan = (
        "--ipv6",
        "-o",
        "parent=eth0",
        "--subnet",
        LAN[4],
        "--subnet",
        LAN[6],
        "--ip-range",
        "172.28.77.64/26",
    )
    operator("network", "create", "-d", "macvlan", *lan, "lan")
    here = cluster.node(HERE)
    ports: list[str] = []
    for protocol in PROTOCOLS:
        ports += ["--publish", f"{INGRESS}:{PORT}/{protocol}"]
        ports += ["--publish", f"published={HOST},target={PORT},mode=host,protocol={protocol}"]
        for family, cidr in ((4, "198.51.100.0/24"), (6, "fd78::/64")):
            at = _at(here, family)
            ports += [
                "--publish",
                f"published={HOST_AT},target={PORT},mode=host,protocol={protocol},host-ip={at}",
            ]
            number = INGRESS_AT + (family == 6)
            ports += ["--publish", f"published={number},target={PORT},protocol={protocol},host-ip={cidr}"]
    networks = [part for name in NETWORKS for part in ("--network", name)]
    aliased = [part for name in NETWORKS for part in ("--network", f"name={name},alias=store")]
    on = ("--constraint", f"node.hostname=={HERE}")
    operator("service", "create", "-d", "--name", "web", *aliased, *ports, *on, "hello:1")
    two = ("--constraint", "node.role==worker", "--constraint", "node.hostname!=worker-3")
    both = ("--mode", "global", *two)
    operator("service", "create", "-d", "--name", "guest", *networks, *both, "hello:1")
    operator("service", "create", "-d", "--name", "hosted", "--network", "host", *both, "hello:1")
    operator("service", "create", "-d", "--name", "alone", "--network", "none", *on, "hello:1")
    operator("service", "create", "-d", "--name", "plain", "--replicas", "2", *on, "hello:1")


def _at(node: Node, family: int) -> str:
    return str(node.address) if family == 4 else node6(node.number)


def _places(operator: Operator, sight: Sight, service: str, count: int) -> list[Place]:
    rows = operator.wait_running(service, count, 90)
    nodes = {row["ID"]: row["Node"] for row in rows}
    pids = sight.pids(service)
    found = []
    for task in json.loads(operator("task", "inspect", *pids)):
        netns = Path(f"/proc/{pids[task['ID']]}/ns/net")
        attached = task.get("NetworksAttachments", ())
        held = {one["Network"]["Name"]: tuple(one["Addresses"]) for one in attached}
        with netlink_in(netns) as inside:
            held[""] = tuple(map(str, links.list_addresses(inside, 2)))
        name = next(node for short, node in nodes.items() if task["ID"].startswith(short))
        found.append(Place(name, netns, held))
    return found


@pytest.mark.parametrize("kind", list(kinds()), ids=str)
def test_every_row_of_the_table(world: World, kind: Kind) -> None:
    if kind.way == "vip" and kind.refused:
        (found,) = json.loads(world.operator("service", "inspect", "web"))
        (shop,) = json.loads(world.operator("network", "inspect", "shop"))
        assert {one["NetworkID"] for one in found["Endpoint"]["VirtualIPs"]} == {shop["Id"]}
        return
    netns, address, port, seen = _question(world, kind)
    if kind.refused:
        with pytest.raises(OSError, match=r"refused|unreachable|no answer|timed out"):
            ask(netns, address, port, kind.protocol, patience_s=1)
    else:
        assert first_answer(netns, address, port, kind.protocol) == seen


def test_tasks_reach_the_world_by_ipv6_as_their_node(world: World) -> None:
    task, seen = world.plain[0], node6(world.cluster.node(HERE).number)
    assert ask(task.netns, node6(CLIENT), PORT, "tcp") == seen


def first_answer(netns: Path, address: str, port: int, protocol: str) -> str:
    """Return as whom the server sees who asks: other nodes may hear of its port a moment after it runs."""

    def answer() -> str:
        try:
            return ask(netns, address, port, protocol, patience_s=5)
        except (OSError, EOFError):
            return ""

    return wait_until(answer, 60, f"an answer of {address}:{port}/{protocol}")


@pytest.mark.parametrize("node", [HERE, ELSEWHERE])
def test_names_lead_to_tasks_of_a_lan_anywhere_and_of_bridges_on_the_same_node(
    world: World, node: str
) -> None:
    guest = world.guests[node].netns
    expected = {
        "web.lan": {world.server.at("lan", 4)},
        "web.own": {world.server.at("own", 4)} if node == HERE else set(),
        "store.own": {world.server.at("own", 4)} if node == HERE else set(),
    }
    for name, addresses in expected.items():
        wait_until(
            lambda name=name, addresses=addresses: truth.addresses_of(guest, name) == addresses, 60, name
        )


def test_a_task_of_a_bridge_may_have_an_address_of_its_own(world: World, sight: Sight) -> None:
    (own,) = json.loads(world.operator("network", "inspect", "own"))
    subnet = ip_network(next(one["Subnet"] for one in own["IPAM"]["Config"] if "." in one["Subnet"]))
    wanted = str(subnet[77])
    network = ("--network", f"name=own,ip={wanted}")
    world.operator("service", "create", "-d", "--name", "fixed", *network, "hello:1")
    (fixed,) = _places(world.operator, sight, "fixed", 1)
    assert fixed.at("own", 4) == wanted
    world.operator("service", "rm", "fixed")


def test_a_lan_of_a_vlan_is_made_and_goes_with_its_last_task_or_says_what_is_missing(world: World) -> None:
    options = ("-d", "macvlan", "--subnet", "172.28.78.0/24", "-o", "parent=eth0.10")
    world.operator("network", "create", *options, "tagged")
    on = ("--constraint", f"node.hostname=={HERE}")
    world.operator("service", "create", "-d", "--name", "tagged", "--network", "tagged", *on, "hello:1")
    node = world.cluster.plan.namespace(world.cluster.node(HERE))

    def outcome() -> str:
        rows = world.operator.rows("service", "ps", "tagged", "--no-trunc")
        return next((row["Error"] or row["CurrentState"] for row in rows if _is_settled(row)), "")

    said = wait_until(outcome, 60, "a task in the VLAN")
    if said.startswith("Running"):
        assert "eth0.10" in link_names(node)
    else:  # this kernel has no VLANs
        assert "cannot make the interface eth0.10 for VLAN 10" in said
    world.operator("service", "rm", "tagged")
    wait_until(lambda: "eth0.10" not in link_names(node), 60, "the interface to go")


def _is_settled(row: Mapping[str, str]) -> bool:
    # Until then the column says how far the preparations are.
    return "interface" in row["Error"] or row["CurrentState"].startswith("Running")


def _question(world: World, kind: Kind) -> tuple[Path, str, int, str]:
    """Return who asks at which address and port, and as whom the server ought to see it."""
    family = kind.family
    node = ELSEWHERE if kind.place == "remote" else HERE
    if kind.driver == "any":
        place = world.node_address(node, family)
        number = world.cluster.node(node).number
        port = INGRESS_AT + (family == 6)
        address, port = {
            "ingress": (place, INGRESS),
            "host": (place, HOST),
            "host at an address": (place, HOST_AT),
            "host at another": (second(number, family), HOST_AT),
            "ingress at a CIDR": (second(number, family), port),
            "ingress at another": (place, port),
        }[kind.way]
        client = (
            second(CLIENT, family) if address == second(number, family) else world.outside_address(family)
        )
        return world.outside, address, port, client
    guest = world.guests[node]
    if kind.driver == "none":
        return guest.netns, "127.0.0.2" if kind.family == 4 else "::2", PORT, ""
    if kind.driver == "host":
        return world.outside, world.node_address(node, family), PORT, world.outside_address(family)
    if kind.driver == "default":
        here, there = world.plain
        return there.netns, here.at("", family), PORT, there.at("", family)
    network = {"overlay": "shop", "macvlan": "lan", "bridge": "own"}[kind.driver]
    address = world.virtual[family] if kind.way == "vip" else world.server.at(network, family)
    if kind.place == "outside":
        return world.outside, address, PORT, LAN_CLIENT[family]
    return guest.netns, address, PORT, guest.at(network, family)
