"""Who may have a node certificate, and what changes in the store when it is given out. Pure."""

from dataclasses import dataclass

from cryptography import x509
from cryptography.x509.oid import NameOID
from google.protobuf.timestamp_pb2 import Timestamp

from swarm.api.v1.objects_pb2 import Cluster, Node
from swarm.api.v1.types_pb2 import NodeAvailability, NodeRole
from swarm.clock import timestamp
from swarm.errors import FailedPrecondition, InvalidArgument, NodeRemoved, NotPermitted
from swarm.manager.store.tables import ReadView
from swarm.manager.store.transaction import Transaction
from swarm.security.certificates import NODE_LIFETIME_FLOOR_NS, NODE_LIFETIME_NS, csr_public_key
from swarm.security.identity import Identity, Role, node_role, subject_attribute
from swarm.security.people import person_standing, user_id
from swarm.security.roots import UNREADABLE, issuer_among
from swarm.security.rotation import trusted_roots

_JOINERS = frozenset({Role.JOIN_MANAGER, Role.JOIN_WORKER})


@dataclass(frozen=True, slots=True)
class Application:
    """What somebody who asks for a certificate brings along."""

    caller: Identity
    key_node_id: str  # follows from the requested key: the id of a node that joins
    availability: NodeAvailability = NodeAvailability.NODE_AVAILABILITY_ACTIVE
    former_node_id: str = ""  # that the caller proved to have been, and is again


@dataclass(frozen=True, slots=True)
class Admission:
    """What a certificate is to be issued for."""

    node_id: str
    role: NodeRole


def certificate_lifetime_ns(cluster: Cluster) -> int:
    """Return how long new certificates are valid, nanoseconds."""
    if cluster.spec.HasField("node_cert_expiry_ns") and cluster.spec.node_cert_expiry_ns > 0:
        return max(cluster.spec.node_cert_expiry_ns, NODE_LIFETIME_FLOOR_NS)
    return NODE_LIFETIME_NS


def former_node_id(previous_pem: bytes, csr_pem: bytes, cluster: Cluster) -> str:
    """Return which node of this cluster a certificate, expired or not, belonged to.

    It proves that only to the holder of its key, for which the new certificate is requested, too. Raises
    InvalidArgument.
    """
    try:
        certificate = x509.load_pem_x509_certificate(previous_pem)
        key = certificate.public_key()
    except UNREADABLE as error:
        raise InvalidArgument("the earlier certificate cannot be read") from error
    if key != csr_public_key(csr_pem):
        raise InvalidArgument("the earlier certificate is for another key than the request")
    if issuer_among(certificate, trusted_roots(cluster.root_ca)) is None:
        raise InvalidArgument(
            "the earlier certificate is not from this cluster, or from before its CA was rotated: take the"
            " node out with swarmctl leave --force and join it anew"
        )
    unit = subject_attribute(certificate, NameOID.ORGANIZATIONAL_UNIT_NAME)
    organisation = subject_attribute(certificate, NameOID.ORGANIZATION_NAME)
    if organisation != cluster.id or unit not in {Role.MANAGER.value, Role.WORKER.value}:
        raise InvalidArgument("the earlier certificate is not that of a node of this cluster")
    return subject_attribute(certificate, NameOID.COMMON_NAME)


def decide(view: ReadView, application: Application) -> Admission:
    """Return for which node and role a certificate may be issued; raises NodeRemoved, NotPermitted.

    A joiner that asks twice finds its node and keeps the role that the store gives it.
    """
    cluster, caller = view.cluster, application.caller
    if cluster is None:
        raise FailedPrecondition("this manager does not know its cluster yet: try again in a moment")
    joins = caller.role in _JOINERS
    node_id = (application.former_node_id or application.key_node_id) if joins else caller.node_id
    if node_id in cluster.removed_nodes:
        raise NodeRemoved(f"node {node_id} was removed from the cluster")
    known = view.nodes.get(node_id)
    if known is None:
        if not joins or application.former_node_id:
            raise NotPermitted(f"the cluster does not know node {node_id}")
        return Admission(node_id, node_role(caller.role))
    if application.former_node_id and joins and not _token_is_enough(caller, known):
        raise NotPermitted(
            "this node is a manager: it needs the token of managers (swarmctl join-token manager)"
        )
    return Admission(node_id, known.role)


def admit(transaction: Transaction, application: Application, expires_at_ns: int) -> Admission:
    """Record that a certificate goes out, as `decide` says; raises like it."""
    admission = decide(transaction, application)
    expires_at = timestamp(expires_at_ns)
    known = transaction.nodes.get(admission.node_id)
    if known is not None:
        _note_expiry(transaction, known, expires_at)
    else:
        transaction.create(
            _new_node(admission.node_id, admission.role, application.availability, expires_at)
        )
    return admission


def _token_is_enough(caller: Identity, node: Node) -> bool:
    """Tell whether somebody with a token may come back as this node: a worker's token makes no manager."""
    return caller.role is Role.JOIN_MANAGER or node.role != NodeRole.NODE_ROLE_MANAGER


def standing(view: ReadView, identity: Identity, method: str) -> Identity:
    """Return as whom a caller counts, given what the store says of it; raises NodeRemoved, NotPermitted.

    A certificate outlives demotion by the minutes until it is renewed, so the store's role has the last
    word. Not so between members of Raft: whoever lags behind would refuse the entries that bring it up to
    date. There the membership decides.
    """
    if identity.role is Role.USER:
        return person_standing(view.users.get(user_id(identity)), identity)
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
