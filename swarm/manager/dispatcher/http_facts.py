"""What has a node to know of its HTTP proxy, besides routes and tasks? Pure: all of it is in the view."""

from collections.abc import Iterator

from swarm.api.v1.objects_pb2 import Cluster, Node, Service
from swarm.api.v1.overlay_pb2 import HttpProxy
from swarm.api.v1.types_pb2 import HttpRoute
from swarm.errors import InvalidArgument
from swarm.manager.store.tables import ReadView
from swarm.model.acme import proofs_of, served_secret
from swarm.model.constraint import node_matches, parse_constraints
from swarm.model.http_routes import ports_of

NONE: frozenset[str] = frozenset()


def proxy_of(view: ReadView, node: Node) -> HttpProxy | None:
    """Return what the proxy of a node is to be; None when it is not meant to have one."""
    cluster = view.cluster
    if cluster is None or not cluster.spec.HasField("http_ingress"):
        return None
    wanted = cluster.spec.http_ingress
    try:
        if not node_matches(parse_constraints(wanted.constraints), node):
            return None
    except InvalidArgument:
        return None
    http_port, https_port = ports_of(wanted)
    return HttpProxy(
        http_port=http_port,
        https_port=https_port,
        tls_secret_id=wanted.tls_secret_id,
        acme_proofs=proofs_of(cluster),
    )


def routes_of(view: ReadView, service: Service) -> Iterator[HttpRoute]:
    """Yield the routes of a service as proxies need them: each with the certificate that is served."""
    for route in service.spec.endpoint.routes:
        if route.acme:
            told = HttpRoute()
            told.CopyFrom(route)
            told.tls_secret_id = served_secret(view.cluster, route)
            yield told
        else:
            yield route


def certificates_changed(before: Cluster, after: Cluster) -> bool:
    """Whether routes with certificates by ACME have others now."""
    return _secrets(before) != _secrets(after)


def _secrets(cluster: Cluster) -> object:
    if not cluster.spec.http_ingress.HasField("acme"):
        return None
    return {host: one.secret_id for host, one in cluster.acme.certificates.items()}


def certificate_ids(view: ReadView, node_id: str) -> frozenset[str]:
    """Return the ids of the secrets that the proxy of a node needs; none when it has no proxy."""
    node = view.nodes.get(node_id)
    if node is None or not node.networks:
        return NONE
    proxy = proxy_of(view, node)
    if proxy is None:
        return NONE
    services = view.services.indexed("routed", key=True)
    routes = (route for service in services for route in service.spec.endpoint.routes)
    return frozenset({proxy.tls_secret_id, *(served_secret(view.cluster, route) for route in routes)} - {""})
