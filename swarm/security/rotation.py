"""A cluster changes to another root while it runs: what is trusted, who signs, when it is over. Pure.

From the start of a rotation all nodes are to trust both roots and to get certificates from the new one. The
new root is also signed by the present one, so who has not heard of it accepts those certificates, too. It
is over when every node says that its certificate is from the new root; then the present one is forgotten.
Everything stands in the cluster object: a new leader goes on where the last one stopped.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from swarm.api.v1.control_pb2 import RootStatus
from swarm.api.v1.objects_pb2 import Node, RootCA, RootRotation
from swarm.api.v1.types_pb2 import NODE_STATE_READY
from swarm.errors import FailedPrecondition
from swarm.security.certificates import KeyedCertificate
from swarm.security.roots import ROOTS_MAX, join_pem, same_key, trust_digest
from swarm.security.tokens import root_digest

RENEWAL_SPACING_NS = 20_000_000  # the leader signs and commits a renewal in a tenth of that
RENEWAL_SPREAD_MIN_NS = 500_000_000


@dataclass(frozen=True, slots=True)
class Issuer:
    """Whose signature new certificates carry. Without a key, an external CA signs."""

    root_pem: bytes
    key_pem: bytes = field(repr=False)
    intermediates_pem: bytes = b""  # go with each certificate, for those who do not trust the root yet

    @property
    def keyed(self) -> KeyedCertificate | None:
        """The root to sign with here, None when an external CA signs."""
        return KeyedCertificate(self.root_pem, self.key_pem) if self.key_pem else None


def issuer_of(root: RootCA) -> Issuer:
    """Return who signs certificates now."""
    if root.HasField("rotation"):
        rotation = root.rotation
        return Issuer(rotation.cert_pem, rotation.key_pem, rotation.cross_signed_pem)
    return Issuer(root.cert_pem, root.key_pem)


def trusted_roots(root: RootCA) -> bytes:
    """Return every root that a node should trust now, as PEM, the one that signs first."""
    if not root.HasField("rotation"):
        return root.cert_pem
    rotation = root.rotation
    return join_pem([rotation.cert_pem, root.cert_pem, *rotation.abandoned_pems])


def renewal_spread_ns(node_count: int) -> int:
    """Return over how long so many nodes should spread their renewals, nanoseconds."""
    return max(RENEWAL_SPREAD_MIN_NS, node_count * RENEWAL_SPACING_NS)


@dataclass(frozen=True, slots=True)
class Target:
    """The root to change to; without a key an external CA signs. `cross_signed_pem` may be empty."""

    cert_pem: bytes
    key_pem: bytes = field(repr=False, default=b"")
    cross_signed_pem: bytes = b""


def needs_cross_signing(root: RootCA, target_pem: bytes) -> bool:
    """Tell whether nodes that trust the present root need help to accept certificates of another one."""
    return not same_key(root.cert_pem, target_pem)


def begun(root: RootCA, target: Target) -> RootCA:
    """Return the root with a rotation to `target` under way, in place of the one before.

    What that one was changing to stays trusted until the end: some nodes have its certificates already.
    Raises FailedPrecondition after too many rotations on top of each other.
    """
    changed = RootCA()
    changed.CopyFrom(root)
    if target.cert_pem == root.cert_pem and not root.HasField("rotation"):
        changed.key_pem = target.key_pem  # who signs changes, the root does not
        return changed
    before = root.rotation
    abandoned = dict.fromkeys((*before.abandoned_pems, *([before.cert_pem] if before.cert_pem else ())))
    abandoned.pop(target.cert_pem, None)
    if len(abandoned) + 2 > ROOTS_MAX:
        raise FailedPrecondition(
            f"{len(abandoned)} rotations were begun and replaced already: let this one finish first"
            " (swarmctl ca --status says which nodes it waits for)"
        )
    changed.rotation.CopyFrom(
        RootRotation(
            cert_pem=target.cert_pem,
            key_pem=target.key_pem,
            cross_signed_pem=target.cross_signed_pem,
            abandoned_pems=abandoned,
        )
    )
    changed.trust_version += 1
    return changed


def finished(root: RootCA, worker_secret: str, manager_secret: str) -> RootCA:
    """Return the root after its rotation; the new secrets belong to its new join tokens."""
    rotation = root.rotation
    return RootCA(
        cert_pem=rotation.cert_pem,
        key_pem=rotation.key_pem,
        worker_secret=worker_secret,
        manager_secret=manager_secret,
        trust_version=root.trust_version + 1,
    )


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the nodes are on their way to the root that is wanted."""

    rotating: bool
    desired_digest: bytes
    nodes: int
    issued: int
    trusting: int
    waiting: Mapping[str, str]  # node id → why it has no certificate of the wanted root yet

    @property
    def complete(self) -> bool:
        """Whether the rotation that is under way can end."""
        return self.rotating and not self.waiting


def progress(root: RootCA, nodes: Iterable[Node]) -> Progress:
    """Return how far the nodes are, by what each of them last said of itself."""
    wanted_pem = issuer_of(root).root_pem
    desired = root_digest(wanted_pem)
    # While a rotation runs, nodes that trust the whole set trust what they should.
    sole_trust = trust_digest(wanted_pem)
    waiting: dict[str, str] = {}
    trusting = count = 0
    for node in nodes:
        count += 1
        info = node.description.tls_info
        if info.issuer_digest != desired:
            waiting[node.id] = _why_waiting(node)
        trusting += info.trust_digest == sole_trust
    return Progress(root.HasField("rotation"), desired, count, count - len(waiting), trusting, waiting)


def _why_waiting(node: Node) -> str:
    if node.status.state != NODE_STATE_READY:
        return "it is not connected: start it again, or remove it (swarmctl node rm --force)"
    return "it has not renewed its certificate yet"


def root_status(root: RootCA, nodes: Iterable[Node]) -> RootStatus:
    """Return the answer for people."""
    known = {node.id: node for node in nodes}
    state = progress(root, known.values())
    return RootStatus(
        root_pem=root.cert_pem,
        desired_digest=state.desired_digest,
        rotating=state.rotating,
        nodes=state.nodes,
        nodes_issued=state.issued,
        nodes_trusting=state.trusting,
        waiting=[
            RootStatus.Waiting(
                node_id=node_id, hostname=known[node_id].description.hostname or node_id, reason=reason
            )
            for node_id, reason in state.waiting.items()
        ],
    )
