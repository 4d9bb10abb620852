"""How far a rotation of the root is, in words and bars. Pure."""

from base64 import b64encode
from collections.abc import Sequence
from typing import Any

from swarm.api.v1.control_pb2 import RootStatus
from swarm.api.v1.objects_pb2 import Node

BAR_WIDTH = 50
NAMED_MAX = 5


def is_done(state: RootStatus) -> bool:
    """Tell whether every node has a certificate of the root that is wanted, and trusts no other."""
    return not state.rotating and state.nodes == state.nodes_issued == state.nodes_trusting


def bars(state: RootStatus) -> list[str]:
    """Return the lines of a progress display."""
    return [
        f"desired root digest: sha256:{state.desired_digest.hex()}",
        f"  rotated TLS certificates:  {_bar(state.nodes_issued, state.nodes)}",
        f"  rotated CA certificates:   {_bar(0 if state.rotating else state.nodes_trusting, state.nodes)}",
    ]


def _bar(done: int, total: int) -> str:
    filled = BAR_WIDTH * done // max(total, 1)
    arrow = "=" * max(0, filled - 1) + ">" if filled < BAR_WIDTH else "=" * (BAR_WIDTH - 1) + ">"
    return f"[{arrow:<{BAR_WIDTH}}] {done}/{total} nodes"


def hindrances(state: RootStatus) -> list[str]:
    """Return a line for each node that is not there to take part, some of them if they are many."""
    absent = [one for one in state.waiting if "not connected" in one.reason]
    lines = [f"waiting for {one.hostname} ({one.node_id}): {one.reason}" for one in absent[:NAMED_MAX]]
    if len(absent) > NAMED_MAX:
        lines.append(f"waiting for {len(absent) - NAMED_MAX} more nodes that are not connected")
    return lines


def report(state: RootStatus) -> Sequence[str]:
    """Return what `swarmctl ca --status` prints."""
    if is_done(state):
        head = f"root digest: sha256:{state.desired_digest.hex()}"
        return [head, f"All {state.nodes} nodes have certificates of this root and trust no other."]
    names = [f"waiting for {one.hostname} ({one.node_id}): {one.reason}" for one in state.waiting]
    return [*bars(state), *names]


def tls_status(node: Node, state: RootStatus) -> str:
    """Return how a node stands with the wanted root: Ready, Needs Rotation, or Unknown."""
    info = node.description.tls_info
    if not info.issuer_digest:
        return "Unknown"
    current = info.issuer_digest == info.trust_digest == state.desired_digest
    return "Ready" if current else "Needs Rotation"


def tls_info(node: Node, state: RootStatus) -> dict[str, Any]:
    """Return what a node's certificate is by, and what it trusts, as Docker's `inspect` has it.

    While the root changes, what is not of the present one is left out: only its digest is known.
    """
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    from swarm.security.roots import certificates_of, digest_of, trust_digest

    info, view = node.description.tls_info, {}
    if info.trust_digest == trust_digest(state.root_pem):
        view["TrustRoot"] = state.root_pem.decode()
    for root in certificates_of(state.root_pem):
        if digest_of(root) == info.issuer_digest:
            key = root.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
            view["CertIssuerSubject"] = b64encode(root.subject.public_bytes()).decode()
            view["CertIssuerPublicKey"] = b64encode(key).decode()
    return view
