"""Who may have a node certificate, and what changes in the store when it is given out. Pure."""

from dataclasses import dataclass

from google.protobuf.timestamp_pb2 import Timestamp

from swarm.api.v1.objects_pb2 import Cluster, Node
from swarm.api.v1.types_pb2 import NodeAvailability, NodeRole
from swarm.clock import timestamp
from swarm.errors import FailedPrecondition, NodeRemoved, NotPermitted
from swarm.manager.store.tables import ReadView
from swarm.manager.store.transaction import Transaction
from swarm.security.certificates import MIN_NODE_LIFETIME_NS, NODE_LIFETIME_NS
from swarm.security.identity import Identity, Role, node_role

_JOINERS = frozenset({Role.JOIN_MANAGER, Role.JOIN_WORKER})


@dataclass(frozen=True, slots=True)
class Admission:
    """What a certificate is to be issued for."""

    node_id: str
    role: NodeRole


def certificate_lifetime_ns(cluster: Cluster) -> int:
    """Return how long new certificates are valid, nanoseconds."""
    if cluster.spec.HasField("node_cert_expiry_ns") and cluster.spec.node_cert_expiry_ns > 0:
        return max(cluster.spec.node_cert_expiry_ns, MIN_NODE_LIFETIME_NS)
    return NODE_LIFETIME_NS


def admit(
    transaction: Transaction,
    caller: Identity,
    key_node_id: str,
    availability: NodeAvailability,
    expires_at_ns: int,
) -> Admission:
    """Record that `caller` gets a certificate and return for which node and role.

    `key_node_id` is the id that follows from the requested key: that of a joiner. A joiner that asks twice
    finds its node and keeps the role the store gives it. Raises NodeRemoved, NotPermitted.
    """
    cluster = transaction.cluster
    if cluster is None:
        raise FailedPrecondition("this manager does not know its cluster yet: try again in a moment")
    node_id = key_node_id if caller.role in _JOINERS else caller.node_id
    if node_id in cluster.removed_nodes:
        raise NodeRemoved(f"node {node_id} was removed from the cluster")
    expires_at = timestamp(expires_at_ns)
    known = transaction.nodes.get(node_id)
    if known is not None:
        _note_expiry(transaction, known, expires_at)
        return Admission(node_id, known.role)
    if caller.role not in _JOINERS:
        raise NotPermitted(f"the cluster does not know node {node_id}")
    node = _new_node(node_id, node_role(caller.role), availability, expires_at)
    transaction.create(node)
    return Admission(node_id, node.role)


def standing(view: ReadView, identity: Identity, method: str) -> Identity:
    """Return as whom a node counts, given what the store says of it; raises NodeRemoved.

    A certificate outlives demotion by the minutes until it is renewed, so the store's role has the last
    word. Not so between members of Raft: whoever lags behind would refuse the entries that bring it up to
    date. There the membership decides.
    """
    cluster = view.cluster
    if cluster is not None and identity.node_id and identity.node_id in cluster.removed_nodes:
        raise NodeRemoved(f"node {identity.node_id} was removed from the cluster")
    if identity.role is not Role.MANAGER or method in _MEMBERSHIP_DECIDES:
        return identity
    node = view.nodes.get(identity.node_id)
    if node is None or node.role == NodeRole.NODE_ROLE_MANAGER:
        return identity
    return Identity(identity.node_id, Role.WORKER, identity.cluster_id)


_MEMBERSHIP_DECIDES = frozenset({"/swarm.api.v1.Raft/Stream", "/swarm.api.v1.Raft/Health"})


def _note_expiry(transaction: Transaction, known: Node, expires_at: Timestamp) -> None:
    if expires_at.ToNanoseconds() > known.certificate_expires_at.ToNanoseconds():
        node = Node()
        node.CopyFrom(known)
        node.certificate_expires_at.CopyFrom(expires_at)
        transaction.update(node)


def _new_node(node_id: str, role: NodeRole, availability: NodeAvailability, expires_at: Timestamp) -> Node:
    node = Node(id=node_id, role=role, certificate_expires_at=expires_at)
    node.spec.desired_role = role
    node.spec.availability = availability
    node.status.message = "joined, not heard of yet"
    return node
