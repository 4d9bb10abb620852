"""Overlay networks over four nodes, with real namespaces: does traffic flow, and only where it should?"""

import asyncio
import contextlib
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from swarm.agent.network import links, namespaces, nft
from swarm.agent.network.plumbing import netlink_in
from swarm.agent.overlay import echo
from swarm.agent.overlay.layout import OverlayLayout
from swarm.agent.overlay.silence import targets_of
from swarm.agent.overlay.state import OverlayState
from swarm.errors import TaskRejected
from tests.integration.operator import wait_until
from tests.integration.overlay.lab import Net, OverlayLab, flood, link_names, serve_both

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module", params=["ipv4", "ipv6"])
def lab(request: pytest.FixtureRequest) -> Iterator[OverlayLab]:
    """Four nodes; in a second round they reach each other by IPv6 only."""
    lab = OverlayLab(ipv6=request.param == "ipv6")
    try:
        yield lab
    finally:
        lab.close()


@pytest.fixture
def shop(lab: OverlayLab) -> Iterator[Net]:
    """A dual stack network that is gone afterwards."""
    yield lab.add(Net("shop", 4097, ["10.5.0.0/24", "fd05::/64"]))
    for net in lab.nets.values():
        for task_id in list(net.tasks):
            lab.end(task_id)
    lab.nets.clear()
    lab.down.clear()
    lab.tell()
    assert lab.faults() == []


@pytest.mark.parametrize("where", [0, 1, 3])
def test_tasks_of_a_network_reach_each_other_on_every_node(lab: OverlayLab, shop: Net, where: int) -> None:
    server = lab.task("server", 0, {"shop": ["10.5.0.20", "fd05::20"]})
    client = lab.task("client", where, {"shop": ["10.5.0.21", "fd05::21"]})
    for address, source in (("10.5.0.20", "10.5.0.21"), ("fd05::20", "fd05::21")):
        serve_both(lab, server.netns, address)
        lab.wait_for_ping(client.netns, address)
        assert lab.ask(client.netns, address, 80) == source
        assert lab.ask(client.netns, address, 80, "udp") == source
    assert lab.faults() == []


def test_a_task_in_two_networks_speaks_in_each_with_its_address_there(lab: OverlayLab, shop: Net) -> None:
    back = lab.add(Net("back", 4098, ["10.6.0.0/24"]))
    both = lab.task("both", 0, {"shop": ["10.5.0.30", "fd05::30"], "back": ["10.6.0.30"]})
    in_shop = lab.task("shopper", 1, {"shop": ["10.5.0.31", "fd05::31"]})
    in_back = lab.task("backend", 2, {"back": ["10.6.0.32"]})
    for netns, address, source in (
        (in_shop.netns, "10.5.0.31", "10.5.0.30"),
        (in_shop.netns, "fd05::31", "fd05::30"),
        (in_back.netns, "10.6.0.32", "10.6.0.30"),
    ):
        lab.serve(netns, address, 80)
        assert lab.ask(both.netns, address, 80) == source
    # What is in one of them reaches nothing of the other, at once and not after a time-out.
    assert lab.ask(in_shop.netns, "10.6.0.32", 80) == "Network is unreachable"
    assert lab.ask(in_shop.netns, "10.6.0.30", 80) == "Network is unreachable"
    assert link_names(lab.nodes[0].router(back)) == {"lo", "vxlan", "tboth"}
    assert lab.faults() == []


def test_networks_with_the_same_subnet_do_not_see_each_other(lab: OverlayLab, shop: Net) -> None:
    lab.add(Net("twin", 4099, shop.subnets))
    here = lab.task("here", 0, {"shop": ["10.5.0.40", "fd05::40"]})
    same = lab.task("same", 0, {"twin": ["10.5.0.40", "fd05::40"]})
    far = lab.task("far", 1, {"shop": ["10.5.0.41", "fd05::41"]})
    twin = lab.task("twin", 1, {"twin": ["10.5.0.42", "fd05::42"]})
    for family in (0, 1):
        address = ("10.5.0.40", "fd05::40")[family]
        lab.serve(here.netns, address, 80)
        lab.serve(same.netns, address, 81)
        assert lab.ask(far.netns, address, 80) == ("10.5.0.41", "fd05::41")[family]
        assert lab.ask(far.netns, address, 81) == "Connection refused"
        assert lab.ask(twin.netns, address, 81) == ("10.5.0.42", "fd05::42")[family]
        assert lab.ask(twin.netns, address, 80) == "Connection refused"
    assert lab.faults() == []


def test_tasks_that_share_no_network_do_not_meet_in_that_of_their_node(lab: OverlayLab, shop: Net) -> None:
    one = lab.task("one", 0, {"shop": ["10.5.0.50", "fd05::50"]})
    plain = lab.attach("plain", 0, {})
    also_plain = lab.attach("also", 0, {})
    lab.serve(one.netns, "0.0.0.0", 80)
    lab.serve(plain.netns, "0.0.0.0", 80)
    assert lab.ask(plain.netns, one.address, 80) == "No route to host"
    assert lab.ask(one.netns, plain.address, 80) == "No route to host"
    assert lab.ask(also_plain.netns, plain.address, 80) == also_plain.address
    for task_id in ("plain", "also"):
        lab.nodes[0].call("detach", task_id)


def test_a_task_of_internal_networks_reaches_nothing_else_but_answers(lab: OverlayLab, shop: Net) -> None:
    inner = lab.add(Net("inner", 4100, ["10.7.0.0/24"], internal=True))
    inner.nodes.add(0)
    lab.tell()
    closed = lab.attach("closed", 0, {"inner": ["10.7.0.60"]}, ("tcp", 8080, 80))
    inner.tasks["closed"] = (0, ["10.7.0.60"])
    other = lab.task("other", 1, {"inner": ["10.7.0.61"]})
    mixed = lab.task("mixed", 0, {"inner": ["10.7.0.62"], "shop": ["10.5.0.62"]})
    outside = lab.nodes[2].node
    lab.serve(outside, "0.0.0.0", 7000)
    lab.serve(closed.netns, "0.0.0.0", 80)
    assert lab.ask(other.netns, "10.7.0.60", 80) == "10.7.0.61"
    assert lab.ask(lab.nodes[0].node, closed.address, 80) == "172.30.0.1"  # a probe
    assert lab.ask(closed.netns, "172.30.0.1", 80) == "No route to host"
    if not lab.ipv6:  # the way out of a node is of IPv4
        assert lab.ask(closed.netns, "10.99.0.3", 7000) == "No route to host"
        assert lab.ask(mixed.netns, "10.99.0.3", 7000) == "10.99.0.1"
        assert lab.ask(outside, "10.99.0.1", 8080) == "10.99.0.3"  # a published port: the client is seen


def test_full_packets_pass_and_larger_ones_are_refused(lab: OverlayLab, shop: Net) -> None:
    mtu = 1500 - (70 if lab.ipv6 else 50)
    server = lab.task("server", 0, {"shop": ["10.5.0.70", "fd05::70"]})
    client = lab.task("client", 1, {"shop": ["10.5.0.71", "fd05::71"]})
    for address, source, headers in (("10.5.0.70", "10.5.0.71", 28), ("fd05::70", "fd05::71", 48)):
        serve_both(lab, server.netns, address)
        assert lab.ask(client.netns, address, 80, size=200_000) == source
        assert lab.ask(client.netns, address, 80, "udp", size=mtu - headers) == source
        assert lab.ask(client.netns, address, 80, "udp", size=mtu - headers + 1) == "Message too long"


def test_an_mtu_that_was_asked_for_is_taken(lab: OverlayLab, shop: Net) -> None:
    lab.add(Net("small", 4101, ["10.8.0.0/24"], mtu=1300))
    server = lab.task("server", 0, {"small": ["10.8.0.70"]})
    client = lab.task("client", 1, {"small": ["10.8.0.71"]})
    serve_both(lab, server.netns, "10.8.0.70")
    assert lab.ask(client.netns, "10.8.0.70", 80, "udp", size=1272) == "10.8.0.71"
    assert lab.ask(client.netns, "10.8.0.70", 80, "udp", size=1273) == "Message too long"


def test_who_is_not_known_is_refused_without_a_time_out(lab: OverlayLab, shop: Net) -> None:
    client = lab.task("client", 1, {"shop": ["10.5.0.71", "fd05::71"]})
    assert lab.ask(client.netns, "10.5.0.99", 80) == "Network is unreachable"
    assert lab.ask(client.netns, "fd05::99", 80) == "Network is unreachable"


def test_a_node_that_leaves_is_forgotten_and_back_when_it_returns(lab: OverlayLab, shop: Net) -> None:
    server = lab.task("server", 2, {"shop": ["10.5.0.80", "fd05::80"]})
    client = lab.task("client", 0, {"shop": ["10.5.0.81", "fd05::81"]})
    lab.serve(server.netns, "10.5.0.80", 80)
    lab.down.add(2)
    lab.tell()
    try:
        assert lab.ask(client.netns, "10.5.0.80", 80) == "Network is unreachable"
        # Its address is another's meanwhile; whoever is cut off there does not disturb.
        heir = lab.task("heir", 1, {"shop": ["10.5.0.80", "fd05::80"]})
        lab.serve(heir.netns, "10.5.0.80", 80)
        assert lab.ask(client.netns, "10.5.0.80", 80) == "10.5.0.81"
        lab.end("heir")
    finally:
        lab.down.discard(2)
        shop.tasks["server"] = (2, ["10.5.0.80", "fd05::80"])
        lab.tell()
    assert lab.ask(client.netns, "10.5.0.80", 80) == "10.5.0.81"
    assert lab.faults() == []


def test_an_address_moves_from_node_to_node_with_its_task(lab: OverlayLab, shop: Net) -> None:
    client = lab.task("client", 0, {"shop": ["10.5.0.91", "fd05::91"]})
    for number, node in enumerate((1, 0, 2, 0)):
        task = lab.task(f"mover{number}", node, {"shop": ["10.5.0.90", "fd05::90"]})
        for address, source in (("10.5.0.90", "10.5.0.91"), ("fd05::90", "fd05::91")):
            lab.serve(task.netns, address, 80)
            assert lab.ask(client.netns, address, 80) == source
        assert lab.faults() == []
        lab.end(f"mover{number}")


def test_who_outlived_the_loss_of_its_address_is_not_taken_for_the_task_that_has_it_now(
    lab: OverlayLab, shop: Net
) -> None:
    """A node was cut off, and its task went on; when it hears again, the address is another service's."""
    client = lab.task("client", 2, {"shop": ["10.5.0.86", "fd05::86"]})
    old = lab.task("outlived", 2, {"shop": ["10.5.0.85", "fd05::85"]})
    lab.down.add(2)
    del shop.tasks["outlived"]
    heir = lab.task("heir", 1, {"shop": ["10.5.0.85", "fd05::85"]})
    for address in ("10.5.0.85", "fd05::85"):
        lab.serve(old.netns, address, 80, says="old")
        lab.serve(heir.netns, address, 80, says="heir")
        assert lab.ask(client.netns, address, 80) == "old"  # nobody told this node of another
    lab.down.discard(2)
    lab.tell()
    for how in ("told", "looked after", "stopped"):
        for address in ("10.5.0.85", "fd05::85"):
            assert lab.ask(client.netns, address, 80) == "heir", how
        if how == "told":
            lab.nodes[2].call("check")
        elif how == "looked after":
            lab.nodes[2].call("detach", "outlived")
    assert lab.faults() == []


def test_a_network_that_the_node_leaves_is_gone_at_once_and_can_come_back(
    lab: OverlayLab, shop: Net
) -> None:
    for _ in range(2):
        lab.task("only", 3, {"shop": ["10.5.0.95", "fd05::95"]})
        assert lab.nodes[3].router(shop).exists()
        lab.end("only")
        assert not lab.nodes[3].router(shop).exists()


def test_a_task_of_a_removed_network_keeps_it_until_its_end(lab: OverlayLab, shop: Net) -> None:
    server = lab.task("server", 0, {"shop": ["10.5.0.96", "fd05::96"]})
    client = lab.task("client", 1, {"shop": ["10.5.0.97", "fd05::97"]})
    lab.serve(server.netns, "10.5.0.96", 80)
    shop.nodes.clear()
    lab.tell()
    assert lab.ask(client.netns, "10.5.0.96", 80) == "10.5.0.97"
    lab.end("server")
    lab.end("client")
    assert not lab.nodes[0].router(shop).exists()


def test_no_packet_is_lost_while_an_agent_is_killed_and_the_next_takes_over(
    lab: OverlayLab, shop: Net
) -> None:
    server = lab.task("server", 0, {"shop": ["10.5.0.20", "fd05::20"]})
    client = lab.task("client", 1, {"shop": ["10.5.0.21", "fd05::21"]})
    places = {"shop": ["10.5.0.20", "fd05::20"]}

    def restart(sent: int) -> bool:
        if sent == 20:
            lab.nodes[0].kill()
            lab.nodes[0].start()
        if sent == 40:
            lab.tell(0)
        if sent == 60:
            lab.attach("server", 0, places)
            lab.nodes[0].call("check")
        return sent == 100

    for address in ("10.5.0.20", "fd05::20"):
        assert flood(client.netns, address, restart) == (100, 100)
    lab.wait_for_ping(server.netns, "10.5.0.21")
    assert lab.faults() == []


def test_what_somebody_changed_by_hand_is_put_right_by_a_check(lab: OverlayLab, shop: Net) -> None:
    lab.task("server", 0, {"shop": ["10.5.0.20", "fd05::20"]})
    client = lab.task("client", 1, {"shop": ["10.5.0.21", "fd05::21"]})
    router = lab.nodes[1].router(shop)
    with namespaces.entered(router):
        for command in (
            "ip route del 10.5.0.20",
            "ip -6 route del fd05::20",
            "ip route add 10.5.0.77 via 10.5.0.1 dev vxlan onlink",
            "bridge fdb del 02:42:0a:05:00:01 dev vxlan",
            "ip neigh del 10.5.0.1 dev vxlan",
            "ip route del 10.5.0.21",
        ):
            run(command)
    assert len(lab.faults()) >= 5
    lab.nodes[1].call("check")
    assert lab.faults() == []
    lab.wait_for_ping(client.netns, "10.5.0.20")
    namespaces.remove(router)

    def checked() -> bool:
        with contextlib.suppress(TaskRejected):  # the kernel has the VXLAN number until that router is gone
            lab.nodes[1].call("check")
            return True
        return False

    wait_until(checked, what="a router in place of the one that was removed")
    lab.wait_for_ping(client.netns, "10.5.0.20")
    lab.wait_for_ping(client.netns, "fd05::20")
    assert lab.faults() == []


def test_a_task_waits_for_a_network_that_its_node_has_not_heard_of(lab: OverlayLab, shop: Net) -> None:
    with pytest.raises(Exception, match="this node has no address in network nowhere yet"):
        lab.attach("early", 0, {"nowhere": ["10.9.0.2"]})
    assert not (lab.nodes[0].run_dir / "netns" / "early").exists()


def test_a_task_cannot_forge_packets_between_nodes(lab: OverlayLab, shop: Net) -> None:
    if lab.ipv6:
        return  # tasks have no way out to such nodes
    lab.add(Net("odd", 4103, ["10.9.0.0/24"], port=4800))
    task = lab.task("task", 0, {"odd": ["10.9.0.20"]})
    plain = lab.attach("plain", 0, {})
    for port in (4800, 4801):
        lab.serve(lab.nodes[3].node, "10.99.0.4", port, "udp")
    for netns in (task.netns, plain.netns):
        assert lab.ask(netns, "10.99.0.4", 4800, "udp") == "No route to host"
        assert lab.ask(netns, "10.99.0.4", 4801, "udp") == "10.99.0.1"
    lab.nodes[0].call("detach", "plain")


def test_a_port_that_another_program_has_is_said_and_tried_again(lab: OverlayLab, shop: Net) -> None:
    lab.add(Net("far", 4102, ["10.8.0.0/24"], port=4790)).nodes.add(3)
    with namespaces.entered(lab.nodes[3].node):
        family = socket.AF_INET6 if lab.ipv6 else socket.AF_INET
        program = socket.socket(family, socket.SOCK_DGRAM)
    with program:
        program.bind(("::" if lab.ipv6 else "0.0.0.0", 4790))
        lab.nets["far"].nodes.add(2)
        with pytest.raises(TaskRejected, match="UDP port 4790 of this node is another program's"):
            lab.tell(3)
    lab.tell()
    assert lab.faults() == []


def test_what_others_do_with_packets_of_the_machine_does_not_concern_overlays(
    lab: OverlayLab, shop: Net
) -> None:
    server = lab.task("server", 0, {"shop": ["10.5.0.20", "fd05::20"]})
    local = lab.task("local", 0, {"shop": ["10.5.0.22", "fd05::22"]})
    client = lab.task("client", 1, {"shop": ["10.5.0.21", "fd05::21"]})
    with namespaces.entered(lab.nodes[0].node):
        # As Docker, firewalld and Kubernetes leave a machine.
        for name in ("iptables", "ip6tables"):
            run(f"{name} -w -P FORWARD DROP")
            switch = Path(f"/proc/sys/net/bridge/bridge-nf-call-{name}")
            switch.write_text("1")
    try:
        for address in ("10.5.0.20", "fd05::20"):
            lab.wait_for_ping(client.netns, address)
            lab.wait_for_ping(local.netns, address)
    finally:
        with namespaces.entered(lab.nodes[0].node):
            for name in ("iptables", "ip6tables"):
                run(f"{name} -w -P FORWARD ACCEPT")
    lab.wait_for_ping(server.netns, "10.5.0.21")


@pytest.mark.parametrize(("subnet", "first"), [("10.7.0.0/24", "10.7.0.2"), ("fd07::/64", "fd07::2")])
def test_a_node_that_a_firewall_closes_answers_nobody_and_hears_nobody(
    lab: OverlayLab, shop: Net, subnet: str, first: str
) -> None:
    asking = lab.add(Net("asking", 4104, [subnet]))
    for node in range(3):
        lab.task(f"task{node}", node, {asking.id: [f"{first}{node}"]})

    def heard(node: int) -> set[str]:
        state = OverlayState()
        state.apply(lab.said_to(node), complete=True)
        asked = targets_of(state)
        assert len(asked) == 2
        layout = OverlayLayout(lab.nodes[node].run_dir)
        return {one.node_id for one in asyncio.run(echo.ask(layout, asked))}

    closed = lab.nodes[2].node
    try:
        wait_until(lambda: [heard(node) for node in range(3)] == [{"n1", "n2"}, {"n0", "n2"}, {"n0", "n1"}])
        with namespaces.entered(closed):
            nft.run(
                "add table inet guard\n"
                "add chain inet guard gate { type filter hook input priority 0; }\n"
                "add rule inet guard gate udp dport 4789 drop\n"
            )
        wait_until(lambda: [heard(node) for node in range(3)] == [{"n1"}, {"n0"}, set()])
    finally:
        with namespaces.entered(closed):
            nft.run("add table inet guard\ndelete table inet guard\n")


def test_teardown_leaves_nothing(lab: OverlayLab, shop: Net) -> None:
    node = lab.nodes[3]
    node.call("teardown")
    before = machine(node.node)
    node.call("setup")
    assert {"bridge", "host", "ingress", "none", "overlay"} <= set(node.call("drivers"))
    lab.task("one", 3, {"shop": ["10.5.0.20", "fd05::20"]})
    for _ in range(2):
        node.call("teardown")
        assert machine(node.node) == before
        assert [path.name for path in node.run_dir.iterdir()] == []
        assert str(node.run_dir) not in Path("/proc/self/mountinfo").read_text()
    node.call("setup")
    lab.tell()


def machine(where: Path) -> dict[str, object]:
    """What a teardown has to leave as it was."""
    with namespaces.entered(where):
        sysctls = {
            str(path): path.read_text()
            for family in ("ipv4", "ipv6")
            for path in Path(f"/proc/sys/net/{family}/conf").glob("*/*")
            if path.stat().st_mode & 0o444 and "stable_secret" not in path.name
        }
        rules = nft.run("list ruleset")
    with netlink_in(where) as inside:
        routes = {
            (route.destination, route.gateway, route.interface)
            for family in (socket.AF_INET, socket.AF_INET6)
            for route in links.list_routes(inside, family)
            # Those of a link's own address come a moment after the link.
            if not (route.destination.is_link_local or route.destination.is_multicast)
        }
    return {"links": link_names(where), "routes": routes, "rules": rules, "sysctls": sysctls}


def run(command: str) -> None:
    subprocess.run(command.split(), check=True, capture_output=True)
