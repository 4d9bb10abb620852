"""Ports of a service as `service ls` shows them."""

from swarm.api.v1.objects_pb2 import Service
from swarm.api.v1.types_pb2 import PortConfig
from swarm.cli.published_ports import folded, published

HOST = PortConfig.PUBLISH_MODE_HOST


def a_port(published_port: int, target_port: int, **more: object) -> PortConfig:
    return PortConfig(published_port=published_port, target_port=target_port, **more)  # type: ignore[arg-type]


def test_neighbours_are_folded() -> None:
    ports = [a_port(8081, 81), a_port(8080, 80), a_port(8082, 90), a_port(53, 53, protocol=1)]
    assert folded(ports) == "*:8080-8081->80-81/tcp, *:8082->90/tcp, *:53->53/udp"


def test_neighbours_that_lead_to_one_port_are_folded_too() -> None:
    assert folded([a_port(8080, 80), a_port(8081, 80), a_port(8082, 80)]) == "*:8080-8082->80/tcp"
    assert folded([a_port(8080, 80), a_port(8081, 80), a_port(8082, 81)]) == (
        "*:8080-8081->80/tcp, *:8082->81/tcp"
    )
    assert folded([a_port(8080, 80), a_port(8081, 81), a_port(8082, 81)]) == (
        "*:8080-8081->80-81/tcp, *:8082->81/tcp"
    )


def test_ports_that_are_not_chosen_yet_are_not_folded() -> None:
    assert folded([a_port(0, 80), a_port(0, 81)]) == "*:auto->80/tcp, *:auto->81/tcp"


def test_what_the_cluster_chose_is_shown_besides_ports_of_single_nodes() -> None:
    service = Service()
    service.spec.endpoint.ports.extend([a_port(0, 80), a_port(21, 21, publish_mode=HOST)])
    assert folded(published(service)) == "*:auto->80/tcp, *:21->21/tcp"
    service.ingress_ports.append(a_port(30001, 80))
    assert folded(published(service)) == "*:21->21/tcp, *:30001->80/tcp"
