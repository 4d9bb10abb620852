from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarm.agent.network.addresses import RESERVED, next_address
from swarm.errors import TaskRejected

SUBNET = IPv4Network("172.30.0.0/26")
USABLE = [address for address in SUBNET.hosts() if int(address) - int(SUBNET.network_address) >= RESERVED]


def test_the_first_task_gets_the_first_address_behind_the_reserved_ones() -> None:
    assert next_address(SUBNET, set(), None) == IPv4Address("172.30.0.16")


@given(st.sets(st.sampled_from(USABLE), max_size=len(USABLE) - 1), st.none() | st.sampled_from(USABLE))
def test_an_address_is_usable_and_not_taken(taken: set[IPv4Address], after: IPv4Address | None) -> None:
    found = next_address(SUBNET, taken, after)
    assert found in USABLE
    assert found not in taken


def test_an_address_comes_round_again_only_after_all_others() -> None:
    last, seen = None, []
    for _ in USABLE:
        last = next_address(SUBNET, set(), last)
        seen.append(last)
    assert seen == USABLE
    assert next_address(SUBNET, set(), last) == USABLE[0]


def test_an_address_of_another_subnet_does_not_matter() -> None:
    assert next_address(SUBNET, set(), IPv4Address("10.0.0.1")) == USABLE[0]


def test_a_full_subnet_rejects_the_task() -> None:
    with pytest.raises(TaskRejected, match="no free address"):
        next_address(SUBNET, set(USABLE), USABLE[3])
