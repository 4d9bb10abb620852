"""What has a node to know of an overlay network that it has an address in? Pure: all of it is in the view.

Each entry is a function of the newest state alone, so it does not matter in how many steps a node heard of
it, from which manager, or how often.
"""

from collections.abc import Iterator

from swarm.api.v1.objects_pb2 import Attachment, Network, Node, Service, Subnet, Task
from swarm.api.v1.overlay_pb2 import (
    OverlayChanges,
    OverlayEndpoint,
    OverlayNetwork,
    OverlayPeer,
    OverlayService,
)
from swarm.api.v1.specs_pb2 import ClusterSpec
from swarm.api.v1.types_pb2 import NodeState
from swarm.manager.dispatcher.http_facts import proxy_of, routes_of
from swarm.manager.store.tables import ReadView
from swarm.model import defaults
from swarm.model.health import is_sound
from swarm.model.networks import (
    BRIDGE,
    MTU_OPTIONS,
    driver_of,
    is_encrypted,
    is_overlay,
    is_reachable_address,
)
from swarm.model.overlay_keys import shared_key
from swarm.model.task import task_name
from swarm.model.task_state import ASSIGNED, RUNNING, is_done, is_running

# A session that ended is no sign that containers did: agents restart, managers go.
_IN_THE_MESH = (NodeState.NODE_STATE_READY, NodeState.NODE_STATE_DISCONNECTED)


def in_the_mesh(node: Node | None) -> bool:
    """Whether other nodes talk to the containers of a node."""
    return node is not None and node.status.state in _IN_THE_MESH


def data_path_of(view: ReadView, node: Node) -> str:
    """Return where other nodes send what is for the containers of a node.

    A node's word counts unless another one of the mesh is at that address, or says so: nobody gets what is
    for others.
    """
    claimed = node.description.data_path_addr
    if not is_reachable_address(claimed):
        return node.status.addr
    others = (one for one in view.nodes.indexed("place", claimed) if one.id != node.id)
    return node.status.addr if any(map(in_the_mesh, others)) else claimed


def addresses_of(node: Node | None) -> frozenset[str]:
    """Return all addresses that a node of the mesh has, or says that it has."""
    if node is None or not in_the_mesh(node):
        return frozenset()
    return frozenset((node.status.addr, node.description.data_path_addr))


def joined(view: ReadView, node_id: str) -> tuple[str, ...]:
    """Return the ids of the networks that a node has an address in."""
    node = view.nodes.get(node_id)
    return tuple(one.network_id for one in node.networks) if node is not None else ()


def addresses_in(holder: Task | Node | Service | Attachment, network_id: str) -> tuple[str, ...]:
    """Return what a task, a node, a container, or a service (virtually) has in a network."""
    held = holder.virtual_addresses if isinstance(holder, Service) else holder.networks
    return tuple(address for one in held if one.network_id == network_id for address in one.addresses)


def network_of(view: ReadView, network_id: str, node_id: str) -> OverlayNetwork | None:
    """Return a network as a node takes part in it; None when there is no such network any more."""
    network, node = view.networks.get(network_id), view.nodes.get(node_id)
    if network is None or node is None:
        return None
    found = description_of(network)
    found.router_addresses.extend(addresses_in(node, network_id))
    spec = view.cluster.spec if view.cluster is not None else ClusterSpec()
    found.data_path_port = spec.data_path_port or defaults.DATA_PATH_PORT
    if found.encrypted:
        found.node_address = data_path_of(view, node)
        found.tunnel_port = spec.tunnel_port or defaults.TUNNEL_PORT
    if network.spec.ingress and (proxy := proxy_of(view, node)) is not None:
        found.http_proxy.CopyFrom(proxy)
    return found


def description_of(network: Network) -> OverlayNetwork:
    """Return what is the same for every node in it."""
    options = network.spec.driver_options
    mtu = next((options[name] for name in MTU_OPTIONS if options.get(name, "").isdecimal()), "0")
    return OverlayNetwork(
        id=network.id,
        name=network.spec.annotations.name,
        vxlan_id=network.vxlan_id,
        subnets=map(_without_last, network.subnets),
        internal=network.spec.internal,
        ingress=network.spec.ingress,
        encrypted=is_encrypted(network.spec),
        mtu=min(int(mtu), 65535),
        driver="" if is_overlay(network) else driver_of(network.spec),
    )


def peer_of(view: ReadView, network_id: str, node_id: str, listener_id: str) -> OverlayPeer | None:
    """Return another node in a network; None when it is not there, or nothing is to be sent to it."""
    node = view.nodes.get(node_id)
    if node is None or node_id == listener_id or not in_the_mesh(node) or not node.status.addr:
        return None
    addresses = addresses_in(node, network_id)
    if not addresses:
        return None
    found = OverlayPeer(node_id=node_id, address=data_path_of(view, node), router_addresses=addresses)
    network = view.networks.get(network_id)
    if network is not None and is_encrypted(network.spec):
        found.tunnel_key = node.description.tunnel_key
        found.preshared_key = shared_key(view.cluster, node_id, listener_id)
    return found


def endpoint_of(view: ReadView, network_id: str, task_id: str, listener_id: str) -> OverlayEndpoint | None:
    """Return a task in a network; None when it is not on a node, has ended, or its node is lost.

    A container of no service counts as a task, whether it runs or not: it keeps its addresses.
    """
    attachment = view.attachments.get(task_id)
    if attachment is not None:
        return _container_of(view, network_id, attachment, listener_id)
    task = view.tasks.get(task_id)
    if task is None or not is_placed(task):
        return None
    addresses = addresses_in(task, network_id)
    network = view.networks.get(network_id)
    if network is not None and driver_of(network.spec) == BRIDGE and task.node_id != listener_id:
        return None  # each node has such a network for itself
    # A node knows its own tasks, whatever others think of it.
    if not addresses or not (task.node_id == listener_id or in_the_mesh(view.nodes.get(task.node_id))):
        return None
    return OverlayEndpoint(
        task_id=task_id,
        node_id=task.node_id,
        addresses=addresses,
        service_id=task.service_id,
        name=task_name(task),
        hostname=task.spec.container.hostname,
        serving=is_running(task) and is_sound(task),
        draining_since=task.stopping_since if task.desired_state > RUNNING else None,
        slot=task.slot,
    )


def _container_of(
    view: ReadView, network_id: str, attachment: Attachment, listener_id: str
) -> OverlayEndpoint | None:
    addresses, node_id = addresses_in(attachment, network_id), attachment.node_id
    if not addresses or not (node_id == listener_id or in_the_mesh(view.nodes.get(node_id))):
        return None
    return OverlayEndpoint(
        task_id=attachment.id,
        node_id=node_id,
        addresses=addresses,
        name=attachment.name,
        hostname=attachment.hostname,
        aliases=[
            alias for one in attachment.wanted if one.network_id == network_id for alias in one.aliases
        ],
        serving=attachment.serving,
    )


def is_placed(task: Task) -> bool:
    """Whether a task is on a node, and has not ended."""
    return bool(task.node_id) and task.status.state >= ASSIGNED and not is_done(task)


def service_of(view: ReadView, network_id: str, service_id: str) -> OverlayService | None:
    """Return a service in a network: it is meant to be there, or tasks of it still are."""
    service, network = view.services.get(service_id), view.networks.get(network_id)
    if service is None or network is None:
        return None
    routes = tuple(routes_of(view, service)) if network.spec.ingress else ()
    # With routes also without tasks: then it is known that nobody is there to answer.
    if (
        not is_meant_for(service, network_id)
        and not routes
        and not any(
            is_placed(task) and addresses_in(task, network_id) for task in view.tasks.by_service(service_id)
        )
    ):
        return None
    return OverlayService(
        service_id=service_id,
        name=service.spec.annotations.name,
        aliases=_aliases(service, network_id),
        virtual_addresses=addresses_in(service, network_id),
        affinity=service.spec.endpoint.affinity,
        snat=network.spec.ingress and service.spec.endpoint.snat,
        routes=routes,
        ports=service.ingress_ports if network.spec.ingress else service.spec.endpoint.ports,
    )


def is_meant_for(service: Service, network_id: str) -> bool:
    """Whether new tasks of a service are in a network."""
    return any(one.network_id == network_id for one in service.spec.task.networks)


def everything_of(view: ReadView, network_id: str, node_id: str) -> OverlayChanges | None:
    """Return all that a node has to know of a network; None when there is no such network any more."""
    network = network_of(view, network_id, node_id)
    if network is None:
        return None
    tasks = view.tasks.indexed("network", network_id)
    services = dict.fromkeys(service.id for service in view.services.indexed("network", network_id))
    services |= dict.fromkeys(task.service_id for task in tasks)
    if network.ingress:
        services |= dict.fromkeys(service.id for service in view.services.indexed("routed", key=True))
    peers = (peer_of(view, network_id, one.id, node_id) for one in view.nodes.indexed("network", network_id))
    ids = [task.id for task in tasks]
    ids += [attachment.id for attachment in view.attachments.indexed("network", network_id)]
    endpoints = (endpoint_of(view, network_id, one, node_id) for one in ids)
    known = (service_of(view, network_id, one) for one in services)
    return OverlayChanges(
        network_id=network_id,
        network=network,
        peers=filter(None, peers),
        endpoints=filter(None, endpoints),
        services=filter(None, known),
    )


def _aliases(service: Service, network_id: str) -> Iterator[str]:
    """While tasks leave a network, the names that they had there."""
    spec = service.spec if is_meant_for(service, network_id) else service.previous_spec
    for one in spec.task.networks:
        if one.network_id == network_id:
            yield from one.aliases


def _without_last(subnet: Subnet) -> Subnet:
    """Leave out what changes with every address that is given."""
    copy = Subnet()
    copy.CopyFrom(subnet)
    copy.ClearField("last")
    return copy
