"""What is the HTTP proxy of this node to be? Pure: it follows from what is known of the ingress network."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256

from swarm.agent.overlay.state import NetworkState, OverlayState
from swarm.api.v1.overlay_pb2 import OverlayService
from swarm.api.v1.types_pb2 import HttpRoute
from swarm.model.http_routes import TIMEOUT_NS, normal_path, place

MILLISECOND = 1_000_000


@dataclass(frozen=True, slots=True)
class Server:
    """A task that may answer."""

    address: str
    serving: bool  # gets new requests; those that it has it keeps in any case


@dataclass(frozen=True, slots=True)
class Backend:
    """One route of a service, and the tasks behind it."""

    name: str  # says by itself all that is below, but for the servers
    service: str
    service_id: str
    host: str  # empty: any
    path: str
    port: int
    h2c: bool = False
    https_only: bool = False
    strip_prefix: bool = False
    sticky: bool = False
    timeout_ms: int = TIMEOUT_NS // MILLISECOND
    max_body_bytes: int | None = None
    tls_secret_id: str = ""
    servers: Mapping[str, Server] = field(default_factory=dict)  # by task id


@dataclass(frozen=True, slots=True)
class Wanted:
    """Everything that the proxy of a node has to be."""

    network_id: str
    http_port: int
    https_port: int
    tls_secret_id: str
    proofs: Mapping[str, str]  # what to answer to ACME challenges, by the last part of their path
    backends: tuple[Backend, ...]  # the same routes in the same order on every node

    @property
    def secret_ids(self) -> frozenset[str]:
        """Return the secrets that it serves certificates of."""
        return frozenset({self.tls_secret_id, *(one.tls_secret_id for one in self.backends)} - {""})

    @property
    def routes(self) -> dict[str, str]:
        """Return which backend is whose, by `route_prefix`."""
        return {route_prefix(one.host, one.path): one.name for one in self.backends}


def wanted_proxy(state: OverlayState) -> Wanted | None:
    """Return what this node's proxy is to be; None when it is to have none."""
    for network_id, known in state.networks.items():
        if known.network.ingress and known.network.HasField("http_proxy"):
            said = known.network.http_proxy
            return Wanted(
                network_id,
                said.http_port,
                said.https_port,
                said.tls_secret_id,
                dict(said.acme_proofs),
                tuple(_backends(known)),
            )
    return None


def _backends(known: NetworkState) -> Iterator[Backend]:
    taken: set[tuple[str, str]] = set()
    tasks: dict[str, dict[str, Server]] = {}
    for one in known.endpoints.values():
        if one.addresses:
            tasks.setdefault(one.service_id, {})[one.task_id] = Server(one.addresses[0], one.serving)
    services = sorted(known.services.values(), key=lambda one: (one.name, one.service_id))
    for service in services:
        for route in service.routes:
            key = (route.host, normal_path(route.path))
            if key not in taken:  # the managers refuse two; a rollback may be under way
                taken.add(key)
                yield _backend(service, route, tasks.get(service.service_id, {}))


def _backend(service: OverlayService, route: HttpRoute, servers: Mapping[str, Server]) -> Backend:
    told = route.SerializeToString(deterministic=True)
    digest = sha256(told + place(route).encode()).hexdigest()[:12]
    return Backend(
        name=f"{service.service_id}.{digest}",
        service=service.name,
        service_id=service.service_id,
        host=route.host,
        path=normal_path(route.path),
        port=route.port,
        h2c=route.protocol == HttpRoute.PROTOCOL_H2C,
        https_only=route.https_only,
        strip_prefix=route.strip_prefix,
        sticky=route.sticky,
        timeout_ms=(route.timeout_ns if route.HasField("timeout_ns") else TIMEOUT_NS) // MILLISECOND,
        max_body_bytes=route.max_body_bytes if route.HasField("max_body_bytes") else None,
        tls_secret_id=route.tls_secret_id,
        servers=dict(sorted(servers.items())),
    )


def route_prefix(host: str, path: str) -> str:
    """Return what host and path of a request, with a slash behind, begin with when they fit.

    The slash makes `/api` fit `/api` and `/api/x`, and not `/apix`.
    """
    return f"{host or '-'}{path.rstrip('/')}/"
