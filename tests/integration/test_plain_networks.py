"""Containers of no service in networks of the cluster: on several nodes, beside services, over changes."""

import json
import re
from typing import Any

import pytest

from swarm.dev.cluster import DevCluster
from tests.integration.conftest import Clusters
from tests.integration.containers.conftest import wait_told
from tests.integration.operator import Operator, wait_until

SLEEP = ("--entrypoint", "sleep", "hello:1", "1000")


@pytest.fixture(scope="module")
def cluster(clusters: Clusters) -> DevCluster:
    """Three managers, so that there is another leader, and a worker."""
    return clusters.up(3, 1)


@pytest.fixture(scope="module", autouse=True)
def _image(operator: Operator, tmp_path_factory: pytest.TempPathFactory) -> None:
    operator.load_image(tmp_path_factory.mktemp("image"))


def run(operator: Operator, name: str, node: str, *options: str) -> None:
    operator("run", "-d", "-q", "--name", name, "--node", node, *options, *SLEEP)


def reaches(operator: Operator, name: str, target: str) -> bool:
    """Whether a container reaches a name or address from inside."""
    done = operator.try_("container", "exec", name, "busybox", "ping", "-c", "1", "-W", "1", target)
    return done.returncode == 0


def remove_networks(operator: Operator, *networks: str) -> None:
    """Remove networks as soon as the managers have heard that nobody is in them any more."""
    for name in networks:
        wait_until(lambda name=name: not inside(operator, name), what=f"{name} to be empty")  # type: ignore[misc]
    operator("network", "rm", *networks)


def inside(operator: Operator, network: str) -> dict[str, Any]:
    """Return the containers in a network by name, as `network inspect -v` shows them."""
    (view,) = json.loads(operator("network", "inspect", "-v", network))
    return {one["Name"]: one for one in view["Containers"].values()}


def address(operator: Operator, network: str, name: str) -> str:
    return str(inside(operator, network)[name]["EndpointIP"])


def test_containers_of_two_nodes_and_a_service_reach_each_other_by_name(operator: Operator) -> None:
    operator("network", "create", "--attachable", "--subnet", "10.77.0.0/24", "shop")
    operator("network", "create", "closed")
    refused = operator.try_("run", "-q", "-d", "--name", "no", "--network", "closed", *SLEEP)
    assert refused.returncode == 125
    assert "network closed is not attachable" in refused.stderr
    operator("service", "create", "-d", "--name", "web", "--network", "shop", "hello:1")
    operator.wait_running("web", 1)
    run(operator, "one", "worker-1", "--network", "shop", "--network-alias", "uno", "--ip", "10.77.0.77")
    run(operator, "two", "manager-2", "--network", "name=shop,alias=due")
    assert address(operator, "shop", "one") == "10.77.0.77"
    for who, whom in (("one", "two"), ("one", "due"), ("two", "uno"), ("two", "10.77.0.77"), ("one", "web")):
        wait_until(lambda who=who, whom=whom: reaches(operator, who, whom), what=f"{who} to reach {whom}")  # type: ignore[misc]
    taken = operator.try_("run", "-q", "-d", "--name", "no", "--network", "shop,ip=10.77.0.77", *SLEEP)
    assert "is still that of container one" in taken.stderr
    in_use = operator.try_("network", "rm", "shop")
    assert "in use by containers one, two" in in_use.stderr


def test_addresses_stay_over_restarts_of_everything_and_go_with_the_container(
    operator: Operator, cluster: DevCluster
) -> None:
    operator("network", "create", "--attachable", "lasting")
    run(operator, "stays", "worker-1", "--network", "lasting")
    run(operator, "looks", "manager-1", "--network", "lasting")
    before = address(operator, "lasting", "stays")
    operator("container", "restart", "-t", "0", "stays")
    assert address(operator, "lasting", "stays") == before
    leader = next(row["Hostname"] for row in operator.rows("node", "ls") if row["ManagerStatus"] == "Leader")
    for name in ("worker-1", leader):
        cluster.kill(name)
        cluster.start(name)
    wait_until(lambda: operator.try_("node", "ls").returncode == 0, what="a leader")
    wait_until(lambda: reaches(operator.on("manager-1"), "looks", "stays"), 60, "the same address")
    assert address(operator, "lasting", "stays") == before
    wait_told(operator)  # the way from one to the other was there without the daemons
    operator("container", "rm", "-f", "stays")
    wait_until(lambda: "stays" not in inside(operator, "lasting"), what="its address to be free")
    run(operator, "next", "manager-1", "--network", f"lasting,ip={before}")
    operator("container", "rm", "-f", "next", "looks", timeout_s=120)
    remove_networks(operator, "lasting")


def test_a_running_container_joins_and_leaves_networks(operator: Operator) -> None:
    operator("network", "create", "--attachable", "left")
    operator("network", "create", "--attachable", "right")
    run(operator, "mover", "worker-1", "--network", "left")
    run(operator, "there", "manager-2", "--network", "right")
    assert not reaches(operator, "mover", "there")
    operator("network", "connect", "--alias", "wanderer", "right", "mover")
    wait_until(lambda: reaches(operator, "mover", "there"), what="the new network")
    wait_until(lambda: reaches(operator, "there", "wanderer"), what="its alias there")
    again = operator.try_("network", "connect", "right", "mover")
    assert "is in network right already" in again.stderr
    links = operator("container", "exec", "mover", "busybox", "ip", "-o", "link")
    assert "eth2" in links
    operator("network", "disconnect", "left", "mover")
    links = operator("container", "exec", "mover", "busybox", "ip", "-o", "link")
    assert "eth1" not in links
    wait_until(lambda: reaches(operator, "mover", "there"), what="it to be where it has not left")
    operator("network", "disconnect", "right", "mover")
    wait_until(lambda: not reaches(operator, "there", "wanderer"), what="the name to be gone")
    operator("container", "stop", "-t", "0", "mover")
    operator("network", "connect", "right", "mover")
    operator("container", "start", "mover")
    wait_until(lambda: reaches(operator, "there", "mover"), what="it to be back")
    operator("service", "create", "-d", "--name", "srv", "hello:1")
    operator.wait_running("srv", 1)
    task = operator.try_("network", "connect", "right", "srv")
    assert "service update --network-add right" in task.stderr
    operator("container", "rm", "-f", "mover", "there")
    remove_networks(operator, "left", "right")


def hardware(operator: Operator, name: str) -> list[str]:
    """Return the hardware addresses of a container's interfaces, from inside."""
    lines = operator("container", "exec", name, "busybox", "ip", "-o", "link").splitlines()
    return [found[1] for line in lines if (found := re.search(r"link/ether (\S+)", line))]


def test_hardware_addresses_are_those_asked_for_and_last(operator: Operator, cluster: DevCluster) -> None:
    operator("network", "create", "--attachable", "wide")
    operator("network", "create", "--driver", "bridge", "near")
    own, wide, near = "02:42:0a:00:00:01", "02:42:0a:00:00:02", "02:42:0a:00:00:03"
    networks = (f"--network=bridge,mac-address={own}", f"--network=wide,mac-address={wide}")
    run(operator, "chosen", "worker-1", *networks)
    run(operator, "usual", "manager-1", "--network", "wide", "--mac-address", wide)  # cables are their own
    operator("network", "connect", "--mac-address", near, "near", "chosen")
    assert hardware(operator, "chosen") == [own, wide, near]
    for far, here in (("chosen", "usual"), ("usual", "chosen")):
        wait_until(lambda far=far, here=here: reaches(operator, here, far), what=f"{here} to reach {far}")  # type: ignore[misc]
    operator("container", "restart", "-t", "0", "chosen")
    assert hardware(operator, "chosen") == [own, wide, near]
    cluster.kill("worker-1")
    cluster.start("worker-1")
    wait_until(lambda: reaches(operator, "usual", "chosen"), what="the way to it, still")
    assert hardware(operator, "chosen") == [own, wide, near]
    view = json.loads(operator("container", "inspect", "chosen"))[0]["NetworkSettings"]
    assert {name: one["MacAddress"] for name, one in view["Networks"].items()} == {
        "bridge": own,
        "wide": wide,
        "near": near,
    }
    refused = operator.try_("run", "-d", "--network", "host", "--mac-address", own, *SLEEP)
    assert "--network host has no interface" in refused.stderr
    refused = operator.try_("service", "create", "-d", "--network", f"wide,mac-address={own}", "hello:1")
    assert "is for one container" in refused.stderr
    operator("container", "rm", "-f", "chosen", "usual")
    remove_networks(operator, "wide", "near")
