from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest

from swarm.agent.network.base import LocalSubnet, TaskNetwork
from swarm.agent.network.local_addresses import POOL, completed
from swarm.errors import TaskRejected

OWN = TaskNetwork("own", driver="bridge")


def test_tasks_of_a_network_share_a_subnet_and_have_addresses_of_their_own() -> None:
    one = completed(OWN, {})
    other = completed(OWN, {"t1": [one]})
    assert one.subnets == other.subnets
    assert one.addresses != other.addresses
    assert ip_network(one.subnets[0].subnet).subnet_of(POOL)


def test_networks_of_one_node_have_different_subnets() -> None:
    granted = {}
    for number in range(200):
        granted[f"t{number}"] = [completed(TaskNetwork(f"n{number}", driver="bridge"), granted)]
    assert len({several[0].subnets for several in granted.values()}) == 200


def test_of_families_without_a_subnet_the_node_chooses_one() -> None:
    both = replace(OWN, families=(4, 6))
    first, second = completed(both, {}), completed(replace(both, network_id="other"), {})
    assert [ip_network(one.subnet).version for one in first.subnets] == [4, 6]
    assert first.subnets[1] != second.subnets[1]
    assert completed(both, {"t1": [first]}).subnets == first.subnets
    half = replace(both, subnets=(LocalSubnet("10.9.0.0/24"),))
    assert [ip_address(one).version for one in completed(half, {}).addresses] == [4, 6]


def test_a_node_without_a_free_subnet_says_what_to_do() -> None:
    full = TaskNetwork("all", ("172.29.0.2",), "bridge", (LocalSubnet(str(POOL)),))
    with pytest.raises(TaskRejected, match=r"no /24 of 172.29.0.0/16 is free .* with --subnet"):
        completed(OWN, {"t1": [full]})


def test_what_was_asked_for_is_given_in_its_order_but_for_what_is_reserved() -> None:
    asked = TaskNetwork(
        "own",
        driver="bridge",
        subnets=(LocalSubnet("10.9.0.0/24", "10.9.0.8/30", ("10.9.0.9",)), LocalSubnet("fd09::/64")),
    )
    granted = {}
    for number, address in enumerate(("10.9.0.8", "10.9.0.10", "10.9.0.11")):
        granted[f"t{number}"] = [completed(asked, granted)]
        assert granted[f"t{number}"][0].addresses == (address, str(ip_address("fd09::2") + number))
    with pytest.raises(TaskRejected, match=r"no address of 10.9.0.8/30 is left on this node"):
        completed(asked, granted)


def test_gateway_and_ends_of_a_subnet_are_given_to_nobody() -> None:
    small = TaskNetwork("own", driver="bridge", subnets=(LocalSubnet("10.9.0.0/30"),))
    one = completed(small, {})
    assert one.addresses == ("10.9.0.2",)
    with pytest.raises(TaskRejected):
        completed(small, {"t1": [one]})
