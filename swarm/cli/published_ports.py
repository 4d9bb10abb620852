"""The ports of a service as people see them: with the numbers that the cluster chose, neighbours folded."""

from collections.abc import Iterable, Sequence

from swarm.api.v1.objects_pb2 import Service
from swarm.api.v1.types_pb2 import HttpRoute, PortConfig
from swarm.cli import names
from swarm.model.host_addresses import host_prefix
from swarm.model.ingress_ports import is_ingress


def published(service: Service) -> Sequence[PortConfig]:
    """Return the ports of a service; those of all nodes as the cluster gave them, if it did already."""
    given = list(service.ingress_ports)
    asked = [port for port in service.spec.endpoint.ports if is_ingress(port)]
    host = [port for port in service.spec.endpoint.ports if not is_ingress(port)]
    return (*(given or asked), *host)


def folded(ports: Iterable[PortConfig]) -> str:
    """Return ports as one text, e.g. `*:8080-8081->80-81/tcp, *:auto->53/udp`."""
    spans: list[list[PortConfig]] = []
    for port in sorted(
        ports, key=lambda one: (one.protocol, one.host_ip, one.published_port, one.target_port)
    ):
        if spans and _follows(spans[-1][-1], port):
            spans[-1].append(port)
        else:
            spans.append([port])
    return ", ".join(_text(span[0], span[-1]) for span in spans)


def shown_route(route: HttpRoute) -> str:
    """Return a route as the list of services shows it, e.g. `shop.example.org/->8080/http`."""
    from swarm.model.http_routes import place

    return f"{place(route)}->{route.port}/http"


def _order(port: PortConfig) -> tuple[int, str, int, int]:
    return port.protocol, port.host_ip, port.published_port, port.target_port


def _follows(one: PortConfig, two: PortConfig) -> bool:
    return (
        one.published_port != 0
        and (one.protocol, one.publish_mode, one.host_ip) == (two.protocol, two.publish_mode, two.host_ip)
        and (one.published_port + 1, one.target_port + 1) == (two.published_port, two.target_port)
    )


def _text(first: PortConfig, last: PortConfig) -> str:
    outside = _span(first.published_port, last.published_port) if first.published_port else "auto"
    inside = _span(first.target_port, last.target_port)
    return f"{host_prefix(first.host_ip) or '*:'}{outside}->{inside}/{names.PROTOCOL[first.protocol]}"


def _span(first: int, last: int) -> str:
    return str(first) if first == last else f"{first}-{last}"
