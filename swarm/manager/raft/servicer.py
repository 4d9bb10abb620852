"""The Raft service: streams of other members, and managers that join or leave."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import structlog

from swarm.api.v1.raft_pb2 import (
    JoinRaftRequest,
    JoinRaftResponse,
    LeaveRaftRequest,
    LeaveRaftResponse,
    RaftHealthRequest,
    RaftHealthResponse,
    RaftMember,
    RaftStreamEnd,
)
from swarm.errors import FailedPrecondition, NotLeader, NotPermitted, Unavailable
from swarm.manager.raft.links import ADDR_KEY, RAFT_ID_KEY
from swarm.manager.raft.node import RaftNode
from swarm.manager.raft.reach import check_address, check_answers
from swarm.model.compatibility import level_refusal, told_versions
from swarm.security.identity import Identity, Role, caller

log = structlog.get_logger(__name__)

JOIN_TIMEOUT_S = 10.0

Context = grpc.aio.ServicerContext[Any, Any]


class RaftServicer:
    """Served from the moment that a node has a manager's certificate; `node` comes when it takes part.

    A joiner must answer before it is a member: whoever adds it calls back first.
    """

    def __init__(
        self,
        node: RaftNode | None = None,
        find_caller: Callable[[Context], Identity] = caller,
        level: Callable[[], int] = lambda: 1,
    ) -> None:
        """`find_caller` tells who calls; the authorisation interceptor has checked that it may.

        `level` is that of the cluster: who does not know it becomes no member.
        """
        self.node = node
        self._level = level
        self._find_caller = find_caller

    async def Stream(self, request_iterator: AsyncIterator[bytes], context: Context) -> RaftStreamEnd:
        """Take what another member sends: serialised RaftBatches, which the raft thread parses."""
        identity = self._manager(context)
        metadata = {
            key: value for key, value in context.invocation_metadata() or () if isinstance(value, str)
        }
        member = RaftMember(
            raft_id=metadata.get(RAFT_ID_KEY, ""), node_id=identity.node_id, addr=metadata.get(ADDR_KEY, "")
        )
        node = self.node
        if node is None:
            raise Unavailable("this node is not a manager yet")
        refusal = node.refusal(member)
        if not refusal and identity.cluster_id != node.config.cluster_id:
            refusal = f"this is not cluster {identity.cluster_id}"
        if not refusal:
            await context.send_initial_metadata(((RAFT_ID_KEY, node.raft_id),))
            refusal = await node.serve(member, request_iterator)
        if refusal:
            log.info("raft.stream_refused", node_id=identity.node_id, raft_id=member.raft_id, reason=refusal)
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, refusal)
        return RaftStreamEnd()

    async def Join(self, request: JoinRaftRequest, context: Context) -> JoinRaftResponse:
        """Make the calling manager a member: a learner at first, a voter once it has caught up.

        A manager that names its seat has moved: only its address is noted.
        """
        identity = self._manager(context)
        node = self._leader()
        if request.raft_id:
            return await self._move(node, identity, request)
        if refusal := level_refusal(told_versions(request.compatibility), self._level()):
            raise FailedPrecondition(refusal)
        check_address(request.addr, identity.node_id, node.members)
        await check_answers(node.dial, request.addr)
        member = await node.add_member(identity.node_id, request.addr, JOIN_TIMEOUT_S)
        voters = [other for other in node.members if not other.learner and other.raft_id != member.raft_id]
        return JoinRaftResponse(raft_id=member.raft_id, members=voters)

    async def _move(self, node: RaftNode, identity: Identity, request: JoinRaftRequest) -> JoinRaftResponse:
        member = next((member for member in node.members if member.raft_id == request.raft_id), None)
        if member is None or member.node_id != identity.node_id:
            raise NotPermitted(f"node {identity.node_id} is not the member {request.raft_id}")
        await node.move_member(request.raft_id, request.addr, JOIN_TIMEOUT_S)
        return JoinRaftResponse(raft_id=request.raft_id)

    async def Leave(self, request: LeaveRaftRequest, context: Context) -> LeaveRaftResponse:
        """Remove the calling manager from the group."""
        identity = self._manager(context)
        node = self._leader()
        for member in node.members:
            if member.node_id == identity.node_id:
                await node.remove_member(member.raft_id, JOIN_TIMEOUT_S)
        return LeaveRaftResponse()

    async def Health(self, request: RaftHealthRequest, context: Context) -> RaftHealthResponse:
        """Say whether this manager takes part, who leads, and whether the caller was removed."""
        identity = self._find_caller(context)
        node = self.node
        if node is None:
            return RaftHealthResponse()
        leader = node.leader
        return RaftHealthResponse(
            member=any(member.raft_id == node.raft_id for member in node.members),
            raft_id=node.raft_id,
            leader_addr=leader.addr if leader is not None else "",
            removed=node.is_removed_node(identity.node_id),
        )

    def _manager(self, context: Context) -> Identity:
        identity = self._find_caller(context)
        if identity.role is not Role.MANAGER or not identity.node_id:
            raise NotPermitted("only managers take part in Raft")
        return identity

    def _leader(self) -> RaftNode:
        node = self.node
        if node is None:
            raise NotLeader
        if not node.is_leader:
            leader = node.leader
            raise NotLeader(leader.addr if leader is not None and leader.raft_id != node.raft_id else "")
        return node


def add_to_server(servicer: RaftServicer, server: grpc.aio.Server) -> None:
    """Register the service; what comes on a stream stays bytes."""
    unary = grpc.unary_unary_rpc_method_handler
    handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
        "Stream": grpc.stream_unary_rpc_method_handler(
            servicer.Stream, None, RaftStreamEnd.SerializeToString
        ),
        "Join": unary(servicer.Join, JoinRaftRequest.FromString, JoinRaftResponse.SerializeToString),
        "Leave": unary(servicer.Leave, LeaveRaftRequest.FromString, LeaveRaftResponse.SerializeToString),
        "Health": unary(servicer.Health, RaftHealthRequest.FromString, RaftHealthResponse.SerializeToString),
    }
    handler = grpc.method_handlers_generic_handler("swarm.api.v1.Raft", handlers)
    server.add_generic_rpc_handlers((handler,))
