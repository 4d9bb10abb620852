"""What do containers of no service get in networks? Decided by the leader, from the word of their node.

A node says what is to be, container by container, and says it again whenever it is in doubt: each word is
about the whole of one container, so it may come twice, late, or after a change of the leader.
"""

from collections.abc import Iterable, Iterator, Sequence

from swarm.api.v1.objects_pb2 import Attachment, Network, Node
from swarm.api.v1.types_pb2 import NetworkAddresses, NetworkAttachment
from swarm.errors import FailedPrecondition, InvalidArgument, NotFound, NotPermitted
from swarm.manager.allocator.addresses import Giver
from swarm.manager.allocator.nodes import join_node
from swarm.manager.store.tables import ReadView, copy_of
from swarm.manager.store.transaction import Transaction
from swarm.model.attachments import attachment_word_problems, joining_problems, predefined
from swarm.model.limits import PLAIN_CONTAINERS, shown
from swarm.model.network_support import drivers_of
from swarm.model.networks import BRIDGE, PREDEFINED, driver_of, has_cluster_addresses, local_network


def settle_attachments(
    transaction: Transaction, node_id: str, said: Sequence[Attachment], removed: Iterable[str]
) -> None:
    """Make what a node says of its containers so.

    Raises NotFound, InvalidArgument, FailedPrecondition (no address is left, a network does not take it),
    NotPermitted for the container of another node; then nothing was changed.
    """
    node = transaction.nodes.get(node_id)
    if node is None:
        raise NotFound(f"node {node_id} is not in the cluster")
    for container_id in removed:
        known = transaction.attachments.get(container_id)
        if known is not None and known.node_id == node_id:
            transaction.remove(known)
    giver = Giver(transaction)
    for one in said:
        _settle(transaction, giver, node, one)
    giver.finish()


def attachments_of(view: ReadView, node_id: str, said: Sequence[Attachment]) -> Iterator[Attachment]:
    """Yield what a node is told: all of what it spoke of, of the others only that they are there."""
    full = {one.id for one in said}
    for one in view.attachments.indexed("node", node_id):
        yield one if one.id in full else Attachment(id=one.id, generation=one.generation)


def _settle(transaction: Transaction, giver: Giver, node: Node, said: Attachment) -> None:
    known = transaction.attachments.get(said.id)
    if known is not None and known.node_id != node.id:
        other = transaction.nodes.get(known.node_id)
        raise NotPermitted(
            f"container {said.name} has its place in networks as one of node {known.node_id}"
            f"{f' ({other.description.hostname})' if other else ''}: if that is this machine under its old "
            "id, remove it from the cluster (swarmctl node rm)"
        )
    if known is not None and known.generation >= said.generation:
        return  # it comes late, or again
    for problem in attachment_word_problems(said):
        raise InvalidArgument(f"container {shown(said.name)}: {problem}")
    if known is None:
        count = len(transaction.attachments.indexed("node", node.id)) + 1
        for problem in PLAIN_CONTAINERS.exceeded("in networks", count):
            raise FailedPrecondition(problem)
    settled = Attachment(
        id=said.id,
        node_id=node.id,
        name=said.name,
        hostname=said.hostname,
        serving=said.serving,
        generation=said.generation,
    )
    before = {one.network_id: one for one in known.wanted} if known is not None else {}
    held = {one.network_id: one for one in known.networks} if known is not None else {}
    _put_networks(transaction, giver, node, said, settled, before, held)
    if known is None:
        transaction.create(settled)
    else:
        changed = copy_of(known)
        settled.meta.CopyFrom(changed.meta)
        transaction.update(settled)
    joining = join_node(transaction, giver, transaction.nodes.get(node.id) or node)
    if joining:
        raise FailedPrecondition(joining)


def _put_networks(
    transaction: Transaction,
    giver: Giver,
    node: Node,
    said: Attachment,
    settled: Attachment,
    before: dict[str, NetworkAttachment],
    held: dict[str, NetworkAddresses],
) -> None:
    """Write into `settled` the networks that are wanted, with the addresses it has there or is given now."""
    lacking: list[tuple[Network, tuple[str, ...]]] = []
    for wanted in said.wanted:
        network = _network(transaction, wanted)
        one = _filled_in(wanted, network)
        known = before.get(network.id)
        if known is None or _asked(known) != _asked(one):
            _check(node, network, one)
            held.pop(network.id, None)
        settled.wanted.append(one)
        if network.id in held:
            settled.networks.append(held[network.id])
        elif has_cluster_addresses(network):
            lacking.append((network, _asked(one)))
    if len({one.network_id for one in settled.wanted}) < len(settled.wanted):
        raise InvalidArgument(f"container {said.name}: a network is named twice")
    settled.networks.extend(giver.give(lacking))


def _network(view: ReadView, wanted: NetworkAttachment) -> Network:
    """Return the network meant: the id counts while there is such a network, else the name."""
    ref = wanted.network_id or wanted.network_name
    if ref in PREDEFINED:
        return predefined(ref)
    found = view.networks.get(wanted.network_id)
    found = found or view.networks.by_name(wanted.network_name) or view.networks.get(wanted.network_name)
    if found is None:
        name = shown(wanted.network_name or wanted.network_id)
        raise NotFound(
            f"there is no network {name}; create it first (swarmctl network create --attachable {name})"
        )
    return found


def _filled_in(wanted: NetworkAttachment, network: Network) -> NetworkAttachment:
    one = NetworkAttachment()
    one.CopyFrom(wanted)
    one.network_id, one.network_name = network.id, network.spec.annotations.name
    one.driver = driver_of(network.spec)
    one.ClearField("local")
    if one.driver == BRIDGE and network.id not in PREDEFINED:
        one.local.CopyFrom(local_network(network))
    return one


def _check(node: Node, network: Network, wanted: NetworkAttachment) -> None:
    for problem in joining_problems(network, wanted):
        raise FailedPrecondition(problem)
    driver = driver_of(network.spec)
    if driver not in drivers_of(node):
        raise FailedPrecondition(
            f"node {node.description.hostname or node.id} cannot do {driver} networks, so network "
            f"{network.spec.annotations.name} is not to be had there"
        )


def _asked(one: NetworkAttachment) -> tuple[str, ...]:
    return tuple(text for text in (one.ipv4_address, one.ipv6_address) if text)
