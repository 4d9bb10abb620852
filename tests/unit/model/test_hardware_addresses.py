"""Hardware addresses that containers may have."""

import pytest

from swarm.agent.network.layout import GATEWAY
from swarm.errors import InvalidArgument
from swarm.model.hardware_addresses import GATEWAY_MAC, mac_of, parse_mac


@pytest.mark.parametrize(
    "text", ["02:42:AC:11:00:02", "02-42-ac-11-00-02", "0242.ac11.0002", " 02:42:ac:11:00:02"]
)
def test_one_is_read_in_each_way_that_people_write_it(text: str) -> None:
    assert parse_mac(text) == "02:42:ac:11:00:02"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is not a hardware address"),
        ("02:42:ac:11:00", "is not a hardware address"),
        ("02:42-ac:11-00:02", "is not a hardware address"),
        ("02:42:ac:11:00:02:00:01", "is not a hardware address"),
        ("01:00:5e:00:00:01", "is one of groups"),
        ("ff:ff:ff:ff:ff:ff", "is one of groups"),
        ("00:00:00:00:00:00", "is not for containers"),
        (GATEWAY_MAC, "is not for containers"),
    ],
)
def test_what_no_interface_may_have_is_refused(text: str, reason: str) -> None:
    with pytest.raises(InvalidArgument, match=reason):
        parse_mac(text)


def test_that_of_an_address_is_one_that_could_be_chosen() -> None:
    assert parse_mac(mac_of(GATEWAY)) == mac_of(GATEWAY)
