"""Hosts with two networks: managers are met in the first, containers of other nodes in the second only."""

import json
import os
import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from ipaddress import IPv4Address, IPv4Network, IPv6Network
from pathlib import Path

import pytest

from swarm.agent.network import links, namespaces
from swarm.agent.network.netlink import Netlink
from swarm.dev.cluster import DevCluster
from tests.integration.cluster.conftest import Sight
from tests.integration.cluster.test_overlays import Places, places, reach_each_other
from tests.integration.cluster.test_virtual_addresses import answers, ask
from tests.integration.conftest import UP_TIMEOUT_S, Clusters
from tests.integration.operator import Operator, wait_until
from tests.integration.overlay.lab import flood
from tests.integration.overlay.wire import wire
from tests.integration.second_network import SecondNetwork

SECOND = SecondNetwork(IPv4Network("192.168.77.0/24"), mtu=1400)
SETTING = "SWARM_DATA_PATH_ADDR"
Network = IPv4Network | IPv6Network
_UDP, _TCP, _CONTROL = 17, 6, 2377
_CARRIERS = (4789, 4788)


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


def seen(
    frames: Sequence[bytes], protocol: int, ports: Sequence[int], network: IPv4Network | IPv6Network
) -> int:
    """How many IPv4 packets to or from these ports are between hosts of a network."""
    found = 0
    for frame in frames:
        if frame[12:14] != b"\x08\x00" or frame[23] != protocol:
            continue
        source, target = struct.unpack_from("!HH", frame, 14 + 4 * (frame[14] & 15))
        if IPv4Address(frame[30:34]) in network and (source in ports or target in ports):
            found += 1
    return found


def data_paths(operator: Operator) -> Mapping[str, str]:
    nodes = json.loads(operator("node", "inspect", *(row["ID"] for row in operator.rows("node", "ls"))))
    return {one["Description"]["Hostname"]: one["Description"].get("DataPathAddr", "") for one in nodes}


def ready(operator: Operator) -> bool:
    return all(row["Status"] == "Ready" for row in operator.rows("node", "ls"))


def expected(cluster: DevCluster) -> Mapping[str, str]:
    return {node.name: str(SECOND.address(node)) for node in cluster.plan.nodes}


def start_again(cluster: DevCluster, name: str, setting: str) -> None:
    """Restart the daemon of a node, whose settings say this now."""
    cluster.kill(name)
    os.environ[SETTING] = setting
    try:
        cluster.start(name)
    finally:
        os.environ[SETTING] = "eth1"


@contextmanager
def running(operator: Operator, sight: Sight, name: str, *networks: str) -> Iterator[Places]:
    """A service with a task on each node, in these networks."""
    for network in networks:
        operator("network", "create", *(("--opt", "encrypted") if "vault" in network else ()), network)
    given = [word for network in networks for word in ("--network", network)]
    operator(
        *("service", "create", "-d", "--name", name, "--mode", "global", *given),
        *("--publish", "8080:8080", "hello:1"),
    )
    operator.wait_running(name, 4)
    there = places(operator, sight, name)
    for network in networks:
        wait_until(
            lambda network=network: reach_each_other(there, network), what=f"all to meet in {network}"
        )
    yield there
    operator("service", "rm", name)


def test_containers_of_different_nodes_meet_in_the_second_network_only(
    operator: Operator, cluster: DevCluster, sight: Sight
) -> None:
    wait_until(lambda: data_paths(operator) == expected(cluster), what="the addresses to be told")
    own = json.loads(operator("info", "--format", "json"))
    assert own["DataPathAddress"] == expected(cluster)["manager-1"]
    assert own["Address"] == cluster.plan.nodes[0].peer_addr
    asking = cluster.plan.namespace(cluster.plan.nodes[0])
    entry = str(cluster.plan.nodes[1].address)
    with running(operator, sight, "web", "open", "vault") as there:
        wait_until(lambda: answers(asking, entry, 4), what="all tasks to be led to through a port")
        with wire(cluster.plan.switch) as frames:
            for name in ("open", "vault"):
                assert reach_each_other(there, name)
            for _ in range(20):  # through the ingress network, mostly to tasks of other nodes
                assert ask(asking, entry)
            operator("service", "update", "-d", "--label-add", "a=b", "web")
        with namespaces.entered(next(netns for netns, _ in there.values())), Netlink() as inside:
            sizes = {link.name: link.mtu for link in links.list_links(inside)}
    for port in _CARRIERS:
        assert seen(frames, _UDP, [port], SECOND.network) > 20
    assert seen(frames, _UDP, _CARRIERS, cluster.plan.subnet) == 0
    assert seen(frames, _TCP, [_CONTROL], cluster.plan.subnet) > 0
    assert seen(frames, _TCP, [_CONTROL], SECOND.network) == 0
    assert sizes["eth1"] == SECOND.mtu - 50


def test_it_is_kept_over_a_restart_and_changes_with_the_setting_without_losing_a_packet(
    operator: Operator, cluster: DevCluster, sight: Sight
) -> None:
    moving = cluster.node("worker-1")
    first, second = str(moving.address), str(SECOND.address(moving))

    def restarts(netns: Path, address: str, setting: str, told: str) -> tuple[int, int]:
        def restart(sent: int) -> bool:
            if sent == 20:
                start_again(cluster, moving.name, setting)
                wait_until(lambda: data_paths(operator)[moving.name] == told, what=told)
            return sent == 60

        return flood(netns, address, restart)

    def by_the_first(netns: Path, address: str) -> int:
        with wire(cluster.plan.switch) as frames:
            assert flood(netns, address, lambda sent: sent == 5) == (5, 5)
        return seen(frames, _UDP, [4789], cluster.plan.subnet)

    with running(operator, sight, "moving", "here", "vault2") as there:
        rows = {row["Node"]: row["ID"] for row in operator.running("moving")}
        by_node = {
            node: next(place for task_id, place in there.items() if task_id.startswith(short))
            for node, short in rows.items()
        }
        way = by_node["worker-2"][0], by_node["worker-1"][1]["here"]
        operator("update", "--dispatcher-heartbeat", "60s")  # however long a busy machine takes to start it
        try:
            assert restarts(*way, "eth1", second) == (60, 60)
            assert by_the_first(*way) == 0
            assert restarts(*way, "eth0", first) == (60, 60)
            wait_until(lambda: by_the_first(*way) > 0, what="packets to the address of the setting")
            wait_until(lambda: reach_each_other(there, "vault2"), what="the encrypted network")
            assert restarts(*way, "eth1", second) == (60, 60)
            wait_until(lambda: by_the_first(*way) == 0, what="packets in the second network again")
            assert restarts(*way, "eth9", second) == (60, 60)  # no such thing: what was before stays
            wait_until(lambda: "node.data_path_kept" in moving.log.read_text(), what="a word of that")
        finally:
            operator("update", "--dispatcher-heartbeat", "2.5s")


def test_who_joins_says_which_and_what_the_machine_does_not_have_is_refused(
    operator: Operator, cluster: DevCluster
) -> None:
    here = operator.on("worker-3")
    start_again(cluster, "worker-3", "eth0")
    first = str(cluster.node("worker-3").address)
    wait_until(lambda: data_paths(operator).get("worker-3") == first, what="the setting to count")
    (gone,) = (row["ID"] for row in operator.rows("node", "ls") if row["Hostname"] == "worker-3")
    here("leave")
    token, manager = operator("join-token", "-q", "worker"), cluster.plan.nodes[0].peer_addr
    joining = ("join", "--token", token, manager, "--data-path-addr")
    refused = here.try_(*joining, "192.168.77.99")
    assert refused.returncode == 1
    assert "this machine has no address 192.168.77.99, it has" in refused.stderr
    here(*joining, "eth1", timeout_s=120)
    operator("node", "rm", "--force", gone)
    wait_until(lambda: data_paths(operator) == expected(cluster), what="the word of who joined")
    start_again(cluster, "worker-3", "eth0")  # what it said when it was joined: that holds
    shown = wait_until(
        lambda: json.loads(here("info", "--format", "json")).get("DataPathAddress"), what="the daemon"
    )
    assert shown == expected(cluster)["worker-3"]
    wait_until(lambda: ready(operator), what="the worker to be back")
