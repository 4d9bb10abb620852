"""Which port of every node leads to a service that did not say which?"""

from collections.abc import Callable

from swarm.api.v1.types_pb2 import EndpointSpec, PortConfig
from swarm.errors import FailedPrecondition
from swarm.model.host_addresses import overlap

FIRST = 30000
LAST = 32767


def is_ingress(port: PortConfig) -> bool:
    """Whether a port is published on every node."""
    return port.publish_mode == PortConfig.PUBLISH_MODE_INGRESS


def uses_ingress(endpoint: EndpointSpec) -> bool:
    """Whether tasks are reached through every node: they are in the ingress network, then."""
    return bool(endpoint.routes) or any(map(is_ingress, endpoint.ports))


def protocol_name(port: PortConfig) -> str:
    """Return tcp, udp or sctp."""
    return PortConfig.Protocol.Name(port.protocol).removeprefix("PROTOCOL_").lower()


def rivals(one: PortConfig, other: PortConfig) -> bool:
    """Return whether a node cannot have both.

    Ports of all nodes are told apart by their number only: one that leads to all tasks of a service does not
    know at which address it was asked for.
    """
    if not one.published_port or (one.protocol, one.published_port) != (
        other.protocol,
        other.published_port,
    ):
        return False
    return (is_ingress(one) and is_ingress(other)) or overlap(one.host_ip, other.host_ip)


def choose_port(service_id: str, port: PortConfig, is_taken: Callable[[int], bool]) -> int:
    """Return a free port for `port` of a service; raises FailedPrecondition when there is none.

    Where the search begins depends on the service: a port that became free is seldom the next to be given.
    """
    size = LAST - FIRST + 1
    seed = f"{service_id} {port.protocol} {port.target_port}"
    from hashlib import sha256  # late: whoever only lists services does without OpenSSL

    start = int.from_bytes(sha256(seed.encode()).digest()[:4]) % size
    for step in range(size):
        number = FIRST + (start + step) % size
        if not is_taken(number):
            return number
    raise FailedPrecondition(
        f"no {protocol_name(port)} port between {FIRST} and {LAST} is free for port {port.target_port}: say "
        "which port to publish (published=PORT), or remove services that publish some"
    )
