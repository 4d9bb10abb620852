"""What a new cluster starts with."""

from dataclasses import dataclass, field

from swarm.api.v1.objects_pb2 import Cluster, Node
from swarm.api.v1.specs_pb2 import ClusterSpec
from swarm.api.v1.types_pb2 import NODE_ROLE_MANAGER, NodeAvailability
from swarm.clock import timestamp
from swarm.manager.store.transaction import Transaction
from swarm.model.compatibility import LEVEL_MAX
from swarm.security.certificates import KeyedCertificate

CLUSTER_NAME = "default"
FIRST_LOCK = 1  # number of the first unlock key


@dataclass(frozen=True, slots=True)
class Foundation:
    """Made by the node that starts a cluster, written to the store by its first leader: the same node."""

    cluster_id: str
    node_id: str
    root: KeyedCertificate
    worker_secret: str = field(repr=False)
    manager_secret: str = field(repr=False)
    certificate_expires_at_ns: int
    availability: NodeAvailability
    spec: ClusterSpec
    unlock_key: str = field(default="", repr=False)  # when the cluster begins auto-locked


def found_cluster(transaction: Transaction, foundation: Foundation) -> None:
    """Create the cluster and its first node, unless that was done already."""
    if transaction.cluster is not None:
        return
    cluster = Cluster(id=foundation.cluster_id, spec=foundation.spec)
    cluster.spec.annotations.name = cluster.spec.annotations.name or CLUSTER_NAME
    cluster.root_ca.cert_pem = foundation.root.cert_pem
    cluster.root_ca.key_pem = foundation.root.key_pem
    cluster.root_ca.worker_secret = foundation.worker_secret
    cluster.root_ca.manager_secret = foundation.manager_secret
    if LEVEL_MAX > 1:  # nobody is older than the first manager
        cluster.level = LEVEL_MAX
    if foundation.unlock_key:
        cluster.unlock_key, cluster.unlock_key_version = foundation.unlock_key, FIRST_LOCK
    transaction.create(cluster)
    node = Node(id=foundation.node_id, role=NODE_ROLE_MANAGER)
    node.spec.desired_role = NODE_ROLE_MANAGER
    node.spec.availability = foundation.availability
    node.certificate_expires_at.CopyFrom(timestamp(foundation.certificate_expires_at_ns))
    transaction.create(node)
