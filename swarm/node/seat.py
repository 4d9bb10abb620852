"""How a node with a manager's certificate takes its place in the Raft group."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import grpc
import structlog

from swarm.api.status import from_rpc_error
from swarm.api.v1.raft_pb2 import JoinRaftRequest, JoinRaftResponse, RaftMember
from swarm.api.v1.raft_pb2_grpc import RaftStub
from swarm.config import Settings
from swarm.errors import NotLeader, SwarmError, Unavailable
from swarm.ids import new_raft_id
from swarm.manager.founding import Foundation
from swarm.manager.main import Manager, Seat
from swarm.node.state import NodeState
from swarm.security.tls import NodeCredentials

if TYPE_CHECKING:
    from swarm.node.membership import Membership

log = structlog.get_logger(__name__)

JOIN_TIMEOUT_S = 15.0  # the leader commits the change, perhaps after an election
REDIRECTS_MAX = 3


class Fatal(SwarmError):
    """The manager half cannot go on; the message says why."""


def has_raft_log(settings: Settings) -> bool:
    """Tell whether this node was a member of the Raft group before."""
    return settings.raft_dir.is_dir() and any(settings.raft_dir.iterdir())


async def start_manager(
    membership: "Membership", foundation: Foundation | None, on_fatal: Callable[[str], None]
) -> Manager:
    """Return a running manager half; raises SwarmErrors when it cannot start now."""
    seat = await _find_seat(membership, foundation)
    manager = membership.make_manager(seat, foundation, on_fatal)
    try:
        await manager.start()
    except BaseException:
        await manager.stop()
        raise
    return manager


async def _find_seat(membership: "Membership", foundation: Foundation | None) -> Seat:
    """Return the seat of this node: the one it has, the first of a new cluster, or one it asks for."""
    state, settings = membership.state, membership.settings
    if state.raft_id and has_raft_log(settings):
        return Seat(_member(state, state.raft_id))
    if foundation is not None:
        raft_id = new_raft_id()
        membership.note_raft_id(raft_id)
        return Seat(_member(state, raft_id))
    answer = await _join(state, membership.credentials)
    # Known before the log exists: a crash in between leaves no log, and this node asks again.
    membership.note_raft_id(answer.raft_id)
    return Seat(_member(state, answer.raft_id), tuple(answer.members))


def _member(state: NodeState, raft_id: str) -> RaftMember:
    return RaftMember(raft_id=raft_id, node_id=state.node_id, addr=state.addr)


async def _join(state: NodeState, credentials: NodeCredentials) -> JoinRaftResponse:
    """Ask the leader for a seat; raises Unavailable with what the last manager asked said."""
    others = [addr for node_id, addr in state.managers if node_id != state.node_id]
    problem: SwarmError = Unavailable("this node knows of no other manager")
    for addr in others:
        try:
            return await _join_by(addr, state.addr, credentials)
        except SwarmError as error:
            log.info("node.seat_refused", addr=addr, reason=str(error))
            problem = error
    raise Unavailable(f"no manager let this one in: {problem}") from problem


async def _join_by(addr: str, own_addr: str, credentials: NodeCredentials) -> JoinRaftResponse:
    """Ask the manager at `addr`, and the one it says is the leader."""
    asked: Sequence[str] = ()
    while True:
        try:
            async with credentials.channel(addr) as channel:
                return await RaftStub(channel).Join(JoinRaftRequest(addr=own_addr), timeout=JOIN_TIMEOUT_S)
        except grpc.RpcError as error:
            problem = from_rpc_error(error)
            asked = (*asked, addr)
            leader_addr = problem.leader_addr if isinstance(problem, NotLeader) else ""
            if not leader_addr or leader_addr in asked or len(asked) > REDIRECTS_MAX:
                raise problem from error
            addr = leader_addr
