from ipaddress import ip_address

import pytest

from swarm.errors import InvalidArgument
from swarm.model.host_addresses import holds, host_prefix, is_of, overlap, spelled


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("192.0.2.4", "192.0.2.4"),
        ("192.0.2.4/32", "192.0.2.4"),
        ("[2001:db8:0::4]", "2001:db8::4"),
        ("0.0.0.0", "0.0.0.0/0"),
        ("::", "::/0"),
        ("192.0.2.0/24", "192.0.2.0/24"),
    ],
)
def test_addresses_are_written_in_one_way(text: str, expected: str) -> None:
    assert spelled(text) == spelled(spelled(text)) == expected


@pytest.mark.parametrize("text", ["here", "192.0.2.4/24", "192.0.2", "eth0"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument, match="no address to publish a port at"):
        spelled(text)


def test_nothing_said_is_every_address_of_both_families() -> None:
    assert is_of("", 4)
    assert is_of("", 6)
    assert is_of("::", 6)
    assert not is_of("::", 4)
    assert holds("", ip_address("2001:db8::1"))
    assert not holds("0.0.0.0", ip_address("2001:db8::1"))
    assert overlap("", "::")
    assert not overlap("0.0.0.0", "::")


def test_people_read_it_before_the_port() -> None:
    assert [host_prefix(one) for one in ("", "192.0.2.4", "2001:db8::4")] == [
        "",
        "192.0.2.4:",
        "[2001:db8::4]:",
    ]
