"""Overlay networks over four nodes, with real namespaces: does traffic flow where it should, and only there?"""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from swarm.agent.network import links, namespaces, nft
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
    lab.tell()
    assert lab.faults() == []


@pytest.mark.parametrize("where", [0, 1, 3])
def test_tasks_of_a_network_reach_each_other_on_every_node(lab: OverlayLab, shop: Net, where: int) -> None:
    server = lab.task("server", 0, {"shop": ["10.5.0.20", "fd05::20"]})
    client = lab.task("client", where, {"shop": ["10.5.0.21", "fd05::21"]})
    for address, source in (("10.5.0.20", "10.5.0.21"), ("fd05::20", "fd05::21")):
        serve_both(lab, server.netns, address)
        assert lab.ping(client.netns, address)
        assert lab.ask(client.netns, address, 80) == source
        assert lab.ask(client.netns, address, 80, "udp") == source
    assert lab.faults() == []
