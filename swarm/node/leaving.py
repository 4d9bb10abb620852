"""May this manager leave, and how does it take its leave of the others?"""

import asyncio
from typing import TYPE_CHECKING

import grpc
import structlog

from swarm.api.status import from_rpc_error
from swarm.api.v1.raft_pb2 import LeaveRaftRequest
from swarm.errors import FailedPrecondition, SwarmError, Unavailable
from swarm.node.waiting import until
from swarm.security.tls import NodeCredentials

if TYPE_CHECKING:
    from swarm.manager.main import Manager

log = structlog.get_logger(__name__)

LEAVE_TIMEOUT_S = 10.0
TRANSFER_TIMEOUT_S = 5.0
RETRY_S = 0.1


def explain_manager_leave(managers: int, reachable: int) -> str:
    """Return what a manager that wants to leave must know; counts include itself."""
    if managers <= 1:
        return (
            "this node is the last manager: when it leaves, the cluster and everything in it is gone;"
            " `swarmctl leave --force` does it all the same"
        )
    remaining, alive = managers - 1, reachable - 1
    quorum = remaining // 2 + 1
    tail = (
        f"{alive} of the {remaining} managers that remain can be reached now, and {quorum} are needed"
        " for every decision"
    )
    return (
        "this node is a manager: demote it first (swarmctl node demote), or leave with --force;"
        f" {tail}{'' if alive >= quorum else ': the cluster would stand still'}"
    )


async def leave_raft(manager: "Manager", credentials: NodeCredentials) -> None:
    """Take this manager out of the Raft group, as far as possible: force does not wait long."""
    members = [item for item in manager.raft.members if item.raft_id != manager.raft.raft_id]
    if not members:
        return
    reason = "no answer in time"
    try:
        async with asyncio.timeout(LEAVE_TIMEOUT_S):
            while True:
                try:
                    await _leave(manager, credentials)
                except SwarmError as error:  # leadership may be changing hands: then the next try does it
                    reason = str(error)
                else:
                    return
                await asyncio.sleep(RETRY_S)
    except TimeoutError:
        # The others see a member that does not answer; an operator removes its node.
        log.warning("node.raft_not_left", reason=reason)


async def _leave(manager: "Manager", credentials: NodeCredentials) -> None:
    if manager.raft.is_leader:
        await manager.raft.transfer_leadership(TRANSFER_TIMEOUT_S)
    await until(lambda: not manager.raft.is_leader and manager.raft.leader is not None)
    leader = manager.raft.leader
    if leader is None:
        raise Unavailable("no leader is known")
    from swarm.api.v1.raft_pb2_grpc import RaftStub

    try:
        async with credentials.channel(leader.addr) as channel:
            await RaftStub(channel).Leave(LeaveRaftRequest(), timeout=LEAVE_TIMEOUT_S)
    except grpc.RpcError as error:
        raise from_rpc_error(error) from error


def check_leave(manager: "Manager | None", *, force: bool) -> None:
    """Raise FailedPrecondition unless this node may leave."""
    if manager is None or force:
        return
    raft = manager.raft
    voters = [item for item in raft.members if not item.learner]  # whoever still catches up has no vote
    alive = sum(item.raft_id == raft.raft_id or raft.reachable(item.raft_id) for item in voters)
    raise FailedPrecondition(explain_manager_leave(len(voters), alive))
