from ipaddress import IPv4Address

from hypothesis import given
from hypothesis import strategies as st

from swarm.agent.network.links import mac_of
from swarm.agent.network.netlink import attribute, nested, parse_attributes


@given(st.lists(st.tuples(st.integers(1, 0x3FFF), st.binary(max_size=40))))
def test_attributes_are_read_as_they_were_written(pairs: list[tuple[int, bytes]]) -> None:
    data = b"".join(attribute(number, value) for number, value in pairs)
    assert list(parse_attributes(data)) == pairs


def test_nested_attributes_keep_their_number() -> None:
    ((number, inner),) = parse_attributes(nested(7, attribute(1, b"one"), attribute(2, b"two!")))
    assert number == 7
    assert dict(parse_attributes(inner)) == {1: b"one", 2: b"two!"}


@given(st.binary(max_size=64))
def test_garbage_ends_instead_of_looping(data: bytes) -> None:
    list(parse_attributes(data))


def test_a_hardware_address_is_locally_administered_and_unicast() -> None:
    assert mac_of(IPv4Address("172.30.1.2")) == "02:42:ac:1e:01:02"
