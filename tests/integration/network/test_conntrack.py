"""Connections are forgotten in the kernel: those that are open, and no other of the same name."""

import socket
from collections.abc import Iterator
from ipaddress import IPv4Network, ip_address
from pathlib import Path

import pytest

from swarm.agent.network import conntrack, links, namespaces, nft
from swarm.agent.network.netlink import Netlink
from tests.integration.operator import wait_until

HERE = ip_address("127.0.0.1")
TRACK = """add table inet watch
add chain inet watch out { type filter hook output priority 0; }
add rule inet watch out ct state new counter
"""


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """A namespace whose kernel remembers every connection to itself."""
    path = tmp_path / "place"
    namespaces.create(path)
    try:
        with namespaces.entered(path):
            with Netlink() as netlink:
                netlink.run(links.set_up(1))
            nft.run(TRACK)
            yield path
    finally:
        namespaces.remove(path)


def listening() -> socket.socket:
    server = socket.create_server((str(HERE), 0))
    server.settimeout(60)
    return server


@pytest.mark.usefixtures("place")
def test_what_is_open_is_forgotten_and_what_was_closed_is_left_to_the_kernel() -> None:
    with listening() as server, conntrack.open_netfilter() as netfilter:
        with socket.create_connection(server.getsockname()) as client:
            accepted, _ = server.accept()
            accepted.close()
            assert client.recv(1) == b""
            port = client.getsockname()[1]

        def is_closed() -> bool:
            with socket.create_connection(server.getsockname()) as another:
                server.accept()[0].close()
                assert another.recv(1) == b""
            return conntrack.forget(netfilter, HERE) == 0

        wait_until(is_closed, 60, "the kernel to have seen the connection closed")
        # The port is used again: the name is that of the closed one, and nothing is in the way of it.
        with socket.create_connection(server.getsockname(), 5, (str(HERE), port)) as again:
            kept, _ = server.accept()
            with kept:
                assert conntrack.forget(netfilter, HERE) == 1
                assert conntrack.forget(netfilter, HERE) == 0
                again.sendall(b"x")


@pytest.mark.usefixtures("place")
def test_datagrams_that_nobody_answers_are_forgotten_too() -> None:
    with conntrack.open_netfilter() as netfilter, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.sendto(b"x", (str(HERE), 9))
        assert conntrack.forget(netfilter, HERE) == 1
        assert conntrack.forget(netfilter, HERE) == 0


@pytest.mark.usefixtures("place")
def test_a_network_that_has_gone_leaves_no_connection_at_all(place: Path) -> None:
    with listening() as server:
        for _ in range(2):
            with socket.create_connection(server.getsockname()) as client:
                server.accept()[0].close()
                assert client.recv(1) == b""

        def counted() -> int:
            return int(Path("/proc/sys/net/netfilter/nf_conntrack_count").read_text())

        assert counted() > 0
        conntrack.forget_network(IPv4Network("127.0.0.0/8"))
        wait_until(lambda: counted() == 0, 60, "the kernel to have given up what held them")
