"""Can the managers agree, and could they still if one of them went? With the numbers, for people."""

from collections.abc import Sequence

from swarm.api.v1.objects_pb2 import Node
from swarm.api.v1.raft_pb2 import RaftMember
from swarm.api.v1.types_pb2 import ManagerStatus, NodeRole
from swarm.errors import FailedPrecondition
from swarm.manager.controlapi.ports import RaftStatus
from swarm.manager.store.tables import ReadView, copy_of


def majority(count: int) -> int:
    """Return how many of `count` managers must agree."""
    return count // 2 + 1


def voters(raft: RaftStatus) -> list[RaftMember]:
    """Return the members that count for a majority: a manager that is still catching up does not."""
    return [member for member in raft.members if not member.learner]


def reachable_voters(raft: RaftStatus) -> list[RaftMember]:
    """Return the voters that this manager reaches, itself included."""
    return [member for member in voters(raft) if is_reachable(raft, member)]


def is_reachable(raft: RaftStatus, member: RaftMember) -> bool:
    """Whether this manager reaches a member; itself it always reaches."""
    return member.raft_id == raft.raft_id or raft.reachable(member.raft_id)


def has_quorum(raft: RaftStatus) -> bool:
    """Whether this manager reaches a majority."""
    return len(reachable_voters(raft)) >= majority(len(voters(raft)))


def explain_no_quorum(raft: RaftStatus) -> str:
    """Return why nothing can be written now, and what helps."""
    total = len(voters(raft))
    needed, seen = majority(total), len(reachable_voters(raft))
    lost = [member.addr for member in voters(raft) if not is_reachable(raft, member)]
    if seen >= needed:
        return (
            f"the cluster has no leader yet: {seen} of {total} managers are reachable from here, which is "
            "enough to elect one; try again in a few seconds"
        )
    return (
        f"the cluster has no leader: {seen} of {total} managers reachable from here; writes need {needed}. "
        f"Running containers are not affected. Bring a manager back ({', '.join(lost)}) to write again; if "
        "too many are gone for good, see swarmctl init --force-new-cluster"
    )


def check_demotion(view: ReadView, raft: RaftStatus, node: Node) -> None:
    """Raise FailedPrecondition if the managers could not go on without `node`.

    A manager that is unreachable may go: it does not count for the majority of those that remain.
    """
    others = [
        other
        for other in view.nodes
        if other.id != node.id and other.spec.desired_role == NodeRole.NODE_ROLE_MANAGER
    ]
    if not others:
        raise FailedPrecondition(
            f"node {called(node)} is the last manager of the cluster: promote another node first"
        )
    leaving = member_of(raft.members, node.id)
    if leaving is None or leaving.learner:
        return  # it has no vote that could be missed
    staying = {other.id for other in others}
    remaining = [member for member in voters(raft) if member.node_id in staying]
    if not remaining:
        raise FailedPrecondition(
            f"node {called(node)} is the only manager that has a vote: the others are still joining; "
            "repeat this when swarmctl node ls shows one of them as reachable"
        )
    seen = sum(is_reachable(raft, member) for member in remaining)
    if seen < majority(len(remaining)):
        raise FailedPrecondition(
            f"without node {called(node)} the cluster could not write any more: {seen} of the "
            f"{len(remaining)} managers left would be reachable, and {majority(len(remaining))} are needed"
        )


def with_manager_status(node: Node, raft: RaftStatus) -> Node:
    """Return the node with what consensus knows of it, when it is a member."""
    member = member_of(raft.members, node.id)
    if member is None:
        return node
    shown = copy_of(node)
    shown.manager_status.raft_id = member.raft_id
    shown.manager_status.addr = member.addr
    shown.manager_status.learner = member.learner
    shown.manager_status.leader = raft.leader is not None and raft.leader.raft_id == member.raft_id
    shown.manager_status.reachability = (
        ManagerStatus.REACHABILITY_REACHABLE
        if is_reachable(raft, member)
        else ManagerStatus.REACHABILITY_UNREACHABLE
    )
    return shown


def member_of(members: Sequence[RaftMember], node_id: str) -> RaftMember | None:
    """Return the membership of a node."""
    return next((member for member in members if member.node_id == node_id), None)


def called(node: Node) -> str:
    """Return what people call a node."""
    return node.description.hostname or node.id
