"""What people do with networks: make, look, remove; and what services may say of them."""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from ipaddress import ip_network
from typing import Any, TypeVar

import grpc

from swarm.api.v1 import control_pb2 as control
from swarm.api.v1.control_pb2_grpc import ControlServicer as ControlBase
from swarm.api.v1.objects_pb2 import Cluster, Network, Node, Service
from swarm.api.v1.specs_pb2 import ClusterSpec, NetworkSpec, ServiceSpec
from swarm.api.v1.types_pb2 import (
    NODE_STATE_READY,
    Annotations,
    NetworkAddresses,
    NetworkAttachment,
    NodeCondition,
)
from swarm.clock import nanoseconds
from swarm.errors import FailedPrecondition, InvalidArgument
from swarm.ids import new_id
from swarm.manager.controlapi.resolve import resolve
from swarm.manager.controlapi.routing import Router
from swarm.manager.store.scope import ScopedStore
from swarm.manager.store.tables import ReadView
from swarm.manager.store.transaction import Transaction
from swarm.model.constraint import address_of
from swarm.model.ingress_ports import uses_ingress
from swarm.model.ipam import Block, Pool, overlap, parse_block
from swarm.model.limits import shown
from swarm.model.network_support import check_encrypts, check_supported, node_subnet
from swarm.model.networks import (
    OVERLAY,
    PREDEFINED,
    blocks_of,
    carrier_port,
    checked_static,
    decide_subnets,
    driver_of,
    has_cluster_addresses,
    is_encrypted,
    is_overlay,
    local_network,
    network_ids,
    pools_of,
    vxlan_id,
)
from swarm.model.rollout import is_unfinished
from swarm.model.selectors import network_selected, read_filters
from swarm.model.task import task_name
from swarm.model.validate_network import validate_network
from swarm.steps import Steps

R = TypeVar("R")
Context = grpc.aio.ServicerContext[Any, Any]

SERVICES_SHOWN = 5
TASKS_PER_STEP = 500


def create_network(
    transaction: Transaction, spec: NetworkSpec, network_id: str, pools: Sequence[Pool] = ()
) -> Network:
    """Add a network with a valid spec; an overlay gets its subnets and its VXLAN number.

    `pools` are others than those of the cluster. Raises NameConflict, and FailedPrecondition (no subnet is
    free, it overlaps another, or it would be the second ingress network).
    """
    network = Network(id=network_id, spec=spec)
    if spec.ingress:
        for other in transaction.networks.indexed("ingress", True):
            raise FailedPrecondition(
                f"ports are published through network {_name(other)}, and there is one such network: remove "
                "it first, when no service publishes a port through it"
            )
    if is_encrypted(spec):
        check_encrypts(f"network {spec.annotations.name}", transaction.nodes, everywhere=spec.ingress)
    _check_node_subnets(spec, transaction)
    others = [(block, _name(one)) for one in transaction.networks for block in blocks_of(one)]
    pools = pools or pools_of(transaction.cluster or Cluster())
    network.subnets.extend(decide_subnets(spec, pools, others, _node_addresses(transaction)))
    if is_overlay(network):
        network.vxlan_id = vxlan_id(
            network_id, lambda number: bool(transaction.networks.indexed("vxlan id", number))
        )
    return transaction.create(network)


def remove_network(transaction: Transaction, ref: str) -> str:
    """Remove a network that no service uses and return its id; raises NotFound and FailedPrecondition."""
    if ref in PREDEFINED:
        raise FailedPrecondition(f"every node has a network {ref}: it cannot be removed")
    network = resolve(transaction.networks, "network", ref)
    inside = sorted(one.name for one in transaction.attachments.indexed("network", network.id))
    if inside:
        names = ", ".join(inside[:SERVICES_SHOWN]) + (", …" if len(inside) > SERVICES_SHOWN else "")
        plural = "s" if len(inside) > 1 else ""
        raise FailedPrecondition(
            f"network {_name(network)} is in use by container{plural} {names}: take it from there "
            f"first (swarmctl network disconnect {_name(network)} CONTAINER)"
        )
    users = sorted(one.spec.annotations.name for one in users_of(transaction, network.id))
    if users:
        names = ", ".join(users[:SERVICES_SHOWN]) + (", …" if len(users) > SERVICES_SHOWN else "")
        way = (
            "--publish-rm PORT|--route-rm HOST/PATH"
            if network.spec.ingress
            else f"--network-rm {_name(network)}"
        )
        raise FailedPrecondition(
            f"network {_name(network)} is in use by service{'s' if len(users) > 1 else ''} {names}: take it "
            f"from there first (swarmctl service update {way} SERVICE)"
        )
    cluster = transaction.cluster
    if network.spec.ingress and cluster is not None and cluster.spec.HasField("http_ingress"):
        raise FailedPrecondition(
            f"network {_name(network)} is what HTTP requests go through: end that first "
            "(swarmctl ingress disable)"
        )
    transaction.remove(network)
    return network.id


def users_of(view: ReadView, network_id: str) -> Iterator[Service]:
    """Yield the services that refer to a network, also in the spec that an update may still go back to."""
    network = view.networks.get(network_id)
    ingress = network is not None and network.spec.ingress
    for service in view.services if ingress else view.services.indexed("network", network_id):
        specs = [service.spec, *([service.previous_spec] if is_unfinished(service.update_status) else [])]
        if any(
            uses_ingress(spec.endpoint) if ingress else network_id in network_ids(spec.task.networks)
            for spec in specs
        ):
            yield service


def resolve_networks(view: ReadView, spec: ServiceSpec, before: ServiceSpec | None = None) -> None:
    """Fill in the ids and names of networks that `spec`, which the caller owns, leaves out.

    `before` is the spec that it replaces. Raises InvalidArgument when one of them does not exist, is another
    than its name says, or cannot be used so; FailedPrecondition when no node can do what is new.
    """
    problems: list[str] = []
    for one in spec.task.networks:
        network = _find(view, one)
        name = shown(one.network_name or one.network_id)
        if network is None:
            problems.append(
                f"there is no network {name}; create it first (swarmctl network create {name or 'NAME'})"
            )
            continue
        one.network_id, one.network_name = network.id, _name(network)
        one.driver, one.encrypted = driver_of(network.spec), is_encrypted(network.spec)
        one.ClearField("local")
        if one.driver != OVERLAY and network.id not in PREDEFINED:
            one.local.CopyFrom(local_network(network))
        problems.extend(_problems(one, network))
    problems = problems or list(_problems_together(spec.task.networks))
    if problems:
        raise InvalidArgument(f"invalid service: {'; '.join(problems)}")
    known = network_ids(before.task.networks) if before is not None else ()
    for one in spec.task.networks:
        if one.network_id not in known:
            check_supported(f"network {one.network_name}", one.driver, view.nodes)
            if one.encrypted:
                check_encrypts(f"network {one.network_name}", view.nodes)


def check_networks(view: ReadView, spec: ServiceSpec) -> None:
    """Raise FailedPrecondition when a spec that was right once refers to a network that is gone."""
    gone = [one.network_name for one in spec.task.networks if _find(view, one) is None]
    if gone:
        raise FailedPrecondition(
            f"the service cannot go back to that spec: network {', '.join(gone)} was removed"
        )


def _problems_together(attachments: Sequence[NetworkAttachment]) -> Iterator[str]:
    ids = [one.network_id for one in attachments]
    for name in sorted({one.network_name for one in attachments if ids.count(one.network_id) > 1}):
        yield f"network {name} is named twice"
    alone = sorted({"host", "none"} & set(ids))
    if alone and len(ids) > 1:
        yield f"network {alone[0]} is all that a task with it has: take the others away"


def _problems(one: NetworkAttachment, network: Network) -> Iterator[str]:
    static = [text for text in (one.ipv4_address, one.ipv6_address) if text]
    if network.spec.ingress:
        yield f"network {_name(network)} is what ports are published through: services join it by publishing"
    if static and not has_cluster_addresses(network):
        yield f"network {_name(network)}: its addresses are given by each node, none can be chosen"
        return
    for text in static:
        try:
            checked_static(text, network.subnets, _name(network))
        except InvalidArgument as problem:
            yield str(problem)


def _find(view: ReadView, one: NetworkAttachment) -> Network | None:
    """Return the network meant; one that every node has is no object of the store."""
    ref = one.network_id or one.network_name
    if ref in PREDEFINED:
        return Network(id=ref, spec=NetworkSpec(driver=ref, annotations=Annotations(name=ref)))
    known = view.networks
    found = known.get(one.network_id) if one.network_id else known.by_name(ref) or known.get(ref)
    if found is None or (one.network_name and one.network_name not in (_name(found), found.id)):
        return None
    return found


def _name(network: Network) -> str:
    return network.spec.annotations.name


def _node_addresses(view: ReadView) -> Iterator[Block]:
    """Yield where nodes are: a subnet that nobody asked for is not to hide them from its containers."""
    for node in view.nodes:
        if (own := node_subnet(node)) is not None:
            yield own
        for place in (node.status.addr, node.description.data_path_addr):
            if (address := address_of(place)) is not None:
                yield ip_network(address)


def _check_node_subnets(spec: NetworkSpec, view: ReadView) -> None:
    """Refuse a subnet in which a task could not answer its own node, which asks for its health."""
    asked = [parse_block(one.subnet) for one in spec.subnets if one.subnet]
    for node in view.nodes if asked else ():
        own = node_subnet(node)
        for block in asked if own is not None else ():
            if own is not None and overlap(block, own):
                raise FailedPrecondition(
                    f"subnet {block} overlaps {own}, of which node {node.description.hostname} gives its "
                    "tasks an address each: take another one, or give the node another node_subnet"
                )


def endpoints_of(view: ReadView, network_id: str) -> Steps[list[control.NetworkEndpoint]]:
    """Return who has addresses in a network, in all of the cluster: services, tasks, nodes, by name."""
    found: list[control.NetworkEndpoint] = []
    for service in view.services.indexed("network", network_id):
        name = service.spec.annotations.name
        found += _endpoint(
            service.virtual_addresses,
            network_id,
            kind=control.NetworkEndpoint.KIND_SERVICE,
            id=service.id,
            name=name,
        )
    for count, task in enumerate(view.tasks.indexed("network", network_id), 1):
        if count % TASKS_PER_STEP == 0:
            yield
        told: dict[str, Any] = {"id": task.id, "name": task_name(task), "node_id": task.node_id}
        told |= {"service_id": task.service_id, "kind": control.NetworkEndpoint.KIND_TASK}
        found += _endpoint(task.networks, network_id, **told)
    for attachment in view.attachments.indexed("network", network_id):
        held = attachment.networks or [NetworkAddresses(network_id=network_id)]  # its node gave it one
        told = {"id": attachment.id, "name": attachment.name, "node_id": attachment.node_id}
        told["mac_address"] = "".join(
            one.mac_address for one in attachment.wanted if one.network_id == network_id
        )
        found += _endpoint(held, network_id, kind=control.NetworkEndpoint.KIND_CONTAINER, **told)
    for node, warnings in unheard_in(view, network_id):
        found += _endpoint(
            node.networks,
            network_id,
            kind=control.NetworkEndpoint.KIND_NODE,
            id=node.id,
            name=node.description.hostname,
            node_id=node.id,
            warnings=warnings,
        )
    return sorted(found, key=lambda one: (one.kind, one.name))


def unheard_in(view: ReadView, network_id: str) -> Iterator[tuple[Node, list[NodeCondition]]]:
    """Yield the nodes of a network, each with what it says of others there whom it does not hear."""
    network, nodes = view.networks.get(network_id), view.nodes.indexed("network", network_id)
    spec = view.cluster.spec if view.cluster is not None else ClusterSpec()
    port = carrier_port(network.spec, spec) if network is not None else 0
    ready = {node.id for node in nodes if node.status.state == NODE_STATE_READY}
    for node in nodes:
        said = node.description.warnings if node.id in ready else ()
        yield node, [one for one in said if one.port and one.port == port and ready & {*one.node_ids}]


def _endpoint(
    held: Iterable[NetworkAddresses], network_id: str, **told: Any
) -> Iterator[control.NetworkEndpoint]:
    for one in held:
        if one.network_id == network_id:
            yield control.NetworkEndpoint(addresses=one.addresses, **told)


class NetworksServicer(ControlBase):
    """The part of service Control that is about networks."""

    _store: ScopedStore
    _router: Router

    def _update(self, change: Callable[[Transaction], R], timeout_s: float) -> Awaitable[R]:
        """Commit `change` as the whole servicer does."""
        raise NotImplementedError

    async def CreateNetwork(
        self, request: control.CreateNetworkRequest, context: Context
    ) -> control.CreateNetworkResponse:
        """Make a network."""
        validate_network(request.spec)
        network_id = new_id()

        async def commit(timeout_s: float) -> control.CreateNetworkResponse:
            made = await self._update(
                lambda transaction: create_network(transaction, request.spec, network_id), timeout_s
            )
            return control.CreateNetworkResponse(network=self._store.view.networks.get(made.id) or made)

        return await self._router.write("CreateNetwork", request, context, commit)

    async def GetNetwork(
        self, request: control.GetNetworkRequest, context: Context
    ) -> control.GetNetworkResponse:
        """Return a network by id, name or unique id prefix; if asked, with all who have addresses in it."""

        def answer() -> Steps[control.GetNetworkResponse]:
            network = resolve(self._store.view.networks, "network", request.ref)
            response = control.GetNetworkResponse(network=network)
            if request.verbose:
                response.endpoints.extend((yield from endpoints_of(self._store.view, network.id)))
            return response

        return await self._router.read("GetNetwork", request, context, answer)

    async def ListNetworks(
        self, request: control.ListNetworksRequest, context: Context
    ) -> control.ListNetworksResponse:
        """Return the networks asked for, oldest first, each with how many services use it."""

        def answer() -> control.ListNetworksResponse:
            view, wanted = self._store.view, read_filters(request.filters)
            found = [one for one in view.networks if network_selected(wanted, one)]
            found.sort(key=lambda one: (nanoseconds(one.meta.created_at), one.id))
            users = [sum(1 for _ in users_of(view, one.id)) for one in found]
            inside = [len(view.attachments.indexed("network", one.id)) for one in found]
            return control.ListNetworksResponse(networks=found, users=users, containers=inside)

        return await self._router.read("ListNetworks", request, context, answer)

    async def RemoveNetwork(
        self, request: control.RemoveNetworkRequest, context: Context
    ) -> control.RemoveNetworkResponse:
        """Remove a network that no service uses."""

        async def commit(timeout_s: float) -> control.RemoveNetworkResponse:
            removed = await self._update(
                lambda transaction: remove_network(transaction, request.ref), timeout_s
            )
            return control.RemoveNetworkResponse(id=removed)

        return await self._router.write("RemoveNetwork", request, context, commit)
