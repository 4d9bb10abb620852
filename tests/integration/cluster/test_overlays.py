"""Tasks on all nodes of a cluster in overlay networks: while nodes and networks come and go."""

import json
import os
import signal
from base64 import b64decode
from collections.abc import Mapping
from pathlib import Path

from swarm.agent.network import namespaces, nft
from swarm.agent.tunnel.tunnel import public_key
from swarm.dev.cluster import DevCluster
from tests.integration.cluster.conftest import Sight
from tests.integration.cluster.test_virtual_addresses import Customer, answers
from tests.integration.operator import SWARMCTL, Operator, wait_until
from tests.integration.overlay.lab import flood, link_names, ping
from tests.integration.overlay.wire import device, kill_tunnel, wire

Places = Mapping[str, tuple[Path, Mapping[str, str]]]  # task -> its namespace, its address by network


def places(operator: Operator, sight: Sight, service: str) -> Places:
    pids = sight.pids(service)
    tasks = json.loads(operator("task", "inspect", *pids))
    return {
        task["ID"]: (
            Path(f"/proc/{pids[task['ID']]}/ns/net"),
            {one["Network"]["Name"]: one["Addresses"][0] for one in task["NetworksAttachments"]},
        )
        for task in tasks
    }


def reach_each_other(there: Places, network: str) -> bool:
    """Whether every task reaches all others there, some on other nodes."""
    return all(
        ping(netns, addresses[network])
        for task_id, (netns, _) in there.items()
        for other, (_, addresses) in there.items()
        if other != task_id
    )


def test_tasks_on_all_nodes_reach_each_other(operator: Operator, sight: Sight) -> None:
    operator("network", "create", "shop")
    operator("service", "create", "-d", "--name", "web", "--network", "shop", "--replicas", "6", "hello:1")
    rows = operator.wait_running("web", 6)
    assert len({row["Node"] for row in rows}) == 5
    wait_until(lambda: reach_each_other(places(operator, sight, "web"), "shop"), what="all pings")


def test_a_node_that_dies_is_forgotten_and_joins_in_again_when_it_returns(
    operator: Operator, cluster: DevCluster, sight: Sight
) -> None:
    operator("network", "create", "lasting")
    operator("service", "create", "-d", "--name", "db", "--network", "lasting", "--replicas", "5", "hello:1")
    rows = operator.wait_running("db", 5)
    (lost,) = (row["ID"] for row in rows if row["Node"] == "worker-2")
    pids = sight.pids("db")
    cluster.kill("worker-2")
    for task_id, pid in pids.items():
        if task_id.startswith(lost):
            os.kill(pid, signal.SIGKILL)  # the machine is gone, not only its daemon
    wait_until(lambda: "worker-2" not in {row["Node"] for row in operator.running("db")}, 60, "its end")
    operator.wait_running("db", 5, 60)
    wait_until(lambda: reach_each_other(places(operator, sight, "db"), "lasting"), what="the others")
    cluster.start("worker-2")
    wait_until(
        lambda: (
            {row["Hostname"]: row["Status"] for row in operator.rows("node", "ls")}["worker-2"] == "Ready"
        ),
        what="the worker to be back",
    )
    at_once = ("--update-parallelism", "0", "--update-monitor", "1s")
    operator("service", "update", "--force", *at_once, "db", timeout_s=120)
    assert "worker-2" in {row["Node"] for row in operator.running("db")}
    wait_until(lambda: reach_each_other(places(operator, sight, "db"), "lasting"), what="all of them")


def test_a_killed_daemon_and_the_next_one_interrupt_nothing(
    operator: Operator, cluster: DevCluster, sight: Sight
) -> None:
    operator("network", "create", "calm")
    operator("service", "create", "-d", "--name", "calm", "--network", "calm", "--mode", "global", "hello:1")
    operator.wait_running("calm", 5)
    rows = {row["Node"]: row["ID"] for row in operator.running("calm")}
    there = places(operator, sight, "calm")
    by_node = {
        node: next(place for task_id, place in there.items() if task_id.startswith(short))
        for node, short in rows.items()
    }

    def restart(sent: int) -> bool:
        if sent == 20:
            cluster.kill("worker-1")
            cluster.start("worker-1")
        return sent == 60

    netns, _ = by_node["manager-1"]
    _, addresses = by_node["worker-1"]
    # However long a busy machine takes to start a daemon: nobody is to replace its tasks meanwhile.
    operator("update", "--dispatcher-heartbeat", "60s")
    try:
        assert flood(netns, addresses["calm"], restart) == (60, 60)
    finally:
        operator("update", "--dispatcher-heartbeat", "2.5s")
    operator("service", "rm", "calm")


def test_networks_are_joined_and_left_by_an_update_and_nothing_stays_of_them(
    operator: Operator, cluster: DevCluster, sight: Sight
) -> None:
    for name in ("front", "back"):
        operator("network", "create", name)
    operator(
        "service",
        "create",
        "-d",
        "--name",
        "api",
        "--network",
        "front",
        "--replicas",
        "4",
        "--update-parallelism",
        "4",
        "--update-monitor",
        "1s",
        "hello:1",
    )
    operator.wait_running("api", 4)
    for change, networks in (
        (["--network-add", "back"], {"front", "back"}),
        (["--network-rm", "front"], {"back"}),
    ):
        operator("service", "update", *change, "api", timeout_s=120)
        there = places(operator, sight, "api")
        assert len(there) == 4
        for _, addresses in there.values():
            assert addresses.keys() == networks
        for name in networks:
            wait_until(lambda name=name, there=there: reach_each_other(there, name), what=f"pings in {name}")
    operator("service", "rm", "api")
    front, back = (one["Id"] for one in json.loads(operator("network", "inspect", "front", "back")))

    def left() -> list[str]:
        found = [path.name for node in cluster.plan.nodes for path in node.run.glob("overlays/*")]
        return [name for name in found if name in (front, back)]

    wait_until(lambda: not left(), what="the routers to go")
    operator("network", "rm", "front", "back")


def test_an_encrypted_network_is_not_read_on_the_wire_and_loses_nothing_while_keys_change(
    operator: Operator, cluster: DevCluster, sight: Sight
) -> None:
    operator("network", "create", "open")
    operator("network", "create", "-d", "overlay", "--opt", "encrypted", "vault")
    networks = ("--network", "vault", "--network", "open")
    operator("service", "create", "-d", "--name", "safe", "--mode", "global", *networks, "hello:1")
    operator.wait_running("safe", 5, 60)
    runs = [node.run for node in cluster.plan.nodes]
    (address, plain) = (virtual_address(operator, "safe", name) for name in ("vault", "open"))
    netns = [Path(f"/proc/{pid}/ns/net") for pid in sight.pids("safe").values()]
    assert len(netns) == 5
    for asked in (plain, address):
        wait_until(lambda asked=asked: all(answers(one, asked, 5) for one in netns), 60, f"all at {asked}")
    for asked, seen in ((plain, True), (address, False)):
        with wire(cluster.plan.switch) as frames:
            assert answers(netns[0], asked, 5)
        assert any(b"GET / HTTP" in frame for frame in frames) is seen

    def shared() -> set[bytes]:
        return {peer.shared for run in runs for peer in device(run).peers.values()}

    before, leader = shared(), sight.leader()
    assert len(before) == 10  # a key of each pair of five
    # However long a busy machine takes to start a daemon: the node is not to be given up meanwhile.
    operator("update", "--dispatcher-heartbeat", "60s")
    try:
        with Customer(netns[0], address) as one, Customer(netns[-1], address) as other:
            operator("update", "--rotate-overlay-keys")
            wait_until(lambda: shared().isdisjoint(before) and len(shared()) == 10, what="other keys")
            cluster.kill(leader.name)
            enough = one.answered + 20, other.answered + 20
            wait_until(
                lambda: one.answered > enough[0] and other.answered > enough[1], what="requests without it"
            )
            cluster.start(leader.name)
    finally:
        operator("update", "--dispatcher-heartbeat", "2.5s")
    assert one.failures == other.failures == []
    kill_tunnel(runs[-1])
    wait_until(lambda: answers(netns[0], address, 5), 60, "the tunnel to be back")
    described = json.loads(operator("node", "inspect", "worker-1"))[0]["Description"]
    worker = next(node for node in cluster.plan.nodes if node.name == "worker-1")
    assert public_key(device(worker.run).private) == b64decode(described["TunnelKey"])
    operator("service", "rm", "safe")
    wait_until(lambda: not any((run / "tunnel").exists() for run in runs), 60, "the tunnels to go")
    operator("network", "rm", "vault", "open")


def virtual_address(operator: Operator, service: str, network: str) -> str:
    (found,) = json.loads(operator("network", "inspect", network))
    (shown,) = json.loads(operator("service", "inspect", service))
    given = {one["NetworkID"]: one["Addr"] for one in shown["Endpoint"]["VirtualIPs"]}
    return str(given[found["Id"]])


def test_networks_that_every_node_has_or_makes_for_itself(operator: Operator, sight: Sight) -> None:
    operator("network", "create", "--driver", "bridge", "--subnet", "10.91.0.0/24", "own")
    for name in ("host", "none", "bridge", "own"):
        operator("service", "create", "-d", "--name", f"in-{name}", "--network", name, "hello:1")
    links = {
        name: link_names(next(iter(sight_of(operator, sight, f"in-{name}"))))
        for name in ("host", "none", "bridge", "own")
    }
    assert links["none"] == {"lo"}
    assert links["bridge"] == {"lo", "eth0"}
    assert links["own"] == {"lo", "eth0", "eth1"}
    assert any(name.startswith("swarm-") for name in links["host"])
    operator("service", "rm", "in-host", "in-none", "in-bridge", "in-own")


def sight_of(operator: Operator, sight: Sight, service: str) -> list[Path]:
    operator.wait_running(service, 1)
    return [Path(f"/proc/{pid}/ns/net") for pid in sight.pids(service).values()]


def test_a_firewall_that_closes_the_port_between_nodes_is_seen_and_its_way_out_is_said(
    operator: Operator, cluster: DevCluster
) -> None:
    operator("network", "create", "heard")
    operator(
        "service", "create", "-d", "--name", "ears", "--mode", "global", "--network", "heard", "hello:1"
    )
    operator.wait_running("ears", 5)
    closed = cluster.node("worker-2")

    def warnings() -> dict[str, str]:
        return {row["Hostname"]: row["Warnings"] for row in operator.rows("node", "ls")}

    def reason(node: str) -> str:
        (view,) = json.loads(operator("node", "inspect", node))
        return " ".join(one["Reason"] for one in view["Status"]["Warnings"])

    wait_until(lambda: not any(warnings().values()), 120, "nobody to complain")
    with namespaces.entered(cluster.plan.namespace(closed)):
        nft.run(
            "add table inet guard\n"
            "add chain inet guard gate { type filter hook input priority 0; }\n"
            "add rule inet guard gate udp dport 4789 drop\n"
        )
    try:
        wait_until(lambda: warnings()["worker-2"] == "data path blocked", 120, "worker-2 to complain")
        fix = "nft insert rule inet guard gate ip saddr NODES udp dport 4789 accept"
        assert "no other node answers over UDP port 4789" in reason("worker-2")
        assert fix in reason("worker-2")
        wait_until(lambda: warnings()["worker-1"] == "data path gaps", 120, "worker-1 to complain")
        wait_until(lambda: str(closed.address) in reason("worker-1"), 120, "worker-1 to name it")
        seen = operator.typed("network", "inspect", "-v", "heard")
        (view,) = json.loads(seen.stdout)
        unheard = {one["Name"]: [told["Type"] for told in one["Warnings"]] for one in view["Peers"]}
        assert unheard["worker-2"] == ["DATA_PATH_BLOCKED"]
        assert (
            "Warning: network heard, node worker-2: no other node answers over UDP port 4789" in seen.stderr
        )
        doctor = cluster.run("worker-2", *SWARMCTL, "doctor")
        assert f"→ {fix}" in doctor.stdout, doctor.stdout + doctor.stderr
        assert "closes 4789/udp" not in cluster.run("worker-1", *SWARMCTL, "doctor").stdout
        # The way out is one.
        way_out = fix.replace("NODES", str(cluster.plan.subnet))
        assert cluster.run("worker-2", "sh", "-c", way_out).returncode == 0
        wait_until(lambda: not any(warnings().values()), 120, "nobody to complain any more")
    finally:
        with namespaces.entered(cluster.plan.namespace(closed)):
            nft.run("add table inet guard\ndelete table inet guard\n")
        operator("service", "rm", "ears")
