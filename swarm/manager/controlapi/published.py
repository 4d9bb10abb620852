"""May a service publish the ports that it asks for, and is there a network to publish them through?"""

from collections.abc import Iterator

from swarm.api.v1.objects_pb2 import Cluster, Service
from swarm.api.v1.specs_pb2 import NetworkSpec, ServiceSpec
from swarm.api.v1.types_pb2 import Annotations, PortConfig
from swarm.errors import FailedPrecondition, InvalidArgument
from swarm.ids import new_id
from swarm.manager.controlapi.networks import create_network
from swarm.manager.store.tables import ReadView
from swarm.manager.store.transaction import Transaction
from swarm.model.ingress_ports import is_ingress, protocol_name
from swarm.model.network_support import INGRESS, check_supported
from swarm.model.networks import INGRESS_NAME, OVERLAY, ingress_pools, pools_of

_HOST, _INGRESS = PortConfig.PUBLISH_MODE_HOST, PortConfig.PUBLISH_MODE_INGRESS


def claim_ports(
    transaction: Transaction, service_id: str, spec: ServiceSpec, before: ServiceSpec | None = None
) -> None:
    """Make the ingress network if this is the first service that publishes a port through it.

    `before` is the spec that `spec` replaces. Raises FailedPrecondition when another service has one of the
    ports, no node can publish on every node what is new, or there is no address for such a network.
    """
    had = {_key(port) for port in before.endpoint.ports} if before is not None else set()
    for port in spec.endpoint.ports:
        for other in _rivals(transaction, service_id, port):
            raise FailedPrecondition(
                f"port {port.published_port}/{protocol_name(port)} is published by service "
                f"{other.spec.annotations.name} already: take another one, or take it from there first "
                "(swarmctl service update --publish-rm)"
            )
        if is_ingress(port) and _key(port) not in had:
            number = port.published_port or port.target_port
            check_supported(f"port {number}/{protocol_name(port)}", INGRESS, transaction.nodes)
    if any(map(is_ingress, spec.endpoint.ports)):
        _refuse_without_network(spec)
        _ensure_ingress(transaction)


def _refuse_without_network(spec: ServiceSpec) -> None:
    for network in {one.network_id for one in spec.task.networks} & {"host", "none"}:
        instead = "its ports are those of its nodes" if network == "host" else "nobody reaches it"
        raise InvalidArgument(
            f"invalid service: a task in network {network} cannot publish ports on every node: {instead}"
        )


def _key(port: PortConfig) -> tuple[int, int, int, int]:
    return (port.publish_mode, port.protocol, port.published_port, port.target_port)


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
    yield from (one for one in found if one.id != service_id)


def _ensure_ingress(transaction: Transaction) -> None:
    if transaction.networks.indexed("ingress", True):
        return
    if transaction.networks.by_name(INGRESS_NAME) is not None:
        raise FailedPrecondition(
            f"ports are published through a network that is called {INGRESS_NAME} unless you make one, and "
            f"network {INGRESS_NAME} is another: make one (swarmctl network create --ingress NAME)"
        )
    spec = NetworkSpec(annotations=Annotations(name=INGRESS_NAME), driver=OVERLAY, ingress=True)
    pools = pools_of(transaction.cluster or Cluster())
    try:
        create_network(transaction, spec, new_id(), ingress_pools(pools))
    except FailedPrecondition:
        create_network(transaction, spec, new_id(), pools)
