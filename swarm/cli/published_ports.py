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
        if spans and _follows(spans[-1], port):
            spans[-1].append(port)
        else:
            spans.append([port])
    return ", ".join(_text(span[0], span[-1]) for span in spans)


def shown_route(route: HttpRoute) -> str:
    """Return a route as the list of services shows it, e.g. `shop.example.org/->8080/http`."""
    from swarm.model.http_routes import place

    return f"{place(route)}->{route.port}/http"


def _follows(span: Sequence[PortConfig], port: PortConfig) -> bool:
    """Whether a port goes on with those before: to the next port of the container, or all to the same."""
    last = span[-1]
    step = port.target_port - last.target_port
    alike = (last.protocol, last.publish_mode, last.host_ip) == (
        port.protocol,
        port.publish_mode,
        port.host_ip,
    )
    if not alike or not last.published_port or port.published_port != last.published_port + 1:
        return False
    return step == span[1].target_port - span[0].target_port if len(span) > 1 else step in (0, 1)


def _text(first: PortConfig, last: PortConfig) -> str:
    outside = _span(first.published_port, last.published_port) if first.published_port else "auto"
    inside = _span(first.target_port, last.target_port)
    return f"{host_prefix(first.host_ip) or '*:'}{outside}->{inside}/{names.PROTOCOL[first.protocol]}"


def _span(first: int, last: int) -> str:
    return str(first) if first == last else f"{first}-{last}"
