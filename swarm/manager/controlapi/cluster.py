"""What a request about the cluster as a whole does."""

from swarm.api.v1.control_pb2 import GetJoinTokensResponse
from swarm.api.v1.objects_pb2 import Cluster
from swarm.api.v1.types_pb2 import NodeRole
from swarm.errors import InvalidArgument, Unavailable
from swarm.manager.controlapi.ports import RaftStatus
from swarm.manager.store.tables import ReadView, copy_of
from swarm.manager.store.transaction import Transaction
from swarm.security.tokens import format_token


def the_cluster(view: ReadView) -> Cluster:
    """Return the cluster object; raises Unavailable while this manager has not received it yet."""
    if view.cluster is None:
        raise Unavailable("this manager has not received the state of the cluster yet; try again")
    return view.cluster


def join_tokens(cluster: Cluster, raft: RaftStatus) -> GetJoinTokensResponse:
    """Return both tokens and where to join, the leader first."""
    leader_id = raft.leader.raft_id if raft.leader else ""
    members = sorted(raft.members, key=lambda member: (member.raft_id != leader_id, member.addr))
    root = cluster.root_ca
    return GetJoinTokensResponse(
        worker=format_token(root.cert_pem, root.worker_secret),
        manager=format_token(root.cert_pem, root.manager_secret),
        manager_addrs=[member.addr for member in members],
    )


def rotate_token(transaction: Transaction, role: "NodeRole", secret: str) -> str:
    """Make `secret` the one of the role's join token, and return the new token."""
    cluster = copy_of(the_cluster(transaction))
    if role == NodeRole.NODE_ROLE_MANAGER:
        cluster.root_ca.manager_secret = secret
    elif role == NodeRole.NODE_ROLE_WORKER:
        cluster.root_ca.worker_secret = secret
    else:
        raise InvalidArgument(f"{role} is not a role that has a join token (worker, manager)")
    transaction.update(cluster)
    return format_token(cluster.root_ca.cert_pem, secret)
