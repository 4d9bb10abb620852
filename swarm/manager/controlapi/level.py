"""To which level may the cluster be raised? What its managers have said of themselves decides."""

from collections.abc import Mapping

from swarm.api.v1.types_pb2 import NodeRole, NodeState
from swarm.manager.controlapi.cluster import the_cluster
from swarm.manager.controlapi.ports import RaftStatus
from swarm.manager.store.tables import ReadView, copy_of
from swarm.manager.store.transaction import Transaction
from swarm.model.compatibility import Versions, level_of, next_level, told_versions


def raise_level(transaction: Transaction, raft: RaftStatus) -> str:
    """Raise the level as far as all managers support it; returns why it stayed, empty when it is higher."""
    cluster = copy_of(the_cluster(transaction))
    wanted = next_level(level_of(cluster), manager_versions(transaction, raft))
    if wanted.level > level_of(cluster):
        cluster.level = wanted.level
        transaction.update(cluster)
    return wanted.kept


def manager_versions(view: ReadView, raft: RaftStatus) -> Mapping[str, Versions | None]:
    """Return what each manager, also one to be, supports; None for those that are away now."""
    members = {member.node_id for member in raft.members}
    found: dict[str, Versions | None] = {}
    for node in view.nodes:
        manager = NodeRole.NODE_ROLE_MANAGER
        if manager not in (node.role, node.spec.desired_role) and node.id not in members:
            continue
        ready = node.status.state == NodeState.NODE_STATE_READY
        told = told_versions(node.description.compatibility) if ready else None
        found[node.description.hostname or node.id] = told
    unknown = members - {node.id for node in view.nodes}
    return {**found, **dict.fromkeys(unknown)}
