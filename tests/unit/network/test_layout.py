from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest

from swarm.agent.network.layout import ROUTER_INDEX, Layout
from swarm.errors import InvalidArgument

LAYOUT = Layout(Path("/run/swarm"), IPv4Network("172.30.0.0/16"))


def test_names_of_interfaces_fit_into_the_kernel() -> None:
    assert len(LAYOUT.uplink) <= 15
    assert len(LAYOUT.link(IPv4Address("172.30.255.254"))) <= 15


def test_two_nodes_of_one_machine_differ_in_every_name() -> None:
    other = Layout(Path("/run/other"), LAYOUT.subnet)
    assert LAYOUT.table != other.table
    assert LAYOUT.uplink != other.uplink


def test_every_address_has_an_interface_of_its_own() -> None:
    addresses = [LAYOUT.subnet.network_address + offset for offset in range(0, 65536, 257)]
    assert len({LAYOUT.index(address) for address in addresses} | {ROUTER_INDEX, 1}) == len(addresses) + 2
    assert len({LAYOUT.link(address) for address in addresses}) == len(addresses)


def test_a_subnet_without_room_for_tasks_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="too small"):
        Layout(Path("/run/swarm"), IPv4Network("172.30.0.0/27"))
