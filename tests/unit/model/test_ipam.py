from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swarm.errors import FailedPrecondition, InvalidArgument
from swarm.model.ipam import (
    DEFAULT_POOL,
    Address,
    Block,
    Pool,
    Range,
    next_address,
    next_subnet,
    overlap,
    overlapping,
    parse_address,
    parse_block,
    private_ipv6_pool,
    usable,
)

TEN = Pool(DEFAULT_POOL, 24)
SMALL = Pool(ip_network("10.9.0.0/22"), 24)  # four subnets
SIX = Pool(ip_network("fd00:1::/62"), 64)


def free_of(*taken: str) -> Range:
    return usable(ip_network("10.0.1.0/29"), None, [ip_address(one) for one in taken])


def nobody(_: Address) -> bool:
    return False


def test_subnets_are_cut_one_after_the_other_and_gaps_are_filled() -> None:
    assert next_subnet([TEN], []) == (ip_network("10.0.0.0/24"), TEN)
    taken = [ip_network("10.0.0.0/24"), ip_network("10.0.2.0/24")]
    assert next_subnet([TEN], taken)[0] == ip_network("10.0.1.0/24")


def test_a_subnet_of_another_size_and_a_single_address_are_kept_clear_of() -> None:
    assert next_subnet([TEN], [ip_network("10.0.0.0/15")])[0] == ip_network("10.2.0.0/24")
    assert next_subnet([TEN], [ip_network("10.0.0.77/32")])[0] == ip_network("10.0.1.0/24")
    assert next_subnet([TEN], [ip_network("fd00::/8"), ip_network("192.168.0.0/16")])[0] == ip_network(
        "10.0.0.0/24"
    )


def test_the_next_pool_is_used_when_one_is_full() -> None:
    block, pool = next_subnet([SMALL, TEN], [ip_network("10.9.0.0/16")])
    assert (block, pool) == (ip_network("10.0.0.0/24"), TEN)


def test_exhaustion_names_the_pools_and_the_ways_out() -> None:
    with pytest.raises(FailedPrecondition) as error:
        next_subnet([SMALL], [ip_network("10.9.0.0/16")])
    for words in ("10.9.0.0/22 (4 subnets of /24)", "network prune", "--default-addr-pool", "--subnet"):
        assert words in str(error.value)


def test_ipv6_subnets_are_cut_as_well() -> None:
    assert next_subnet([SIX], [ip_network("fd00:1::/64")])[0] == ip_network("fd00:1:0:1::/64")
    own = private_ipv6_pool("cluster")
    assert own == private_ipv6_pool("cluster") != private_ipv6_pool("other")
    assert overlap(own.block, ip_network("fd00::/8"))
    assert next_subnet([own], [])[0].prefixlen == 64


def test_the_first_and_last_address_and_reserved_ones_are_never_given() -> None:
    among = free_of("10.0.1.1", "10.0.1.4")
    found = []
    after = None
    for _ in range(among.size):
        after = next_address(among, lambda one: one in found, after)
        assert after is not None
        found.append(after)
    assert [str(one) for one in found] == ["10.0.1.2", "10.0.1.3", "10.0.1.5", "10.0.1.6"]
    assert next_address(among, lambda one: one in found, after) is None


def test_an_address_that_became_free_is_the_last_to_be_given_again() -> None:
    among = free_of()
    seen = []
    after = None
    for _ in range(among.size):  # each is free again at once
        after = next_address(among, nobody, after)
        seen.append(after)
    assert len(set(seen)) == among.size
    assert next_address(among, nobody, after) == seen[0]


def test_a_range_inside_the_subnet_is_all_that_is_given_out_of() -> None:
    among = usable(ip_network("10.0.0.0/16"), ip_network("10.0.4.0/30"), [])
    given = [next_address(among, nobody, ip_address(f"10.0.4.{last}")) for last in range(4)]
    assert [str(one) for one in given] == ["10.0.4.1", "10.0.4.2", "10.0.4.3", "10.0.4.0"]
    assert str(next_address(among, nobody, ip_address("10.0.9.9"))) == "10.0.4.0"


def test_ipv6_has_no_broadcast_address() -> None:
    among = usable(ip_network("fd00::/125"), None, [])
    assert among.size == 7
    assert str(next_address(among, nobody, ip_address("fd00::6"))) == "fd00::7"


@pytest.mark.parametrize("text", ["", "10.0.0.1", "10.0.0.0/33", "10.0.0/24/1", "web", "fd00::/129"])
def test_what_is_no_subnet_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument, match="is not a subnet"):
        parse_block(text)


def test_an_address_in_place_of_a_subnet_is_refused_with_the_subnet() -> None:
    with pytest.raises(InvalidArgument, match=r"inside 10\.1\.0\.0/24"):
        parse_block("10.1.0.5/24")


@pytest.mark.parametrize("text", ["", "10.0.0.256", "fe80::1%eth0", "10.0.0.0/24"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument):
        parse_address(text)


def test_the_overlapping_one_is_named() -> None:
    others: list[tuple[Block, str]] = [(ip_network("10.0.0.0/24"), "web"), (ip_network("fd00::/8"), "six")]
    assert overlapping(ip_network("10.0.0.128/25"), others) == "web"
    assert overlapping(ip_network("10.0.0.0/8"), others) == "web"
    assert overlapping(ip_network("fd12::/16"), others) == "six"
    assert overlapping(ip_network("10.0.1.0/24"), others) == ""


BLOCKS = st.builds(
    lambda start, length: ip_network(((10 << 24) + start, length), strict=False),
    st.integers(0, (1 << 16) - 1),
    st.integers(16, 32),
)


@settings(max_examples=200, deadline=None)
@given(taken=st.lists(BLOCKS, max_size=12), length=st.integers(18, 28))
def test_a_subnet_overlaps_nothing_and_is_the_lowest_that_does_not(taken: list[Block], length: int) -> None:
    pool = Pool(ip_network("10.0.0.0/16"), length)
    free = [one for one in pool.block.subnets(new_prefix=length) if not any(overlap(one, t) for t in taken)]
    if not free:
        with pytest.raises(FailedPrecondition):
            next_subnet([pool], taken)
    else:
        assert next_subnet([pool], taken)[0] == free[0]


@settings(max_examples=200, deadline=None)
@given(
    data=st.data(),
    length=st.integers(26, 29),
    reserved=st.sets(st.integers(0, 63), max_size=4),
)
def test_give_and_free_in_any_order_gives_nothing_twice_and_nothing_outside(
    data: st.DataObject, length: int, reserved: set[int]
) -> None:
    subnet = ip_network(("10.3.0.0", length))
    kept = {subnet[one] for one in reserved if one < subnet.num_addresses}
    among = usable(subnet, None, kept)
    held: dict[int, Address] = {}
    last: Address | None = None
    for number, give in enumerate(data.draw(st.lists(st.booleans(), max_size=120))):
        if not give and held:
            held.pop(data.draw(st.sampled_from(sorted(held))))
            continue
        found = next_address(among, lambda one: one in held.values(), last)
        if found is None:
            assert len(held) == among.size
            continue
        assert found in subnet
        assert found not in {subnet[0], subnet[-1], *kept, *held.values()}
        held[number] = last = found
