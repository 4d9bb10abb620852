from ipaddress import ip_network

import pytest

from swarm.api.v1.objects_pb2 import Cluster
from swarm.api.v1.specs_pb2 import ClusterSpec, NetworkSpec
from swarm.errors import FailedPrecondition, InvalidArgument
from swarm.model import networks
from swarm.model.networks import checked_static, decide_subnets, pools_of, range_of, vxlan_id

POOLS = pools_of(Cluster(id="c"))


def spec(**more: object) -> NetworkSpec:
    return NetworkSpec(**more)  # type: ignore[arg-type]


def test_without_a_word_a_network_gets_the_next_subnet_of_ten() -> None:
    (found,) = decide_subnets(spec(), POOLS, [(ip_network("10.0.0.0/24"), "web")], [])
    assert (found.subnet, found.gateway, found.pool) == ("10.0.1.0/24", "10.0.1.1", "10.0.0.0/8")


def test_addresses_of_nodes_are_kept_clear_of_but_may_be_asked_for() -> None:
    avoid = [ip_network("10.0.0.9/32")]
    assert decide_subnets(spec(), POOLS, [], avoid)[0].subnet == "10.0.1.0/24"
    wanted = spec()
    wanted.subnets.add(subnet="10.0.0.0/24")
    assert decide_subnets(wanted, POOLS, [], avoid)[0].subnet == "10.0.0.0/24"


def test_both_families_or_ipv6_alone() -> None:
    both = decide_subnets(spec(ipv6=True), POOLS, [], [])
    assert [ip_network(one.subnet).version for one in both] == [4, 6]
    assert ip_network(both[1].subnet).prefixlen == 64
    (six,) = decide_subnets(spec(ipv6=True, no_ipv4=True), POOLS, [], [])
    assert six == both[1]


def test_what_was_asked_for_is_kept_and_an_overlap_names_the_other_network() -> None:
    wanted = spec()
    wanted.subnets.add(
        subnet="192.168.4.0/22",
        range="192.168.5.0/24",
        gateway="192.168.4.9",
        reserved={"nas": "192.168.5.7"},
    )
    (found,) = decide_subnets(wanted, POOLS, [], [])
    assert (found.subnet, found.range, found.gateway) == ("192.168.4.0/22", "192.168.5.0/24", "192.168.4.9")
    assert (found.reserved["nas"], found.pool) == ("192.168.5.7", "")
    assert range_of(found).size == 255
    with pytest.raises(FailedPrecondition, match="overlaps that of network shop"):
        decide_subnets(wanted, POOLS, [(ip_network("192.168.6.0/24"), "shop")], [])


def test_pools_are_the_clusters_own_with_its_length_and_ipv6_is_never_missing() -> None:
    cluster = Cluster(id="c", spec=ClusterSpec(default_address_pools=["172.30.0.0/16"], subnet_length=26))
    pools = pools_of(cluster)
    assert (str(pools[0]), pools[0].length) == ("172.30.0.0/16", 26)
    assert pools[1] == POOLS[1]
    assert decide_subnets(spec(ipv6=True), pools, [], [])[0].subnet == "172.30.0.0/26"
    six = Cluster(id="c", spec=ClusterSpec(default_address_pools=["fd00:9::/48"]))
    assert sorted(str(one) for one in pools_of(six)) == ["10.0.0.0/8", "fd00:9::/48"]


def test_vxlan_numbers_differ_and_a_taken_one_is_stepped_over() -> None:
    first = vxlan_id("a", lambda _: False)
    assert networks.FIRST_VXLAN_ID <= first <= networks.LAST_VXLAN_ID
    assert vxlan_id("a", lambda number: number == first) == first + 1
    assert vxlan_id("b", lambda _: False) != first


def test_a_static_address_must_be_one_that_a_task_can_have() -> None:
    (subnet,) = decide_subnets(spec(), POOLS, [], [])
    assert checked_static("10.0.0.7", [subnet], "web") == "10.0.0.7"
    with pytest.raises(
        InvalidArgument, match=r"10\.1\.0\.7 is not in network web, which has 10\.0\.0\.0/24"
    ):
        checked_static("10.1.0.7", [subnet], "web")
    for reserved in ("10.0.0.0", "10.0.0.1", "10.0.0.255"):
        with pytest.raises(InvalidArgument, match="is reserved"):
            checked_static(reserved, [subnet], "web")
