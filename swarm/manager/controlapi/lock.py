"""What a request about the cluster's spec and its unlock key does."""

from collections.abc import Sequence

from swarm.api.v1.objects_pb2 import Cluster
from swarm.api.v1.specs_pb2 import ClusterSpec
from swarm.errors import FailedPrecondition, InvalidArgument, StaleVersion
from swarm.manager.controlapi.cluster import the_cluster
from swarm.manager.controlapi.http_ingress import settle_ingress
from swarm.manager.controlapi.ports import RaftStatus
from swarm.manager.controlapi.published import ensure_ingress
from swarm.manager.controlapi.quorum import is_reachable
from swarm.manager.store.tables import ReadView, copy_of
from swarm.manager.store.transaction import Transaction
from swarm.model.validate import validate_cluster
from swarm.security.unlock_key import UnlockKey, format_unlock_key


def update_cluster(transaction: Transaction, version: int, spec: ClusterSpec, secret: bytes) -> Cluster:
    """Give the cluster another spec; autolock turned on makes `secret` its unlock key, off forgets it.

    Raises InvalidArgument with what is wrong with the spec, StaleVersion when it was made from another one.
    """
    cluster = copy_of(the_cluster(transaction))
    validate_cluster(_to_check(spec, cluster.spec))
    if spec.data_path_port != cluster.spec.data_path_port:
        raise InvalidArgument("the data path port is chosen when a cluster is made: it cannot be changed")
    if spec.tunnel_port != cluster.spec.tunnel_port:
        raise InvalidArgument("the port of encrypted networks is chosen when a cluster is made: it stays")
    if cluster.meta.version.index != version:
        raise StaleVersion("the cluster has changed since it was read: update out of sequence; try again")
    name = cluster.spec.annotations.name
    cluster.spec.CopyFrom(spec)
    cluster.spec.annotations.name = spec.annotations.name or name
    if settle_ingress(transaction, cluster.spec):
        ensure_ingress(transaction)
    if spec.autolock != bool(cluster.unlock_key):
        _change_lock(cluster, secret if spec.autolock else b"")
    transaction.update(cluster)
    return cluster


def _to_check(spec: ClusterSpec, before: ClusterSpec) -> ClusterSpec:
    """Return what of a spec is new to this cluster: what it was founded with is allowed."""
    if spec.node_cert_expiry_ns != before.node_cert_expiry_ns:
        return spec
    checked = ClusterSpec()
    checked.CopyFrom(spec)
    checked.ClearField("node_cert_expiry_ns")
    return checked


def rotate_unlock_key(transaction: Transaction, secret: bytes) -> str:
    """Make `secret` the unlock key; returns its text. Raises FailedPrecondition without autolock."""
    cluster = copy_of(the_cluster(transaction))
    unlock_key(cluster)
    _change_lock(cluster, secret)
    transaction.update(cluster)
    return cluster.unlock_key


def unlock_key(cluster: Cluster) -> str:
    """Return the text of the unlock key; raises FailedPrecondition without autolock."""
    if not cluster.unlock_key:
        raise FailedPrecondition(
            "there is no unlock key: the managers of this cluster do not lock themselves (swarmctl update"
            " --autolock=true makes them)"
        )
    return cluster.unlock_key


def _change_lock(cluster: Cluster, secret: bytes) -> None:
    cluster.unlock_key_version += 1
    key = UnlockKey(cluster.unlock_key_version, secret)
    cluster.unlock_key = format_unlock_key(key) if secret else ""


def managers_away(view: ReadView, raft: RaftStatus) -> Sequence[str]:
    """Return the names of the managers that do not answer: they will want the unlock key they know."""
    away = [member.node_id for member in raft.members if not is_reachable(raft, member)]
    return [_name(view, node_id) for node_id in away]


def _name(view: ReadView, node_id: str) -> str:
    node = view.nodes.get(node_id)
    return (node.description.hostname if node is not None else "") or node_id
