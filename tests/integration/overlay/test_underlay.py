"""What lies between the nodes: how large its packets are, and which port gets through."""

from contextlib import closing

import pytest

from swarm.agent.network import namespaces, nft
from tests.integration.overlay.lab import Net, OverlayLab

pytestmark = pytest.mark.integration

HEADERS = 28  # IP and UDP, inside
CLOSED = """
add table ip closed
add chain ip closed input { type filter hook input priority -200; }
add rule ip closed input udp dport 4789 drop
"""


@pytest.mark.parametrize("link_mtu", [9000, 1450])
def test_packets_are_as_large_as_the_path_between_nodes_takes_and_no_larger(link_mtu: int) -> None:
    with closing(OverlayLab(2, link_mtu=link_mtu)) as lab:
        lab.add(Net("shop", 4097, ["10.5.0.0/24"]))
        server, client = (lab.task(f"t{n}", n, {"shop": [f"10.5.0.{10 + n}"]}) for n in range(2))
        lab.serve(server.netns, "10.5.0.10", 80, "udp")
        fits = link_mtu - 50 - HEADERS
        assert lab.ask(client.netns, "10.5.0.10", 80, "udp", size=fits) == "10.5.0.11"
        assert lab.ask(client.netns, "10.5.0.10", 80, "udp", size=fits + 1) == "Message too long"


def test_the_port_between_nodes_is_the_one_that_was_asked_for() -> None:
    with closing(OverlayLab(2)) as lab:
        for node in lab.nodes:
            with namespaces.entered(node.node):
                nft.run(CLOSED)
        lab.add(Net("shop", 4097, ["10.5.0.0/24"], port=14789))
        lab.add(Net("usual", 4098, ["10.6.0.0/24"]))
        places = [{"shop": [f"10.5.0.{10 + n}"], "usual": [f"10.6.0.{10 + n}"]} for n in range(2)]
        server, client = (lab.task(f"t{n}", n, places[n]) for n in range(2))
        lab.serve(server.netns, "10.5.0.10", 80)
        assert lab.ask(client.netns, "10.5.0.10", 80) == "10.5.0.11"
        assert not lab.ping(client.netns, "10.6.0.10")
