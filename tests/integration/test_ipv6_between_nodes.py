"""Hosts with a second network of IPv6 only, for containers or for all that nodes say to each other."""

import json
import os
import struct
from collections.abc import Iterator, Sequence
from ipaddress import IPv6Address, IPv6Network
from pathlib import Path

import pytest

from swarm.dev.cluster import DevCluster
from tests.integration.cluster.conftest import Sight
from tests.integration.cluster.test_overlays import places, reach_each_other
from tests.integration.cluster.test_virtual_addresses import ask
from tests.integration.conftest import UP_TIMEOUT_S, Clusters
from tests.integration.operator import Operator, wait_until
from tests.integration.overlay.wire import wire
from tests.integration.second_network import SecondNetwork
from tests.integration.test_data_path import SETTING, data_paths, ready, running

SECOND = SecondNetwork(IPv6Network("fd77::/64"))
_IPV6, _UDP = b"\x86\xdd", 17
_CARRIERS = (4789, 4788)


def carried(frames: Sequence[bytes], port: int) -> int:
    """How many packets of IPv6 to this port are between hosts of the second network."""
    return sum(
        frame[12:14] == _IPV6
        and frame[20] == _UDP
        and IPv6Address(frame[38:54]) in SECOND.network
        and struct.unpack_from("!H", frame, 56) == (port,)
        for frame in frames
    )


@pytest.fixture(scope="module")
def cluster(clusters: Clusters) -> Iterator[DevCluster]:
    """One manager and three workers, each in two networks."""
    made = clusters.plan(1, 3)
    SECOND.wire(made)
    os.environ[SETTING] = "eth1"
    try:
        made.up(timeout_s=UP_TIMEOUT_S)
        yield made
    finally:
        del os.environ[SETTING]


@pytest.fixture(scope="module")
def sight(cluster: DevCluster, operator: Operator, tmp_path_factory: pytest.TempPathFactory) -> Sight:
    operator.load_image(tmp_path_factory.mktemp("image"))
    return Sight(cluster, operator)


def test_containers_of_different_nodes_meet_in_a_second_network_of_ipv6(
    operator: Operator, cluster: DevCluster, sight: Sight
) -> None:
    expected = {node.name: str(SECOND.address(node)) for node in cluster.plan.nodes}
    wait_until(lambda: data_paths(operator) == expected, what="the addresses to be told")
    asking = cluster.plan.namespace(cluster.plan.nodes[0])
    with running(operator, sight, "web", "open", "vault") as there:
        with wire(cluster.plan.switch) as frames:
            for name in ("open", "vault"):
                assert reach_each_other(there, name)
            for _ in range(20):  # through the ingress network, mostly to tasks of other nodes
                assert ask(asking, str(cluster.plan.nodes[1].address))
        cluster.kill("worker-1")
        cluster.start("worker-1")
        wait_until(lambda: ready(operator), what="the worker to be back")
        for name in ("open", "vault"):
            wait_until(lambda name=name: reach_each_other(there, name), what=f"all to meet in {name}")
    for port in _CARRIERS:
        assert carried(frames, port) > 20


def test_managers_meet_at_addresses_of_ipv6(clusters: Clusters, tmp_path: Path) -> None:
    made = clusters.plan(3, 1)
    SECOND.wire(made)
    first, *others = made.plan.nodes
    for node in made.plan.nodes:
        made.start(node.name)
    operator = Operator(made, others[0].name)
    operator.on(first.name)("init", "--advertise-addr", "eth1", "--listen-addr", "eth1")
    for role, node in zip(("manager", "manager", "worker"), others, strict=True):
        token = operator.on(first.name)("join-token", "-q", role)
        chosen = ("--advertise-addr", "eth1", "--listen-addr", "::")
        operator.on(node.name)("join", "--token", token, *chosen, f"[{SECOND.address(first)}]:2377")
    wait_until(lambda: len(operator.rows("node", "ls")) == 4 and ready(operator), what="all nodes")
    nodes = json.loads(operator("node", "inspect", *(node.name for node in made.plan.nodes)))
    assert [one["Status"]["Addr"] for one in nodes] == [
        str(SECOND.address(node)) for node in made.plan.nodes
    ]

    operator.load_image(tmp_path)
    operator("network", "create", "open")
    operator("service", "create", "-d", "--name", "web", "--mode", "global", "--network", "open", "hello:1")
    operator.wait_running("web", 4)
    sight = Sight(made, operator)
    wait_until(lambda: reach_each_other(places(operator, sight, "web"), "open"), what="all to meet")
    made.kill(first.name)
    operator("service", "update", "-d", "--label-add", "a=b", "web")  # somebody else leads
    made.start(first.name)
    wait_until(lambda: ready(operator), what="the first manager to be back")
