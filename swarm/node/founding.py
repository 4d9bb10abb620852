"""How a machine becomes the first node of a new cluster."""

from swarm.api.v1.control_pb2 import InitRequest
from swarm.api.v1.specs_pb2 import ClusterSpec
from swarm.clock import Clock
from swarm.errors import InvalidArgument
from swarm.ids import new_id
from swarm.manager.founding import FIRST_LOCK, Foundation
from swarm.model.validate import validate_cluster
from swarm.security.certificates import (
    NODE_LIFETIME_FLOOR_NS,
    NODE_LIFETIME_NS,
    KeyedCertificate,
    create_csr,
    create_root_ca,
    issue_node_certificate,
    new_key_pem,
    node_id_of_csr,
)
from swarm.security.identity import Role
from swarm.security.keyfiles import NodeBundle
from swarm.security.roots import check_keyed_root
from swarm.security.tokens import new_secret
from swarm.security.unlock_key import format_unlock_key, new_unlock_key


def found(request: InitRequest, clock: Clock) -> tuple[Foundation, NodeBundle]:
    """Return a new cluster's root and secrets, and the certificate of its first manager.

    Raises InvalidArgument for a root that cannot be one, or an impossible lifetime.
    """
    spec = request.spec
    _check(spec)
    now_ns = clock.now_ns()
    cluster_id = new_id()
    root = _root(request, cluster_id, now_ns)
    key_pem = new_key_pem()
    csr_pem = create_csr(key_pem)
    node_id = node_id_of_csr(csr_pem)
    lifetime_ns = NODE_LIFETIME_NS
    if spec.HasField("node_cert_expiry_ns"):
        lifetime_ns = spec.node_cert_expiry_ns
        if lifetime_ns < NODE_LIFETIME_FLOOR_NS:
            raise InvalidArgument("node certificates must be valid for 10 seconds at least")
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
        availability=request.availability,
        spec=spec,
        unlock_key=format_unlock_key(new_unlock_key(FIRST_LOCK)) if spec.autolock else "",
    )
    return foundation, NodeBundle(cert_pem, root.cert_pem, key_pem)


def _check(spec: ClusterSpec) -> None:
    """Raise InvalidArgument for what no cluster can have; `found` judges the lifetime itself."""
    checked = ClusterSpec()
    checked.CopyFrom(spec)
    checked.ClearField("node_cert_expiry_ns")
    validate_cluster(checked)


def _root(request: InitRequest, cluster_id: str, now_ns: int) -> KeyedCertificate:
    """Return the root that the user brings, or a new one."""
    if not request.ca_cert_pem and not request.ca_key_pem:
        return create_root_ca(cluster_id, now_ns)
    if not request.ca_cert_pem or not request.ca_key_pem:
        raise InvalidArgument(
            "give a CA certificate and its key together; a cluster whose key an external CA holds is"
            " initialized first, and then rotated to that CA (swarmctl ca --rotate --ca-cert --external-ca)"
        )
    return check_keyed_root(request.ca_cert_pem, request.ca_key_pem, now_ns)
