"""How a machine becomes the first node of a new cluster."""

from swarm.api.v1.specs_pb2 import ClusterSpec
from swarm.api.v1.types_pb2 import NodeAvailability
from swarm.clock import Clock
from swarm.ids import new_id
from swarm.manager.founding import Foundation
from swarm.security.certificates import (
    MIN_NODE_LIFETIME_NS,
    NODE_LIFETIME_NS,
    create_csr,
    create_root_ca,
    issue_node_certificate,
    new_key_pem,
    node_id_of_csr,
)
from swarm.security.identity import Role
from swarm.security.keyfiles import NodeBundle
from swarm.security.tokens import new_secret


def found(spec: ClusterSpec, availability: NodeAvailability, clock: Clock) -> tuple[Foundation, NodeBundle]:
    """Return a new cluster's root and secrets, and the certificate of its first manager."""
    now_ns = clock.now_ns()
    cluster_id = new_id()
    root = create_root_ca(cluster_id, now_ns)
    key_pem = new_key_pem()
    csr_pem = create_csr(key_pem)
    node_id = node_id_of_csr(csr_pem)
    lifetime_ns = NODE_LIFETIME_NS
    if spec.HasField("node_cert_expiry_ns"):
        lifetime_ns = max(spec.node_cert_expiry_ns, MIN_NODE_LIFETIME_NS)
    cert_pem = issue_node_certificate(
        root,
        csr_pem,
        node_id=node_id,
        role=Role.MANAGER,
        cluster_id=cluster_id,
        now_ns=now_ns,
        lifetime_ns=lifetime_ns,
    )
    foundation = Foundation(
        cluster_id=cluster_id,
        node_id=node_id,
        root=root,
        worker_secret=new_secret(),
        manager_secret=new_secret(),
        certificate_expires_at_ns=now_ns + lifetime_ns,
        availability=availability,
        spec=spec,
    )
    return foundation, NodeBundle(cert_pem, root.cert_pem, key_pem)
