"""May a service publish the ports that it asks for, and is there a network to publish them through?"""

from collections.abc import Iterator

from swarm.api.v1.objects_pb2 import Cluster, Service
from swarm.api.v1.specs_pb2 import NetworkSpec, ServiceSpec
from swarm.api.v1.types_pb2 import Annotations, PortConfig
from swarm.errors import FailedPrecondition, InvalidArgument
from swarm.ids import new_id
from swarm.manager.controlapi.http_ingress import claim_routes, is_for_http
from swarm.manager.controlapi.networks import create_network
from swarm.manager.store.tables import ReadView
from swarm.manager.store.transaction import Transaction
from swarm.model.ingress_ports import is_ingress, protocol_name, rivals, uses_ingress
from swarm.model.network_support import INGRESS, SCTP, check_supported
from swarm.model.networks import INGRESS_NAME, OVERLAY, ingress_pools, pools_of

_HOST, _INGRESS = PortConfig.PUBLISH_MODE_HOST, PortConfig.PUBLISH_MODE_INGRESS


def claim_ports(
    transaction: Transaction, service_id: str, spec: ServiceSpec, before: ServiceSpec | None = None
) -> None:
    """Make the ingress network if this is the first service that publishes a port or route through it.

    `before` is the spec that `spec`, which the caller owns, replaces. Raises FailedPrecondition when another
    service has one of the ports or routes, no node can publish on every node what is new, or there is no
    address for such a network; InvalidArgument for certificates that are none.
    """
    had = {_key(port) for port in before.endpoint.ports} if before is not None else set()
    for port in spec.endpoint.ports:
        for other in _rivals(transaction, service_id, port):
            raise FailedPrecondition(
                f"port {port.published_port}/{protocol_name(port)} is published by service "
                f"{other.spec.annotations.name} already: take another one, or take it from there first "
                "(swarmctl service update --publish-rm)"
            )
        if _key(port) not in had and is_for_http(transaction, port):
            raise FailedPrecondition(
                f"port {port.published_port}/tcp is where the nodes listen for HTTP: take another one, give "
                "the service a route (--route), or choose other ports there (swarmctl ingress enable)"
            )
        if port.protocol == PortConfig.PROTOCOL_SCTP and _key(port) not in had:
            number = port.published_port or port.target_port
            check_supported(f"port {number}/{protocol_name(port)}", SCTP, transaction.nodes)
        if is_ingress(port) and _key(port) not in had:
            number = port.published_port or port.target_port
            check_supported(f"port {number}/{protocol_name(port)}", INGRESS, transaction.nodes)
    claim_routes(transaction, service_id, spec)
    if spec.endpoint.routes and not (before is not None and before.endpoint.routes):
        check_supported("its routes", INGRESS, transaction.nodes)
    if uses_ingress(spec.endpoint):
        _refuse_without_network(spec)
        ensure_ingress(transaction)


def _refuse_without_network(spec: ServiceSpec) -> None:
    for network in {one.network_id for one in spec.task.networks} & {"host", "none"}:
        instead = "its ports are those of its nodes" if network == "host" else "nobody reaches it"
        raise InvalidArgument(
            f"invalid service: a task in network {network} cannot publish ports on every node: {instead}"
        )


def _key(port: PortConfig) -> tuple[int, int, int, int, str]:
    return (port.publish_mode, port.protocol, port.published_port, port.target_port, port.host_ip)


def _rivals(view: ReadView, service_id: str, port: PortConfig) -> Iterator[Service]:
    """Yield services with which a port cannot be shared.

    Services may share a port of the nodes that they run on: no node runs both, then.
    """
    if not port.published_port:
        return
    key = (port.protocol, port.published_port)
    found = [
        *view.services.indexed("ingress port", key),
        *view.services.indexed("asked port", (_INGRESS, *key)),
    ]
    if is_ingress(port):
        found += view.services.indexed("asked port", (_HOST, *key))
    for one in found:
        theirs = (*one.ingress_ports, *one.spec.endpoint.ports)
        if one.id != service_id and any(rivals(port, other) for other in theirs):
            yield one


def ensure_ingress(transaction: Transaction) -> None:
    """Make the ingress network unless there is one; raises FailedPrecondition when it cannot be."""
    if transaction.networks.indexed("ingress", True):
        return
    if transaction.networks.by_name(INGRESS_NAME) is not None:
        raise FailedPrecondition(
            f"ports are published through a network that is called {INGRESS_NAME} unless you make one, and "
            f"network {INGRESS_NAME} is another: make one (swarmctl network create --ingress NAME)"
        )
    spec = NetworkSpec(annotations=Annotations(name=INGRESS_NAME), driver=OVERLAY, ingress=True, ipv6=True)
    pools = pools_of(transaction.cluster or Cluster())
    try:
        create_network(transaction, spec, new_id(), ingress_pools(pools))
    except FailedPrecondition:
        create_network(transaction, spec, new_id(), pools)
