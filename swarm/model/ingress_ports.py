"""Which port of every node leads to a service that did not say which?"""

from collections.abc import Callable
from hashlib import sha256

from swarm.api.v1.types_pb2 import PortConfig
from swarm.errors import FailedPrecondition

FIRST = 30000
LAST = 32767


def is_ingress(port: PortConfig) -> bool:
    """Whether a port is published on every node."""
    return port.publish_mode == PortConfig.PUBLISH_MODE_INGRESS


def protocol_name(port: PortConfig) -> str:
    """Return tcp, udp or sctp."""
    return PortConfig.Protocol.Name(port.protocol).removeprefix("PROTOCOL_").lower()


def choose_port(service_id: str, port: PortConfig, is_taken: Callable[[int], bool]) -> int:
    """Return a free port for `port` of a service; raises FailedPrecondition when there is none.

    Where the search begins depends on the service: a port that became free is seldom the next to be given.
    """
    size = LAST - FIRST + 1
    seed = f"{service_id} {port.protocol} {port.target_port}"
    start = int.from_bytes(sha256(seed.encode()).digest()[:4]) % size
    for step in range(size):
        number = FIRST + (start + step) % size
        if not is_taken(number):
            return number
    raise FailedPrecondition(
        f"no {protocol_name(port)} port between {FIRST} and {LAST} is free for port {port.target_port}: say "
        "which port to publish (published=PORT), or remove services that publish some"
    )
