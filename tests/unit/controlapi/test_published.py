"""Ports that services publish: who may have which, and the network behind them."""

import pytest

from swarm.api.v1.objects_pb2 import Node
from swarm.api.v1.specs_pb2 import ServiceSpec
from swarm.api.v1.types_pb2 import PortConfig
from swarm.errors import FailedPrecondition, InvalidArgument
from swarm.manager.controlapi.networks import create_network, remove_network
from swarm.manager.controlapi.services import create_service
from swarm.manager.store.transaction import Transaction
from tests.unit.controlapi.fakes import a_spec
from tests.unit.controlapi.test_networks import a_network, a_transaction, able

HOST, INGRESS = PortConfig.PUBLISH_MODE_HOST, PortConfig.PUBLISH_MODE_INGRESS


def publishing(name: str, published: int, mode: int = INGRESS, target: int = 80) -> ServiceSpec:
    spec = a_spec(name)
    spec.endpoint.ports.add(target_port=target, published_port=published, publish_mode=mode)  # type: ignore[arg-type]
    return spec


def cluster(node: Node | None = None) -> Transaction:
    return a_transaction(node or able("overlay", "ingress"))


def test_the_ingress_network_comes_with_the_first_service_that_needs_it() -> None:
    tx = cluster()
    create_service(tx, publishing("ftp", 21, HOST), "ftp")
    assert not len(tx.networks)
    create_service(tx, publishing("web", 80), "web")
    create_service(tx, publishing("api", 81), "api")
    (network,) = tx.networks
    assert (network.spec.annotations.name, network.spec.ingress) == ("ingress", True)
    assert network.subnets[0].subnet == "10.0.0.0/16"
    assert network.subnets[1].subnet.startswith("fd")


def test_one_that_people_made_is_used() -> None:
    tx = cluster()
    create_network(tx, a_network("edge", subnet="10.7.0.0/24", ingress=True), "edge")
    create_service(tx, publishing("web", 80), "web")
    assert [one.id for one in tx.networks] == ["edge"]
    with pytest.raises(FailedPrecondition, match="there is one such network"):
        create_network(tx, a_network("second", ingress=True), "second")


def test_another_network_of_that_name_is_not_taken_for_it() -> None:
    tx = cluster()
    create_network(tx, a_network("ingress"), "mine")
    with pytest.raises(FailedPrecondition, match="network create --ingress"):
        create_service(tx, publishing("web", 80), "web")


def test_it_stays_while_a_service_publishes() -> None:
    tx = cluster()
    create_service(tx, publishing("web", 80), "web")
    with pytest.raises(FailedPrecondition, match=r"in use by service web.*--publish-rm"):
        remove_network(tx, "ingress")
    tx.remove(tx.services.get("web"))  # type: ignore[arg-type]
    remove_network(tx, "ingress")
    assert not len(tx.networks)


@pytest.mark.parametrize(
    ("first", "second", "may"),
    [(INGRESS, INGRESS, False), (INGRESS, HOST, False), (HOST, INGRESS, False), (HOST, HOST, True)],
)
def test_a_port_of_all_nodes_is_one_service_s(first: int, second: int, may: bool) -> None:
    tx = cluster()
    create_service(tx, publishing("web", 80, first), "web")
    if may:
        create_service(tx, publishing("other", 80, second), "other")
        return
    with pytest.raises(FailedPrecondition, match="port 80/tcp is published by service web already"):
        create_service(tx, publishing("other", 80, second), "other")


@pytest.mark.parametrize(
    ("mode", "here", "there", "clash"),
    [
        (HOST, "192.0.2.4", "192.0.2.5", False),
        (HOST, "192.0.2.4", "192.0.2.0/24", True),
        (INGRESS, "192.0.2.4", "192.0.2.5", True),
    ],
)
def test_ports_at_different_addresses_clash_only_on_all_nodes(
    mode: int, here: str, there: str, clash: bool
) -> None:
    tx = cluster()
    web, other = publishing("web", 80), publishing("other", 80, mode)
    web.endpoint.ports[0].host_ip, other.endpoint.ports[0].host_ip = here, there
    create_service(tx, web, "web")
    if clash:
        with pytest.raises(FailedPrecondition, match="port 80/tcp is published by service web already"):
            create_service(tx, other, "other")
    else:
        create_service(tx, other, "other")


def test_sctp_needs_a_kernel_that_follows_it() -> None:
    spec = publishing("phone", 80)
    spec.endpoint.ports[0].protocol = PortConfig.PROTOCOL_SCTP
    with pytest.raises(FailedPrecondition, match=r"80/sctp needs a node whose kernel follows .* SCTP"):
        create_service(cluster(), spec, "phone")
    create_service(cluster(able("overlay", "ingress", "sctp")), spec, "phone")


def test_other_protocols_and_numbers_do_not_clash() -> None:
    tx = cluster()
    create_service(tx, publishing("web", 80), "web")
    spec = publishing("dns", 80)
    spec.endpoint.ports[0].protocol = PortConfig.PROTOCOL_UDP
    create_service(tx, spec, "dns")
    create_service(tx, publishing("anywhere", 0), "anywhere")


def test_it_is_refused_where_no_node_can() -> None:
    tx = cluster(able("overlay"))
    with pytest.raises(FailedPrecondition, match=r"port 80/tcp is to be published on every node.*mode=host"):
        create_service(tx, publishing("web", 80), "web")
    create_service(tx, publishing("web", 80, HOST), "web")


@pytest.mark.parametrize("network", ["host", "none"])
def test_a_task_without_a_network_of_its_own_cannot_be_led_to(network: str) -> None:
    tx = cluster(able("overlay", "ingress", "host", "none"))
    spec = publishing("web", 80)
    spec.task.networks.add(network_name=network)
    with pytest.raises(InvalidArgument, match=f"a task in network {network} cannot publish"):
        create_service(tx, spec, "web")
