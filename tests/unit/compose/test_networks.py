"""Networks of Compose projects, and how services join them."""

import pytest

from swarm.api.v1.specs_pb2 import NetworkSpec, SubnetSpec
from swarm.api.v1.types_pb2 import EndpointSpec, NetworkAttachment
from swarm.compose.services import without_implicit_network
from swarm.errors import InvalidArgument
from swarm.model.stacks import NAMESPACE_LABEL
from swarm.model.validate_network import validate_network
from tests.unit.compose.files import service, stack

ALONE = "services: {web: {image: web:1}}\n"
FRONT = "services: {web: {image: web:1, networks: [front]}}\n"


def network(name: str, **more: object) -> NetworkSpec:
    spec = NetworkSpec(driver="overlay", **more)  # type: ignore[arg-type]
    spec.annotations.name = name
    spec.annotations.labels[NAMESPACE_LABEL] = "shop"
    return spec


def joined(text: str) -> list[NetworkAttachment]:
    return list(stack(text).services[0].task.networks)


def test_services_that_name_no_network_share_one() -> None:
    found = stack(ALONE)
    assert found.networks == [network("shop_default")]
    assert found.implicit_network == "shop_default"
    assert joined(ALONE) == [NetworkAttachment(network_name="shop_default", aliases=["web"])]


def test_the_default_network_may_be_described() -> None:
    found = stack(ALONE + "networks: {default: {name: all, driver_opts: {encrypted: ''}, labels: [a=b]}}")
    described = network("all", driver_options={"encrypted": ""})
    described.annotations.labels["a"] = "b"
    assert found.networks == [described]
    assert found.implicit_network == ""


def test_only_networks_that_are_used_are_made() -> None:
    assert [one.annotations.name for one in stack(FRONT + "networks: {front: , back: }").networks] == [
        "shop_front"
    ]


def test_a_network_of_somebody_else_is_not_made() -> None:
    text = FRONT + "networks: {front: {external: true, name: edge}}"
    assert stack(text).networks == []
    assert [one.network_name for one in joined(text)] == ["edge"]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("internal: true, attachable: 'true'", network("shop_front", internal=True, attachable=True)),
        ("enable_ipv6: true, enable_ipv4: false", network("shop_front", ipv6=True, no_ipv4=True)),
        (
            "ipam: {driver: default, config: [{subnet: 10.9.0.0/24, ip_range: 10.9.0.128/25, "
            "gateway: 10.9.0.2, aux_addresses: {nas: 10.9.0.3}}, {subnet: 'fd00:9::/64'}]}",
            network(
                "shop_front",
                ipv6=True,
                subnets=[
                    SubnetSpec(
                        subnet="10.9.0.0/24",
                        range="10.9.0.128/25",
                        gateway="10.9.0.2",
                        reserved={"nas": "10.9.0.3"},
                    ),
                    SubnetSpec(subnet="fd00:9::/64"),
                ],
            ),
        ),
    ],
)
def test_what_is_said_of_a_network_is_its_spec(lines: str, expected: NetworkSpec) -> None:
    (found,) = stack(FRONT + f"networks: {{front: {{{lines}}}}}").networks
    assert found == expected
    validate_network(found)


def test_a_service_says_how_it_joins() -> None:
    text = (
        "services: {web: {image: web:1, networks: {front: {aliases: [www, web], ipv4_address: 10.0.0.9,"
        " driver_opts: {a: 1}}, back: {priority: 100}}}}\nnetworks: {front: , back: }"
    )
    assert joined(text) == [
        NetworkAttachment(network_name="shop_back", aliases=["web"]),
        NetworkAttachment(
            network_name="shop_front",
            aliases=["web", "www"],
            ipv4_address="10.0.0.9",
            driver_options={"a": "1"},
        ),
    ]


def test_networks_that_every_node_has_are_joined_by_network_mode_or_as_external_ones() -> None:
    assert list(service("network_mode: host").task.networks) == [NetworkAttachment(network_name="host")]
    assert stack("services: {web: {image: web:1, network_mode: none}}").networks == []
    text = FRONT + "networks: {front: {external: true, name: host}}"
    assert joined(text) == [NetworkAttachment(network_name="host")]


def test_the_endpoint_mode_is_taken_over() -> None:
    assert service("deploy: {endpoint_mode: dnsrr}").endpoint.mode == EndpointSpec.MODE_DNSRR


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("services: {web: {image: w, networks: [fornt]}}\nnetworks: {front: }", "service web uses fornt"),
        ("services: {web: {image: w, network_mode: 'service:db'}}", "may be on other nodes"),
        ("services: {web: {image: w, network_mode: hots}}", '"hots" is not one of bridge, host, none'),
        ("services: {web: {image: w, network_mode: host, networks: [default]}}", "not both"),
        (FRONT + "networks: {front: {ipam: {driver: dhcp}}}", "no other ipam driver"),
        (FRONT + "networks: {front: {ipam: {options: {a: b}}}}", "options is not supported"),
        ("services: {web: {image: w, deploy: {endpoint_mode: both}}}", '"both" is not one of vip, dnsrr'),
    ],
)
def test_what_is_wrong_is_said_with_its_place(text: str, problem: str) -> None:
    with pytest.raises(InvalidArgument, match=rf"c0.yaml:\d+:\d+: .*{problem}"):
        stack(text)


def test_where_no_node_can_do_overlays_services_that_asked_for_none_stay_alone() -> None:
    alone = without_implicit_network(stack(ALONE))
    assert not alone.networks
    assert not alone.services[0].task.networks
    assert "do not find each other by name" in alone.warnings[-1]
    asked = stack(FRONT + "networks: {front: }")
    assert without_implicit_network(asked) is asked
