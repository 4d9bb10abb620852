"""May a service have the routes that it asks for, and what do the cluster's HTTP proxies need?"""

from collections.abc import Iterator

from swarm.api.v1.objects_pb2 import Secret
from swarm.api.v1.specs_pb2 import ClusterSpec, ServiceSpec
from swarm.api.v1.types_pb2 import PortConfig
from swarm.errors import FailedPrecondition, InvalidArgument
from swarm.manager.store.tables import ReadView
from swarm.model.data_versions import family_of
from swarm.model.http_certificates import certificate_problem
from swarm.model.http_routes import place, ports_of, route_key
from swarm.model.limits import ACME_HOSTS, shown

_HOST, _INGRESS = PortConfig.PUBLISH_MODE_HOST, PortConfig.PUBLISH_MODE_INGRESS


def claim_routes(view: ReadView, service_id: str, spec: ServiceSpec) -> None:
    """Fill in ids and names of the certificates of routes of `spec`, which the caller owns.

    Raises FailedPrecondition when another service has a host and path, InvalidArgument when a secret does
    not exist, or is no certificate with its key.
    """
    _check_number(view, service_id, spec)
    for route in spec.endpoint.routes:
        for other in view.services.indexed("route", route_key(route)):
            if other.id != service_id:
                raise FailedPrecondition(
                    f"route {shown(place(route))} is one of service {other.spec.annotations.name} already: "
                    "take another host or path, or take it from there first (swarmctl service update "
                    f"--route-rm {shown(place(route))} {other.spec.annotations.name})"
                )
        if route.tls_secret_id or route.tls_secret_name:
            found = _certificate(view, route.tls_secret_id, route.tls_secret_name)
            route.tls_secret_id = found.id
            route.tls_secret_name = family_of(found.spec.annotations.name)


def _check_number(view: ReadView, service_id: str, spec: ServiceSpec) -> None:
    own = {route.host for route in spec.endpoint.routes if route.acme}
    if not own:
        return
    others = (one for one in view.services.indexed("acme", key=True) if one.id != service_id)
    held = {route.host for one in others for route in one.spec.endpoint.routes if route.acme}
    for problem in ACME_HOSTS.exceeded("hosts of routes with tls=acme", len(own | held)):
        raise FailedPrecondition(problem)


def check_free(view: ReadView, spec: ClusterSpec) -> None:
    """Raise FailedPrecondition when a service publishes a port on which proxies are to listen."""
    modes = (_INGRESS,) if spec.http_ingress.constraints else (_INGRESS, _HOST)
    for number in ports_of(spec.http_ingress):
        key = (PortConfig.PROTOCOL_TCP, number)
        found = [*view.services.indexed("ingress port", key)]
        for mode in modes:
            found += view.services.indexed("asked port", (mode, *key))
        for service in found:
            raise FailedPrecondition(
                f"port {number} is published by service {service.spec.annotations.name}: choose another one "
                "for HTTP (--http-port, --https-port), or take it from there first"
            )


def is_for_http(view: ReadView, port: PortConfig) -> bool:
    """Whether the proxies of the cluster listen on a port that a service wants to publish."""
    cluster = view.cluster
    if cluster is None or not cluster.spec.HasField("http_ingress"):
        return False
    if port.publish_mode == _HOST and cluster.spec.http_ingress.constraints:
        return False  # there are nodes without a proxy
    return port.protocol == PortConfig.PROTOCOL_TCP and port.published_port in ports_of(
        cluster.spec.http_ingress
    )


def settle_ingress(view: ReadView, spec: ClusterSpec) -> bool:
    """Fill in what a cluster's spec, which the caller owns, leaves out; return whether it wants proxies.

    Raises FailedPrecondition and InvalidArgument when it cannot be.
    """
    if not spec.HasField("http_ingress"):
        return False
    check_free(view, spec)
    ingress = spec.http_ingress
    if ingress.tls_secret_id or ingress.tls_secret_name:
        found = _certificate(view, ingress.tls_secret_id, ingress.tls_secret_name)
        ingress.tls_secret_id = found.id
        ingress.tls_secret_name = family_of(found.spec.annotations.name)
    return True


def certificate_users(view: ReadView, secret_id: str) -> Iterator[str]:
    """Yield who serves the certificate in a secret, and how to end that."""
    for service in view.services.indexed("routed", key=True):
        for route in service.spec.endpoint.routes:
            if route.tls_secret_id == secret_id:
                name = service.spec.annotations.name
                yield (
                    f"route {shown(place(route))} of service {name}: take another one, or none "
                    f"(swarmctl service update --route-add … {name})"
                )
    if view.cluster is not None and view.cluster.spec.http_ingress.tls_secret_id == secret_id:
        yield "every host without one of its own: take another one (swarmctl ingress enable --tls …)"
    if view.cluster is not None:
        for host, one in view.cluster.acme.certificates.items():
            if one.secret_id == secret_id:
                yield f"host {shown(host)}, which came by ACME: it goes a day after the last route for it"


def _certificate(view: ReadView, secret_id: str, name: str) -> Secret:
    found = view.secrets.get(secret_id) if secret_id else view.secrets.by_name(name)
    if found is None or (name and family_of(found.spec.annotations.name) != family_of(name)):
        raise InvalidArgument(
            f"there is no secret {shown(name or secret_id)}: create it first, with the certificate, those "
            "that signed it, and the key (cat chain.pem key.pem | swarmctl secret create NAME -)"
        )
    if found.spec.HasField("driver"):
        raise InvalidArgument(
            f"secret {name or secret_id} has a driver, which is asked for tasks only: keep certificates in "
            "the cluster (swarmctl secret create NAME FILE)"
        )
    problem = certificate_problem(found.spec.secret_data)
    if problem:
        raise InvalidArgument(f"secret {name or secret_id} is no certificate with its key: {problem}")
    return found
