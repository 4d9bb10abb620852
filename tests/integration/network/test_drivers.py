"""Networks that each node has or makes for itself: host, none, bridge."""

from collections.abc import Iterator

import pytest

from swarm.agent.network import links, namespaces
from swarm.agent.network.netlink import Netlink
from tests.integration.network.lab import NODE, OUTSIDE, Lab

pytestmark = pytest.mark.integration
OWN = ["own", [], "bridge"]


@pytest.fixture
def lab() -> Iterator[Lab]:
    lab = Lab()
    try:
        lab.agent.start()
        yield lab
    finally:
        lab.close()


def test_a_node_says_what_it_can_do(lab: Lab) -> None:
    found = set(lab.agent.call("drivers"))
    assert found - {"encrypted", "macvlan", "sctp"} == {"bridge", "host", "ingress", "none", "overlay"}


def test_a_task_of_the_network_host_has_that_of_its_node(lab: Lab) -> None:
    sandbox = lab.agent.call("attach", "task1", [], [["host", [], "host"]])
    assert (sandbox["netns_path"], sandbox["resolv_conf"], sandbox["ports"]) == ("", "", [])
    lab.agent.call("detach", "task1")


def test_a_task_of_the_network_none_has_itself(lab: Lab) -> None:
    for _ in range(2):
        task = lab.agent.attach("task1", networks=[["none", [], "none"]])
        lab.serve(task.netns, 80, host="127.0.0.1")
        assert lab.ask(task.netns, "127.0.0.1", 80) == "127.0.0.1"
        with namespaces.entered(task.netns), Netlink() as inside:
            assert [link.name for link in links.list_links(inside)] == ["lo"]
        lab.agent.call("detach", "task1")
        assert not task.netns.exists()


def test_tasks_of_the_network_bridge_reach_those_without_a_network(lab: Lab) -> None:
    one = lab.agent.attach("task1", networks=[["bridge", [], "bridge"]])
    other = lab.agent.attach("task2")
    lab.serve(one.netns, 80)
    assert lab.ask(other.netns, one.address, 80) == other.address


def test_tasks_of_a_network_of_their_node_meet_there_and_nowhere_else(lab: Lab) -> None:
    lab.serve(lab.outside, 7000)
    one = lab.agent.attach("task1", networks=[OWN])
    other = lab.agent.attach("task2", networks=[OWN])
    stranger = lab.agent.attach("task3", networks=[["another", [], "bridge"]])
    there, here = nic_address(one), nic_address(other)
    lab.serve(one.netns, 80)
    lab.agent.kill()
    lab.agent.start()
    assert lab.ask(other.netns, there, 80) == here
    assert lab.ask(other.netns, one.address, 80) == "OSError"
    assert lab.ask(stranger.netns, there, 80) in ("OSError", "ConnectionRefusedError")
    assert lab.ask(other.netns, OUTSIDE, 7000) == NODE
    assert lab.agent.attach("task1", networks=[OWN]).address == one.address
    folder = lab.run_dir / "bridges"
    assert {path.name for path in folder.iterdir()} == {"own", "another"}
    lab.agent.call("keep_only", ["task1"])
    assert {path.name for path in folder.iterdir()} == {"own"}
    lab.agent.call("teardown")
    assert list(lab.run_dir.iterdir()) == []


def nic_address(task: object) -> str:
    netns = task.netns  # type: ignore[attr-defined]
    with namespaces.entered(netns), Netlink() as inside:
        link = links.find_link(inside, "eth1")
        assert link is not None
        (address,) = links.list_addresses(inside, link.index)
    return str(address)
