from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import Path

from swarm.agent.network.families import IPV4, IPV6
from swarm.agent.network.ipv6 import private_prefix
from swarm.agent.network.layout import Layout

SUBNET = IPv4Network("172.30.0.0/16")


def test_each_node_has_a_private_prefix_of_its_own_that_stays() -> None:
    one, other = private_prefix("a"), private_prefix("b")
    assert one != other
    assert one == private_prefix("a")
    assert {one.prefixlen, other.prefixlen} == {64}
    assert all(prefix.subnet_of(IPv6Network("fd00::/8")) for prefix in (one, other))


def test_an_address_of_ipv6_holds_that_of_ipv4() -> None:
    layout = Layout(Path("/run/swarm"), SUBNET, IPv6Network("fd00:1::/64"))
    here = IPv4Address("172.30.1.2")
    assert layout.addresses(here) == (here, IPv6Address("fd00:1::ac1e:102"))
    assert layout.of_family(here, IPV6) == IPv6Address("fd00:1::ac1e:102")
    assert layout.families == (IPV4, IPV6)


def test_a_node_without_ipv6_has_one_family() -> None:
    layout = Layout(Path("/run/swarm"), SUBNET)
    assert layout.addresses(IPv4Address("172.30.1.2")) == (IPv4Address("172.30.1.2"),)
