"""Which nodes must change their role, and by which step? Pure.

Promotion: the role flips, the node sees it, renews its certificate and joins Raft.
Demotion: the node leaves Raft first, so that it never votes without being a manager; then the role flips.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

from swarm.api.v1.objects_pb2 import Node
from swarm.api.v1.raft_pb2 import RaftMember
from swarm.api.v1.types_pb2 import NODE_ROLE_MANAGER, NODE_ROLE_WORKER, NodeRole


class Act(Enum):
    """What to do about one node."""

    SET_ROLE = "set role"
    REMOVE_MEMBER = "remove from Raft"
    TRANSFER_LEADERSHIP = "transfer leadership"
    WAIT = "wait"


@dataclass(frozen=True, slots=True)
class Step:
    """One step for one node; `reason` says why a step has to wait."""

    act: Act
    node_id: str
    role: NodeRole = NODE_ROLE_WORKER
    raft_id: str = ""
    reason: str = ""


def plan_roles(
    nodes: Iterable[Node],
    members: Sequence[RaftMember],
    leader_raft_id: str,
    reachable: Callable[[str], bool],
) -> tuple[Step, ...]:
    """Return the next step of every node whose role is not what it should be.

    At most one of them removes a member: each removal changes the majority that the next one is judged by.
    """
    by_id = {node.id: node for node in nodes}
    steps = [
        Step(Act.SET_ROLE, node.id, NODE_ROLE_MANAGER)
        for node in by_id.values()
        if node.spec.desired_role == NODE_ROLE_MANAGER and node.role != NODE_ROLE_MANAGER
    ]
    member_nodes = {member.node_id for member in members}
    steps += [
        Step(Act.SET_ROLE, node.id, NODE_ROLE_WORKER)
        for node in by_id.values()
        if _is_demoted(node) and node.role == NODE_ROLE_MANAGER and node.id not in member_nodes
    ]
    leaving = [member for member in members if _must_leave(by_id.get(member.node_id))]
    leaving.sort(key=lambda member: (member.raft_id == leader_raft_id, member.raft_id))  # the leader last
    if leaving:
        steps.append(_removal(leaving[0], members, leader_raft_id, reachable))
    return tuple(steps)


def _is_demoted(node: Node) -> bool:
    return node.spec.desired_role != NODE_ROLE_MANAGER


def _must_leave(node: Node | None) -> bool:
    """Tell whether the node of a member is gone or is to be a worker."""
    return node is None or _is_demoted(node)


def _removal(
    member: RaftMember,
    members: Sequence[RaftMember],
    leader_raft_id: str,
    reachable: Callable[[str], bool],
) -> Step:
    if member.learner:  # it does not count for majorities
        return Step(Act.REMOVE_MEMBER, member.node_id, raft_id=member.raft_id)
    remaining = [other for other in members if other.raft_id != member.raft_id and not other.learner]
    alive = sum(other.raft_id == leader_raft_id or reachable(other.raft_id) for other in remaining)
    quorum = len(remaining) // 2 + 1
    if not remaining:
        reason = "it is the last manager"
    elif alive < quorum:
        reason = (
            f"without it {alive} of {len(remaining)} managers would be reachable, and {quorum} are needed"
        )
    elif member.raft_id == leader_raft_id:
        return Step(Act.TRANSFER_LEADERSHIP, member.node_id, raft_id=member.raft_id)
    else:
        return Step(Act.REMOVE_MEMBER, member.node_id, raft_id=member.raft_id)
    return Step(Act.WAIT, member.node_id, raft_id=member.raft_id, reason=reason)
