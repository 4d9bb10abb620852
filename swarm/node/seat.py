"""How a node with a manager's certificate takes its place in the Raft group."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence

import grpc
import structlog

from swarm.api.status import ErrorInterceptor, from_rpc_error
from swarm.api.v1.raft_pb2 import JoinRaftRequest, JoinRaftResponse, RaftMember
from swarm.api.v1.raft_pb2_grpc import RaftStub
from swarm.clock import Clock
from swarm.config import Settings
from swarm.errors import NotLeader, SwarmError, Unavailable
from swarm.ids import new_raft_id
from swarm.manager.main import Seat, listen
from swarm.manager.raft.node import stored_raft_id
from swarm.manager.raft.servicer import RaftServicer
from swarm.manager.raft.servicer import add_to_server as add_raft_to_server
from swarm.model.compatibility import our_versions
from swarm.node.machine import forget_seat
from swarm.node.state import NodeState
from swarm.security.authorization import AuthorizationInterceptor, TlsCaller
from swarm.security.keyring import DataKeys
from swarm.security.tls import SERVER_OPTIONS, NodeCredentials

log = structlog.get_logger(__name__)

JOIN_TIMEOUT_S = 15.0  # the leader commits the change, perhaps after an election
REDIRECTS_MAX = 3


async def find_seat(
    settings: Settings,
    state: NodeState,
    credentials: NodeCredentials,
    keys: DataKeys,
    clock: Clock,
    *,
    founding: bool,
) -> Seat:
    """Return the seat that this node has, the first of a new cluster, or one that the leader gives it.

    A crash between the leader's answer and the first write of the log costs a seat: the next request
    replaces it. Raises Unavailable when no manager lets this one in now.
    """
    raft_id = await asyncio.to_thread(stored_raft_id, settings.raft_dir, keys)
    if raft_id:
        return Seat(_member(state, raft_id))
    if founding:
        return Seat(_member(state, new_raft_id()))
    forget_seat(settings)  # what is there without a log is no use to a new member
    async with _waiting_room(settings, credentials, clock):
        answer = await _join(state, credentials)
    log.info("node.seat_taken", node_id=state.node_id, raft_id=answer.raft_id)
    return Seat(_member(state, answer.raft_id), tuple(answer.members))


def _member(state: NodeState, raft_id: str) -> RaftMember:
    return RaftMember(raft_id=raft_id, node_id=state.node_id, addr=state.addr)


@contextlib.asynccontextmanager
async def _waiting_room(
    settings: Settings, credentials: NodeCredentials, clock: Clock
) -> AsyncIterator[None]:
    """Answer at this node's address: the leader calls back before it lets anybody in."""
    interceptors = [ErrorInterceptor(), AuthorizationInterceptor(TlsCaller(credentials, clock))]
    server = grpc.aio.server(interceptors=interceptors, options=SERVER_OPTIONS)
    add_raft_to_server(RaftServicer(), server)
    listen(server, settings.listen_addr, credentials)
    await server.start()
    try:
        yield
    finally:
        await server.stop(None)


async def _join(state: NodeState, credentials: NodeCredentials) -> JoinRaftResponse:
    """Ask the leader for a seat; raises Unavailable with what the last manager asked said."""
    others = [addr for node_id, addr in state.managers if node_id != state.node_id]
    problem: SwarmError = Unavailable(
        "its Raft log is gone and this node knows of no other manager that has a copy"
    )
    for addr in others:
        try:
            return await _join_by(addr, state.addr, credentials)
        except SwarmError as error:
            log.info("node.seat_refused", addr=addr, reason=str(error))
            problem = error
    raise Unavailable(f"no manager let this one in: {problem}") from problem


async def _join_by(addr: str, own_addr: str, credentials: NodeCredentials) -> JoinRaftResponse:
    """Ask the manager at `addr`, and the one that it says is the leader."""
    asked: Sequence[str] = ()
    while True:
        try:
            async with credentials.channel(addr) as channel:
                request = JoinRaftRequest(addr=own_addr, compatibility=our_versions().message())
                return await RaftStub(channel).Join(request, timeout=JOIN_TIMEOUT_S)
        except grpc.RpcError as error:
            problem = from_rpc_error(error)
            asked = (*asked, addr)
            leader_addr = problem.leader_addr if isinstance(problem, NotLeader) else ""
            if not leader_addr or leader_addr in asked or len(asked) > REDIRECTS_MAX:
                raise problem from error
            addr = leader_addr
