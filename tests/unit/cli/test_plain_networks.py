"""What options of `run` say of networks."""

from typing import Any

import pytest

from swarm.api.v1.containers_pb2 import ContainerDetails, ContainerSummary
from swarm.api.v1.plain_pb2 import PlainContainer, PlainSpec
from swarm.api.v1.types_pb2 import NetworkAttachment
from swarm.cli.container_inspect import details_view
from swarm.cli.plain_networks import put_networks
from swarm.errors import InvalidArgument


def spec_of(*networks: str, **more: Any) -> PlainSpec:
    spec = PlainSpec()
    put_networks(
        spec, {"network": networks, "network_alias": (), "ip": "", "ip6": "", "mac_address": "", **more}
    )
    return spec


def test_networks_of_the_node_are_a_mode_and_others_are_joined() -> None:
    assert spec_of() == PlainSpec()
    assert spec_of("host") == PlainSpec(network="host")
    assert [one.network_name for one in spec_of("shop", "bridge").networks] == ["shop", "bridge"]
    (one,) = spec_of("name=shop,alias=a,ip=10.0.0.9", network_alias=("b",), ip6="fd00::9").networks
    wanted = NetworkAttachment(network_name="shop", aliases=["a", "b"], ipv4_address="10.0.0.9")
    wanted.ipv6_address = "fd00::9"
    assert one == wanted


def test_a_hardware_address_is_for_the_only_network_or_that_of_the_node() -> None:
    mac = "02:42:AC-11:00:02".replace("-", ":")
    assert spec_of(mac_address=mac) == PlainSpec(mac_address=mac.lower())
    assert spec_of("bridge,mac-address=0242.ac11.0002") == PlainSpec(
        network="bridge", mac_address=mac.lower()
    )
    (one,) = spec_of("shop", mac_address=mac).networks
    assert one == NetworkAttachment(network_name="shop", mac_address=mac.lower())
    both = spec_of("name=shop,mac-address=02:00:00:00:00:07", f"bridge,mac-address={mac}")
    assert [one.mac_address for one in both.networks] == ["02:00:00:00:00:07", ""]
    assert both.mac_address == mac.lower()


@pytest.mark.parametrize(
    ("networks", "more", "reason"),
    [
        (("a", "b"), {"mac_address": "02:42:ac:11:00:02"}, "with several write it there"),
        (
            ("a,mac-address=02:42:ac:11:00:03",),
            {"mac_address": "02:42:ac:11:00:02"},
            "contradict each other",
        ),
        (("a,mac-address=7",), {}, '"7" is not a hardware address'),
        ((), {"mac_address": "x"}, '"x" is not a hardware address'),
        (("host", "shop"), {}, "host is all"),
        (("bridge",), {"ip": "172.30.0.9"}, "no addresses that could be chosen"),
        (("a", "b"), {"ip": "10.0.0.9"}, "write them there"),
        ((), {"network_alias": ("x",)}, "need a --network"),
        (("shop,colour=red",), {}, "none of NAME"),
    ],
)
def test_what_contradicts_itself_is_refused(networks: Any, more: Any, reason: str) -> None:
    with pytest.raises(InvalidArgument, match=reason):
        spec_of(*networks, **more)


def test_inspect_shows_the_networks_with_their_addresses() -> None:
    found = PlainContainer(address="172.30.0.4")
    found.spec.networks.add(
        network_id="id-shop", network_name="shop", aliases=["cache"], ipv4_address="10.0.0.9"
    )
    found.addresses.add(network_id="id-shop", addresses=["10.0.0.9", "fd00::9"])
    view = details_view(ContainerDetails(summary=ContainerSummary(plain=True), plain=found), "n1", {})
    assert view["HostConfig"]["NetworkMode"] == "shop"
    assert view["NetworkSettings"]["Networks"] == {
        "shop": {
            "NetworkID": "id-shop",
            "MacAddress": "02:42:0a:00:00:09",
            "IPAddress": "10.0.0.9",
            "GlobalIPv6Address": "fd00::9",
            "IPAMConfig": {"IPv4Address": "10.0.0.9"},
            "DriverOpts": None,
            "Aliases": ["cache"],
        }
    }
