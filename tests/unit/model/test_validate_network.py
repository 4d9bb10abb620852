import re

import pytest

from swarm.api.v1.specs_pb2 import ClusterSpec, NetworkSpec, ServiceSpec, SubnetSpec
from swarm.api.v1.types_pb2 import EndpointSpec, UpdateConfig
from swarm.errors import InvalidArgument
from swarm.model import limits
from swarm.model.validate import validate_cluster, validate_service
from swarm.model.validate_network import validate_network


def a_network(*subnets: SubnetSpec, **more: object) -> NetworkSpec:
    spec = NetworkSpec(subnets=subnets, **more)  # type: ignore[arg-type]
    spec.annotations.name = spec.annotations.name or "web"
    return spec


def named(name: str) -> NetworkSpec:
    spec = NetworkSpec()
    spec.annotations.name = name
    return spec


def a_service() -> ServiceSpec:
    spec = ServiceSpec()
    spec.annotations.name = "web"
    spec.task.container.image = "web:1"
    return spec


@pytest.mark.parametrize(
    "spec",
    [
        named("shop_default"),
        named("a.b"),
        a_network(driver="macvlan", driver_options={"parent": "eth0"}),
        a_network(driver="bridge", internal=True),
        a_network(attachable=True, internal=True, ipv6=True),
        a_network(SubnetSpec(subnet="10.1.0.0/16", range="10.1.4.0/24", gateway="10.1.0.254")),
        a_network(SubnetSpec(subnet="10.1.0.0/24", range="10.1.0.8/31")),
        a_network(SubnetSpec(subnet="10.1.0.0/24", range="10.1.0.9/32"), driver="bridge"),
        a_network(SubnetSpec(subnet="10.1.0.0/29"), SubnetSpec(subnet="fd00::/64"), ipv6=True),
        a_network(SubnetSpec(subnet="10.1.0.0/16", reserved={"nas": "10.1.9.9"})),
        a_network(driver_options={"encrypted": "true", "com.docker.network.driver.mtu": "1400"}),
        a_network(driver_options={"encrypted": "", "mtu": "0"}, ipv6=True),
        a_network(driver="bridge", driver_options={"com.docker.network.bridge.name": "br7"}),
        a_network(SubnetSpec(subnet="240.0.0.0/8")),
    ],
)
def test_what_docker_users_write_is_accepted(spec: NetworkSpec) -> None:
    validate_network(spec)


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        (named(""), "the name"),
        (named("-x"), "the name"),
        (named("host"), "is that of a network that every node has"),
        (named("n" * 64), "NAME_CHARACTERS"),
        (a_network(driver="weave"), 'no network driver "weave" (known: overlay, bridge, macvlan)'),
        (a_network(driver="host"), "every node has one network of driver host"),
        (a_network(driver="bridge", attachable=True), "cannot be attachable"),
        (a_network(ingress=True, internal=True), "ingress network cannot be internal"),
        (a_network(ingress=True, ipv6=True, no_ipv4=True), "needs addresses of IPv4"),
        (a_network(no_ipv4=True), "neither IPv4 nor IPv6"),
        (a_network(SubnetSpec(subnet="10.1.0.5/24")), "inside 10.1.0.0/24"),
        (a_network(SubnetSpec(subnet="10.1.0.0/30")), "at least 8"),
        (a_network(SubnetSpec(subnet="224.0.0.0/24")), "set apart"),
        (a_network(SubnetSpec(subnet="fd00::/64")), "--ipv6"),
        (a_network(SubnetSpec(subnet="10.1.0.0/24"), ipv6=True, no_ipv4=True), "no IPv4"),
        (a_network(SubnetSpec(subnet="10.1.0.0/24"), SubnetSpec(subnet="10.2.0.0/24")), "two subnets"),
        (a_network(SubnetSpec(range="10.1.0.0/24")), "need a subnet"),
        (a_network(SubnetSpec(subnet="10.1.0.0/24", range="10.1.0.0/23")), "range 10.1.0.0/23 is not in"),
        (a_network(SubnetSpec(subnet="10.1.0.0/24", range="10.2.0.0/25")), "is not in subnet 10.1.0.0/24"),
        (a_network(SubnetSpec(subnet="10.1.0.0/24", range="10.1.0.9/32")), "leaves 1 addresses"),
        (a_network(SubnetSpec(subnet="10.1.0.0/24", range="10.1.0.0/31")), "leaves 0 addresses"),
        (
            a_network(
                SubnetSpec(
                    subnet="10.1.0.0/24",
                    range="10.1.0.8/30",
                    gateway="10.1.0.9",
                    reserved={"nas": "10.1.0.8", "tape": "10.1.0.11"},
                )
            ),
            "for a task, and for the node that runs it",
        ),
        (a_network(SubnetSpec(subnet="10.1.0.0/24", gateway="10.2.0.1")), "gateway 10.2.0.1 is not in"),
        (a_network(SubnetSpec(subnet="10.1.0.0/24", gateway="x")), 'gateway: "x" is not an IP address'),
        (a_network(SubnetSpec(subnet="10.1.0.0/24", gateway="10.1.0.255")), "stands for all"),
        (
            a_network(SubnetSpec(subnet="10.1.0.0/24", gateway="10.1.0.9", reserved={"nas": "10.1.0.9"})),
            "nas 10.1.0.9 is gateway as well",
        ),
        (
            a_network(
                SubnetSpec(
                    subnet="10.1.0.0/16",
                    reserved={f"r{n}": f"10.1.3.{n}" for n in range(limits.RESERVED_ADDRESSES.value + 1)},
                )
            ),
            "(RESERVED_ADDRESSES)",
        ),
        (a_network(driver_options={f"o{n}": "" for n in range(65)}), "(NETWORK_OPTIONS)"),
        (a_network(driver_options={"encrypt": ""}), "no option encrypt: it has encrypted, mtu"),
        (a_network(driver_options={"encrypted": "false"}), 'option encrypted is "false": it needs no value'),
        (a_network(driver="bridge", driver_options={"encrypted": ""}), "no option encrypted: it has none"),
        (
            a_network(driver="macvlan", driver_options={"parent": "eth0", "encrypted": ""}),
            "no option encrypted: it has parent, macvlan_mode",
        ),
        *(
            (a_network(driver_options={"com.docker.network.driver.mtu": text}), "576 to 65535 bytes")
            for text in ("abc", "-5", "575", "65536", "9" * 9999, "", "٩٠٠")
        ),
        (a_network(driver_options={"mtu": "1279"}, ipv6=True), "1280 to 65535 bytes"),
        *(
            (a_network(SubnetSpec(subnet=text), ipv6=":" in text), "is set apart for other uses")
            for text in (
                *("0.0.0.0/0", "126.0.0.0/7", "168.0.0.0/6", "239.1.0.0/16", "255.255.255.0/24"),
                *("::/64", "::ffff:10.0.0.0/120", "fe80::/64", "ff05::/64", "::/0"),
            )
        ),
    ],
)
def test_every_problem_is_said(spec: NetworkSpec, problem: str) -> None:
    with pytest.raises(InvalidArgument, match=re.escape(problem)):
        validate_network(spec)


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        (ClusterSpec(default_address_pools=["10.0.0.0"]), "is not a subnet"),
        (ClusterSpec(default_address_pools=["10.0.0.0/25"]), "smaller than one subnet"),
        (ClusterSpec(default_address_pools=["fd00::/65"]), "smaller than one subnet of it (/64)"),
        (ClusterSpec(default_address_pools=["10.0.0.0/8", "10.9.0.0/16"]), "overlap"),
        (ClusterSpec(subnet_length=30), "between 8 and 29"),
        (ClusterSpec(data_path_port=80), "data path port 80"),
        (ClusterSpec(tunnel_port=80), "port of encrypted networks 80 is not between"),
        (ClusterSpec(tunnel_port=4789), "port of encrypted networks 4789 is the data path port too"),
        (ClusterSpec(overlay_key_period_ns=10**9), "lasts 10m at least"),
        (ClusterSpec(default_address_pools=[f"10.{n}.0.0/16" for n in range(65)]), "(ADDRESS_POOLS)"),
    ],
)
def test_pools_of_a_cluster_are_checked(spec: ClusterSpec, problem: str) -> None:
    with pytest.raises(InvalidArgument, match=re.escape(problem)):
        validate_cluster(spec)
    validate_cluster(ClusterSpec(default_address_pools=["10.0.0.0/8", "fd00::/48"], subnet_length=20))


def test_a_service_names_each_network_once_and_aliases_are_names() -> None:
    spec = a_service()
    spec.task.networks.add(network_name="front", aliases=["www"])
    spec.task.networks.add(network_name="back")
    validate_service(spec)
    spec.task.networks.add(network_name="front")
    with pytest.raises(InvalidArgument, match="network front is named twice"):
        validate_service(spec)
    spec.task.networks[2].CopyFrom(spec.task.networks[0])
    spec.task.networks[2].network_name = "third"
    spec.task.networks[2].aliases[:] = ["not a name"]
    with pytest.raises(InvalidArgument, match="an alias in network third"):
        validate_service(spec)


def test_an_address_of_its_own_is_for_one_task_at_a_time() -> None:
    spec = a_service()
    spec.task.networks.add(network_name="front", ipv4_address="10.0.0.7")
    validate_service(spec)
    spec.replicated.replicas = 2
    with pytest.raises(InvalidArgument, match="this service has several"):
        validate_service(spec)
    spec.replicated.replicas = 1
    spec.update.order = UpdateConfig.ORDER_START_FIRST
    with pytest.raises(InvalidArgument, match="stop-first"):
        validate_service(spec)
    spec.ClearField("update")
    getattr(spec, "global").SetInParent()
    with pytest.raises(InvalidArgument, match="one a node"):
        validate_service(spec)
    spec = a_service()
    spec.task.networks.add(network_name="front", ipv6_address="10.0.0.7")
    with pytest.raises(InvalidArgument, match="not an address of IPv6"):
        validate_service(spec)


def test_tasks_have_no_hardware_address_of_their_own_choice() -> None:
    spec = a_service()
    spec.task.networks.add(network_name="front", mac_address="02:42:ac:11:00:02")
    with pytest.raises(InvalidArgument, match="network front: mac-address= is for one container"):
        validate_service(spec)


def test_dnsrr_is_an_endpoint_mode() -> None:
    spec = a_service()
    spec.endpoint.mode = EndpointSpec.MODE_DNSRR
    validate_service(spec)


def test_an_affinity_is_of_a_virtual_address() -> None:
    spec = a_service()
    spec.endpoint.affinity = EndpointSpec.AFFINITY_CLIENT_IP
    validate_service(spec)
    spec.endpoint.mode = EndpointSpec.MODE_DNSRR
    with pytest.raises(InvalidArgument, match="no address that clients could have an affinity"):
        validate_service(spec)
    spec.endpoint.affinity = 7  # type: ignore[assignment]
    with pytest.raises(InvalidArgument, match="7 is not an endpoint affinity"):
        validate_service(spec)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({}, "no interface of a node"),
        ({"parent": "a/b"}, '"a/b" is no interface'),
        ({"parent": "eth1.5000"}, "VLAN 5000 of parent eth1.5000 is not between 1 and 4094"),
        ({"parent": "eth1", "macvlan_mode": "l2"}, '"l2" is not a mode of macvlan'),
    ],
)
def test_a_lan_needs_an_interface_that_leads_there(options: dict[str, str], problem: str) -> None:
    with pytest.raises(InvalidArgument, match=problem):
        validate_network(a_network(driver="macvlan", driver_options=options))


@pytest.mark.parametrize("parent", ["eth1", "eth1.10", "bond0.4094"])
def test_a_lan_may_be_that_of_a_vlan(parent: str) -> None:
    validate_network(a_network(driver="macvlan", driver_options={"parent": parent}))
