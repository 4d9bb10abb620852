"""Who is at the other end of a connection?

TLS has already checked that the peer holds the key of its certificate and that the certificate chains to
something we trust. That is not enough: we also trust the join keys, so whoever holds a token can sign any
certificate text. The role therefore follows from *who signed*, and the text only counts under the root.
"""

import contextlib
from collections import OrderedDict
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from enum import Enum
from typing import Any

import grpc
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.x509.oid import NameOID

from swarm.api.v1.types_pb2 import NODE_ROLE_MANAGER, NODE_ROLE_WORKER, NodeRole
from swarm.clock import SECOND
from swarm.errors import InvariantBroken, Unauthenticated

CACHE_SIZE = 4096  # certificates of more nodes than one manager serves; about 2 KiB each


class Role(Enum):
    """What a caller may be; for nodes and people the value is the organisational unit of the certificate."""

    MANAGER = "swarm-manager"
    WORKER = "swarm-worker"
    ADMIN = "swarm-admin"  # a person who may do everything; no certificate says so, only the store
    OPERATOR = "swarm-operator"  # a person who may change what runs
    VIEWER = "swarm-viewer"  # a person who may look, and sees no secret
    USER = "swarm-user"  # a person whose rights stand in the store: nothing until they are looked up there
    JOIN_MANAGER = "join-manager"  # holds the manager join token, is no node yet
    JOIN_WORKER = "join-worker"
    LOCAL = "local"  # the Unix socket that only root may open
    ANONYMOUS = "anonymous"


@dataclass(frozen=True, slots=True)
class Identity:
    """A caller. `user` is the name of a person; `node_id` is empty for a caller that is no node.

    For a person at the socket of another manager, `node_id` is that manager's. `user_key` (of a user in the
    store) is the id of the user and the generation of the certificate; of `scope`, KEY or KEY=VALUE, one
    label is on all that is there for the caller, who loads images under `image_names` only.
    """

    node_id: str
    role: Role
    cluster_id: str
    user: str = ""
    user_key: str = ""
    scope: tuple[str, ...] = ()
    image_names: tuple[str, ...] = ()


NODES = frozenset({Role.MANAGER, Role.WORKER})
PEOPLE = frozenset({Role.OPERATOR, Role.VIEWER, Role.USER})  # with a certificate of their own


@dataclass(frozen=True, slots=True)
class Trust:
    """Whose signatures count: the cluster's roots, and the keys of the join tokens that are valid now."""

    cluster_id: str
    root_ca_pem: bytes  # two or more while the cluster changes from one to another
    worker_join_ca_pem: bytes = b""
    manager_join_ca_pem: bytes = b""


def certificate_role(role: NodeRole) -> Role:
    """Return the role that the certificate of a node with this role carries."""
    return Role.MANAGER if role == NODE_ROLE_MANAGER else Role.WORKER


def node_role(role: Role) -> NodeRole:
    """Return the node role that a certificate or join certificate of this role stands for."""
    return NODE_ROLE_MANAGER if role in {Role.MANAGER, Role.JOIN_MANAGER} else NODE_ROLE_WORKER


def identify(certificate: x509.Certificate, trust: Trust, now_ns: int) -> Identity:
    """Return whose certificate this is; raises Unauthenticated with the reason.

    A certificate counts only when it was signed directly by the cluster's root (a node) or directly by the
    key of a join token (a joiner, whatever the certificate says of itself).
    """
    _check_validity(certificate, now_ns)
    if _signed_by(certificate, trust.root_ca_pem):
        return _member_identity(certificate, trust.cluster_id)
    # Worker first: should both tokens ever have the same secret, the lesser role wins.
    if _signed_by(certificate, trust.worker_join_ca_pem):
        return Identity(node_id="", role=Role.JOIN_WORKER, cluster_id=trust.cluster_id)
    if _signed_by(certificate, trust.manager_join_ca_pem):
        return Identity(node_id="", role=Role.JOIN_MANAGER, cluster_id=trust.cluster_id)
    raise Unauthenticated("the certificate was not issued by this cluster, or its join token was rotated")


def _check_validity(certificate: x509.Certificate, now_ns: int) -> None:
    now_s = now_ns / SECOND
    if now_s < certificate.not_valid_before_utc.timestamp():
        raise Unauthenticated("the certificate is not valid yet: compare the clocks of the nodes")
    if now_s > certificate.not_valid_after_utc.timestamp():
        raise Unauthenticated("the certificate has expired")


def _signed_by(certificate: x509.Certificate, issuers_pem: bytes) -> bool:
    """Tell whether one of some authorities signed a certificate, directly."""
    if not issuers_pem:
        return False
    for issuer in x509.load_pem_x509_certificates(issuers_pem):
        with contextlib.suppress(InvalidSignature, ValueError, TypeError):
            certificate.verify_directly_issued_by(issuer)
            return True
    return False


def _member_identity(certificate: x509.Certificate, cluster_id: str) -> Identity:
    name = subject_attribute(certificate, NameOID.COMMON_NAME)
    unit = subject_attribute(certificate, NameOID.ORGANIZATIONAL_UNIT_NAME)
    if subject_attribute(certificate, NameOID.ORGANIZATION_NAME) != cluster_id:
        raise Unauthenticated("the certificate is of another cluster")
    role = _MEMBER_ROLES.get(unit)
    if not name or role is None:
        raise Unauthenticated("the certificate is not that of a node or of a person")
    if role in PEOPLE:
        key = _user_key(certificate) if role is Role.USER else ""
        return Identity(node_id="", role=role, cluster_id=cluster_id, user=name, user_key=key)
    return Identity(node_id=name, role=role, cluster_id=cluster_id)


def _user_key(certificate: x509.Certificate) -> str:
    """Return whose it is of the users of the store: an attribute, or a name where an external CA signed."""
    key = subject_attribute(certificate, NameOID.USER_ID)
    if key:
        return key
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ""
    found = {*names.get_values_for_type(x509.DNSName)} - {Role.USER.value}
    return found.pop() if len(found) == 1 else ""


_MEMBER_ROLES = {role.value: role for role in NODES | PEOPLE}


def subject_attribute(certificate: x509.Certificate, oid: x509.ObjectIdentifier) -> str:
    """Return the only value of a subject attribute, empty when it is missing or not unique."""
    values = certificate.subject.get_attributes_for_oid(oid)
    return str(values[0].value) if len(values) == 1 else ""


class PeerIdentifier:
    """Remembers recent answers of `identify`: checking a signature costs 0.2 ms and calls are many.

    Answers are forgotten with the trust they were based on; the validity period is looked at every time.
    """

    def __init__(self, trust: Trust) -> None:
        """Start with `trust`; assign to the attribute to replace it."""
        self._trust = trust
        self._known: OrderedDict[bytes, tuple[x509.Certificate, Identity]] = OrderedDict()

    @property
    def trust(self) -> Trust:
        """Whose signatures count now."""
        return self._trust

    @trust.setter
    def trust(self, trust: Trust) -> None:
        if trust != self._trust:
            self._trust = trust
            self._known.clear()

    def check_issuer(self, certificate_pem: bytes) -> None:
        """Raise Unauthenticated unless a root that is trusted now signed this node's certificate.

        Dates are not looked at: for streams, which outlive the certificate that they began with.
        """
        known = self._known.get(certificate_pem)
        if known is None and not _signed_by(
            x509.load_pem_x509_certificate(certificate_pem), self._trust.root_ca_pem
        ):
            raise Unauthenticated(
                "the certificate was issued by a root that the cluster no longer trusts: connect again"
            )

    def identify_pem(self, certificate_pem: bytes, now_ns: int) -> Identity:
        """Return whose certificate this is; raises Unauthenticated with the reason."""
        known = self._known.get(certificate_pem)
        if known is not None:
            _check_validity(known[0], now_ns)
            self._known.move_to_end(certificate_pem)
            return known[1]
        try:
            certificate = x509.load_pem_x509_certificate(certificate_pem)
        except ValueError as error:
            raise Unauthenticated("the certificate cannot be read") from error
        identity = identify(certificate, self._trust, now_ns)
        self._known[certificate_pem] = (certificate, identity)
        if len(self._known) > CACHE_SIZE:
            self._known.popitem(last=False)
        return identity


_caller: ContextVar[Identity] = ContextVar("swarm_caller")


def set_caller(identity: Identity) -> None:
    """Make `caller` answer `identity` in this task, which serves one RPC (interceptor only)."""
    _caller.set(identity)


def caller(context: grpc.aio.ServicerContext[Any, Any]) -> Identity:
    """Return who sent the RPC being served, as the authorisation interceptor found out."""
    try:
        return _caller.get()
    except LookupError:
        raise InvariantBroken("an RPC is served without the authorisation interceptor") from None


def scope_now() -> tuple[str, ...]:
    """Return the labels of which one is on all that is there for who asks now; none: everything is.

    What asks by itself, such as a loop, has no scope: only the interceptor gives one.
    """
    who = _caller.get(None)
    return who.scope if who is not None else ()


def image_names_now() -> tuple[str, ...]:
    """Return under which names of images who asks now, confined by a scope, may bring in any content."""
    who = _caller.get(None)
    return who.image_names if who is not None else ()


@contextlib.contextmanager
def acting_as(identity: Identity) -> Iterator[None]:
    """Make `caller` answer `identity` within the block (for tests)."""
    token = _caller.set(identity)
    try:
        yield
    finally:
        _caller.reset(token)
