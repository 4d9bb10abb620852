"""What a node that is a member says of itself."""

from collections.abc import Mapping

from swarm.api.v1.control_pb2 import InfoResponse
from swarm.model.compatibility import our_versions
from swarm.node.membership import Membership
from swarm.telemetry.server import Health


def info_of(member: Membership, engine: str) -> InfoResponse:
    """Return what this node is and knows."""
    answer = InfoResponse(version=engine, compatibility=our_versions().message(), level=member.level)
    connected = member.agent is not None and member.agent.connected
    answer.state = InfoResponse.STATE_ACTIVE if connected else InfoResponse.STATE_PENDING
    problems = [f"{part}: {reason}" for part, reason in member.problems.items()]
    if member.agent is not None and member.agent.refusal:
        problems.append(f"agent: {member.agent.refusal}")
    if problems:
        answer.state = InfoResponse.STATE_ERROR
    answer.node_id = member.state.node_id
    answer.cluster_id = member.state.cluster_id
    answer.error = "; ".join(problems)
    answer.addr = member.state.addr
    answer.data_path_addr = member.state.data_path_addr
    answer.managers.extend(member.state.peers)
    answer.connected = connected
    answer.runtime = member.machine.capabilities.driver if member.machine else ""
    if member.manager is not None:
        answer.is_manager = True
        leader = member.manager.raft.leader
        answer.leader_addr = leader.addr if leader else ""
    return answer


def health_of(member: Membership) -> Mapping[str, Health]:
    """Return whether every part of this node does its work."""
    parts = {part: Health(healthy=False, reason=reason) for part, reason in member.problems.items()}
    if "agent" not in parts:
        connected = member.agent is not None and member.agent.connected
        reason = "has a session with a manager" if connected else _apart(member)
        parts["agent"] = Health(healthy=connected, reason=reason)
    if member.manager is not None:
        parts["manager"] = member.manager.health()
    return parts


def _apart(member: Membership) -> str:
    refusal = member.agent.refusal if member.agent is not None else ""
    return refusal or "has no session with any manager"
