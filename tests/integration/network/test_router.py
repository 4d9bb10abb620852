"""The network of a node, with real namespaces: does traffic flow, does it end, is nothing left behind?"""

import socket
import subprocess
import time
from collections.abc import Iterator
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from swarm.agent.network import links, namespaces, nft, plumbing
from swarm.agent.network.layout import ROUTER_LINK, Layout
from swarm.agent.network.netlink import Netlink
from swarm.errors import TaskRejected
from tests.integration.network.lab import NODE, OUTSIDE, SUBNET, Lab, talk
from tests.integration.operator import wait_until

pytestmark = pytest.mark.integration


@pytest.fixture
def lab() -> Iterator[Lab]:
    lab = Lab()
    try:
        lab.agent.start()
        yield lab
    finally:
        lab.close()


def test_a_task_reaches_the_world_with_the_address_of_its_node(lab: Lab) -> None:
    lab.serve(lab.outside, 7000)
    lab.serve(lab.outside, 7000, "udp")
    task = lab.agent.attach("task1")
    assert lab.ask(task.netns, OUTSIDE, 7000) == NODE
    assert lab.ask(task.netns, OUTSIDE, 7000, "udp") == NODE


def test_tasks_of_one_node_reach_each_other_directly(lab: Lab) -> None:
    one, other = lab.agent.attach("task1"), lab.agent.attach("task2")
    lab.serve(one.netns, 80)
    assert lab.ask(other.netns, one.address, 80) == other.address


def test_an_address_that_no_task_has_is_refused_at_once(lab: Lab) -> None:
    task = lab.agent.attach("task1")
    assert lab.ask(task.netns, "172.30.99.99", 80) == "OSError"  # no route to host, instead of a time-out


@pytest.mark.parametrize("kind", ["tcp", "udp"])
def test_a_published_port_answers_the_world_and_the_task_sees_the_real_client(lab: Lab, kind: str) -> None:
    task = lab.agent.attach("task1", (kind, 8080, 80))
    lab.serve(task.netns, 80, kind)
    assert lab.ask(lab.outside, NODE, 8080, kind) == OUTSIDE


@pytest.mark.parametrize("kind", ["tcp", "udp"])
def test_a_published_port_answers_on_the_node_itself(lab: Lab, kind: str) -> None:
    task = lab.agent.attach("task1", (kind, 8080, 80))
    lab.serve(task.netns, 80, kind)
    assert lab.ask(lab.node, "127.0.0.1", 8080, kind) == "172.30.0.1"
    assert lab.ask(lab.node, NODE, 8080, kind) in (NODE, "172.30.0.1")
    assert lab.ask(lab.node, task.address, 80, kind) == "172.30.0.1"


@pytest.mark.parametrize("kind", ["tcp", "udp"])
def test_a_published_port_answers_other_tasks_of_the_node_and_the_task_itself(lab: Lab, kind: str) -> None:
    task, other = lab.agent.attach("task1", (kind, 8080, 80)), lab.agent.attach("task2")
    lab.serve(task.netns, 80, kind)
    for client in (other, task):
        assert lab.ask(client.netns, NODE, 8080, kind) == "172.30.0.1"


def test_an_unprivileged_program_may_serve_a_low_port_of_its_task(lab: Lab) -> None:
    task = lab.agent.attach("task1")
    with namespaces.entered(task.netns):
        assert Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text().strip() == "0"


def test_a_port_that_a_program_of_the_node_has_is_refused_with_its_name(lab: Lab) -> None:
    lab.serve(lab.node, 8080)
    with pytest.raises(TaskRejected, match=r"port 8080/tcp is in use on this node by .* \(pid \d+\)"):
        lab.agent.attach("task1", ("tcp", 8080, 80))
    assert lab.agent.attach("task1", ("udp", 8080, 80)).ports == [("udp", 8080, 80)]


def test_a_port_that_another_task_has_is_refused_and_free_again_when_that_task_is_gone(lab: Lab) -> None:
    lab.agent.attach("task1", ("tcp", 8080, 80))
    with pytest.raises(TaskRejected, match="port 8080/tcp is already published on this node by task task1"):
        lab.agent.attach("task2", ("tcp", 8081, 80), ("tcp", 8080, 80))
    lab.agent.attach("task3", ("tcp", 8081, 80))  # the refused task holds nothing
    lab.agent.call("detach", "task1")
    task = lab.agent.attach("task2", ("tcp", 8080, 80))
    lab.serve(task.netns, 80)
    assert lab.ask(lab.outside, NODE, 8080) == OUTSIDE


def test_programs_of_the_node_cannot_take_a_published_port(lab: Lab) -> None:
    lab.agent.attach("task1", ("tcp", 8080, 80), ("udp", 8080, 80))
    with namespaces.entered(lab.node):
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            with socket.socket(socket.AF_INET, kind) as thief, pytest.raises(OSError, match="in use"):
                thief.bind(("0.0.0.0", 8080))


def test_port_zero_becomes_a_free_port(lab: Lab) -> None:
    task = lab.agent.attach("task1", ("tcp", 0, 80), ("udp", 0, 53))
    assert all(30000 <= published < 32768 for _, published, _ in task.ports)
    assert lab.agent.attach("task1", ("tcp", 0, 80), ("udp", 0, 53)).ports == task.ports
    lab.serve(task.netns, 80)
    assert lab.ask(lab.outside, NODE, task.ports[0][1]) == OUTSIDE


def test_attaching_again_changes_nothing(lab: Lab) -> None:
    first = lab.agent.attach("task1", ("tcp", 8080, 80))
    lab.serve(first.netns, 80)
    before = namespaces.inode(first.netns)
    with lab.connect(lab.outside, NODE, 8080) as client:
        assert talk(client) == OUTSIDE
        second = lab.agent.attach("task1", ("tcp", 8080, 80))
        assert (second.address, second.ports) == (first.address, first.ports)
        assert namespaces.inode(second.netns) == before
        assert talk(client) == OUTSIDE


def test_traffic_flows_on_while_the_agent_is_dead_and_when_the_next_one_takes_over(lab: Lab) -> None:
    task = lab.agent.attach("task1", ("tcp", 8080, 80))
    lab.serve(task.netns, 80)
    with lab.connect(lab.outside, NODE, 8080) as client:
        assert talk(client) == OUTSIDE
        lab.agent.kill()
        assert talk(client) == OUTSIDE
        assert lab.ask(lab.outside, NODE, 8080) == OUTSIDE
        lab.agent.start()
        again = lab.agent.attach("task1", ("tcp", 8080, 80))
        assert talk(client) == OUTSIDE
    assert again.address == task.address
    assert lab.ask(lab.outside, NODE, 8080) == OUTSIDE
    with pytest.raises(TaskRejected, match="already published"):
        lab.agent.attach("task2", ("tcp", 8080, 80))


def test_a_client_that_keeps_sending_datagrams_reaches_the_replacement_of_a_task(lab: Lab) -> None:
    first = lab.agent.attach("task1", ("udp", 5353, 53))
    lab.serve(first.netns, 53, "udp")
    with lab.connect(lab.outside, NODE, 5353, "udp") as client:
        assert talk(client) == OUTSIDE
        lab.agent.call("detach", "task1")
        second = lab.agent.attach("task2", ("udp", 5353, 53))
        assert second.address != first.address
        lab.serve(second.netns, 53, "udp")
        assert talk(client) == OUTSIDE


def test_tasks_ask_the_name_server_of_the_node_for_the_domains_of_the_node(lab: Lab) -> None:
    task = lab.agent.attach("task1")
    assert task.resolv_conf.read_text() == "nameserver 169.254.1.1\nsearch example.org\n"


def test_killed_at_any_moment_the_next_agent_puts_everything_right(lab: Lab) -> None:
    for delay_ms in (0, 1, 2, 3, 5, 8, 12):
        for number in range(4):
            lab.agent.post("attach", f"task{number}", [("tcp", 8080 + number, 80)])
        time.sleep(delay_ms / 1000)  # a moment to be killed at, not a condition to wait for
        lab.agent.kill()
        lab.agent.start()
        task = lab.agent.attach("task3", ("tcp", 8083, 80))
        with namespaces.entered(task.netns):
            listener = socket.create_server(("0.0.0.0", 80))
        with listener, lab.connect(lab.outside, NODE, 8083) as client:
            peer, address = listener.accept()
            peer.close()
            assert client.recv(1) == b""
            assert address[0] == OUTSIDE
        lab.agent.call("keep_only", [])
        assert sandboxes(lab) == set()
        wait_until(lambda: router_links(lab) == {"lo", "uplink"})


def test_a_router_that_somebody_removed_is_made_again_around_the_running_tasks(lab: Lab) -> None:
    task = lab.agent.attach("task1", ("tcp", 8080, 80))
    lab.serve(task.netns, 80)
    lab.agent.kill()
    namespaces.remove(lab.run_dir / "netns" / "router")
    lab.agent.start()
    assert lab.ask(lab.outside, NODE, 8080) == OUTSIDE


def test_the_cable_of_a_router_that_is_gone_may_go_at_any_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel removes it in its own time: here between our look and our word."""
    layout = Layout(tmp_path, IPv4Network(SUBNET))
    node = tmp_path / "node"
    namespaces.create(node)
    looked: list[str] = []
    find_link = links.find_link

    def found(netlink: Netlink, name: str) -> links.Link | None:
        link = find_link(netlink, name)
        if looked and link is not None and name == layout.uplink:
            netlink.run(links.delete_link(link.index))
            looked.clear()
        elif name == ROUTER_LINK and link is None:
            looked.append(name)
        return link

    try:
        with namespaces.entered(node):
            plumbing.ensure_router(layout)
            with layout.router.open("rb"):  # till then it lives on, and its cable
                namespaces.remove(layout.router)
                monkeypatch.setattr(links, "find_link", found)
                assert plumbing.ensure_router(layout)
        assert not looked
    finally:
        for path in (layout.router, node):
            namespaces.remove(path)


def test_a_journal_that_cannot_be_read_costs_connections_but_leaves_nothing_behind(lab: Lab) -> None:
    lab.agent.attach("task1", ("tcp", 8080, 80))
    lab.agent.kill()
    (lab.run_dir / "network.json").write_text('{"grants": {"task1"')
    lab.agent.start()
    task = lab.agent.attach("task1", ("tcp", 8080, 80))
    lab.serve(task.netns, 80)
    assert lab.ask(lab.outside, NODE, 8080) == OUTSIDE
    lab.agent.call("keep_only", [])
    assert sandboxes(lab) == set()


def test_teardown_leaves_nothing_and_may_be_repeated(lab: Lab) -> None:
    for number in range(3):
        lab.agent.attach(f"task{number}", ("tcp", 8080 + number, 80))
    for _ in range(2):
        lab.agent.call("teardown")
        assert list(lab.run_dir.iterdir()) == []
        with namespaces.entered(lab.node), Netlink() as node:
            assert {link.name for link in links.list_links(node)} == {"lo", "eth0"}
            assert nft.run("list tables") == ""
        assert str(lab.run_dir) not in Path("/proc/self/mountinfo").read_text()
    lab.agent.call("setup")  # and the network can be had again
    assert lab.agent.attach("task1").address


def test_a_subnet_that_the_node_uses_already_is_refused(lab: Lab) -> None:
    lab.agent.call("teardown")
    with namespaces.entered(lab.node):
        subprocess.run(["ip", "route", "add", "172.30.4.0/24", "dev", "eth0"], check=True)
    with pytest.raises(TaskRejected, match=r"node_subnet .* overlaps the route to 172.30.4.0/24"):
        lab.agent.call("setup")


@pytest.mark.parametrize("chain", ["FORWARD", "DOCKER-USER"])
def test_a_machine_that_drops_what_it_forwards_makes_an_exception_for_tasks(lab: Lab, chain: str) -> None:
    lab.agent.call("teardown")
    with namespaces.entered(lab.node):
        if chain != "FORWARD":
            iptables("-N", chain)
            iptables("-A", "FORWARD", "-j", chain)
        iptables("-P", "FORWARD", "DROP")
        before = iptables("-S")
    for _ in range(2):
        lab.agent.call("setup")
    task = lab.agent.attach("task1", ("tcp", 8080, 80))
    lab.serve(task.netns, 80)
    lab.serve(lab.outside, 7000)
    assert lab.ask(lab.outside, NODE, 8080) == OUTSIDE
    assert lab.ask(task.netns, OUTSIDE, 7000) == NODE
    lab.agent.call("teardown")
    with namespaces.entered(lab.node):
        assert iptables("-S") == before


def iptables(*arguments: str) -> str:
    done = subprocess.run(["iptables", "-w", *arguments], check=True, capture_output=True, text=True)
    return done.stdout


def sandboxes(lab: Lab) -> set[str]:
    return {path.name for path in (lab.run_dir / "netns").iterdir()} - {"router"}


def router_links(lab: Lab) -> set[str]:
    with namespaces.entered(lab.run_dir / "netns" / "router"), Netlink() as router:
        return {link.name for link in links.list_links(router)}
